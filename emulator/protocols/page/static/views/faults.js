// Faults to throw, to see what the program makes of them.

import { h } from "../dom.js";
import { panel } from "../parts.js";

export const title = "Faults";

const NEXT = "next-call";

export const announce = (model) => (model.next ? "The next write will be refused" : "No write will be refused");

export function render(model) {
  return [
    h("h1", {}, title),
    h("p", { class: "lead" }, "Throw one, run an up, and see what the program makes of it. Nothing here exists on Azure."),
    panel("next", "Refuse the next write to Resource Manager", next(model), form(model)),
    panel("switches", "Until they are ended", h("ul", { class: "plain switches" }, model.switches.map(toggle), model.others.map((name) => toggle({ name, text: "Set from the command line", on: true })))),
  ];
}

const next = (model) =>
  h(
    "p",
    { "data-key": "next-state" },
    model.next ? `The next write${model.next.type ? ` of ${model.next.type}` : ""} is answered ${model.next.status} ${model.next.code}. ` : "None will be refused. ",
    model.next ? h("button", { type: "button", "data-action": "end", "data-name": NEXT }, "Take it back") : null,
  );

const form = (model) =>
  h(
    "form",
    { class: "row", "data-action": "throw", "data-keep": "", "data-key": "form" },
    h("label", {}, "Answer ", h("select", { name: "status" }, model.statuses.map((each) => h("option", { value: each.value }, `${each.value} ${each.text}`)))),
    h("label", {}, "Of ", h("select", { name: "type" }, h("option", { value: "" }, "any type"), model.types.map((each) => h("option", { value: each }, each)))),
    h("button", {}, "Refuse the next write"),
  );

const toggle = (each) =>
  h(
    "li",
    { "data-key": each.name },
    h("button", { type: "button", role: "switch", "aria-checked": `${each.on}`, "aria-label": each.text, "data-action": each.on ? "end" : "set", "data-name": each.name }, each.on ? "On" : "Off"),
    h("span", {}, each.text, " ", h("code", {}, each.name)),
  );

export const actions = {
  throw: (form, { send }) => attempt(send, { name: NEXT, on: true, ...Object.fromEntries(new FormData(form)) }),
  set: (button, { send }) => attempt(send, { name: button.dataset.name, on: true }),
  end: (button, { send }) => attempt(send, { name: button.dataset.name, on: false }),
};

const attempt = (send, body) => send("/faults", body).then(() => "", (problem) => problem.message);
