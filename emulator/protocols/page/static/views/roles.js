// Principals, their roles by scope, their passwords, and why a pull was refused.

import { h } from "../dom.js";
import { clock, day, error, panel, row, state, table } from "../parts.js";

export const title = "Roles";

const KINDS = { ManagedIdentity: "managed identity", Application: "service principal" };
const SOON = 30 * 24 * 3600 * 1000;

export function render(model) {
  return [
    h("h1", {}, title),
    h("p", { class: "lead" }, "Who may do what, and where. A role holds at its scope and below."),
    panel(
      "principals",
      "Principals",
      table(
        "Principals with their roles and passwords",
        ["Principal", "Roles", "Passwords end"],
        model.principals.map((each) =>
          row(
            each.objectId,
            h("td", {}, h("strong", {}, each.name), h("br"), h("small", {}, each.deployer ? "the deployer of this local Azure" : (KINDS[each.kind] ?? each.kind))),
            each.roles.length ? h("ul", { class: "plain" }, each.roles.map(role)) : "none",
            each.passwords.length ? h("ul", { class: "plain" }, each.passwords.map(password)) : "–",
          ),
        ),
      ),
    ),
    panel(
      "refusals",
      "Refused",
      table(
        "Requests that were refused for lack of a right, newest first",
        ["Time", "By", "Asked of", "Why"],
        model.refusals.map((each) => row(each.number, clock(each.at), each.client || "unknown", h("td", {}, each.service, h("br"), h("small", {}, `${each.kind} ${each.name}`)), h("td", {}, error(each.error || `HTTP ${each.status}`)))),
        "Nobody was refused since the local Azure started.",
      ),
    ),
  ];
}

const role = (each) => h("li", { title: each.scope }, h("strong", {}, each.role), " at ", h("small", {}, each.kind), ` ${each.name}`);

function password(each) {
  const left = new Date(each.ends) - Date.now();
  const tone = left < 0 ? "failed" : left < SOON ? "busy" : "ok";
  const text = left < 0 ? "ended" : left < SOON ? "soon" : "valid";
  return h("li", {}, day(each.ends), " ", state(tone, text));
}
