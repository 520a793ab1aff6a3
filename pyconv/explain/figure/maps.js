"use strict";
// The images, the matrix and the output as three maps a thumb wide, which are in view together wherever the page is
// scrolled to: where the window is, which row it is, and what it makes.

const [SMALLEST, LARGEST, LONGEST] = [20, 44, 88]; // the sides of a map, in pixels

// Of what belongs together, be it drawn in the tables or not
function maps(m, lights) {
  const square = (x, y, width = 1, height = 1) => `M${x} ${y}h${width}v${height}h${-width}z`;
  // A map is a height, a width, and what stands in it: the images of a batch and their channels lie on each other.
  const map = (name, height, width, sheet = square(0, 0, width, height)) =>
    ({ name, height, width, sheet: [sheet], near: new Set(), lit: new Set() });
  const D = map("x", m.paddedH, m.paddedW, square(m.left, m.top, m.W, m.H));
  const col = map("col", m.rows, m.columns);
  const Y = map("y", m.OH, m.OW);
  const places = {
    x: (n, c, y, x) => [D, square(x + m.left, y + m.top)],
    col: (r, k) => [col, square(k, r)],
    row: (r) => [col, square(0, r, m.columns)],
    column: (k) => [col, square(k, 0, 1, m.rows)],
    y: (n, f, oy, ox) => [Y, square(ox, oy)],
  };
  for (const how of ["near", "lit"]) {
    for (const name of lights[how] ?? []) {
      const [part, ...place] = name.split(" ");
      const [on, path] = places[part]?.(...place.map(Number)) ?? [];
      on?.[how].add(path);
    }
  }
  return joined([D, col, Y].map(drawMap), "→");
}

function drawMap({ name, height, width, ...places }) {
  const scale = Math.min(LARGEST / height, LONGEST / width);
  const side = (cells) => Math.max(SMALLEST, Math.round(cells * scale));
  const paths = Object.entries(places).map(([kind, d]) => shape("path", { class: kind, d: [...d].join("") }));
  const size = { viewBox: `0 0 ${width} ${height}`, width: side(width), height: side(height) };
  return element("span", {}, `${name} `, shape("svg", { ...size, preserveAspectRatio: "none" }, ...paths));
}
