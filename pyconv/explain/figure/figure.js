"use strict";
// The page: its sizes and values, what is chosen in it, and what the reader does.

const given = held("given"); // {kind, sizes, x, W, b}
const texts = held("words");
const say = (name, values = {}) => phrase(texts[name], values);
const pool = given.kind === "pool";

// Sliders: the sizes that each moves, and the least and most; a size that was given beyond them is reached as well.
const SLIDERS = [
  { name: "N", sizes: ["N"], least: 1, most: 3 },
  { name: "C", sizes: ["C"], least: 1, most: 4 },
  { name: "H", sizes: ["H"], least: 1, most: 12 },
  { name: "W", sizes: ["W"], least: 1, most: 12 },
  ...(pool ? [] : [{ name: "FN", sizes: ["FN"], least: 1, most: 4 }]),
  { name: pool ? "PH" : "FH", sizes: ["FH"], least: 1, most: 5 },
  { name: pool ? "PW" : "FW", sizes: ["FW"], least: 1, most: 5 },
  { name: "stride", sizes: ["SH", "SW"], least: 1, most: 4 },
  { name: "pad", sizes: ["top", "bottom", "left", "right"], least: 0, most: 3 },
  { name: "dilation", sizes: ["DH", "DW"], least: 1, most: 3 },
];

// What the reader chose (sizes, names or numbers, a thing and with it a filter) and what is drawn of it: a geometry m
// with its values, its parts, and the places along each axis that are shown.
const state = { sizes: null, labels: true, chosen: null, filter: 0, m: null, parts: [], shown: null, playing: null };

// An array of four axes as it was given, and beyond its sizes small numbers by a rule
function extended(values, from, to, rule) {
  if (to.every((size, axis) => size === from[axis])) return values;
  const data = [];
  const offset = (place) => place.reduce((sum, index, axis) => sum * from[axis] + index, 0);
  const fill = (place) => {
    if (place.length < 4) span(to[place.length]).forEach((index) => fill([...place, index]));
    else data.push(place.every((index, axis) => index < from[axis]) ? values[offset(place)] : rule(...place));
  };
  fill([]);
  return data;
}

function valuesFor(g) {
  const images = ({ N, C, H, W }) => [N, C, H, W];
  const filters = ({ FN, C, FH, FW }) => [FN, C, FH, FW];
  const was = given.sizes;
  const x = extended(given.x, images(was), images(g), (n, c, y, column) => (7 * n + 3 * c + 5 * y + 2 * column) % 10);
  if (pool) return { x };
  const W = extended(given.W, filters(was), filters(g), (f, c, fy, fx) => ((f + c + 2 * fy + fx) % 3) - 1);
  return { x, W, b: given.b && span(g.FN).map((f) => given.b[f] ?? 0) };
}

function measure(sizes) {
  const { x, W, b } = valuesFor(sizes);
  return { ...geometry(sizes, x, W, b), kind: given.kind, data: x, bias: b ?? null };
}

// Drawing

function drawAll() {
  const { m } = state;
  state.parts = makeParts(m, say, state);
  state.shown = chooseShown(m, wantedPlaces(m, state.chosen));
  byId("figure").classList.toggle("big", isBig(m));
  for (const part of state.parts) {
    byId(part.id).querySelector(".shape").textContent = shapeOf(part.id, m);
    const code = byId(part.id).querySelector("code");
    if (code) code.textContent = codeOf(part.id, m);
    drawPart(part, state.shown);
  }
  byId("shades").hidden = !isBig(m);
  byId("sizes").replaceChildren(...["H", "W"].map((axis) => element("p", {}, ruleOf(axis, m))));
  byId("window").max = steps() - 1;
}

// The line of Python that makes a part
function codeOf(id, { DH, DW, top, bottom, left, right }) {
  const how = `stride, pad${DH === 1 && DW === 1 ? "" : ", dilation"}`;
  const padded = top + bottom + left + right ? `  # ${say("counts_as")}` : "";
  return {
    col: `col = im2col(x, ${pool ? "PH, PW" : "FH, FW"}, ${how})`,
    col_W: "col_W = self.W.reshape(FN, -1).T",
    product: `out = np.dot(col, col_W)${given.b ? " + self.b" : ""}`,
    windows: `out = np.max(col.reshape(-1, PH*PW), axis=1)${padded}`,
    y: pool ? "out.reshape(N, OH, OW, C).transpose(0, 3, 1, 2)" : "out.reshape(N, OH, OW, -1).transpose(0, 3, 1, 2)",
    back: `col2im(np.ones_like(col), x.shape, FH, FW, ${how})`,
  }[id];
}

function shapeOf(id, m) {
  const [FH, FW] = pool ? ["PH", "PW"] : ["FH", "FW"];
  const [windows, taps] = [`${m.N}·${m.OH}·${m.OW}`, `${m.C}·${m.FH}·${m.FW}`];
  return {
    x: `(${m.N}, ${m.C}, ${m.H}, ${m.W}) = (N, C, H, W)`,
    W: `(${m.FN}, ${m.C}, ${m.FH}, ${m.FW}) = (FN, C, FH, FW)`,
    col: `(${m.rows}, ${m.columns}) = (N·OH·OW, C·${FH}·${FW}) = (${windows}, ${taps})`,
    col_W: `(${m.columns}, ${m.FN}) = (C·FH·FW, FN)`,
    product: `(${m.rows}, ${m.FN}) = (N·OH·OW, FN)`,
    windows: `(${m.rows * m.C}, ${m.taps}) → (${m.rows * m.C},) = (N·OH·OW·C, PH·PW) → (N·OH·OW·C,)`,
    y: `(${m.N}, ${pool ? m.C : m.FN}, ${m.OH}, ${m.OW}) = (N, ${pool ? "C" : "FN"}, OH, OW)`,
    back: `(${m.rows}, ${m.columns}) → (${m.N}, ${m.C}, ${m.H}, ${m.W}) = (N, C, H, W)`,
  }[id];
}

// OH = ⌊(H + 2·P − FH) / S⌋ + 1, with the numbers, which are floored where the division leaves a remainder
function ruleOf(axis, m) {
  const [size, before, after, dilation, reach, stride, output] = axis === "H"
    ? [m.H, m.top, m.bottom, m.DH, m.reachH, m.SH, m.OH] : [m.W, m.left, m.right, m.DW, m.reachW, m.SW, m.OW];
  const name = `${pool ? "P" : "F"}${axis}`;
  const named = dilation === 1 ? name : `((${name} − 1)·${dilation} + 1)`;
  const division = `(${size} + ${before + after} − ${reach}) / ${stride}`;
  const floored = (size + before + after - reach) % stride ? `⌊${division}⌋` : division;
  return `O${axis} = ⌊(${axis} + ${before === after ? "2·P" : "P"} − ${named}) / S⌋ + 1 = ${floored} + 1 = ${output}`;
}

// Show a thing, for as long as it is pointed at. An abridged table makes room for what it does not show yet.
function show(thing) {
  const { m } = state;
  const wanted = wantedPlaces(m, thing);
  const kept = wantedPlaces(m, state.chosen); // the chosen thing, which may have the focus, stays where there is room
  const both = Object.entries(wanted).map(([axis, [first, ...others]]) =>
    [axis, first === undefined ? kept[axis] : [first, ...(kept[axis] ?? []), ...others]]);
  const next = chooseShown(m, { ...kept, ...Object.fromEntries(both) });
  for (const [axis, places] of Object.entries(wanted)) {
    const missing = places.some((place) => next[axis].includes(place) && !state.shown[axis].includes(place));
    if (missing) state.shown[axis] = next[axis];
  }
  const focused = document.activeElement?.dataset?.at;
  for (const part of state.parts) {
    if (JSON.stringify(part.visible(state.shown)) !== part.drawn) drawPart(part, state.shown);
  }
  if (focused && document.activeElement.dataset.at !== focused) cells.get(focused)?.focus({ preventScroll: true });
  const lights = belongings(m, thing, state.shown);
  light(lights);
  byId("reading").replaceChildren(...reading(m, thing, say, state.labels));
  byId("maps").replaceChildren(...maps(m, lights));
}

// Windows in their order: the rows of the matrix or, in a pooling, of the windows of every channel

const steps = () => state.m.rows * (pool ? state.m.C : 1);
const stepOf = ({ r, f }) => (pool ? r * state.m.C + (f ?? 0) : r);

// Show a thing until another is chosen.
function choose(thing) {
  state.chosen = thing;
  if (thing.f !== undefined) state.filter = thing.f;
  if (thing.kind === "window") {
    const slider = byId("window");
    slider.value = stepOf(thing);
    const place = { ...state.m.window(thing.r), ...(pool ? { c: thing.f ?? 0 } : {}) };
    byId("place").textContent = Object.entries(place).map(([axis, index]) => `${axis} = ${index}`).join(", ");
    slider.setAttribute("aria-valuetext", byId("place").textContent);
    byId("previous").disabled = step() === 0;
    byId("next").disabled = step() === steps() - 1;
  }
  show(thing);
}

function stepTo(wanted) {
  const last = Math.min(Math.max(wanted, 0), steps() - 1);
  const { C } = state.m;
  choose({ kind: "window", ...(pool ? { r: Math.floor(last / C), f: last % C } : { r: last, f: state.filter }) });
  reveal(null);
}

const step = () => Number(byId("window").value);

function play(on) {
  clearInterval(state.playing);
  if (on && step() === steps() - 1) stepTo(0);
  state.playing = on ? setInterval(() => (step() < steps() - 1 ? stepTo(step() + 1) : play(false)), 900) : null;
  byId("play").textContent = on ? "❚❚" : "▶";
  byId("play").setAttribute("aria-label", say(on ? "pause" : "play"));
  byId("reading").setAttribute("aria-live", on ? "off" : "polite");
}

// Sizes

function resize(sizes) {
  state.sizes = sizes;
  for (const slider of SLIDERS) {
    const values = slider.sizes.map((name) => sizes[name]);
    const even = values.every((value) => value === values[0]);
    const text = even ? values[0] : values.join(values.length > 2 ? "," : "×"); // uneven padding as --pad takes it
    byId(`size-${slider.name}`).value = values[0];
    byId(`size-${slider.name}`).setAttribute("aria-valuetext", text);
    byId(`value-${slider.name}`).textContent = text;
  }
  const m = measure(sizes);
  byId("made_up").hidden = ["N", "C", "H", "W", ...(pool ? [] : ["FN", "FH", "FW"])]
    .every((name) => sizes[name] <= given.sizes[name]);
  byId("problem").hidden = m.fits;
  byId("problem").textContent = m.fits ? "" : say("too_large", m);
  byId("outdated").hidden = m.fits;
  document.body.classList.toggle("stale", !m.fits);
  if (!m.fits) return;
  play(false);
  state.m = m;
  state.filter = Math.min(state.filter, (pool ? m.C : m.FN) - 1);
  const first = isBig(m) ? m.rowOf(0, m.OH >> 1, m.OW >> 1) : 0; // a corner of a digit is blank
  const r = Math.min(state.chosen?.r ?? first, m.rows - 1);
  state.chosen = { kind: "window", r, f: state.filter };
  drawAll();
  choose(state.chosen);
}

function buildSliders() {
  const groups = {
    group_images: ["N", "C", "H", "W"],
    group_filters: ["FN", "FH", "FW", "PH", "PW"],
    group_window: ["stride", "pad", "dilation"],
  };
  for (const [title, names] of Object.entries(groups)) {
    const home = element("div", { role: "group", "aria-label": say(title) }, element("h3", {}, say(title)));
    for (const { name, sizes, least, most } of SLIDERS.filter((slider) => names.includes(slider.name))) {
      const max = Math.max(most, ...sizes.map((size) => given.sizes[size]));
      const slider = element("input", { type: "range", id: `size-${name}`, min: least, max });
      const value = element("output", { id: `value-${name}`, for: slider.id });
      slider.addEventListener("input", () => {
        const moved = sizes.map((size) => [size, Number(slider.value)]);
        resize({ ...state.sizes, ...Object.fromEntries(moved) });
      });
      home.append(element("label", {}, element("span", {}, say(`size_${name}`)), value, slider));
    }
    byId("sliders").append(home);
  }
}

function buildParts() {
  const ids = pool ? ["x", "col", "windows", "y"] : ["x", "W", "col", "col_W", "product", "y", "back"];
  ids.forEach((id, index) => {
    const number = element("span", { class: "step" }, index + 1);
    const title = element("h2", {}, number, say(`title_${id}`));
    const code = codeOf(id, given.sizes) ? [element("code")] : [];
    const notes = [element("p", {}, say(`note_${id}`))];
    if (id === "x") notes.push(element("p", { id: "shades" }, say("shades")));
    const caption = element("figcaption", {}, title, element("p", { class: "shape" }), ...code, ...notes);
    byId("figure").append(element("figure", { id }, caption, element("div", { class: "tables" })));
  });
}

// What the reader does

const FAR = 1e9;
const MOVES = {
  ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
  PageUp: [-FAR, 0], PageDown: [FAR, 0], Home: [0, -FAR], End: [0, FAR],
};
const thingOf = (event) => event.target.closest?.("[data-at]");

function listen() {
  const figure = byId("figure");
  figure.addEventListener("pointerover", (event) => {
    const cell = thingOf(event);
    if (cell && event.pointerType === "mouse" && state.playing === null) show(cell.ref);
  });
  figure.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && show(state.chosen));
  figure.addEventListener("click", (event) => thingOf(event)?.focus({ preventScroll: true }));
  figure.addEventListener("focusin", (event) => {
    const cell = thingOf(event);
    if (!cell || cell.ref.at === state.chosen.at) return; // it was drawn anew, and has the focus again
    const was = cells.get(cell.place.part.current);
    if (was) was.tabIndex = -1;
    cell.place.part.current = cell.ref.at;
    cell.tabIndex = 0;
    play(false);
    choose(cell.ref);
    reveal(cell);
  });
  figure.addEventListener("keydown", (event) => {
    const cell = thingOf(event);
    if (!cell || !MOVES[event.key] || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const ref = beside(cell, ...MOVES[event.key]);
    show(ref);
    cells.get(ref.at).focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    document.activeElement.blur(); // the cell, which can then be chosen again
    play(false);
    stepTo(step());
  });
  byId("window").addEventListener("input", (event) => {
    play(false);
    stepTo(Number(event.target.value));
  });
  const move = (by) => () => {
    play(false);
    stepTo(step() + by);
  };
  byId("previous").addEventListener("click", move(-1));
  byId("next").addEventListener("click", move(1));
  byId("play").addEventListener("click", () => play(state.playing === null));
  byId("reset").addEventListener("click", () => resize({ ...given.sizes }));
  for (const radio of document.querySelectorAll("[name=text]")) {
    radio.addEventListener("change", () => {
      state.labels = radio.value === "labels";
      drawAll();
      show(state.chosen);
    });
  }
}

byId("shapes").open = matchMedia("(min-width: 48rem)").matches;
buildSliders();
buildParts();
resize({ ...given.sizes });
listen();
