"use strict";
// Rows of units: cells where there are many, bars where there are few. Then everything begins.

function barsOf(i) {
  const list = element("ol", { class: "bars", start: "0", "aria-label": steps[i].name });
  return { body: list, draw() {
    const values = [...valuesOf(i)], last = i === steps.length - 1;
    const low = Math.min(0, ...values), high = last ? 1 : Math.max(0, ...values), room = high - low || 1;
    const best = values.indexOf(Math.max(...values));
    list.replaceChildren(...values.map((value, k) => {
      const bar = element("i", { class: value < 0 ? "below" : "above" });
      bar.style.left = `${(100 * (Math.min(value, 0) - low)) / room}%`;
      bar.style.width = `${(100 * Math.abs(value)) / room}%`;
      const zero = element("i", { class: "axis" });
      zero.style.left = `${(-100 * low) / room}%`;
      return element("li", k === best ? { class: "best" } : {}, element("span", {}, String(k)),
        element("span", { class: "track", "aria-hidden": "true" }, bar, zero), element("b", {}, last ? percent(value) : number(value)));
    }));
  } };
}

function cellsOf(i) {
  const canvas = element("canvas", { id: `map${i}`, class: "cells" }), count = sizes[i][2];
  const W = Math.min(count, Math.max(25, Math.ceil(Math.sqrt(4 * count)))), H = Math.ceil(count / W), cell = cellOf(H, W);
  let unit = 0;
  const draw = () => {
    const values = [...valuesOf(i)];
    while (values.length < H * W) values.push(0);
    const context = drawMap(canvas, H, W, values, largestOf(i), { cell });
    context.clearRect((count - (H - 1) * W) * cell, (H - 1) * cell, W * cell, cell);
    if (unit >= 0 && byId("units-reading").dataset.step === String(i)) {
      const [y, x] = [Math.floor(unit / W), unit % W];
      drawMark(context, cell, { rows: [y], columns: [x] });
    }
  };
  const choose = (y, x) => {
    if (y * W + x >= count) return;
    unit = y * W + x;
    const { kind, parameters, name } = steps[i], value = valuesOf(i)[unit], text = [say("unit", { name, i: unit, v: number(value) })];
    if (kind === "relu") text.push(say("relu", { a: number(valuesOf(i - 1)[unit]), v: number(value) }));
    if (parameters.length) text.push(say("affine", { D: unitsOf(steps[i - 1]), from: steps[i - 1].name, i: unit, W: parameters[0] }));
    fill(byId("units-reading"), { "data-step": String(i) }, []).textContent = text.join(" ");
    byId("units-reading").hidden = false;
    rows.forEach((row) => row.draw());
  };
  pointer(canvas, H, W, say("cells", { name: steps[i].name, count }), () => [Math.floor(unit / W), unit % W], choose);
  return { body: canvas, draw };
}

const rows = [];
function unitRows() {
  const indices = steps.map((_, i) => i).filter((i) => !steps[i].channels);
  listRules(byId("units-rules"), indices);
  for (const i of indices) {
    const row = sizes[i][2] > MOST_BARS ? cellsOf(i) : barsOf(i);
    const count = sizes[i][2], total = unitsOf(steps[i]);
    const about = element("span", {}, shapeText(steps[i].shape) + (count < total ? ` ${say("someof", { count, total })}` : ""));
    byId("units").append(element("article", sizes[i][2] > MOST_BARS ? { class: "wide" } : {}, element("h3", {}, steps[i].name, " ", about), row.body));
    rows.push(row);
  }
}

// The images to choose from, and the answer for the chosen one

const thumbnails = trace.samples.map((_, n) => {
  const canvas = decorative(), label = trace.labels ? say("labelled", { n, label: trace.labels[n] }) : say("image", { n });
  const radio = element("input", { type: "radio", name: "image", value: String(n), "aria-label": label, ...(n ? {} : { checked: "" }) });
  radio.addEventListener("change", () => showImage(n));
  byId("images").append(element("label", {}, radio, element("span", {}, steps[0].channels ? canvas : String(n))));
  return () => steps[0].channels && drawMap(canvas, sizes[0][1], sizes[0][2], channel(0, 0, n), largestOf(0, n), { above: "ink" });
});

function showImage(n) {
  state.n = n;
  const probabilities = [...valuesOf(steps.length - 1)], guess = probabilities.indexOf(Math.max(...probabilities));
  const answer = [say("answer", { guess, percent: percent(probabilities[guess]) })];
  if (trace.labels) answer.push(say(trace.labels[n] === guess ? "right" : "wrong", { label: trace.labels[n] }));
  byId("answer").textContent = answer.join(" ");
  drawAll();
}

function drawAll() {
  flow.forEach((draw) => draw());
  drawMaps();
  sections.forEach((section) => section.paint());
  rows.forEach((row) => row.draw());
}

// At first: the strongest pixel of the first group's last maps, or rather the pixel of the convolution that it is of.
function chooseStrongest() {
  if (!groups.length) return;
  const at = groups[0].at(-1), [, H, W] = sizes[at], values = valuesOf(at);
  const k = values.reduce((best, v, place) => (v > values[best] ? place : best), 0);
  const [c, y, x] = [Math.floor(k / (H * W)), Math.floor(k / W) % H, k % W];
  const from = Math.min(1, at), { rows, columns } = connected(at, c, y, x, arrays(state.n).winners)[from];
  const [top, left] = [rows, columns].map((places) => places.find((place) => place >= 0) ?? 0); // padding alone has none
  Object.assign(state, { at: from, y: top, x: left });
  chosen[0] = at === 0 && feedsFilters(0) ? 0 : c;
}

readColours();
groups.forEach((indices, g) => sections.push(groupSection(indices, g)));
unitRows();
chooseStrongest();
thumbnails.forEach((draw) => draw());
if (thumbnails.length < trace.batch) {
  byId("images").append(element("span", {}, say("someof", { count: thumbnails.length, total: trace.batch })));
}
byId("images").hidden = trace.batch < 2;
showImage(0);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  readColours();
  thumbnails.forEach((draw) => draw());
  drawAll();
});
