// Which view is shown, the events that move it, and what the keyboard and screen readers get of a change.

import { h, morphChildren } from "./dom.js";
import * as endpoints from "./views/endpoints.js";
import * as faults from "./views/faults.js";
import * as log from "./views/log.js";
import * as overview from "./views/overview.js";
import * as registries from "./views/registries.js";
import * as requests from "./views/requests.js";
import * as resource from "./views/resource.js";
import * as roles from "./views/roles.js";

const VIEWS = { overview, endpoints, registries, roles, requests, faults, resource, log };
const main = document.getElementById("main");
const news = document.getElementById("news");
const connection = document.getElementById("connection");
let shown = null;

function route() {
  const [name, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { name: name in VIEWS ? name : "overview", query: new URLSearchParams(query) };
}

function open() {
  const { name, query } = route();
  shown?.events.close();
  const view = VIEWS[name];
  const asked = new URLSearchParams([...query, ...Object.entries(view.query?.(main) ?? {})]);
  const events = new EventSource(`/events/${name}?${asked}`);
  const first = shown === null;
  shown = { view, events, asked: `${asked}`, model: null, said: null };
  events.onopen = () => say("live", "Live");
  events.onerror = () => say("lost", events.readyState === EventSource.CLOSED ? "Closed: make page opens it again" : "Not connected");
  events.onmessage = (event) => show(JSON.parse(event.data));
  events.addEventListener("refused", (event) => refuse(JSON.parse(event.data)));
  for (const each of document.querySelectorAll("nav a")) {
    const current = each.hash === `#/${view.place ?? name}`;
    if (current) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
  document.title = `${view.title} – Local Azure`;
  main.replaceChildren(h("h1", { tabindex: "-1" }, view.title));
  if (!first) main.firstChild.focus();
}

function say(name, text) {
  connection.dataset.state = name;
  if (connection.textContent !== text) connection.textContent = text;
}

function show(model) {
  shown.model = model;
  render();
  main.dataset.ready = route().name;
  const said = shown.view.announce?.(model) ?? null;
  if (shown.said !== null && said !== shown.said) news.textContent = said;
  shown.said = said;
}

function render() {
  const fresh = document.createElement("main");
  const content = shown.view.render(shown.model, route().query);
  fresh.append(...content.filter(Boolean));
  fresh.querySelector("h1").setAttribute("tabindex", "-1");
  morphChildren(main, fresh);
  shown.view.after?.(main);
}

function refuse({ error }) {
  const fresh = h("main", {}, h("h1", { tabindex: "-1" }, shown.view.title), h("p", { class: "error" }, error.message));
  morphChildren(main, fresh);
}

async function send(path, body) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, options);
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error.message);
  return found;
}

// An element with `data-action` is handled by the view's function of that name.
async function act(event) {
  const element = event.target.closest("[data-action]");
  if (!element || (event.type === "click" && element.nodeName === "FORM")) return;
  if ((event.type === "change") !== element.matches("select, input")) return;
  if (event.type !== "change") event.preventDefault();
  const problem = await shown.view.actions[element.dataset.action](element, { send, model: shown.model, render });
  if (problem) news.textContent = problem;
}

for (const type of ["click", "submit", "change"]) main.addEventListener(type, act);
addEventListener("hashchange", open);
addEventListener("resize", () => {
  const { query } = route();
  const asked = new URLSearchParams([...query, ...Object.entries(shown.view.query?.(main) ?? {})]);
  if (`${asked}` !== shown.asked) open();
});
open();
