"use strict";
// What every page shares. Data become text nodes and attributes only, never markup.

const byId = (id) => document.getElementById(id);
const held = (id) => JSON.parse(byId(id).textContent); // the JSON of a <script>

// A text with its {values}, and [one|several] by its count
const phrase = (text, values) => text
  .replace(/\[(\w+)\|(\w+)\]/g, (_, one, several) => (values.count === 1 ? one : several))
  .replace(/\{(\w+)\}/g, (_, key) => values[key]);

// The sign between terms as they are shown and their result as it is shown
const equal = (terms, result) => (Math.abs(terms - result) <= 1e-9 * Math.max(1, Math.abs(terms)) ? "=" : "≈");

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

const element = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const SVG = new DOMParser().parseFromString("<svg/>", "text/html").querySelector("svg").namespaceURI;
const shape = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
