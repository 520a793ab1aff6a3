"use strict";
// What belongs together: what lights up for a thing that is pointed at, what of each axis must be seen for that, and
// the sentence that says it. A thing is {kind: "window", r, f}, {kind: "cell", r, k}, {kind: "tap", k, f} or
// {kind: "pixel", p}; f may be missing where all filters (for pooling, channels) are meant.

const pixelAt = (p) => at("x", p.n, p.c, p.y, p.x);
const outputAt = (m, r, f) => at("y", m.window(r).n, f, m.window(r).oy, m.window(r).ox);

function belongings(m, thing) {
  const pool = m.kind === "pool";
  const depth = span(pool ? m.C : m.FN);
  const all = span(m.columns);
  const whole = (r, ks, f) => ks.flatMap((k) => [at("col", r, k), pixelAt(m.where(r, k)), ...(pool ?
    [at("windows", r * m.C + f, k % m.taps)] : [at("W", f, k), at("col_W", k, f)])]);
  if (thing.kind === "window" && pool) {
    const { r, f } = thing;
    if (f === undefined) {
      const parts = depth.map((c) => belongings(m, { kind: "window", r, f: c }));
      return { lit: [at("row", r), ...parts.flatMap((part) => part.lit)], won: parts.flatMap((part) => part.won) };
    }
    const { winner } = m.maximum(r, f);
    const k = f * m.taps + winner;
    const i = r * m.C + f;
    const won = winner === null ? [] : [at("col", r, k), at("windows", i, winner), pixelAt(m.where(r, k))];
    const lit = [at("window", i), at("max", i), outputAt(m, r, f), ...whole(r, span(m.taps, f * m.taps), f)];
    return { lit, won, near: [at("row", r)] };
  }
  if (thing.kind === "window") {
    const { r, f } = thing;
    const outputs = (f === undefined ? depth : [f]).flatMap((one) => [at("product", r, one), outputAt(m, r, one)]);
    const lit = f === undefined ? all.flatMap((k) => [at("col", r, k), pixelAt(m.where(r, k))]) : whole(r, all, f);
    return { lit: [at("row", r), ...lit, ...outputs] };
  }
  if (thing.kind === "cell") {
    const { r, k } = thing;
    const p = m.where(r, k);
    const { c } = m.tap(k);
    const row = all.map((other) => at("col", r, other));
    const window = span(m.taps, c * m.taps).map((other) => pixelAt(m.where(r, other)));
    const near = [at("row", r), at("column", k), ...row, ...span(m.rows).map((other) => at("col", other, k)), ...window];
    const weights = depth.flatMap((f) => [at("W", f, k), at("col_W", k, f)]);
    const i = r * m.C + c;
    return pool ? { lit: [at("col", r, k), pixelAt(p), at("windows", i, k % m.taps)], near: [...near, at("window", i), at("max", i), outputAt(m, r, c)] }
      : { lit: [at("col", r, k), pixelAt(p), ...weights], near: [...near, ...depth.flatMap((f) => [at("product", r, f), outputAt(m, r, f)])] };
  }
  if (thing.kind === "tap") {
    const { k, f } = thing;
    const { c } = m.tap(k);
    const rows = span(m.rows);
    const weights = (f === undefined ? depth : [f]).flatMap((one) => [at("W", one, k), at("col_W", k, one)]);
    const lit = [at("column", k), ...rows.map((r) => at("col", r, k)), ...(pool ? rows.map((r) => at("windows", r * m.C + c, k % m.taps)) : weights)];
    return { lit, near: rows.map((r) => pixelAt(m.where(r, k))) };
  }
  const places = m.uses(thing.p);
  const near = places.flatMap(([r]) => (pool ? [outputAt(m, r, thing.p.c)] : depth.flatMap((f) => [at("product", r, f), outputAt(m, r, f)])));
  return {
    lit: [pixelAt(thing.p), ...places.flatMap(([r, k]) => [at("col", r, k), ...(pool ? [at("windows", r * m.C + thing.p.c, k % m.taps)] : [])])],
    near,
  };
}

// The places along each axis without which a thing cannot be seen; see chooseShown.
function wantedPlaces(m, thing) {
  const { kind, r, k, f, p } = thing;
  if (kind === "pixel") {
    const places = m.uses(p);
    const rows = places.map(([row]) => row);
    return {
      n: [p.n], c: [p.c], y: [p.y + m.top], x: [p.x + m.left], r: rows, k: places.map(([, column]) => column),
      i: rows.map((row) => row * m.C + p.c), oy: rows.map((row) => m.window(row).oy), ox: rows.map((row) => m.window(row).ox),
    };
  }
  const tap = k === undefined ? {} : { k: [k], ...Object.fromEntries(Object.entries(m.tap(k)).map(([axis, place]) => [axis, [place]])) };
  const filter = f === undefined ? {} : { f: [f] };
  if (kind === "tap") return { ...tap, ...filter };
  const { n, oy, ox } = m.window(r);
  const c = k !== undefined ? m.tap(k).c : m.kind === "pool" ? f ?? 0 : null;
  const channel = c === null ? {} : { c: [c], i: [r * m.C + c], ...(k === undefined ? { k: span(m.taps, c * m.taps) } : {}) };
  const window = m.kind === "conv" || k !== undefined ? span(m.columns) : span(m.taps);
  const under = window.map((column) => m.where(r, column));
  return {
    ...filter, n: [n], oy: [oy], ox: [ox], r: [r], ...channel, ...tap,
    y: [...new Set(under.map((one) => one.y + m.top))], x: [...new Set(under.map((one) => one.x + m.left))],
  };
}

// The sentence, and below it the sum or the maximum written out, as nodes
function reading(m, thing, say, labels) {
  const pool = m.kind === "pool";
  const { kind, r, k, f, p } = thing;
  if (kind === "window") {
    const place = { r, ...m.window(r), f, c: f, i: r * m.C + f, F: f === undefined ? "" : letter(f) };
    if (f === undefined) return [say("window_row", place)];
    return [say("window_one", place), (pool ? maximumOf : sumOf)(m, r, f, say, labels)];
  }
  if (kind === "tap") return [say(f === undefined || pool ? "tap" : "tap_filter", { k, ...m.tap(k), rows: m.rows, F: f === undefined ? "" : `${letter(f)}${k % m.taps}` })];
  const pixel = p ?? m.where(r, k);
  const D = m.inside(pixel) ? `D${pixel.y * m.W + pixel.x}` : "0";
  if (kind === "cell") {
    const { oy, ox } = m.window(r);
    const { fy, fx } = m.tap(k);
    return [say(m.inside(pixel) ? "cell" : "cell_padding", { r, k, oy, ox, fy, fx, ...pixel, D })];
  }
  const count = m.uses(p).length;
  if (!m.inside(p)) return [say("padding", { count })];
  return [say(count === 0 ? "pixel_none" : count === 1 ? "pixel_once" : "pixel", { D, ...p, count, value: short(m.pixel(p)), sum: short(count * m.pixel(p)) })];
}

const MOST_TERMS = 12;

function terms(m, r, ks, text) {
  const chip = (k) => channelled(element("span", { class: "term" }, text(k)), m.tap(k).c);
  return ks.length <= MOST_TERMS ? ks.map(chip) : [...ks.slice(0, 4).map(chip), "…", ...ks.slice(-2).map(chip)];
}

const factor = (value) => (value < 0 ? `(${short(value)})` : short(value)); // a sign does not follow another
const joined = (nodes, between) => nodes.flatMap((node, index) => (index ? [between, node] : [node]));

function sumOf(m, r, f, _, labels) {
  const name = (k) => {
    const p = m.where(r, k);
    if (!labels) return `${factor(m.entry(r, k))}·${factor(m.weight(k, f))}`;
    return `${m.inside(p) ? `D${p.y * m.W + p.x}` : "0"}·${letter(f)}${k % m.taps}`;
  };
  const all = terms(m, r, span(m.columns), name);
  const bias = m.bias ? [labels ? `b${f}` : factor(m.bias[f])] : [];
  return element("p", { class: "sum" }, ...joined([...all, ...bias], " + "), " = ", element("strong", {}, short(m.dot(r, f))));
}

function maximumOf(m, r, c, say, labels) {
  const { winner, value } = m.maximum(r, c);
  const name = (k) => {
    const p = m.where(r, k);
    return labels ? `D${p.y * m.W + p.x}` : short(m.entry(r, k));
  };
  const ks = span(m.taps, c * m.taps).filter((k) => m.inside(m.where(r, k)));
  if (winner === null) return element("p", { class: "sum" }, say("no_pixel"));
  const won = labels ? ` = ${name(c * m.taps + winner)}` : "";
  return element("p", { class: "sum" }, "max(", ...joined(terms(m, r, ks, name), ", "), `)${won} = `, element("strong", {}, short(value)));
}
