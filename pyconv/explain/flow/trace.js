"use strict";
// The numbers of the trace that the page holds, and which pixels are made of which.

const trace = held("data");
const steps = trace.steps;

function unpacked(text, Kind) {
  const characters = atob(text), bytes = new Uint8Array(characters.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = characters.charCodeAt(k);
  return new Kind(bytes.buffer);
}

for (const step of steps) {
  if (step.W) [step.W, step.b] = [unpacked(step.W, Float32Array), unpacked(step.b, Float32Array)];
}

// Sizes of what the page holds of a step's array: channels, height, width; rows of units are one high.
const sizes = steps.map(({ shape, channels, units }) => (channels ? [channels, shape[2], shape[3]] : [1, 1, units]));
const unitsOf = ({ shape }) => shape.slice(1).reduce((a, b) => a * b, 1); // of a sample, in all

// Of an image of the batch, the numbers after each step; a max-pooling's winners beside them.
const known = [];
function arrays(n) {
  if (known[n]) return known[n];
  const values = [], winners = [];
  steps.forEach((step, i) => {
    const text = trace.samples[n][i];
    if (step.kind === "relu") {
      values.push(values[i - 1].map((v) => Math.max(v, 0)));
    } else if (step.kind === "max") {
      const [C, H, W] = sizes[i];
      const taps = unpacked(text, Uint16Array), places = new Int32Array(C * H * W);
      places.forEach((_, k) => {
        const [y, x] = tapPlace(i, Math.floor(k / W) % H, k % W, taps[k]);
        places[k] = (Math.floor(k / (H * W)) * sizes[i - 1][1] + y) * sizes[i - 1][2] + x;
      });
      winners[i] = places;
      values.push(Float32Array.from(places, (place) => values[i - 1][place]));
    } else {
      values.push(unpacked(text, Float32Array));
    }
  });
  known[n] = { values, winners };
  return known[n];
}

// Where a tap of the window of an output pixel lies in the map before.
function tapPlace(i, y, x, tap) {
  const [[, sy, dy, py], [w, sx, dx, px]] = steps[i].window;
  return [y * sy - py + Math.floor(tap / w) * dy, x * sx - px + (tap % w) * dx];
}

// Along one axis, the places that some places are made of, and those that are made of them; each once, in order.
const taps = ([count]) => [...Array(count).keys()];
const inOrder = (places) => [...new Set(places)].sort((a, b) => a - b);
function before(axis, places) {
  const [, stride, dilation, pad] = axis;
  return inOrder(places.flatMap((place) => taps(axis).map((tap) => place * stride - pad + tap * dilation)));
}
function after(axis, places, size) {
  const [, stride, dilation, pad] = axis;
  const windows = places.flatMap((place) => taps(axis).map((tap) => (place + pad - tap * dilation) / stride));
  return inOrder(windows.filter((window) => Number.isInteger(window) && window >= 0 && window < size));
}

// Whether a step's maps are of the size of those before, so that a pixel is made of the one in its place.
const alike = (i) => sizes[i][1] === sizes[i - 1][1] && sizes[i][2] === sizes[i - 1][2];

// The pixels in every step's map that have to do with one pixel: what it is made of before it, back to the input, and
// what is made of it after it. {rows, columns, winner, forward} by step; a winner is followed alone, as long as the
// channel is the same.
function connected(at, c, y, x, winners) {
  const marks = [];
  let rows = [y], columns = [x], alone = true;
  marks[at] = { rows, columns };
  for (let i = at; i > 0; i--) {
    const { window, kind } = steps[i];
    let winner = null;
    if (window) {
      if (kind === "max" && alone && rows.length === 1 && columns.length === 1) {
        const [, H, W] = sizes[i];
        const place = winners[i][(c * H + rows[0]) * W + columns[0]] % (sizes[i - 1][1] * sizes[i - 1][2]);
        winner = [Math.floor(place / sizes[i - 1][2]), place % sizes[i - 1][2]];
      }
      alone &&= kind !== "conv";
      rows = before(window[0], rows);
      columns = before(window[1], columns);
    } else if (!alike(i)) {
      break;
    }
    marks[i - 1] = { rows, columns, winner };
    if (winner) [rows, columns] = winner.map((place) => [place]);
  }
  [rows, columns] = [[y], [x]];
  for (let i = at + 1; i < steps.length && steps[i].channels; i++) {
    const { window } = steps[i];
    if (window) {
      rows = after(window[0], rows, sizes[i][1]);
      columns = after(window[1], columns, sizes[i][2]);
    } else if (!alike(i)) {
      break;
    }
    if (!rows.length || !columns.length) break; // no window covers it
    marks[i] = { rows, columns, forward: true };
  }
  return marks;
}

// The channels of the map before that make a channel: of a convolution all of them, or those of its group.
const groupCount = (at) => steps[at - 1].shape[1] / steps[at].taps[0];
function channelsRead(at, c) {
  const { kind, taps, shape } = steps[at];
  if (kind !== "conv") return [c];
  const first = Math.floor((c * groupCount(at)) / shape[1]) * taps[0];
  return [...Array(taps[0]).keys()].map((k) => first + k);
}

// The numbers under the window of an output pixel, of each of these channels; null where there is padding.
function windowOf(n, at, channels, y, x) {
  const [[h], [w]] = steps[at].window, [, H, W] = sizes[at - 1];
  const values = arrays(n).values[at - 1];
  return channels.map((channel) =>
    [...Array(h * w).keys()].map((tap) => {
      const [row, column] = tapPlace(at, y, x, tap);
      const inside = row >= 0 && row < H && column >= 0 && column < W;
      return inside ? values[(channel * H + row) * W + column] : null;
    }),
  );
}

// What a place outside of the image counts as, for the window of an output pixel; "" for nothing.
function outside(at, y, x, tap) {
  const { kind, padded, window } = steps[at], [, ...size] = sizes[at - 1];
  if (kind === "max") return "−∞";
  const within = tapPlace(at, y, x, tap).every((place, axis) => place < size[axis] + window[axis][4]);
  return kind === "conv" || (padded && within) ? "0" : "";
}

// The filter that makes a channel, likewise; null where the page does not hold all that it takes.
function filterOf(at, c) {
  const { W, taps } = steps[at];
  if (!W || channelsRead(at, c).at(-1) >= sizes[at - 1][0]) return null;
  const [C, h, w] = taps;
  return [...Array(C).keys()].map((channel) => [...W.subarray((c * C + channel) * h * w, (c * C + channel + 1) * h * w)]);
}
