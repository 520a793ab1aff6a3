"use strict";
// The sentence that says what is lit, and below it the sum or the maximum written out

const narrow = matchMedia("(max-width: 40rem)");
const SHOWN_TIES = 4;
const factor = (value) => (value < 0 ? `(${short(value)})` : short(value)); // a sign does not follow another

// What is read, as nodes. say: words; labels: whether the terms are names and not numbers.
function reading(m, { kind, r, k, f, p }, say, labels) {
  const pool = m.kind === "pool";
  const sentence = (name, values) => element("p", {}, say(name, values));
  if (kind === "window") {
    const place = { r, ...m.window(r) };
    if (f === undefined) return [sentence("window_row", place)];
    const values = { ...place, f, c: f, i: r * m.C + f, F: letter(f) };
    const workedOut = pool ? maximumOf(m, r, f, say, labels) : sumOf(m, r, f, labels);
    const ties = pool ? tiesOf(m, r, f, say) : [];
    return [sentence("window_one", values), element("p", { class: "sum" }, ...workedOut), ...ties];
  }
  if (kind === "tap") {
    const place = { k, ...m.tap(k), count: m.rows };
    if (pool || f === undefined) return [sentence("tap", place)];
    return [sentence("tap_filter", { ...place, F: weightName(m, k, f) })];
  }
  if (kind === "cell") {
    const pixel = m.where(r, k);
    const { oy, ox } = m.window(r);
    const name = m.inside(pixel) ? "cell" : "cell_padding";
    return [sentence(name, { r, k, oy, ox, ...m.tap(k), D: pixelName(m, pixel) })];
  }
  const uses = m.uses(p);
  const count = uses.length;
  if (!m.inside(p)) return [sentence("padding", { count })];
  const value = m.pixel(p);
  const name = ["pixel_none", pool ? "pixel" : "pixel_once"][count] ?? "pixel";
  const wins = pool && uses.filter(([row, column]) => m.maximum(row, p.c).winner === column % m.taps).length;
  const equals = equal(count * rounded(value), rounded(count * value));
  const sum = { value: factor(value), equals, sum: short(count * value) };
  const why = say(m.past(p) ? "no_window_fits" : "stepped_over");
  return [sentence(name, { D: pixelName(m, p), ...p, count, wins, why, ...sum })];
}

const joined = (nodes, between) => nodes.flatMap((node, index) => (index ? [between, node] : [node]));

// Terms in the colours of their channels; of many, the first and the last
function terms(m, columns, text, most) {
  const term = (k) => channelled(element("span", { class: "term" }, text(k)), m.tap(k).c);
  if (columns.length <= most) return columns.map(term);
  const last = most > 6 ? 2 : 1;
  return [...columns.slice(0, Math.min(most - last, 4)).map(term), "…", ...columns.slice(-last).map(term)];
}

// The sum in names and in numbers, or in numbers alone
function sumOf(m, r, f, labels) {
  const all = span(m.columns);
  const sumIn = (text, bias, most) => joined([...terms(m, all, text, most), ...(m.bias ? [bias] : [])], " + ");
  const number = (k) => `${factor(m.entry(r, k))}·${factor(m.weight(k, f))}`;
  const name = (k) => `${pixelName(m, m.where(r, k))}·${weightName(m, k, f)}`;
  const [most, bias] = [narrow.matches ? 2 : 12, m.bias?.[f] ?? 0];
  const shown = all.reduce((part, k) => part + rounded(m.entry(r, k)) * rounded(m.weight(k, f)), rounded(bias));
  const value = m.dot(r, f);
  return [
    ...(labels ? [...sumIn(name, `b[${f}]`, most), ` ${equal(shown, value)} `] : []),
    ...sumIn(number, factor(bias), labels ? Math.min(most, 3) : most),
    ` ${equal(shown, rounded(value))}\u00a0`, element("strong", {}, short(value)),
  ];
}

function maximumOf(m, r, c, say, labels) {
  const { winner, value } = m.maximum(r, c);
  if (winner === null) return [say("no_pixel")];
  const text = (k) => (labels ? pixelName(m, m.where(r, k)) : short(m.entry(r, k)));
  const columns = span(m.taps, c * m.taps).filter((k) => m.inside(m.where(r, k)));
  const won = labels ? ` = ${text(c * m.taps + winner)}` : "";
  const taken = joined(terms(m, columns, text, narrow.matches ? 6 : 12), ", ");
  return ["max(", ...taken, `)${won} =\u00a0`, element("strong", {}, short(value))];
}

// Which of equals is taken
function tiesOf(m, r, c, say) {
  const pixels = span(m.taps, c * m.taps).map((k) => m.where(r, k)).filter(m.inside);
  const equals = pixels.filter((p) => m.pixel(p) === m.maximum(r, c).value).map((p) => pixelName(m, p));
  if (equals.length < 2) return [];
  const first = equals.slice(0, -1);
  const names = first.length < SHOWN_TIES ? first : [...first.slice(0, 2), "…"];
  const name = equals.length === pixels.length ? "tie_all" : "tie";
  return [element("p", {}, say(name, { names: names.join(", "), last: equals.at(-1) }))];
}
