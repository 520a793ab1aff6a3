"use strict";
// The roofline plot (Williams, Waterman and Patterson, 2009). Draws with what page.js defines.

const MARKS = [
  "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0z", // circle
  "M0,-6L6,5H-6z", // triangle
  "M-4.5,-4.5h9v9h-9z", // square
  "M0,-6.5L6.5,0L0,6.5L-6.5,0z", // diamond
];
const mark = (pass) => {
  const number = passes.indexOf(pass) % MARKS.length;
  return { d: MARKS[number], class: `mark series${number}` };
};

function ticks(low, high) {
  const steps = high / low < 1000 ? [1, 2, 5] : [1];
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    found.push(...steps.map((step) => Number(`${step}e${power}`)).filter((tick) => tick >= low && tick <= high));
  }
  return found;
}

function drawRoofline() {
  const plot = byId("roofline");
  const plotted = rowsShown().filter((row) => row.operations && row.bytes && seconds(row));
  plotted.sort((a, b) => intensity(a) - intensity(b) || gflops(a) - gflops(b));
  const width = plot.parentElement.clientWidth;
  const height = Math.round(Math.min(Math.max(width * 0.56, 300), 520));
  const [left, right, top, bottom] = [44, width - 8, 10, height - 40];

  const ridges = result.settings.map((one) => one.peak_gflops / one.peak_copy_gbytes_per_s);
  const xs = [...plotted.map(intensity), ...ridges];
  const ys = [...plotted.map(gflops), ...result.settings.map((one) => one.peak_gflops)];
  const [lowX, highX] = [Math.min(...xs) / 1.8, Math.max(...xs) * 1.8];
  const [lowY, highY] = [Math.min(...ys) / 1.8, Math.max(...ys) * 1.8];
  const x = (value) => left + (Math.log(value / lowX) / Math.log(highX / lowX)) * (right - left);
  const y = (value) => bottom - (Math.log(value / lowY) / Math.log(highY / lowY)) * (bottom - top);

  const grid = shape("g", { class: "grid", "aria-hidden": "true" });
  for (const tick of ticks(lowX, highX)) {
    grid.append(shape("path", { d: `M${x(tick)},${top}V${bottom}` }));
    grid.append(shape("text", { x: x(tick), y: bottom + 16, "text-anchor": "middle" }, String(tick)));
  }
  for (const tick of ticks(lowY, highY)) {
    grid.append(shape("path", { d: `M${left},${y(tick)}H${right}` }));
    grid.append(shape("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick)));
  }
  grid.append(shape("text", { x: right, y: height - 4, "text-anchor": "end" }, "operations per byte →"));
  grid.append(shape("text", { x: left + 6, y: top + 12 }, "↑ GF/s"));

  // The chosen roof lies above the others. A label that would cover another, or the points of a narrow plot, is left out.
  const roofs = shape("g", { "aria-hidden": "true" });
  const labels = shape("g", { class: "labels", "aria-hidden": "true" });
  const isChosen = (one) => matches(one, chosen);
  const taken = [];
  for (const one of [...result.settings].sort((a, b) => isChosen(a) - isChosen(b)).reverse()) {
    const [peak, copy] = [one.peak_gflops, one.peak_copy_gbytes_per_s];
    const kind = isChosen(one) ? "roof chosen" : "roof";
    const start = Math.max(lowX, lowY / copy);
    const line = `M${x(start)},${y(copy * start)}L${x(peak / copy)},${y(peak)}H${right}`;
    roofs.prepend(shape("path", { class: kind, d: line }));
    if (!isChosen(one) && (width < 600 || taken.some((other) => Math.abs(other - y(peak)) < 15))) continue;
    taken.push(y(peak));
    if (!isChosen(one)) {
      const name = `${short(peak)} GF/s with ${settingText(one)}`;
      labels.append(shape("text", { x: right - 4, y: y(peak) - 5, "text-anchor": "end" }, name));
      continue;
    }
    const name = `${short(peak)} GF/s${width < 600 ? "" : " computing"}`;
    const bend = Math.min(x(peak / copy) + 6, right - 7 * name.length); // 7: a character's width, and a little more
    labels.append(shape("text", { class: "chosen", x: bend, y: y(peak) - 6 }, name));
    const middle = Math.sqrt(start * (peak / copy));
    const slope = (Math.atan2(y(copy * middle * 2) - y(copy * middle), x(middle * 2) - x(middle)) * 180) / Math.PI;
    const place = `translate(${x(middle)},${y(copy * middle)}) rotate(${slope}) translate(0,-7)`;
    labels.append(shape("text", { class: "chosen", transform: place, "text-anchor": "middle" }, `${short(copy)} GB/s copying`));
  }

  const points = plotted.map((row, index) => ({
    row,
    x: x(intensity(row)),
    y: y(gflops(row)),
    node: shape("path", {
      ...mark(row.pass),
      transform: `translate(${x(intensity(row))},${y(gflops(row))})`,
      role: "img",
      tabindex: index ? -1 : 0, // one stop for Tab; the arrow keys go on from there
      "aria-label": `${row.shape} ${tipLines(row).join("; ")}`,
    }),
  }));
  const ring = shape("circle", { class: "ring", r: 10, visibility: "hidden" });
  fill(plot, { viewBox: `0 0 ${width} ${height}`, height }, []);
  plot.replaceChildren(grid, roofs, labels, ...points.map((point) => point.node), ring);
  listen(plot, points, ring);
  drawLegend(plotted);
}

function tipLines(row) {
  const lines = [
    what(row),
    `${short(gflops(row))} GF/s at ${short(intensity(row))} operations per byte`,
    `${time(seconds(row))}, spread ${percent(row.spread.pyconv)}`,
  ];
  if (row.rate) lines.push(`${percent(row.rate.of_peak)} of the peak of ${row.rate.unit === "GF/s" ? "computing" : "copying"}`);
  for (const rival of rivals) {
    if (row.ratios[rival]) lines.push(`${times(row.ratios[rival])} as fast as ${rival}`);
  }
  return lines;
}

// Points are named when they are pointed at, tapped or reached with the keyboard.
function listen(plot, points, ring) {
  const tip = byId("tip");
  let named = null;
  const hide = () => {
    tip.hidden = true;
    ring.setAttribute("visibility", "hidden");
  };
  const show = (point) => {
    named = point;
    fill(ring, { cx: point.x, cy: point.y, visibility: "visible" }, []);
    const lines = tipLines(point.row).map((line) => element("span", {}, line));
    tip.replaceChildren(element("strong", {}, point.row.shape), ...lines);
    tip.hidden = false;
    const room = plot.parentElement.clientWidth - tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(point.x + 14, room))}px`;
    const above = point.y - tip.offsetHeight - 14;
    tip.style.top = `${above < 0 ? point.y + 14 : above}px`;
  };
  const nearest = (event) => {
    const box = plot.getBoundingClientRect();
    const distance = (point) => Math.hypot(point.x - event.clientX + box.left, point.y - event.clientY + box.top);
    const near = points.filter((point) => distance(point) < 24);
    if (near.length) show(near.reduce((a, b) => (distance(b) < distance(a) ? b : a)));
    else hide();
  };
  plot.onpointermove = nearest;
  plot.onpointerdown = nearest;
  plot.onpointerleave = (event) => event.pointerType === "mouse" && hide();
  plot.onkeydown = (event) => {
    const at = points.findIndex((point) => point.node === document.activeElement);
    const steps = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: points.length - 1 };
    if (event.key === "Escape") hide();
    if (at < 0 || !(event.key in steps)) return;
    event.preventDefault();
    const next = points[Math.max(0, Math.min(steps[event.key], points.length - 1))];
    points[at].node.setAttribute("tabindex", -1);
    next.node.setAttribute("tabindex", 0);
    next.node.focus();
  };
  for (const point of points) {
    point.node.onfocus = () => show(point);
    point.node.onblur = () => point === named && hide(); // a tap may have named another by now
  }
  hide();
}

function drawLegend(plotted) {
  const names = { forward: "forward", dx: "dx, the input’s gradient", dw: "dw, the weights’ gradient", step: "training step" };
  const entry = (pass) =>
    element("span", {}, shape("svg", { viewBox: "-8 -8 16 16", "aria-hidden": "true" }, shape("path", mark(pass))), names[pass] ?? pass);
  byId("legend").replaceChildren(...passes.filter((pass) => plotted.some((row) => row.pass === pass)).map(entry));
  const missing = rowsShown().filter((row) => !plotted.includes(row)).map((row) => `${row.shape} (${what(row)})`);
  byId("unplotted").textContent = missing.length
    ? `Not in the plot, since operations or bytes are not counted for them: ${missing.join("; ")}.`
    : "";
}
