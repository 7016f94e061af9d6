// What the program asked of Azure in the last run, in order.

import { h, s } from "../dom.js";
import { clock, count, duration, error, number, row, state, table } from "../parts.js";

export const title = "Requests";

let reads = false;

export function render(model) {
  const rows = model.rows.filter((each) => reads || !each.read || each.tone === "failed");
  return [
    h("h1", {}, title),
    h("p", { class: "lead" }, `${count(model.total, "request")} since the last up began`, model.began ? [" at ", clock(model.began)] : null, `, ${model.failed} refused or failed.`),
    h("p", {}, h("label", { class: "choice" }, h("input", { type: "checkbox", "data-action": "reads", "data-key": "reads" }), " Show reads, too")),
    table(
      "Requests of the last run, in order",
      [{ text: "After", class: "number" }, "Request", "Of", "Service", "Result", { text: "Took", class: "number" }, { text: "Course", class: "course" }],
      rows.map((each) =>
        row(
          each.number,
          number(`${(each.at - model.began).toFixed(1)} s`),
          h("code", {}, each.method),
          h("td", { title: each.target }, each.kind ? h("small", {}, each.kind, " ") : null, each.name),
          h("td", { class: "short" }, each.service),
          h("td", {}, state(each.tone, `${each.status}`), error(each.error)),
          number(duration(each.seconds)),
          course(each, model),
        ),
      ),
      model.total && !reads ? "It has written nothing." : "Nothing yet.",
    ),
  ];
}

// When it began and ended, within the whole run.
function course(each, model) {
  const width = model.ended - model.began || 1;
  const from = (100 * (each.at - model.began)) / width;
  const long = (100 * (each.seconds ?? model.ended - each.at)) / width;
  return h("td", { class: "course", "aria-hidden": "true" }, s("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none" }, s("rect", { x: Math.min(from, 99), width: Math.max(long, 0.7), height: 8, class: each.tone })));
}

export const actions = {
  reads(box, { render: again }) {
    reads = box.checked;
    again();
  },
};
