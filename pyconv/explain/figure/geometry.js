"use strict";
// The geometry of a convolution or a pooling, and the numbers it gives. Nothing here knows of the page.
//
// Sizes g: N, C, H, W, FN, FH, FW, SH, SW (stride), DH, DW (dilation), top, bottom, left, right (padding). Arrays are
// flat, in the order of their axes: x (N, C, H, W), W (FN, C, FH, FW), b (FN). Rows of the matrix are ordered n, oy,
// ox; its columns c, fy, fx.

function geometry(g, x, W, b) {
  const reachH = (g.FH - 1) * g.DH + 1;
  const reachW = (g.FW - 1) * g.DW + 1;
  const paddedH = g.H + g.top + g.bottom;
  const paddedW = g.W + g.left + g.right;
  const OH = Math.floor((paddedH - reachH) / g.SH) + 1;
  const OW = Math.floor((paddedW - reachW) / g.SW) + 1;
  const taps = g.FH * g.FW;
  const rows = g.N * OH * OW;
  const columns = g.C * taps;

  // A window: the place (n, oy, ox) in the output that row r makes; a tap: the place (c, fy, fx) of column k
  const window = (r) => ({ n: Math.floor(r / (OH * OW)), oy: Math.floor(r / OW) % OH, ox: r % OW });
  const tap = (k) => ({ c: Math.floor(k / taps), fy: Math.floor(k / g.FW) % g.FH, fx: k % g.FW });
  const rowOf = (n, oy, ox) => (n * OH + oy) * OW + ox;
  const columnOf = (c, fy, fx) => (c * g.FH + fy) * g.FW + fx;

  // The pixel that stands in row r and column k. One outside of the image is padding.
  function where(r, k) {
    const { n, oy, ox } = window(r);
    const { c, fy, fx } = tap(k);
    return { n, c, y: oy * g.SH - g.top + fy * g.DH, x: ox * g.SW - g.left + fx * g.DW };
  }
  const inside = ({ y, x: column }) => y >= 0 && y < g.H && column >= 0 && column < g.W;

  // Every place [r, k] of the matrix that holds a pixel, in order.
  function uses({ n, c, y, x: column }) {
    const places = [];
    for (let fy = 0; fy < g.FH; fy++) {
      for (let fx = 0; fx < g.FW; fx++) {
        const oy = (y + g.top - fy * g.DH) / g.SH;
        const ox = (column + g.left - fx * g.DW) / g.SW;
        if (Number.isInteger(oy) && oy >= 0 && oy < OH && Number.isInteger(ox) && ox >= 0 && ox < OW) {
          places.push([rowOf(n, oy, ox), columnOf(c, fy, fx)]);
        }
      }
    }
    return places.sort((one, other) => one[0] - other[0] || one[1] - other[1]);
  }

  // Whether a place comes after the last window: one more would not fit.
  const past = ({ y, x: column }) =>
    y + g.top >= (OH - 1) * g.SH + reachH || column + g.left >= (OW - 1) * g.SW + reachW;

  const pixel = (p) => (inside(p) ? x[((p.n * g.C + p.c) * g.H + p.y) * g.W + p.x] : 0);
  const entry = (r, k) => pixel(where(r, k));
  const weight = (k, f) => W[f * columns + k];

  // Row r times filter f. A page does this millions of times, hence without a place for every factor.
  function dot(r, f) {
    const { n, oy, ox } = window(r);
    let sum = b ? b[f] : 0;
    let at = f * columns;
    for (let c = 0; c < g.C; c++) {
      for (let fy = 0; fy < g.FH; fy++) {
        const y = oy * g.SH - g.top + fy * g.DH;
        const line = ((n * g.C + c) * g.H + y) * g.W;
        for (let fx = 0; fx < g.FW; fx++, at++) {
          const column = ox * g.SW - g.left + fx * g.DW;
          if (y >= 0 && y < g.H && column >= 0 && column < g.W) sum += x[line + column] * W[at];
        }
      }
    }
    return sum;
  }

  // The tap that wins in row r and channel c, and its value: padding never wins, and the first of equals does.
  function maximum(r, c) {
    let best = { winner: null, value: -Infinity };
    for (let k = c * taps; k < (c + 1) * taps; k++) {
      const value = entry(r, k);
      if (inside(where(r, k)) && (best.winner === null || value > best.value)) best = { winner: k - c * taps, value };
    }
    return best;
  }

  const table = (height, width, value) =>
    Array.from({ length: height }, (_, i) => Array.from({ length: width }, (_, j) => value(i, j)));
  const fold = (depth, value) =>
    Array.from({ length: g.N }, (_, n) =>
      Array.from({ length: depth }, (_, f) => table(OH, OW, (oy, ox) => value(rowOf(n, oy, ox), f))));
  return {
    ...g, reachH, reachW, paddedH, paddedW, OH, OW, taps, rows, columns, fits: OH > 0 && OW > 0,
    window, tap, rowOf, columnOf, where, inside, past, uses, pixel, entry, weight, dot, maximum,
    // Whole arrays, nested
    im2col: () => table(rows, columns, entry),
    unrolled: () => table(columns, g.FN, weight),
    product: () => table(rows, g.FN, dot),
    output: () => fold(g.FN, dot),
    maxima: () => fold(g.C, (r, c) => maximum(r, c).value),
    winners: () => fold(g.C, (r, c) => maximum(r, c).winner),
  };
}
