// What several views show: states, times, tables, links to resources.

import { h } from "./dom.js";

const SYMBOLS = { ok: "✓", busy: "●", failed: "✕" };

export const symbol = (tone) => SYMBOLS[tone] ?? "";

export const state = (tone, text) =>
  h("span", { class: `state ${tone}` }, h("span", { "aria-hidden": "true" }, symbol(tone)), ` ${text}`);

export const link = (id, name) => h("a", { href: `#/resource?id=${encodeURIComponent(id)}` }, name);

export const logLink = (id, name) => h("a", { href: `#/log?id=${encodeURIComponent(id)}` }, name);

export const clock = (at) =>
  h("time", { datetime: moment(at).toISOString() }, moment(at).toLocaleTimeString(undefined, { hour12: false }));

export const day = (at) =>
  h("time", { datetime: moment(at).toISOString() }, moment(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }));

const moment = (at) => (typeof at === "number" ? new Date(at * 1000) : new Date(at));

export function duration(seconds) {
  if (seconds === null) return "going on";
  if (seconds < 0.001) return "< 1 ms";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  return seconds < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

export const milliseconds = (value) => (value === null ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`);

export const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

// A table that scrolls by itself where it is too wide, so that the page does not.
export function table(caption, heads, rows, empty = "Nothing yet.") {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col", class: head.class }, head.text ?? head)))),
      h("tbody", {}, rows),
    ),
  );
}

export const row = (key, ...cells) =>
  h("tr", { "data-key": key }, cells.map((cell) => (cell instanceof Element && cell.nodeName === "TD" ? cell : h("td", {}, cell))));

export const number = (text) => h("td", { class: "number" }, text);

export const error = (text) => text && h("p", { class: "error" }, text);

export const panel = (id, title, ...content) =>
  h("section", { class: "panel", "aria-labelledby": id, "data-key": id }, h("h2", { id }, title), ...content);
