"use strict";
// The sentence that says what is lit, and below it the sum or the maximum written out

const MOST_TERMS = 12;
const factor = (value) => (value < 0 ? `(${short(value)})` : short(value)); // a sign does not follow another

// What is read, as nodes. say: words; labels: whether the terms are names and not numbers.
function reading(m, { kind, r, k, f, p }, say, labels) {
  const pool = m.kind === "pool";
  const sentence = (name, values) => element("p", {}, say(name, values));
  if (kind === "window") {
    const place = { r, ...m.window(r) };
    if (f === undefined) return [sentence("window_row", place)];
    const values = { ...place, f, c: f, i: r * m.C + f, F: letter(f) };
    const workedOut = (pool ? maximumOf : sumOf)(m, r, f, say, labels);
    return [sentence("window_one", values), element("p", { class: "sum" }, ...workedOut)];
  }
  if (kind === "tap") {
    const place = { k, ...m.tap(k), rows: m.rows };
    if (pool || f === undefined) return [sentence("tap", place)];
    return [sentence("tap_filter", { ...place, F: weightName(m, k, f) })];
  }
  if (kind === "cell") {
    const pixel = m.where(r, k);
    const { oy, ox } = m.window(r);
    const name = m.inside(pixel) ? "cell" : "cell_padding";
    return [sentence(name, { r, k, oy, ox, ...m.tap(k), D: pixelName(m, pixel) })];
  }
  const count = m.uses(p).length;
  if (!m.inside(p)) return [sentence("padding", { count })];
  const value = m.pixel(p);
  const name = ["pixel_none", "pixel_once"][count] ?? "pixel";
  return [sentence(name, { D: pixelName(m, p), ...p, count, value: factor(value), sum: short(count * value) })];
}

const joined = (nodes, between) => nodes.flatMap((node, index) => (index ? [between, node] : [node]));

// Terms in the colours of their channels; of many, the first and the last
function terms(m, columns, text) {
  const term = (k) => channelled(element("span", { class: "term" }, text(k)), m.tap(k).c);
  if (columns.length <= MOST_TERMS) return columns.map(term);
  return [...columns.slice(0, 4).map(term), "…", ...columns.slice(-2).map(term)];
}

function sumOf(m, r, f, _, labels) {
  const text = (k) => labels ? `${pixelName(m, m.where(r, k))}·${weightName(m, k, f)}`
    : `${factor(m.entry(r, k))}·${factor(m.weight(k, f))}`;
  const bias = m.bias ? [labels ? `b${f}` : factor(m.bias[f])] : [];
  const all = [...terms(m, span(m.columns), text), ...bias];
  return [...joined(all, " + "), " = ", element("strong", {}, short(m.dot(r, f)))];
}

function maximumOf(m, r, c, say, labels) {
  const { winner, value } = m.maximum(r, c);
  if (winner === null) return [say("no_pixel")];
  const text = (k) => (labels ? pixelName(m, m.where(r, k)) : short(m.entry(r, k)));
  const columns = span(m.taps, c * m.taps).filter((k) => m.inside(m.where(r, k)));
  const won = labels ? ` = ${text(c * m.taps + winner)}` : "";
  return ["max(", ...joined(terms(m, columns, text), ", "), `)${won} = `, element("strong", {}, short(value))];
}
