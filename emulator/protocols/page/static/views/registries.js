// What the registries hold, what runs of it, and the builds.

import { h } from "../dom.js";
import { clock, day, error, link, logLink, panel, row, state, table } from "../parts.js";

export const title = "Registry";

export const announce = (model) => model.registries.flatMap((each) => each.runs).map((run) => `Build ${run.name}: ${run.state}`)[0] ?? "";

export function render(model) {
  return [
    h("h1", {}, title),
    model.registries.length ? null : h("p", { class: "empty" }, "There is no container registry."),
    ...model.registries.map(registry),
  ];
}

const registry = (each, index) =>
  h(
    "section",
    { "aria-labelledby": `registry-${index}`, "data-key": each.key },
    h("h2", { id: `registry-${index}` }, link(each.id, each.name)),
    h("p", { class: "lead" }, h("code", {}, each.server), ` · admin account ${each.adminUser ? "on" : "off"}`),
    h("h3", {}, "Images"),
    table(
      `Tags of ${each.name}`,
      ["Repository", "Tag", "Digest", "Runs in", "Last pull"],
      each.repositories.flatMap((repository) => repository.tags.map((tag) => image(repository, tag))),
      "It is empty.",
    ),
    h("h3", {}, "Build runs"),
    table(`Build runs of ${each.name}, newest first`, ["Run", "State", "Begun", "Images", "Log"], each.runs.map(run), "No build has run."),
    h("h3", {}, "Who asked for access"),
    table(
      `Tokens asked of ${each.name}, newest first`,
      ["Time", "By", "Scope", "Answer"],
      each.attempts.map((one) =>
        row(one.number, clock(one.at), one.client || "unknown", h("code", {}, one.target.split(" ").slice(1).join(" ") || "sign-in"), h("td", {}, state(one.tone, one.error ? "refused" : "granted"), error(one.error))),
      ),
      "Nobody since the local Azure started.",
    ),
  );

const image = (repository, tag) =>
  row(
    `${repository.name}:${tag.name}`,
    repository.name,
    tag.name,
    h("td", {}, h("code", { title: tag.digest }, `${tag.digest.slice(0, 19)}…`)),
    tag.runs.length ? h("td", {}, state("ok", tag.runs.join(", "))) : "–",
    repository.pulled ? [repository.pulled.client, " at ", clock(repository.pulled.at)] : "–",
  );

const run = (each) =>
  row(each.name, each.name, h("td", {}, state(each.tone, each.state), error(each.error)), each.created ? day(each.created) : "–", each.images.join(", ") || "–", logLink(each.id, h("span", {}, "Log", h("span", { class: "unseen" }, ` of ${each.name}`))));
