"use strict";
// What belongs together: what lights up for a thing that is pointed at, which places of each axis must be drawn for
// that, and the sentence that says it. A thing is {kind: "window", r, f}, {kind: "cell", r, k}, {kind: "tap", k, f} or
// {kind: "pixel", p}; without an f, all filters (of a pooling, all channels) are meant. Of a large figure a fraction is
// drawn: rows and pixels that are not in `shown` are left out where there would be many.

// The names of the cells that show one number: an entry of a pooling's matrix stands in its row per channel as well.
function naming(m) {
  const pool = m.kind === "pool";
  return {
    depth: span(pool ? m.C : m.FN),
    pixel: (p) => at("x", p.n, p.c, p.y, p.x),
    count: (p) => at("back", p.n, p.c, p.y, p.x),
    weight: (k, f) => (pool ? [] : [at("W", f, k), at("col_W", k, f)]),
    entry: (r, k) => [
      at("col", r, k),
      ...(pool ? [at("windows", r * m.C + m.tap(k).c, k % m.taps)] : []),
    ],
    output: (r, f) => {
      const { n, oy, ox } = m.window(r);
      const i = r * m.C + f;
      return [at("y", n, f, oy, ox), ...(pool ? [at("window", i), at("max", i)] : [at("product", r, f)])];
    },
  };
}

function belongings(m, { kind, r, k, f, p }, shown) {
  const { depth, pixel, count, weight, entry, output } = naming(m);
  const pool = m.kind === "pool";
  const filters = f === undefined ? depth : [f];
  const rows = [...new Set([...shown.r, ...shown.i.map((i) => Math.floor(i / m.C))])];
  const copy = (row, column) => [...entry(row, column), pixel(m.where(row, column))];

  if (kind === "window") {
    const inChannel = pool && f !== undefined;
    const columns = inChannel ? span(m.taps, f * m.taps) : span(m.columns);
    const weights = f === undefined ? [] : columns.flatMap((column) => weight(column, f));
    const outputs = filters.flatMap((one) => output(r, one));
    const lit = [...columns.flatMap((column) => copy(r, column)), ...weights, ...outputs];
    const winners = pool ? filters.map((c) => [c, m.maximum(r, c).winner]) : [];
    const won = winners.flatMap(([c, winner]) => (winner === null ? [] : copy(r, c * m.taps + winner)));
    return inChannel ? { lit, won, near: [at("row", r)] } : { lit: [at("row", r), ...lit], won };
  }
  if (kind === "cell") {
    const { c } = m.tap(k);
    const row = span(m.columns).flatMap((column) => entry(r, column));
    const column = rows.flatMap((one) => entry(one, k));
    const window = span(m.taps, c * m.taps).map((other) => pixel(m.where(r, other)));
    const outputs = (pool ? [c] : depth).flatMap((one) => output(r, one));
    return {
      lit: [...copy(r, k), ...depth.flatMap((one) => weight(k, one))],
      near: [at("row", r), at("column", k), ...row, ...column, ...window, ...outputs],
    };
  }
  if (kind === "tap") {
    const weights = filters.flatMap((one) => weight(k, one));
    return {
      lit: [at("column", k), ...rows.flatMap((row) => entry(row, k)), ...weights],
      near: span(m.rows).map((row) => pixel(m.where(row, k))),
    };
  }
  const places = m.uses(p);
  return {
    lit: [pixel(p), count(p), ...places.flatMap(([row, column]) => entry(row, column))],
    near: places.flatMap(([row]) => (pool ? [p.c] : depth).flatMap((one) => output(row, one))),
  };
}

// The places along each axis without which a thing cannot be seen; see chooseShown.
function wantedPlaces(m, { kind, r, k, f, p }) {
  const pool = m.kind === "pool";
  const under = (rows, columns, c) => {
    const pixels = rows.flatMap((row) => columns.map((column) => m.where(row, column)));
    return {
      y: pixels.map((one) => one.y + m.top), x: pixels.map((one) => one.x + m.left), r: rows,
      n: rows.map((row) => m.window(row).n), oy: rows.map((row) => m.window(row).oy),
      ox: rows.map((row) => m.window(row).ox), i: rows.map((row) => row * m.C + c),
    };
  };
  if (kind === "pixel") {
    const places = m.uses(p);
    const around = under(places.map(([row]) => row), [], p.c);
    const pixel = { n: [p.n], c: [p.c], y: [p.y + m.top], x: [p.x + m.left] };
    return { ...around, ...pixel, k: places.map(([, column]) => column) };
  }
  const filter = f === undefined ? {} : { f: [f] };
  if (kind === "window") {
    const c = pool && f !== undefined ? f : 0;
    const columns = pool ? span(m.taps, c * m.taps) : span(m.columns);
    return { ...under([r], columns, c), ...filter, ...(pool ? { c: [c], k: columns } : {}) };
  }
  const { c, fy, fx } = m.tap(k);
  const tap = { ...filter, k: [k], c: [c], fy: [fy], fx: [fx] };
  return kind === "tap" ? tap : { ...under([r], span(m.taps, c * m.taps), c), ...tap };
}
