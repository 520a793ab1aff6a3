"use strict";
// The parts of the figure, from the images to the output and back, as tables.js draws them

const LETTERS = "FGHIJKLMNOPQRSTUVWXYZ"; // of filters: F, G, ..., Z, FF, FG, ...
const letter = (f) =>
  (f < LETTERS.length ? "" : letter(Math.floor(f / LETTERS.length) - 1)) + LETTERS[f % LETTERS.length];
const pixelName = (m, p) => (m.inside(p) ? `D${p.y * m.W + p.x}` : "0");
const weightName = (m, k, f) => `${letter(f)}${k % m.taps}`;
const at = (...name) => name.join(" ");
const span = (count, from = 0) => Array.from({ length: count }, (_, index) => from + index);

const rounded = (value) => (Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(3)));
const short = (value) => (value === -Infinity ? "−∞" : String(rounded(value)).replace("-", "−"));

const LEGIBLE = 12; // with more pixels on a side, they are drawn small, without text
const FINE = 34; // with more, they are drawn smaller still
const WIDEST = 48; // and with more, abridged
const SAMPLE = 4096; // windows, of which an output takes its shades
const isBig = (m) => Math.max(m.paddedH, m.paddedW) > LEGIBLE;

// The places along each axis that are drawn: all, or those that are `wanted` and some others.
function chooseShown(m, wanted = {}) {
  const big = isBig(m);
  const conv = m.kind === "conv";
  const some = (count, limit, axis) => abridge(count, limit, [...new Set(wanted[axis] ?? [])]);
  return {
    n: some(m.N, big || m.C * m.paddedW > 24 ? 1 : 3, "n"),
    c: some(m.C, big ? 3 : 6, "c"),
    f: some(conv ? m.FN : m.C, big ? 3 : 6, conv ? "f" : "c"),
    y: some(m.paddedH, WIDEST, "y"),
    x: some(m.paddedW, WIDEST, "x"),
    fy: some(m.FH, 12, "fy"),
    fx: some(m.FW, 12, "fx"),
    oy: some(m.OH, WIDEST, "oy"),
    ox: some(m.OW, WIDEST, "ox"),
    r: some(m.rows, big ? 12 : 18, "r"),
    k: some(m.columns, 30, "k"),
    i: some(m.rows * m.C, 24, "i"), // of the rows per channel
  };
}

// m: a geometry with its `kind`, `data` and `bias`; say: words; state: {shown, labels}, which change
function makeParts(m, say, state) {
  const big = isBig(m);
  const pool = m.kind === "pool";
  const depth = pool ? m.C : m.FN;

  // Texts and labels of what several parts show
  const nameOrNumber = (name, number) => (state.labels ? name : short(number));
  function pixelCell(p) {
    const pad = !m.inside(p);
    const text = pad ? (pool ? "" : "0") : nameOrNumber(pixelName(m, p), m.pixel(p)); // padding is in no maximum
    return { text, label: pixelLabel(p), channel: p.c, pad };
  }
  const pixelLabel = (p) => m.inside(p)
    ? say("pixel_label", { D: pixelName(m, p), ...p, value: short(m.pixel(p)) }) : say("padding_label", p);
  function weightCell({ k, f }) {
    const [F, value] = [weightName(m, k, f), m.weight(k, f)];
    const label = say("weight_label", { F, ...m.tap(k), value: short(value) });
    return { text: nameOrNumber(F, value), label, channel: m.tap(k).c };
  }
  const inBatch = (n, text) => (m.N > 1 ? `${n}, ${text}` : text); // the only image needs no number
  const rowName = (r) => inBatch(m.window(r).n, `${m.window(r).oy}, ${m.window(r).ox}`);
  const filterHead = (f) => ({ text: letter(f), label: say("filter", { F: letter(f) }) });
  const across = (outer, size, inner) => outer.flatMap((one) => inner.map((other) => one * size + other));
  const blockName = (name, height, width) => (row, col) =>
    `${name}[${Math.floor(row / height)},${Math.floor(col / width)},:,:]`;

  // What is drawn without text is a shade of 0 to 1, from the least to the largest number.
  function shades(numbers) {
    const finite = numbers.filter(Number.isFinite);
    const low = finite.reduce((least, number) => Math.min(least, number), Infinity);
    const high = finite.reduce((most, number) => Math.max(most, number), -Infinity);
    return (number) => (high > low ? Math.min(Math.max(0, (number - low) / (high - low)), 1) : 0);
  }
  const once = (compute, known = new Map()) => (key) => known.get(key) ?? known.set(key, compute(key)).get(key);

  const pixelShade = big ? shades(m.data) : () => null;
  const images = {
    id: "x", name: say("images"), rows: m.N * m.paddedH, cols: m.C * m.paddedW,
    blockRows: m.paddedH, blockCols: m.paddedW, block: blockName("D", m.paddedH, m.paddedW),
    tiny: big, finer: Math.max(m.paddedH, m.paddedW) > FINE, dense: m.C * m.paddedW > 12,
    visible: ({ n, c, y, x }) => [across(n, m.paddedH, y), across(c, m.paddedW, x)],
    ref: (row, col) => {
      const [n, c] = [Math.floor(row / m.paddedH), Math.floor(col / m.paddedW)];
      const p = { n, c, y: (row % m.paddedH) - m.top, x: (col % m.paddedW) - m.left };
      return { at: at("x", n, c, p.y, p.x), kind: "pixel", p };
    },
    cell: ({ p }) => ({ ...pixelCell(p), shade: pixelShade(m.pixel(p)) }),
  };

  const filters = {
    id: "W", name: say("filters"), rows: m.FN * m.FH, cols: m.C * m.FW,
    blockRows: m.FH, blockCols: m.FW, block: blockName("F", m.FH, m.FW),
    visible: ({ f, c, fy, fx }) => [across(f, m.FH, fy), across(c, m.FW, fx)],
    ref: (row, col) => {
      const [f, k] = [Math.floor(row / m.FH), m.columnOf(Math.floor(col / m.FW), row % m.FH, col % m.FW)];
      return { at: at("W", f, k), kind: "tap", k, f };
    },
    cell: weightCell,
  };

  const matrix = {
    id: "col", name: say("matrix"), rows: m.rows, cols: m.columns, blockRows: m.rows, blockCols: m.columns,
    visible: ({ r, k }) => [r, k],
    ref: (r, k) => ({ at: at("col", r, k), kind: "cell", r, k }),
    cell: ({ r, k }) => {
      const cell = pixelCell(m.where(r, k));
      return { ...cell, label: say("cell_label", { r, k, what: cell.label }) };
    },
    rowHead: (r) => ({
      text: rowName(r), label: say("row_label", { r, ...m.window(r) }),
      ref: { at: at("row", r), kind: "window", r },
    }),
    colHead: (k) => ({
      text: `${m.tap(k).fy}, ${m.tap(k).fx}`, label: say("column_label", { k, ...m.tap(k) }),
      ref: { at: at("column", k), kind: "tap", k }, channel: m.tap(k).c,
    }),
    group: (k) => ({ key: m.tap(k).c, name: say("channel", m.tap(k)), channel: m.tap(k).c }),
    across: "fy, fx", corner: inBatch("n", "oy, ox"),
  };

  const unrolled = {
    id: "col_W", name: say("unrolled"), rows: m.columns, cols: m.FN, blockRows: m.columns, blockCols: m.FN,
    visible: ({ k, f }) => [k, f],
    ref: (k, f) => ({ at: at("col_W", k, f), kind: "tap", k, f }),
    cell: weightCell,
    rowHead: (k) => ({ text: Object.values(m.tap(k)).join(", "), channel: m.tap(k).c }),
    colHead: filterHead,
    across: "f", corner: "c, fy, fx",
  };

  const product = {
    id: "product", name: say("product"), rows: m.rows, cols: m.FN, blockRows: m.rows, blockCols: m.FN,
    visible: ({ r, f }) => [r, f],
    ref: (r, f) => ({ at: at("product", r, f), kind: "window", r, f }),
    cell: ({ r, f }) => {
      const value = short(m.dot(r, f));
      return { text: value, label: say("product_label", { r, F: letter(f), value }) };
    },
    rowHead: (r) => ({ text: rowName(r) }),
    colHead: filterHead,
    group: (f) => ({ key: f, name: m.bias ? `+ ${nameOrNumber(`b[${f}]`, m.bias[f])}` : "" }),
    across: "f", corner: inBatch("n", "oy, ox"),
  };

  // Of a pooling: a row of taps for each window and channel, and its maximum in a column of its own
  const maximum = once((i) => m.maximum(Math.floor(i / m.C), i % m.C));
  const windows = {
    id: "windows", name: say("windows"), rows: m.rows * m.C, cols: m.taps + 1,
    blockRows: m.rows * m.C, blockCols: m.taps + 1,
    visible: ({ i, fy, fx }) => [i, [...across(fy, m.FW, fx), m.taps]],
    ref: (i, tap) => {
      const [r, c] = [Math.floor(i / m.C), i % m.C];
      if (tap === m.taps) return { at: at("max", i), kind: "window", r, f: c };
      return { at: at("windows", i, tap), kind: "cell", r, k: c * m.taps + tap };
    },
    cell: ({ kind, r, k, f }) => {
      const i = r * m.C + (f ?? m.tap(k).c);
      if (kind === "window") {
        const value = short(maximum(i).value);
        return { text: value, label: say("maximum_label", { i, value }), channel: f, marked: maximum(i).winner !== null };
      }
      const [cell, tap] = [pixelCell(m.where(r, k)), k % m.taps];
      const label = say("cell_label", { r: i, k: tap, what: cell.label });
      const text = cell.pad && !state.labels ? "−∞" : cell.text;
      return { ...cell, text, label, marked: maximum(i).winner === tap };
    },
    rowHead: (i) => {
      const [r, c] = [Math.floor(i / m.C), i % m.C];
      const ref = { at: at("window", i), kind: "window", r, f: c };
      return { text: `${rowName(r)}, ${c}`, channel: c, ref };
    },
    colHead: (tap) => ({ text: tap === m.taps ? "max" : `${Math.floor(tap / m.FW)}, ${tap % m.FW}` }),
    across: "fy, fx", corner: inBatch("n", "oy, ox, c"),
  };

  const value = (r, f) => (pool ? m.maximum(r, f).value : m.dot(r, f));
  const bigOutput = Math.max(m.OH, m.OW) > LEGIBLE;
  const every = Math.ceil(m.rows / SAMPLE);
  const sample = span(Math.ceil(m.rows / every)).map((index) => index * every);
  const outputShade = once((f) => (bigOutput ? shades(sample.map((r) => value(r, f))) : () => null));
  const output = {
    id: "y", name: say("output"), rows: m.N * m.OH, cols: depth * m.OW,
    blockRows: m.OH, blockCols: m.OW, block: blockName("Y", m.OH, m.OW),
    tiny: bigOutput, finer: Math.max(m.OH, m.OW) > FINE, dense: depth * m.OW > 12,
    visible: ({ n, f, oy, ox }) => [across(n, m.OH, oy), across(f, m.OW, ox)],
    ref: (row, col) => {
      const [n, f, oy, ox] = [Math.floor(row / m.OH), Math.floor(col / m.OW), row % m.OH, col % m.OW];
      return { at: at("y", n, f, oy, ox), kind: "window", r: m.rowOf(n, oy, ox), f };
    },
    cell: ({ r, f }) => {
      const number = value(r, f);
      const text = short(number);
      const label = say("output_label", { f, ...m.window(r), value: text });
      return { text, label, channel: pool ? f : null, shade: outputShade(f)(number) };
    },
  };

  // The images once more, without their padding: how often the matrix holds each pixel. Its shade is the part of the
  // taps that it comes under.
  const real = (places, before, size) =>
    [...new Set(places.map((place) => Math.min(Math.max(place - before, 0), size - 1)))];
  const back = {
    ...images, id: "back", name: say("back"), rows: m.N * m.H, cols: m.C * m.W,
    blockRows: m.H, blockCols: m.W, block: blockName("D", m.H, m.W),
    visible: ({ n, c, y, x }) => [across(n, m.H, real(y, m.top, m.H)), across(c, m.W, real(x, m.left, m.W))],
    ref: (row, col) => {
      const p = { n: Math.floor(row / m.H), c: Math.floor(col / m.W), y: row % m.H, x: col % m.W };
      return { at: at("back", ...Object.values(p)), kind: "pixel", p };
    },
    cell: ({ p }) => {
      const count = m.uses(p).length;
      const label = say("back_label", { D: pixelName(m, p), ...p, count });
      return { text: count, label, channel: p.c, shade: count / m.taps };
    },
  };

  return pool ? [images, matrix, windows, output] : [images, filters, matrix, unrolled, product, output, back];
}
