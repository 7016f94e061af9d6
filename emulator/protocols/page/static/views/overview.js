// The graph of what exists, and what failed.

import { h, s } from "../dom.js";
import { clock, count, panel, state, symbol } from "../parts.js";

export const title = "Overview";

const NODE = { width: 174, height: 56 };
const STEP = { column: 184, row: 100 };
const LETTERS = 18;
const PADDING = 40;

export const query = (main) => ({ columns: Math.max(1, Math.min(6, Math.floor((main.clientWidth - PADDING) / STEP.column))) });

export const announce = (model) =>
  model.nodes.filter((each) => each.tone !== "ok").map((each) => `${each.kind} ${each.name}: ${each.state}`).join("; ") ||
  `${count(model.nodes.length, "resource")}, all well`;

export function render(model) {
  const tones = Map.groupBy(model.nodes, (each) => each.tone);
  const summary = [
    ["ok", "ready"],
    ["busy", "in progress"],
    ["failed", "failed"],
  ].filter(([tone]) => tones.has(tone));
  return [
    h("h1", {}, title),
    h(
      "p",
      { class: "lead" },
      model.groups.length ? [`Resource ${model.groups.length === 1 ? "group" : "groups"} `, h("strong", {}, model.groups.join(", ")), ": "] : null,
      count(model.nodes.length, "resource"),
      summary.map(([tone, text]) => [" ", state(tone, `${tones.get(tone).length} ${text}`)]),
    ),
    model.nodes.length ? graph(model) : h("p", { class: "empty" }, "No resource exists. make up makes some."),
    panel("what-failed", "What failed", failures(model.failures)),
  ];
}

const failures = (rows) =>
  rows.length
    ? h(
        "ul",
        { class: "failures" },
        rows.map((each) =>
          h(
            "li",
            { "data-key": each.number },
            h("p", {}, clock(each.at), " ", h("strong", {}, `${each.kind} ${each.name}`), ` (${each.method})`),
            h("p", { class: "error" }, each.error),
          ),
        ),
      )
    : h("p", { class: "empty" }, "Nothing, since the local Azure started.");

function graph(model) {
  const width = model.columns * STEP.column;
  const height = model.rows * STEP.row - (STEP.row - NODE.height) + 8;
  const at = new Map(model.nodes.map((each) => [each.key, place(each)]));
  const edges = model.nodes.flatMap((each) => each.needs.map((need) => edge(each, at.get(each.key), need, at.get(need.key))));
  return h(
    "figure",
    { class: "graph", "data-key": "graph" },
    s(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": "Resources; a line leads up to what must exist first" },
      s("g", { class: "edges", "aria-hidden": "true" }, edges),
      model.nodes.map((each) => node(each, at.get(each.key), model.groups)),
    ),
    h("figcaption", {}, "A line leads up to what must exist first. Choose a resource for its document, its history and who may use it."),
  );
}

const place = (node) => ({ x: node.column * STEP.column + (STEP.column - NODE.width) / 2, y: node.row * STEP.row + 4 });

// From a resource up to what it needs, past the resources of the rows between.
function edge(node, from, need, to) {
  const [x, y] = [from.x + NODE.width / 2, from.y];
  const end = { x: to.x + NODE.width / 2, y: to.y + NODE.height };
  const passes = need.bends.map(place).map((bend) => ({ x: bend.x + NODE.width / 2, y: bend.y + NODE.height, up: bend.y }));
  let path = `M${x} ${y}`;
  let at = { x, y };
  for (const each of [...passes, end]) {
    const bend = Math.max(18, (at.y - each.y) / 2);
    path += `C${at.x} ${at.y - bend} ${each.x} ${each.y + bend} ${each.x} ${each.y}`;
    if (each.up !== undefined) path += `V${each.up}`;
    at = { x: each.x, y: each.up ?? each.y };
  }
  if (!passes.length && x === end.x && y - end.y > STEP.row) path = beside(from, to);
  return s("path", { d: path, "data-from": node.key, "data-to": need.key, "data-key": `${node.key} ${need.key}` });
}

// Around what stands between two resources of one column.
function beside(from, to) {
  const [x, y1, y2] = [from.x + NODE.width, from.y + NODE.height / 2, to.y + NODE.height / 2];
  const out = x + Math.min(48, 12 + (y1 - y2) / 16);
  return `M${x} ${y1}C${out} ${y1} ${out} ${y2} ${x} ${y2}`;
}

function node(each, { x, y }, groups) {
  const said = `${each.kind} ${each.name}: ${each.state}${each.reason ? `. ${each.reason}` : ""}`;
  return s(
    "a",
    { href: `#/resource?id=${encodeURIComponent(each.id)}`, class: `node ${each.tone}`, "aria-label": said, "data-node": each.key, "data-key": each.key },
    s("title", {}, said),
    s("rect", { x, y, width: NODE.width, height: NODE.height, rx: 10 }),
    s("text", { x: x + 12, y: y + 22, class: "kind" }, each.kind),
    s("text", { x: x + 12, y: y + 42, class: "name" }, short(each.name, groups)),
    s("text", { x: x + NODE.width - 13, y: y + 22, class: "symbol", "text-anchor": "middle" }, symbol(each.tone)),
  );
}

// Names mostly begin with their group's, and differ at the end.
function short(name, groups) {
  const own = groups.reduce((text, group) => text.replace(`${group}-`, "…"), name);
  return own.length > LETTERS ? `${own.slice(0, LETTERS / 2)}…${own.slice(1 - LETTERS / 2)}` : own;
}

// The lines of the resource that is pointed at or has the focus stand out.
export function after(main) {
  const figure = main.querySelector(".graph");
  if (!figure || figure.listens) return;
  figure.listens = true;
  const mark = (event) => {
    const key = event.type.endsWith("out") ? null : event.target.closest("[data-node]")?.dataset.node;
    for (const each of figure.querySelectorAll(".edges path")) {
      each.classList.toggle("near", key && (each.dataset.from === key || each.dataset.to === key));
    }
  };
  for (const type of ["pointerover", "pointerout", "focusin", "focusout"]) figure.addEventListener(type, mark);
}
