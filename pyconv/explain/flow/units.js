"use strict";
// Rows of units: cells where there are many, bars where there are few. Then everything begins.

const picked = {}; // the unit k of step i that is pointed at

function barsOf(i) {
  const list = element("ol", { class: "bars" });
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
      return element("li", { class: `${k === best ? "best" : ""} ${picked.i === i && picked.k === k ? "picked" : ""}` }, element("span", {}, String(k)),
        element("span", { class: "track", "aria-hidden": "true" }, bar, zero), element("b", {}, last ? percent(value) : number(value)));
    }));
  } };
}

function cellsOf(i, H, W) {
  const canvas = element("canvas", { id: `map${i}`, class: "cells" }), cell = cellOf(H, W);
  return { body: canvas, draw() {
    const context = paintUnits(canvas, i, cell);
    if (picked.i === i) drawMark(context, cell, { rows: [Math.floor(picked.k / W)], columns: [picked.k % W] });
  } };
}

// What a unit is made of; number by number where the page holds all that it takes.
function unitText({ i, k }) {
  const { name, kind, shape, parameters: [W, b], ...held } = steps[i], last = i === steps.length - 1, value = valuesOf(i)[k];
  const text = [say("unit", { name, i: k, v: last ? percent(value) : number(value) })];
  if (i === 0) return text;
  const from = steps[i - 1].name, before = [...valuesOf(i - 1)], whole = before.length === unitsOf(steps[i - 1]);
  if (kind === "relu") text.push(say("relu", { a: number(before[k]), v: number(value) }));
  if (kind === "affine") {
    text.push(say("affine", { from, i: k, W, plus: b ? ` (+ ${b}[${k}])` : "" }));
    if (held.W && whole) {
      const weights = before.map((_, unit) => held.W[unit * shape[1] + k]);
      const parts = before.map((v, unit) => [v * weights[unit], unit]).sort(([one], [other]) => Math.abs(other) - Math.abs(one));
      const list = parts.slice(0, 3).map(([p, unit]) => {
        const [v, w] = [before[unit], weights[unit]];
        return `${from}[${unit}] (${number(v)} × ${term(w)} ${equal(printed(v) * printed(w), printed(p))} ${number(p)})`;
      });
      text.push(say("most", { list: list.join(", ") }));
      if (b) text.push(plusBias(`${b}[${k}]`, held.b[k], parts.reduce((sum, [p]) => sum + p, 0), value));
    }
  }
  const [e, sum] = [Math.exp(before[k]), before.reduce((a, v) => a + Math.exp(v), 0)].map((v) => minus(v.toPrecision(4)));
  if (last && whole && sum !== "Infinity") text.push(say("softmax", { a: number(before[k]), e, sum }));
  return text;
}

const rows = [];
function drawUnits() {
  rows.forEach((row) => row.draw());
  byId("units-reading").textContent = unitText(picked).join(" ");
}

function unitRows() {
  const indices = steps.map((_, i) => i).filter((i) => !steps[i].channels);
  listRules(byId("units-rules"), indices);
  for (const i of indices) {
    const count = sizes[i][2], total = unitsOf(steps[i]), folded = count > MOST_BARS;
    const W = across(count), H = Math.ceil(count / W), row = folded ? cellsOf(i, H, W) : barsOf(i);
    const current = () => (picked.i === i ? [Math.floor(picked.k / W), picked.k % W] : [0, 0]);
    pointer(row.body, H, W, say("cells", { name: steps[i].name }), current, (y, x) => {
      const k = y * W + x;
      if (k >= count || (picked.i === i && picked.k === k)) return;
      Object.assign(picked, { i, k });
      drawUnits();
    });
    const about = [shapeText(steps[i].shape), folded && say("unitsof", { count: total }), count < total && say("someof", { count, total })];
    byId("units").append(element("article", {}, element("h3", {}, steps[i].name, " ", element("span", {}, about.filter(Boolean).join(", "))), row.body));
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
  Object.assign(picked, { i: steps.length - 2, k: guess }); // why this answer: its score
  drawAll();
}

function drawAll() {
  flow.forEach((draw) => draw());
  drawMaps();
  sections.forEach((section) => section.paint());
  drawUnits();
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
