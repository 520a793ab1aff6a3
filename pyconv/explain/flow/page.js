"use strict";
// Builds the page: the flow, a section for each convolution and what follows it up to the next, and the units.

const words = trace.words;
const say = (key, values = {}) => phrase(words[key], values);
const minus = (text) => text.replace("-", "−");
const number = (v) => minus(Math.abs(v) >= 100 ? v.toFixed(1) : v !== 0 && Math.abs(v) < 0.0005 ? v.toExponential(1) : v.toFixed(3));
const short = (v) => minus(v.toFixed(2).replace(/^-0.00$/, "0.00"));
const term = (v) => (v < 0 ? `(${number(v)})` : number(v));
const printed = (v) => Number(number(v).replaceAll("−", "-"));
const plusBias = (b, bias, sum, v) =>
  say("bias", { b, bv: term(bias), sum: number(sum), v: number(v), equals: equal(printed(sum) + printed(bias), printed(v)) });
const percent = (p) => `${(100 * p).toFixed(1)} %`;
const MOST_BARS = 20;

// What is shown: an image, in each group a channel, and the pixel that is pointed at.
const groups = [];
steps.forEach((step, i) => {
  if (!step.channels) return;
  const begins = step.kind === "conv" && groups.length && groups.at(-1).at(-1) > 0;
  if (!groups.length || begins) groups.push([]);
  groups.at(-1).push(i);
});
const groupOf = (i) => groups.findIndex((group) => group.includes(i));
const chosen = groups.map(() => 0);
const state = { n: 0, at: 0, y: 0, x: 0 };
const feedsFilters = (i) => steps[i + 1]?.kind === "conv"; // all its channels make each of the next ones
const channelOf = (i) => (i === 0 && feedsFilters(0) ? 0 : chosen[groupOf(i)]);
const valuesOf = (i) => arrays(state.n).values[i];
const largestOf = (i, n = state.n) =>
  arrays(n).values[i].reduce((most, v) => (Math.abs(v) > most ? Math.abs(v) : most), i ? 1e-30 : 1);

// The numbers of a channel of a step; the three colours of an input that has three channels.
function channel(i, c, n = state.n) {
  const [C, H, W] = sizes[i], values = arrays(n).values[i], one = (c) => [...values.subarray(c * H * W, (c + 1) * H * W)];
  if (i > 0 || C !== 3 || !feedsFilters(0)) return one(c);
  const [red, green, blue] = [one(0), one(1), one(2)];
  return red.map((_, k) => [red[k], green[k], blue[k]]);
}
const scale = (i) => (i ? "above" : "ink");
const silent = (i, c) => i > 0 && channel(i, c).every((v) => v === 0); // a map that a ReLU left nothing of
function paint(canvas, i, c, { cell } = {}) {
  const [, H, W] = sizes[i], empty = silent(i, c);
  cell ??= empty ? Math.ceil(96 / Math.max(H, W)) : 1; // room for the nought
  const context = drawMap(canvas, H, W, channel(i, c), largestOf(i), { above: scale(i), cell });
  if (empty) drawNought(context);
  return context;
}

// Rows of units: how many stand side by side, and the picture of them
const across = (count) => (count > MOST_BARS ? Math.ceil(Math.sqrt(count)) : 1);
function paintUnits(canvas, i, cell = 1) {
  const values = [...valuesOf(i)], count = values.length, W = across(count), H = Math.ceil(count / W);
  while (values.length < H * W) values.push(0);
  const context = drawMap(canvas, H, W, values, largestOf(i), { cell });
  context.clearRect((count - (H - 1) * W) * cell, (H - 1) * cell, W * cell, cell);
  return context;
}

const shapeText = (shape) => `(${shape.join(",")})`;
const decorative = () => element("canvas", { "aria-hidden": "true" });

// Rules: a list of steps with their shapes

function listRules(list, indices) {
  for (const i of indices) {
    const { name, shape, rule, parameters } = steps[i];
    const about = element("small", {}, [shapeText(shape), parameters.join(", ")].filter(Boolean).join(" · "));
    list.append(element("dt", {}, name, " ", about), element("dd", {}, rule));
  }
  return list;
}

// The flow

const flow = steps.map((step, i) => {
  const canvas = decorative(), [, H, W] = sizes[i];
  if (step.channels) canvas.style.width = `${Math.max(28, Math.min(84, (84 * W) / sizes[0][2]))}px`;
  const acts = step.parameters.length ? [element("span", { class: "acts" }, step.parameters.join(", "))] : [];
  const picture = element("div", { class: `picture ${step.channels && step.shape[1] > 1 ? "stack" : ""}` }, canvas);
  byId("flow").append(
    element("li", {}, picture, element("strong", {}, step.name), element("span", {}, shapeText(step.shape)), ...acts),
  );
  return () => {
    if (step.channels) return paint(canvas, i, channelOf(i));
    canvas.style.height = across(W) === 1 ? "84px" : "60px";
    return paintUnits(canvas, i);
  };
});

// Maps: a picture of one channel of a step, on which a pixel is pointed at

function pointer(canvas, H, W, label, current, choose, turn = () => {}) {
  fill(canvas, { tabindex: "0", role: "application", "aria-label": label }, []);
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const place = (part, count) => Math.max(0, Math.min(count - 1, Math.floor(part * count)));
    choose(place((event.clientY - box.top) / box.height, H), place((event.clientX - box.left) / box.width, W));
  };
  canvas.addEventListener("pointermove", at);
  canvas.addEventListener("pointerdown", at);
  canvas.addEventListener("focus", () => {
    if (canvas.matches(":focus-visible")) choose(...current());
  });
  canvas.addEventListener("keydown", (event) => {
    const [y, x] = current();
    const to = {
      ArrowUp: [y - 1, x], ArrowDown: [y + 1, x], ArrowLeft: [y, x - 1], ArrowRight: [y, x + 1],
      Home: [y, 0], End: [y, W - 1],
    }[event.key];
    const turned = { PageUp: -1, PageDown: 1 }[event.key];
    if (!to && !turned) return;
    event.preventDefault();
    if (turned) turn(turned);
    else if (to[0] >= 0 && to[0] < H && to[1] >= 0 && to[1] < W) choose(...to);
  });
}

function mapFigure(i, g, id = `map${i}`) {
  const canvas = element("canvas", { id }), [, H, W] = sizes[i];
  const here = () => {
    if (state.at === i) return [state.y, state.x];
    const mark = marks[i];
    return mark ? [mark.rows[0], mark.columns[0]].map((v, axis) => Math.max(0, Math.min(sizes[i][axis + 1] - 1, v))) : [0, 0];
  };
  const choose = (y, x) => {
    if (state.at === i && state.y === y && state.x === x) return;
    Object.assign(state, { at: i, y, x });
    drawMaps();
  };
  pointer(canvas, H, W, say("map", { name: steps[i].name, H, W }), here, choose, (by) => turnTo(g, chosen[g] + by));
  const which = element("span", {});
  const caption = element("figcaption", {}, element("strong", {}, steps[i].name), " ", which);
  const figure = element("figure", {}, caption, canvas);
  const draw = () => {
    const c = channelOf(i), cell = cellOf(H, W), context = paint(canvas, i, c, { cell });
    which.textContent = (i === 0 && feedsFilters(0)) || steps[i].shape[1] === 1 ? `${H}×${W}` : say("of", { c, H, W });
    if (silent(i, c)) which.textContent += `, ${say("silent")}`;
    const pooled = arrays(state.n).winners[i + 1];
    if (pooled) {
      const places = pooled.length / sizes[i + 1][0];
      const wins = [...pooled.subarray(c * places, (c + 1) * places)].map((place) => place % (H * W));
      const values = channel(i, c);
      drawWinners(context, cell, H, W, steps[i + 1].window, wins.filter((place) => values[place] !== 0));
    }
    if (marks[i]) drawMark(context, cell, marks[i]);
  };
  return { figure, draw, W };
}

let marks = [];
function drawMaps() {
  marks = steps[state.at].channels
    ? connected(state.at, channelOf(state.at), state.y, state.x, arrays(state.n).winners)
    : [];
  for (const section of sections) section.draw();
}

// The sum in words, and number by number where there is room

function numbers(caption, values, h, w, largest, { above = "above", mark = -1, empty = () => "0" } = {}) {
  const rows = [...Array(h).keys()].map((y) =>
    element("tr", {}, ...[...Array(w).keys()].map((x) => {
      const tap = y * w + x, value = values[tap], colour = value === null ? colours.paper : colourOf(value, largest, above);
      const kind = value === null ? "outside" : tap === mark ? "wins" : null;
      const cell = element("td", { class: kind }, value === null ? empty(tap) : short(value));
      cell.style.background = css(colour);
      if (value !== null) cell.style.color = css(inkOn(colour));
      return cell;
    })),
  );
  return element("table", {}, element("caption", {}, caption), element("tbody", {}, ...rows));
}

const span = (list) => (list.length > 1 ? `${list[0]}–${list.at(-1)}` : `${list[0]}`);

function explained() {
  const { n, at, y, x } = state, step = steps[at], c = channelOf(at), [, H, W] = sizes[at];
  const place = { name: step.name, c, y, x }, value = valuesOf(at)[(c * H + y) * W + x];
  const single = step.shape[1] === 1 || (at === 0 && feedsFilters(0));
  const text = [say(single ? "pixel" : "place", { ...place, v: number(value) })], tables = [];
  if (at === 0) {
    const count = marks[1] ? marks[1].rows.length * marks[1].columns.length : 0;
    if (steps[1].window) text.push(say("used", { count, name: steps[1].name }));
    return { text, tables };
  }
  const from = steps[at - 1].name;
  if (step.kind === "relu") text.push(say("relu", { a: number(valuesOf(at - 1)[(c * H + y) * W + x]), v: number(value) }));
  if (arrays(n).winners[at + 1]?.includes((c * H + y) * W + x)) text.push(say("winner", { name: steps[at + 1].name }));
  if (!step.window) return { text, tables };
  const [[h], [w]] = step.window, read = channelsRead(at, c), window = windowOf(n, at, read, y, x), readable = h * w <= 49;
  const empty = (tap) => outside(at, y, x, tap);
  const over = window[0].flatMap((v, tap) => (v === null ? [empty(tap)] : []));
  if (step.kind === "conv") {
    const filter = filterOf(at, c), [W, bias] = step.parameters;
    if (filter) {
      const products = window.map((part, k) => part.map((v, tap) => (v === null ? null : v * filter[k][tap])));
      const sum = products.flat().reduce((a, b) => a + (b ?? 0), 0);
      text.push(say("sum", { count: h * w * window.length, c, W, sum: number(sum) }));
      if (bias) text.push(plusBias(`${bias}[${c}]`, step.b[c], sum, value));
      if (readable && window.length <= 3) {
        const most = (parts) => Math.max(...parts.flat().map((v) => Math.abs(v ?? 0)));
        window.forEach((part, k) => {
          const which = steps[at - 1].shape[1] > 1 ? say("ofchannel", { c: read[k] }) : "";
          const pixels = numbers(say("window", { name: from }) + which, part, h, w, largestOf(at - 1), { above: scale(at - 1) });
          const weights = numbers(say("filter", { W, c }), filter[k], h, w, most(filter));
          const results = numbers(say("products"), products[k], h, w, most(products));
          tables.push(element("div", {}, pixels, element("span", {}, "×"), weights, element("span", {}, "="), results));
        });
      }
    } else {
      text.push(say("channels", { h, w, count: read.length, from, W, c }));
    }
    if (groupCount(at) > 1) text.push(say("group", { channels: span(read), from }));
  } else {
    const [part] = window, { winner } = marks[at - 1];
    const mark = winner ? part.findIndex((_, tap) => `${tapPlace(at, y, x, tap)}` === `${winner}`) : -1;
    const all = part.map((v, tap) => (v === null ? empty(tap) : number(v))).filter(Boolean);
    text.push(say(step.kind, { list: h * w <= 9 ? all.join(", ") : "…", v: number(value) }));
    const tied = part.filter((v) => v === value).length > 1;
    if (winner) text.push(say(tied ? "tied" : "wins", { from, y: winner[0], x: winner[1] }));
    if (readable) tables.push(numbers(say("window", { name: from }), part, h, w, largestOf(at - 1), { above: scale(at - 1), mark, empty }));
  }
  for (const v of ["0", "−∞", ""]) {
    const count = over.filter((one) => one === v).length * read.length;
    if (count) text.push(say(v ? "padding" : "paddingout", { count, v }));
  }
  return { text, tables };
}

// A section for each group

function turnTo(g, c) {
  const count = Math.max(...groups[g].map((i) => (i === 0 && feedsFilters(0) ? 1 : sizes[i][0])));
  chosen[g] = Math.max(0, Math.min(count - 1, c));
  drawMaps();
  flow.forEach((draw) => draw());
}

function cardsOf(g, indices) {
  const [first] = indices, count = sizes[first][0], total = steps[first].shape[1];
  const { W, taps, kind } = steps[first], filters = kind === "conv" && W && taps[0] <= 3;
  const cards = element("div", { class: "cards", role: "radiogroup", "aria-label": say("allchannels", { count: total }) });
  const draws = [...Array(count).keys()].map((c) => {
    const pictures = indices.map(decorative), filter = decorative();
    const card = element("button", { type: "button", role: "radio" }, ...(filters ? [filter] : []), ...pictures);
    card.addEventListener("click", () => turnTo(g, c));
    card.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
      const to = { Home: 0, End: count - 1 }[event.key] ?? (by && Math.max(0, Math.min(count - 1, c + by)));
      if (to === undefined) return;
      event.preventDefault();
      turnTo(g, to);
      cards.children[to].focus();
    });
    cards.append(card);
    if (filters) {
      const [C, h, w] = taps, values = [...W.subarray(c * C * h * w, (c + 1) * C * h * w)];
      filter.draw = () => drawMap(filter, C * h, w, values, W.reduce((most, v) => Math.max(most, Math.abs(v)), 0), { cell: 10 });
    }
    return () => {
      filter.draw?.();
      indices.forEach((i, k) => paint(pictures[k], i, c));
      const empty = indices.filter((i) => silent(i, c)).map((i) => steps[i].name).join(", ");
      card.setAttribute("aria-label", say("channel", { c }) + (empty && `, ${empty}: ${say("silent")}`));
    };
  });
  const rows = [...(filters ? [`${steps[first].parameters[0]}`] : []), ...indices.map((i) => steps[i].name)].join(", ");
  const heading = count < total ? say("some", { count, total }) : say("allchannels", { count });
  const mark = () => [...cards.children].forEach((card, c) => {
    const here = c === chosen[g];
    card.setAttribute("aria-checked", here);
    card.tabIndex = here ? 0 : -1;
  });
  return { heading, note: say("cards", { rows }), cards, mark, paint: () => draws.forEach((draw) => draw()) };
}

function groupSection(indices, g) {
  const own = indices.filter((i) => i > 0 || !feedsFilters(0)), names = indices.map((i) => steps[i].name);
  const figures = indices.map((i) => mapFigure(i, g));
  // What the first of them is made of stands beside it, and not a section above alone.
  if (g > 0) figures.unshift(mapFigure(indices[0] - 1, g - 1, `from${indices[0]}`));
  // Maps of one size are of one width: their part of the line, where that is not too little or too much.
  const sides = figures.map(({ W }) => W), most = Math.max(...sides), all = sides.reduce((a, b) => a + b);
  figures.forEach(({ figure, W }) => {
    figure.style.width = `clamp(${Math.min(5.5, 260 / most) * W}px, ${(100 / all) * W}% - 16px, ${Math.min(24, 400 / most) * W}px)`;
  });
  const reading = element("p", { class: "reading", "aria-live": "polite" }), tables = element("div", { class: "sum", "aria-hidden": "true" });
  const heading = element("h2", { id: `group${g}` }, names.join(" → "));
  const section = element("section", { "aria-labelledby": `group${g}` }, heading);
  if (g === 0) section.append(element("p", {}, say("point")));
  section.append(listRules(element("dl", { class: "rules" }), indices));
  const cards = own.length && sizes[own[0]][0] > 1 ? cardsOf(g, own) : null;
  const slider = element("input", { type: "range", min: "0", max: String((own.length ? sizes[own[0]][0] : 1) - 1), id: `channel${g}` });
  const label = element("output", { for: `channel${g}` });
  slider.addEventListener("input", () => turnTo(g, Number(slider.value)));
  if (cards) section.append(element("label", { class: "channel" }, label, slider));
  // In a box of their own: the reading, which stays in view, lies on maps only.
  section.append(element("div", {}, element("div", { class: "stage" }, ...figures.map(({ figure }) => figure)), reading), tables);
  if (cards) section.append(element("h3", {}, cards.heading), element("p", { class: "note" }, cards.note), cards.cards);
  else if (own.length && steps[own[0]].shape[1] > 1) section.append(element("p", { class: "note" }, say("some", { count: 1, total: steps[own[0]].shape[1] })));
  byId("maps").append(section);
  return {
    draw() {
      figures.forEach(({ draw }) => draw());
      const here = indices.includes(state.at);
      reading.hidden = tables.hidden = !here;
      if (here) {
        const { text, tables: shown } = explained();
        reading.textContent = text.filter(Boolean).join(" ");
        tables.replaceChildren(...shown);
      }
      label.textContent = say("channel", { c: chosen[g] });
      slider.value = String(chosen[g]);
      cards?.mark();
    },
    paint: () => cards?.paint(),
  };
}

const sections = [];
