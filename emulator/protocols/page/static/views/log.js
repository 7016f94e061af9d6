// A log that follows.

import { h } from "../dom.js";
import { state } from "../parts.js";

export const title = "Log";
export const place = "endpoints";

let follow = true;

export function render(model, query) {
  return [
    h("p", { class: "back" }, h("a", { href: `#/resource?id=${encodeURIComponent(query.get("id"))}` }, `← ${model.name}`)),
    h("h1", {}, `Log of ${model.name}`),
    h("p", { class: "lead" }, state(model.tone, model.state)),
    h("p", {}, h("label", { class: "choice" }, h("input", { type: "checkbox", checked: true, "data-keep": "", "data-action": "follow" }), " Follow the end")),
    h("pre", { class: "log", tabindex: "0", "aria-label": "Log" }, model.lines.join("\n") || "It has written nothing."),
  ];
}

export function after(main) {
  const text = main.querySelector("pre.log");
  if (text && follow) text.scrollTop = text.scrollHeight;
}

export const actions = {
  follow(box) {
    follow = box.checked;
  },
};
