"use strict";
// The parts of the figure, from the images to the output, as tables.js draws them. `shown` says which of each axis.

const LETTERS = "FGHIJKLMNOPQRSTUVWXYZ";
const letter = (f) => (f < LETTERS.length ? "" : letter(Math.floor(f / LETTERS.length) - 1)) + LETTERS[f % LETTERS.length];
const short = (value) => {
  if (value === -Infinity) return "−∞";
  const text = Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
  return text.replace("-", "−");
};
const at = (...name) => name.join(" ");
const span = (count, from = 0) => Array.from({ length: count }, (_, index) => from + index);
const isBig = (m) => Math.max(m.paddedH, m.paddedW) > 12; // then pixels are drawn small, without text

const WIDEST = 64; // more pixels on a side are abridged
const FINE = 34; // and more are drawn smaller still

// What is shown: all of each axis, or some of it with what is `wanted`.
function chooseShown(m, wanted = {}) {
  const big = isBig(m);
  const some = (count, limit, name) => abridge(count, limit, [...new Set(wanted[name] ?? [])]);
  const depth = m.kind === "conv" ? m.FN : m.C;
  const f = some(depth, big ? 3 : 6, m.kind === "conv" ? "f" : "c");
  return {
    n: some(m.N, big || m.C * m.paddedW > 24 ? 1 : 3, "n"),
    c: some(m.C, big ? 3 : 6, "c"),
    f,
    y: some(m.paddedH, WIDEST, "y"),
    x: some(m.paddedW, WIDEST, "x"),
    fy: some(m.FH, 12, "fy"),
    fx: some(m.FW, 12, "fx"),
    oy: some(m.OH, WIDEST, "oy"),
    ox: some(m.OW, WIDEST, "ox"),
    r: some(m.rows, big ? 12 : 18, "r"),
    k: some(m.columns, 30, "k"),
    i: some(m.rows * m.C, 24, "i"),
  };
}

const across = (outer, size, inner) => outer.flatMap((one) => inner.map((other) => one * size + other));

// m: a geometry with its `kind`; say: words; state: {shown, labels}, which change
function makeParts(m, say, state) {
  const big = isBig(m);
  const pool = m.kind === "pool";
  const pixelName = (p) => (m.inside(p) ? `D${p.y * m.W + p.x}` : "0");
  const pad = pool ? "" : "0"; // padding never wins a maximum
  const pixelText = (p) => (!m.inside(p) ? pad : state.labels ? pixelName(p) : short(m.pixel(p)));
  const pixelLabel = (p) =>
    m.inside(p) ? say("pixel_label", { D: pixelName(p), ...p, value: short(m.pixel(p)) }) : say("padding_label", p);
  const weightName = (k, f) => `${letter(f)}${k % m.taps}`;
  const weightText = (k, f) => (state.labels ? weightName(k, f) : short(m.weight(k, f)));
  const weightLabel = (k, f) => say("weight_label", { F: weightName(k, f), ...m.tap(k), value: short(m.weight(k, f)) });
  const channelName = (c) => say("channel", { c });
  const inBatch = (n, text) => (m.N > 1 ? `${n}, ${text}` : text);
  const rowName = (r) => inBatch(m.window(r).n, `${m.window(r).oy}, ${m.window(r).ox}`);
  const rowRef = (r, f) => ({ at: at("row", r), kind: "window", r, f });

  // What is drawn without text is a shade of 0 to 1, of all the numbers that are drawn beside it.
  function shades(numbers) {
    const finite = numbers.filter(Number.isFinite);
    const [low, high] = finite.reduce(([least, most], number) => [Math.min(least, number), Math.max(most, number)], [Infinity, -Infinity]);
    return (number) => (high > low ? Math.max(0, (number - low) / (high - low)) : 0);
  }
  const once = (compute, known = new Map()) => (key) => known.get(key) ?? known.set(key, compute(key)).get(key);

  const pixelShade = big ? shades(m.data) : null;
  const images = {
    id: "x", name: say("images"), tiny: big, finer: Math.max(m.paddedH, m.paddedW) > FINE, dense: m.C * m.paddedW > 12, blockRows: m.paddedH, blockCols: m.paddedW,
    rows: m.N * m.paddedH, cols: m.C * m.paddedW,
    visible: () => [across(state.shown.n, m.paddedH, state.shown.y), across(state.shown.c, m.paddedW, state.shown.x)],
    ref: (row, col) => {
      const n = Math.floor(row / m.paddedH);
      const c = Math.floor(col / m.paddedW);
      const p = { n, c, y: (row % m.paddedH) - m.top, x: (col % m.paddedW) - m.left };
      return { at: at("x", n, c, p.y, p.x), kind: "pixel", p };
    },
    cell: ({ p }) => ({ text: pixelText(p), label: pixelLabel(p), channel: p.c, pad: !m.inside(p), shade: pixelShade?.(m.pixel(p)) }),
    block: (row, col) => `D[${Math.floor(row / m.paddedH)},${Math.floor(col / m.paddedW)},:,:]`,
  };

  const matrix = {
    id: "col", name: say("matrix"), rows: m.rows, cols: m.columns, blockRows: m.rows, blockCols: m.columns,
    visible: () => [state.shown.r, state.shown.k],
    ref: (r, k) => ({ at: at("col", r, k), kind: "cell", r, k }),
    cell: ({ r, k }) => {
      const p = m.where(r, k);
      return { text: pixelText(p), label: say("cell_label", { r, k, what: pixelLabel(p) }), channel: p.c, pad: !m.inside(p) };
    },
    rowHead: (r) => ({ text: rowName(r), label: say("row_label", { r, ...m.window(r) }), ref: rowRef(r) }),
    colHead: (k) => ({
      text: `${m.tap(k).fy}, ${m.tap(k).fx}`, label: say("column_label", { k, ...m.tap(k) }),
      ref: { at: at("column", k), kind: "tap", k }, channel: m.tap(k).c,
    }),
    group: (k) => ({ key: m.tap(k).c, name: channelName(m.tap(k).c), channel: m.tap(k).c }),
    corner: inBatch("n", "oy, ox"),
  };

  const value = (r, f) => (pool ? m.maximum(r, f).value : m.dot(r, f));
  const outputShade = once((f) => shades(span(m.rows).map((r) => value(r, f))));
  const output = {
    id: "y", name: say("output"), tiny: big, finer: Math.max(m.OH, m.OW) > FINE, dense: (pool ? m.C : m.FN) * m.OW > 12, blockRows: m.OH, blockCols: m.OW,
    rows: m.N * m.OH, cols: (pool ? m.C : m.FN) * m.OW,
    visible: () => [across(state.shown.n, m.OH, state.shown.oy), across(state.shown.f, m.OW, state.shown.ox)],
    ref: (row, col) => {
      const [n, f, oy, ox] = [Math.floor(row / m.OH), Math.floor(col / m.OW), row % m.OH, col % m.OW];
      return { at: at("y", n, f, oy, ox), kind: "window", r: m.rowOf(n, oy, ox), f };
    },
    cell: ({ r, f }) => ({
      text: short(value(r, f)), label: say("output_label", { f, ...m.window(r), value: short(value(r, f)) }),
      channel: pool ? f : null, shade: big ? outputShade(f)(value(r, f)) : null,
    }),
    block: (row, col) => `Y[${Math.floor(row / m.OH)},${Math.floor(col / m.OW)},:,:]`,
  };

  const filters = {
    id: "W", name: say("filters"), rows: m.FN * m.FH, cols: m.C * m.FW, blockRows: m.FH, blockCols: m.FW,
    visible: () => [across(state.shown.f, m.FH, state.shown.fy), across(state.shown.c, m.FW, state.shown.fx)],
    ref: (row, col) => {
      const f = Math.floor(row / m.FH);
      const k = m.columnOf(Math.floor(col / m.FW), row % m.FH, col % m.FW);
      return { at: at("W", f, k), kind: "tap", k, f };
    },
    cell: ({ k, f }) => ({ text: weightText(k, f), label: weightLabel(k, f), channel: m.tap(k).c }),
    block: (row, col) => `F[${Math.floor(row / m.FH)},${Math.floor(col / m.FW)},:,:]`,
  };

  const filterHead = (f) => ({ text: letter(f), label: say("filter", { F: letter(f) }) });
  const unrolled = {
    id: "col_W", name: say("unrolled"), rows: m.columns, cols: m.FN, blockRows: m.columns, blockCols: m.FN,
    visible: () => [state.shown.k, state.shown.f],
    ref: (k, f) => ({ at: at("col_W", k, f), kind: "tap", k, f }),
    cell: ({ k, f }) => ({ text: weightText(k, f), label: weightLabel(k, f), channel: m.tap(k).c }),
    rowHead: (k) => ({ text: Object.values(m.tap(k)).join(", "), channel: m.tap(k).c }),
    colHead: filterHead,
    corner: "c, fy, fx",
  };
  const product = {
    id: "product", name: say("product"), rows: m.rows, cols: m.FN, blockRows: m.rows, blockCols: m.FN,
    visible: () => [state.shown.r, state.shown.f],
    ref: (r, f) => ({ at: at("product", r, f), kind: "window", r, f }),
    cell: ({ r, f }) => ({ text: short(m.dot(r, f)), label: say("product_label", { r, F: letter(f), value: short(m.dot(r, f)) }) }),
    rowHead: (r) => ({ text: rowName(r) }),
    colHead: filterHead,
    group: (f) => ({ key: f, name: !m.bias ? "" : state.labels ? `+ b${f}` : `+ ${short(m.bias[f])}` }),
    corner: inBatch("n", "oy, ox"),
  };

  const winner = once((i) => m.maximum(Math.floor(i / m.C), i % m.C));
  const windows = {
    id: "windows", name: say("windows"), rows: m.rows * m.C, cols: m.taps + 1,
    blockRows: m.rows * m.C, blockCols: m.taps + 1,
    visible: () => [state.shown.i, [...across(state.shown.fy, m.FW, state.shown.fx), m.taps]],
    ref: (i, j) => {
      const [r, c] = [Math.floor(i / m.C), i % m.C];
      return j === m.taps ? { at: at("max", i), kind: "window", r, f: c, i }
        : { at: at("windows", i, j), kind: "cell", r, k: c * m.taps + j, i };
    },
    cell: ({ kind, r, k, f, i }) => {
      if (kind === "window") return { text: short(winner(i).value), label: say("maximum_label", { i, value: short(winner(i).value) }), channel: f, marked: true };
      const p = m.where(r, k);
      return { text: pixelText(p), label: say("cell_label", { r: i, k: k % m.taps, what: pixelLabel(p) }), channel: p.c, pad: !m.inside(p), marked: winner(i).winner === k % m.taps };
    },
    rowHead: (i) => ({ text: `${rowName(Math.floor(i / m.C))}, ${i % m.C}`, channel: i % m.C, ref: { at: at("window", i), kind: "window", r: Math.floor(i / m.C), f: i % m.C } }),
    colHead: (j) => ({ text: j === m.taps ? "max" : `${Math.floor(j / m.FW)}, ${j % m.FW}` }),
    corner: inBatch("n", "oy, ox, c"),
  };

  return pool ? [images, matrix, windows, output] : [images, filters, matrix, unrolled, product, output];
}
