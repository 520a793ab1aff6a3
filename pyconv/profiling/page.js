"use strict";
// Draws the page from the profile in it (format 2 of `pyconv profile --json`).

const result = held("result");
const distinct = (rows, key) => [...new Set(rows.map((row) => row[key]))];
const rivals = Object.keys(result.versions).filter((side) => side !== "pyconv");
const passes = distinct(result.rows, "pass");
const severalTypes = distinct(result.rows, "dtype").length > 1;

// Numbers as text; a number that was not measured is a dash

const shown = (format) => (number) => (number === null || number === undefined ? "–" : format(number));
const short = (number) => (number >= 100 ? number.toFixed(0) : number >= 10 ? number.toFixed(1) : number.toPrecision(3));
const time = shown((seconds) => (seconds < 1e-3 ? `${(seconds * 1e6).toFixed(1)} µs` : `${(seconds * 1e3).toFixed(2)} ms`));
const times = shown((ratio) => `${ratio.toFixed(ratio >= 100 ? 0 : ratio >= 10 ? 1 : 2)}×`);
const percent = shown((share) => `${(share * 100).toFixed(0)} %`);
const memory = shown((bytes) => (bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} KB` : `${(bytes / 1e6).toFixed(1)} MB`));
const rate = shown(({ amount, unit }) => `${amount.toFixed(1)} ${unit}`);
const threadsText = (threads) => `${threads} thread${threads > 1 ? "s" : ""}`;
const settingText = (setting) => `${threadsText(setting.threads)}, ${setting.isa}`;
const geometricMean = (ratios) => Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);

// A row of the profile

const seconds = (row) => row.median_seconds.pyconv;
const ratiosOf = (rows, rival) => rows.map((row) => row.ratios[rival]).filter((ratio) => ratio > 0);
const gflops = (row) => row.operations / seconds(row) / 1e9;
const intensity = (row) => row.operations / row.bytes;
const what = (row) => `${row.pass}, batch ${row.batch}${severalTypes ? `, ${row.dtype}` : ""}`;
const matches = (row, wanted) => Object.entries(wanted).every(([key, value]) => row[key] === value);

// What is shown where there are several settings: one, at first the one with the highest peak

const best = result.settings.reduce((a, b) => (b.peak_gflops > a.peak_gflops ? b : a));
const chosen = { threads: best.threads, isa: best.isa };
const rowsShown = () => result.rows.filter((row) => matches(row, chosen));

function buildChoice() {
  for (const [key, title, text] of [["threads", "Threads", String], ["isa", "Instruction set", String]]) {
    const values = distinct(result.settings, key);
    if (values.length < 2) continue;
    const field = element("fieldset", {}, element("legend", {}, title));
    for (const value of values) {
      const button = element("input", { type: "radio", name: key });
      button.checked = value === chosen[key];
      button.addEventListener("change", () => {
        chosen[key] = value;
        drawChosen();
      });
      field.append(element("label", {}, button, element("span", {}, text(value))));
    }
    byId("choice").append(field);
    byId("choice").hidden = false;
  }
}

// The top: what it comes to

function drawTop() {
  const rows = rowsShown();
  byId("cpu").textContent = result.machine.cpu;
  const versions = Object.entries(result.versions).map(([side, version]) => `${side} ${version}`);
  byId("setting").textContent = `${settingText(chosen)}; ${versions.join(", ")}`;
  const setting = result.settings.find((one) => matches(one, chosen));
  const tile = (number, name, detail) =>
    element("li", {}, element("strong", {}, number), element("span", {}, name), element("small", {}, detail));
  const tiles = rivals.filter((rival) => ratiosOf(rows, rival).length).map((rival) => {
    const ratios = ratiosOf(rows, rival);
    const faster = ratios.filter((ratio) => ratio > 1).length;
    return tile(times(geometricMean(ratios)), `as fast as ${rival}`,
      `geometric mean; faster in ${faster} of ${ratios.length} rows`);
  });
  const computing = rows.filter((row) => row.operations && seconds(row));
  if (computing.length) {
    const fastest = computing.reduce((a, b) => (gflops(b) > gflops(a) ? b : a));
    tiles.push(tile(`${short(gflops(fastest))} GF/s`, "at best", `${fastest.shape}, ${what(fastest)}`));
  }
  if (setting) {
    const copying = `${short(setting.peak_copy_gbytes_per_s)} GB/s of copying, read and written`;
    tiles.push(tile(`${short(setting.peak_gflops)} GF/s`, "measured peak", `and ${copying}`));
  }
  byId("tiles").replaceChildren(...tiles);
}

// Bars, a card for each shape

// groups: {shape, title, bars: [{label, share, mark, text, detail}]}; share and mark are places from 0 to 1.
function drawCards(section, groups, from) {
  section.hidden = !groups.length;
  const cards = new Map();
  for (const group of groups) {
    if (!cards.has(group.shape)) cards.set(group.shape, element("article", {}, element("h3", {}, group.shape)));
    const list = element("ul", {});
    for (const bar of group.bars) {
      const start = from(bar);
      const track = element("span", { class: "track" });
      const filled = element("span", { class: bar.share >= start ? "bar" : "bar slower" });
      filled.style.left = `${Math.min(start, bar.share) * 100}%`;
      filled.style.width = `${Math.abs(bar.share - start) * 100}%`;
      const line = element("span", { class: "line" });
      line.style.left = `${bar.mark * 100}%`;
      track.append(filled, line);
      const label = element("span", {}, group.bars.length > 1 ? bar.label : group.title);
      list.append(element("li", { title: bar.detail }, label, track, element("b", {}, bar.text)));
    }
    if (group.bars.length > 1) cards.get(group.shape).append(element("h4", {}, group.title));
    cards.get(group.shape).append(list);
  }
  section.querySelector(".cards").replaceChildren(...cards.values());
}

function drawSpeedups() {
  const rows = rowsShown();
  const all = rivals.flatMap((rival) => ratiosOf(rows, rival));
  const low = Math.log(Math.min(0.5, ...all));
  const high = Math.log(Math.max(2, ...all));
  const place = (ratio) => (Math.log(ratio) - low) / (high - low);
  const groups = rows.map((row) => ({
    shape: row.shape,
    title: what(row),
    bars: rivals.filter((rival) => row.ratios[rival] > 0).map((rival) => ({
      label: rival,
      share: place(row.ratios[rival]),
      mark: place(1),
      text: times(row.ratios[rival]),
      detail: `pyconv ${time(seconds(row))}, ${rival} ${time(row.median_seconds[rival])}`,
    })),
  }));
  drawCards(byId("speedups"), groups.filter((group) => group.bars.length), () => place(1));
}

// Rows that differ in nothing but `key`, each beside the first: with the fewest threads, or the first instruction set.
function drawComparison(key, name, ideal) {
  const others = Object.fromEntries(Object.entries(chosen).filter(([other]) => other !== key));
  const groups = new Map();
  for (const row of result.rows.filter((one) => matches(one, others) && seconds(one))) {
    const identity = JSON.stringify([row.shape, row.pass, row.dtype, row.batch]);
    groups.set(identity, [...(groups.get(identity) ?? []), row]);
  }
  const several = [...groups.values()].filter((rows) => rows.length > 1);
  if (key === "threads") several.forEach((rows) => rows.sort((a, b) => a.threads - b.threads));
  const speedup = (row, rows) => seconds(rows[0]) / seconds(row);
  const highest = Math.max(...several.flatMap((rows) => rows.flatMap((row) => [speedup(row, rows), ideal(row, rows)])));
  const cards = several.map((rows) => ({
    shape: rows[0].shape,
    title: what(rows[0]),
    bars: rows.map((row) => ({
      label: name(row[key]),
      share: speedup(row, rows) / highest,
      mark: ideal(row, rows) / highest,
      text: times(speedup(row, rows)),
      detail: time(seconds(row)),
    })),
  }));
  drawCards(byId(key), cards, () => 0);
}

// The table

const channelsLast = (row, side) => (row.fastest_variant[side] === "channels_last" ? " cl" : "");
const columns = [
  { name: "shape", value: (row) => row.shape, words: true },
  { name: "pass", value: (row) => row.pass, words: true },
  ...(severalTypes ? [{ name: "dtype", value: (row) => row.dtype, words: true }] : []),
  { name: "batch", value: (row) => row.batch },
  { name: "pyconv", value: seconds, text: time },
  { name: "spread", value: (row) => row.spread.pyconv, text: percent },
  { name: "rate", value: (row) => row.rate?.amount, text: (_, row) => rate(row.rate) },
  { name: "of peak", value: (row) => row.rate?.of_peak, text: percent },
  { name: "memory", value: (row) => row.memory, text: memory },
  ...rivals.flatMap((rival) => [
    { name: rival, value: (row) => row.median_seconds[rival], text: (value, row) => time(value) + channelsLast(row, rival) },
    { name: `× ${rival}`, value: (row) => row.ratios[rival], text: times, strong: true },
  ]),
].filter((column) => result.rows.some((row) => (column.value(row) ?? null) !== null));
const order = { column: null, down: false };

function drawTable() {
  const rows = rowsShown();
  if (order.column) {
    const sign = order.down ? -1 : 1;
    const { value, words } = order.column;
    const missing = (row) => (value(row) ?? null) === null;
    const compare = (a, b) => (words ? value(a).localeCompare(value(b)) : value(a) - value(b));
    rows.sort((a, b) => missing(a) - missing(b) || (missing(a) ? 0 : sign * compare(a, b)));
  }
  const heading = (column) => {
    const button = element("button", { type: "button" }, column.name);
    button.onclick = () => {
      order.down = order.column === column ? !order.down : !column.words; // the largest number first
      order.column = column;
      drawTable();
      byId("table").querySelectorAll("button")[columns.indexOf(column)].focus();
    };
    const sorted = order.column === column ? (order.down ? "descending" : "ascending") : null;
    return element("th", { scope: "col", class: column.words ? "words" : null, "aria-sort": sorted }, button);
  };
  const cell = (row) => (column, index) => {
    const text = String((column.text ?? shown(String))(column.value(row), row));
    const kind = column.words ? "words" : column.strong ? "strong" : null;
    return index ? element("td", { class: kind }, text) : element("th", { scope: "row", class: kind }, text);
  };
  byId("table").replaceChildren(
    element("thead", {}, element("tr", {}, ...columns.map(heading))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...columns.map(cell(row))))),
  );
  byId("layouts").hidden = !rows.some((row) => rivals.some((rival) => channelsLast(row, rival)));
}

// The machine

function drawMachine() {
  const heads = ["setting", "peak of computing", "peak of copying"].map((text, index) =>
    element("th", { scope: "col", class: index ? null : "words" }, text));
  const body = result.settings.map((one) =>
    element("tr", {},
      element("th", { scope: "row", class: "words" }, settingText(one)),
      element("td", {}, `${short(one.peak_gflops)} GF/s`),
      element("td", {}, `${short(one.peak_copy_gbytes_per_s)} GB/s`)));
  byId("settings").replaceChildren(element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...body));
  const facts = { ...result.machine, ...result.versions };
  for (const [key, value] of Object.entries(result.build)) facts[`build: ${key}`] = value;
  for (const [name, value] of Object.entries(facts)) {
    const text = Array.isArray(value) ? value.join(", ") : String(value);
    byId("machine").append(element("dt", {}, name), element("dd", {}, text));
  }
}

function drawChosen() {
  drawTop();
  drawRoofline();
  drawSpeedups();
  drawComparison("threads", threadsText, (row, rows) => row.threads / rows[0].threads);
  drawComparison("isa", String, () => 1);
  drawTable();
}

buildChoice();
drawMachine();
drawChosen();
let drawnWidth = byId("roofline").parentElement.clientWidth;
new ResizeObserver(([{ contentRect }]) => {
  if (Math.round(contentRect.width) === drawnWidth) return;
  drawnWidth = Math.round(contentRect.width);
  drawRoofline();
}).observe(byId("roofline").parentElement);
