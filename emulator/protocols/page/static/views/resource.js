// One resource: its document, its history, who may do what.

import { h } from "../dom.js";
import { clock, duration, error, link, logLink, number, panel, row, state, table } from "../parts.js";

export const title = "Resource";
export const place = "overview";

const WITH_LOG = new Set(["Online deployment", "Build run"]);

export const announce = (model) => `${model.kind} ${model.name}: ${model.state}`;

export function render(model) {
  return [
    h("p", { class: "back" }, h("a", { href: "#/overview" }, "← Overview")),
    h("h1", {}, h("span", { class: "kind" }, model.kind), " ", model.name),
    h("p", { class: "lead" }, state(model.tone, model.state), WITH_LOG.has(model.kind) ? [" · ", logLink(model.id, "Follow its log")] : null),
    error(model.reason),
    h("p", { class: "id" }, h("code", {}, model.id)),
    h("div", { class: "columns" }, panel("needs", "Needs", names(model.needs)), panel("needed", "Is needed by", names(model.needed))),
    panel("history", "History", history(model.history)),
    panel("access", "Who may do what", access(model.access)),
    panel("document", "ARM document", h("pre", { tabindex: "0", "aria-label": "ARM document as JSON" }, JSON.stringify(model.document, null, 2))),
  ];
}

const names = (list) =>
  list.length
    ? h("ul", { class: "plain" }, list.map((each) => h("li", { "data-key": each.key }, link(each.id, each.name), " ", h("small", {}, each.kind))))
    : h("p", { class: "empty" }, "Nothing.");

const history = (rows) =>
  table(
    "Requests about this resource, newest first",
    ["Time", "Request", "By", "Result", { text: "Took", class: "number" }],
    rows.map((each) =>
      row(each.number, clock(each.at), each.method, each.client, [state(each.tone, `${each.status} ${each.state}`), error(each.error)], number(duration(each.seconds))),
    ),
    "Nothing since the local Azure started.",
  );

const access = (rows) =>
  table(
    "Roles at this resource",
    ["Principal", "Role", "Assigned at"],
    rows.map((each, index) => row(index, each.principal, each.role, h("td", {}, each.inherited ? "above: " : "here: ", h("code", {}, each.scope)))),
    "No role is assigned here or above.",
  );
