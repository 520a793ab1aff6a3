"use strict";
// A part of the figure: a table of cells, in blocks where it has more than two axes (an image per channel), abridged
// where it is large. Every cell has one name, `at`, by which it is found and lit.
//
// part: {
//   id, name, rows, cols: how many there are, those of all blocks one after the other; blockRows, blockCols
//   visible(shown): the rows and the cols that are drawn, of `shown` places along each axis
//   ref(row, col): what a cell stands for, {at, kind, ...}
//   cell(ref): {text, label, channel, pad, marked, shade}, of which all but the label may be missing
//   rowHead(row), colHead(col): {text, label, ref, channel}; group(col): {key, name, channel} over heads of one key
//   block(row, col): the title of a block; across, corner: what its heads count
//   tiny, finer, dense: how large its cells are
// }

const cells = new Map(); // at -> its td or th

// Some of 0 .. count-1: all where they are few, else what is wanted, the ends and the neighbours.
function abridge(count, limit, wanted = []) {
  if (count <= limit) return Array.from({ length: count }, (_, index) => index);
  const kept = new Set(wanted.slice(0, limit > 3 ? limit - 2 : limit));
  const keep = (index) => kept.size < limit && index >= 0 && index < count && kept.add(index);
  [0, count - 1].forEach(keep);
  const centres = wanted.length ? wanted : [0];
  for (let far = 1; far < limit; far++) centres.forEach((index) => [index + far, index - far].forEach(keep));
  return [...kept].sort((one, other) => one - other);
}

// The indices of a block, with null where some are left out
function withGaps(indices, size) {
  const shown = [];
  for (const index of indices) {
    const before = shown.at(-1) ?? null;
    if (before === null ? index % size : index - before > 1) shown.push(null);
    shown.push(index);
  }
  if (shown.length && (shown.at(-1) + 1) % size) shown.push(null);
  return shown;
}

function blocks(indices, size, count) {
  const blockOf = (index) => Math.floor(index / size);
  return withGaps([...new Set(indices.map(blockOf))], count / size).map((block) =>
    block === null ? null : withGaps(indices.filter((index) => blockOf(index) === block), size));
}

function drawPart(part, shown) {
  const home = byId(part.id).querySelector(".tables");
  for (const old of home.querySelectorAll("[data-at]")) cells.delete(old.dataset.at);
  const [rows, cols] = part.visible(shown);
  part.drawn = JSON.stringify([rows, cols]);
  const lines = blocks(rows, part.blockRows, part.rows).map((ys) => ys === null ? drawGap("div", "⋯")
    : element("div", { class: "line" }, ...blocks(cols, part.blockCols, part.cols)
      .map((xs) => xs === null ? drawGap("div", "⋯") : drawBlock(part, ys, xs))));
  home.replaceChildren(...lines);
  const first = cells.get(part.current) ?? home.querySelector("td[data-at]");
  first.tabIndex = 0;
  part.current = first.dataset.at;
}

function drawBlock(part, ys, xs) {
  const first = [ys.find((y) => y !== null), xs.find((x) => x !== null)];
  const title = part.block?.(...first);
  const sizes = ["tiny", "finer", "dense"].filter((size) => part[size]).join(" ");
  const label = title ? `${part.name}, ${title}` : part.name;
  const table = element("table", { role: "grid", "aria-label": label, class: sizes });
  if (title) table.append(element("caption", {}, title));
  if (part.colHead) table.append(drawHeads(part, xs));
  const body = element("tbody");
  for (const y of ys) {
    const line = element("tr");
    if (part.rowHead) line.append(y === null ? drawGap("th", "⋮") : drawHead(part, part.rowHead(y), y, -1));
    for (const x of xs) {
      if (y === null) line.append(drawGap("td", x === null ? "⋱" : "⋮"));
      else line.append(x === null ? drawGap("td", "⋯") : drawCell(part, y, x));
    }
    body.append(line);
  }
  table.append(body);
  return table;
}

const drawGap = (tag, dots) => element(tag, { class: "gap", "aria-hidden": "true" }, dots);

function drawHeads(part, xs) {
  const head = element("thead");
  if (part.group) {
    const line = element("tr", {}, element("td"));
    let last = null;
    for (const x of xs) {
      const group = x === null ? null : part.group(x);
      if (group && last?.key === group.key) last.head.colSpan += 1;
      else {
        const over = group ? element("th", { scope: "colgroup", class: "group" }, group.name) : drawGap("td", "");
        line.append(channelled(over, group?.channel));
        last = group && { key: group.key, head: over };
      }
    }
    head.append(line);
  }
  const corner = part.rowHead ? [element("td", { class: "corner" }, `${part.across} →\n${part.corner} ↓`)] : [];
  const heads = xs.map((x) => (x === null ? drawGap("th", "⋯") : drawHead(part, part.colHead(x), -1, x)));
  head.append(element("tr", {}, ...corner, ...heads));
  return head;
}

function drawHead(part, { text, label, ref, channel }, row, col) {
  const scope = row < 0 ? "col" : "row";
  const head = element("th", { scope, "aria-label": label ?? null, tabindex: ref ? "-1" : null }, text);
  return named(channelled(head, channel), ref, part, row, col);
}

function drawCell(part, y, x) {
  const ref = part.ref(y, x);
  const { text, label, channel, pad, marked, shade } = part.cell(ref);
  const cell = element("td", { role: "gridcell", tabindex: "-1", "aria-label": label }, part.tiny ? "" : text);
  if (pad) cell.classList.add("pad");
  if (marked) cell.classList.add("marked");
  if (part.tiny) cell.style.setProperty("--shade", `${Math.round(shade * 100)}%`);
  return named(channelled(cell, channel), ref, part, y, x);
}

function channelled(cell, channel) {
  if (channel !== undefined && channel !== null) cell.classList.add(`channel${channel % 4}`);
  return cell;
}

function named(cell, ref, part, row, col) {
  if (!ref) return cell;
  cell.dataset.at = ref.at;
  cells.set(ref.at, cell);
  return Object.assign(cell, { ref, place: { part, row, col } });
}

// What stands beside a cell, whether it is drawn or not; row and column -1 are the heads, where they are things.
function beside({ place: { part, row, col } }, down, right) {
  const headed = (head) => (head?.(0).ref ? -1 : 0);
  const clamp = (place, least, most) => Math.min(Math.max(place, least), most);
  const y = clamp(row + down, col < 0 ? 0 : headed(part.colHead), part.rows - 1);
  const x = clamp(col + right, row < 0 ? 0 : headed(part.rowHead), part.cols - 1);
  if (y < 0) return part.colHead(Math.max(x, 0)).ref;
  return x < 0 ? part.rowHead(y).ref : part.ref(y, x);
}

// Lighting, by names; `near` is what a lit cell belongs to, `won` what won. A line goes round all that is lit together.
const litNow = new Map();

function light({ lit, near = [], won = [] }) {
  for (const cell of litNow.keys()) cell.classList.remove("lit", "near", "won", "top", "right", "bottom", "left");
  litNow.clear();
  for (const [kind, names] of [["near", near], ["lit", lit], ["won", won]]) {
    for (const at of names) {
      const cell = cells.get(at);
      if (!cell) continue;
      cell.classList.add(kind);
      litNow.set(cell, kind === "near" ? "near" : "lit");
    }
  }
  for (const [cell, kind] of litNow) {
    if (kind !== "lit") continue;
    const index = cell.cellIndex;
    const line = cell.parentElement;
    const edges = {
      top: line.previousElementSibling?.cells[index],
      right: line.cells[index + 1],
      bottom: line.nextElementSibling?.cells[index],
      left: line.cells[index - 1],
    };
    for (const [edge, beside] of Object.entries(edges)) if (litNow.get(beside) !== "lit") cell.classList.add(edge);
  }
}

// Bring what is lit into view within what scrolls; the page itself stays where it is.
function reveal(except) {
  for (const box of document.querySelectorAll("#figure .tables")) {
    const found = box.querySelector("td.lit");
    if (!found || box.contains(except)) continue;
    const [seen, cell] = [box.getBoundingClientRect(), found.getBoundingClientRect()];
    const head = box.querySelector("tbody th")?.offsetWidth ?? 0;
    if (cell.left < seen.left + head) box.scrollLeft -= seen.left + head - cell.left;
    else if (cell.right > seen.right) box.scrollLeft += cell.right - seen.right;
  }
}
