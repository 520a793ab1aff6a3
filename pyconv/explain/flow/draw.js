"use strict";
// Maps as pictures. Above zero is blue, below zero orange and, where there is room for it, barred.

let colours = {};
function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["zero", "above", "below", "ink", "paper", "mark"]) {
    const [r, g, b] = style.getPropertyValue(`--${name}`).trim().slice(1).match(/../g).map((part) => parseInt(part, 16));
    colours[name] = [r, g, b];
  }
}
const css = ([r, g, b], alpha = 1) => `rgb(${r} ${g} ${b} / ${alpha})`;
const mix = (from, to, part) => from.map((value, i) => Math.round(value + (to[i] - value) * part));

// A number's colour, where `largest` is the end of the scale.
function colourOf(value, largest, above = "above") {
  const part = largest > 0 ? Math.max(-1, Math.min(1, value / largest || 0)) : 0;
  return mix(colours.zero, part >= 0 ? colours[above] : colours.below, Math.abs(part));
}
// Ink that can be read on it.
function inkOn(colour) {
  const light = ([r, g, b]) => 0.3 * r + 0.59 * g + 0.11 * b;
  return light(colour) > 140 ? [20, 20, 20] : [250, 250, 250];
}

const cellOf = (H, W) => Math.max(2, Math.min(16, Math.floor(640 / Math.max(H, W))));

// Draw numbers as a map (H, W). A number may be three: red, green and blue. Cells of one pixel are for the browser to
// enlarge; in larger ones numbers below zero have a bar.
function drawMap(canvas, H, W, values, largest, { above = "above", cell = 1 } = {}) {
  canvas.width = W * cell;
  canvas.height = H * cell;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(W, H);
  const drawn = values.map((value) =>
    Array.isArray(value) ? value.map((part) => Math.round(255 * part)) : colourOf(value, largest, above),
  );
  if (cell === 1) {
    drawn.forEach((colour, k) => picture.data.set([...colour, 255], 4 * k));
    context.putImageData(picture, 0, 0);
    return context;
  }
  drawn.forEach((colour, k) => {
    const [x, y] = [(k % W) * cell, Math.floor(k / W) * cell];
    context.fillStyle = css(colour);
    context.fillRect(x, y, cell, cell);
    if (values[k] < -0.04 * largest && cell >= 8) {
      context.fillStyle = css(inkOn(colour), 0.75);
      context.fillRect(x + cell * 0.25, y + cell * 0.44, cell * 0.5, cell * 0.12);
    }
  });
  return context;
}

// So that a map with nothing to show does not look as if it were missing.
function drawNought(context) {
  const { width, height } = context.canvas;
  context.fillStyle = css(colours.ink, 0.5);
  context.font = `${Math.min(width, height) * 0.4}px sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText("0", width / 2, height / 2);
}

// A dot on every pixel that wins a window, and lines between windows that stand side by side.
function drawWinners(context, cell, H, W, window, places) {
  context.fillStyle = context.strokeStyle = css(colours.ink, 0.22);
  const [[h, sy, dy, py], [w, sx, dx, px]] = window;
  if (h === sy && w === sx && dy * dx === 1) {
    for (let y = h - py; y < H; y += h) context.fillRect(0, y * cell - 0.5, W * cell, 1);
    for (let x = w - px; x < W; x += w) context.fillRect(x * cell - 0.5, 0, 1, H * cell);
  }
  for (const place of places) {
    context.beginPath();
    context.arc(((place % W) + 0.5) * cell, (Math.floor(place / W) + 0.5) * cell, cell * 0.17, 0, 7);
    context.fillStyle = css(colours.paper);
    context.fill();
    context.lineWidth = cell * 0.09;
    context.strokeStyle = css(colours.ink);
    context.stroke();
  }
}

// Places that stand side by side: [first, last + 1] of each run.
function runs(places) {
  const starts = places.filter((place, k) => place !== places[k - 1] + 1);
  const ends = places.filter((place, k) => place !== places[k + 1] - 1);
  return starts.map((start, k) => [start, ends[k] + 1]);
}

// The frames around pixels; what comes after the chosen pixel has dashed ones.
function drawMark(context, cell, { rows, columns, winner, forward }) {
  const frames = runs(rows).flatMap((down) => runs(columns).map((across) => [...down, ...across]));
  const draw = (colour, width) => {
    context.lineWidth = width;
    context.strokeStyle = css(colours[colour]);
    for (const [top, bottom, left, right] of frames) {
      context.strokeRect(left * cell, top * cell, (right - left) * cell, (bottom - top) * cell);
    }
  };
  const thick = Math.max(cell * 0.25, 2);
  draw("paper", 2 * thick);
  context.setLineDash(forward ? [cell / 2, cell / 2] : []);
  context.lineDashOffset = cell / 4; // a dash at every corner
  draw("mark", thick);
  context.setLineDash([]);
  if (!winner) return;
  const [y, x] = winner.map((place) => (place + 0.5) * cell);
  for (const [radius, colour] of [[0.42, "paper"], [0.3, "mark"]]) {
    context.beginPath();
    context.arc(x, y, cell * radius, 0, 7);
    context.fillStyle = css(colours[colour]);
    context.fill();
  }
}
