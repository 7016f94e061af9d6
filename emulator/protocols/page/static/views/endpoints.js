// Split and mirror, figures by deployment, instances, and one request to try.

import { h, s } from "../dom.js";
import { count, error, link, logLink, milliseconds, number, row, state, table } from "../parts.js";

export const title = "Endpoint";

const CHART = { width: 320, height: 120, bottom: 18, left: 4 };

export const announce = (model) => model.endpoints.map((each) => `${each.name}: ${spoken(each, "traffic")}`).join("; ");

export function render(model) {
  return [
    h("h1", {}, title),
    model.endpoints.length ? null : h("p", { class: "empty" }, "There is no online endpoint."),
    ...model.endpoints.map((each, index) => endpoint(each, index, model)),
  ];
}

function endpoint(each, index, model) {
  const id = `endpoint-${index}`;
  return h(
    "section",
    { "aria-labelledby": id, "data-key": each.key },
    h("h2", { id }, link(each.id, each.name)),
    h("p", { class: "lead" }, state(each.tone, each.state), ` · ${each.kind} · ${each.authMode} · `, h("code", {}, each.scoringUri ?? "no scoring URI yet")),
    h("h3", {}, "Traffic"),
    bar("Split", each, "traffic"),
    bar("Mirror", each, "mirror"),
    h("h3", {}, "Deployments"),
    deployments(each),
    h("h3", {}, "Last 15 minutes"),
    h("div", { class: "charts" }, charts(each, model.minutes)),
    h("h3", {}, "Ask it"),
    form(each, index, model.example),
    h("div", { class: "reply", id: `reply-${index}`, "aria-live": "polite", "data-keep": "" }),
  );
}

const spoken = (endpoint, field) =>
  endpoint.deployments.filter((each) => each[field]).map((each) => `${each.name} ${each[field]} %`).join(", ") || "none";

function bar(name, endpoint, field) {
  let x = 0;
  const parts = endpoint.deployments.map((each, index) => {
    const part = s("rect", { x, y: 0, width: each[field], height: 10, class: colour(each, index), "data-key": each.key, "data-share": `${field} ${each.name}` });
    x += each[field];
    return part;
  });
  return h(
    "div",
    { class: "split", "data-key": field },
    h("p", { class: "legend" }, h("strong", {}, name), " ", x ? endpoint.deployments.map((each, index) => (each[field] ? swatch(each, index, `${each.name} ${each[field]} %`) : null)) : "none"),
    s("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", class: field, role: "img", "aria-label": `${name}: ${spoken(endpoint, field)}` }, parts),
  );
}

// The slots that a rollout uses have the colours of their names, also where one stands alone.
const colour = (each, index) => `series-${{ blue: 0, green: 1 }[each.name] ?? 2 + (index % 4)}`;
const swatch = (each, index, text) =>
  h("span", { class: "swatch" }, s("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, s("rect", { width: 10, height: 10, rx: 3, class: colour(each, index) })), ` ${text}`);

const deployments = (endpoint) =>
  table(
    `Deployments of ${endpoint.name}`,
    ["Deployment", "State", "Instances", { text: "Requests", class: "number" }, { text: "Errors", class: "number" }, { text: "p50", class: "number" }, { text: "p95", class: "number" }, "Image", "Log"],
    endpoint.deployments.map((each, index) =>
      row(
        each.key,
        h("td", {}, swatch(each, index, ""), link(each.id, each.name)),
        h("td", {}, state(each.tone, each.state)),
        h("td", {}, instances(each)),
        number(each.requests),
        number(each.errors),
        number(milliseconds(each.p50)),
        number(milliseconds(each.p95)),
        h("td", {}, h("code", { class: "image" }, each.image || "–")),
        logLink(each.id, h("span", {}, "Follow", h("span", { class: "unseen" }, ` the log of ${each.name}`))),
      ),
    ),
    "There is no deployment.",
  );

const instances = (each) => [
  `${each.instances} × ${each.size ?? "share of the cluster"}`,
  h("ul", { class: "plain" }, each.containers.map((one) => h("li", {}, state(one.ready ? "ok" : "busy", one.ready ? "ready" : "not ready"), ` ${one.name}`, one.busy ? ` (${count(one.busy, "request")} inside)` : null))),
];

function charts(endpoint, minutes) {
  return [
    chart("Requests per minute", endpoint, minutes, ["requests"], bars, (value) => `${value}`),
    chart("Errors per minute", endpoint, minutes, ["errors"], bars, (value) => `${value}`),
    chart("Latency, p50 and (dashed) p95", endpoint, minutes, ["p50", "p95"], lines, milliseconds),
  ];
}

function chart(name, endpoint, minutes, figures, draw, format) {
  const heights = draw === bars ? minutes.map((_, at) => sum(endpoint.deployments.map((each) => each.series[figures[0]][at] ?? 0))) : endpoint.deployments.flatMap((each) => figures.flatMap((figure) => each.series[figure]));
  const highest = Math.max(1, ...heights.map((value) => value ?? 0));
  const { width, height, bottom } = CHART;
  const said = endpoint.deployments.map((each) => `${each.name} ${figures.map((figure) => format(last(each.series[figure]))).join(" / ")}`).join(", ");
  return h(
    "figure",
    { class: "chart", "data-key": name },
    h("figcaption", {}, name, h("span", {}, ` up to ${format(highest)}`)),
    s(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${name}, latest: ${said}` },
      s("line", { x1: 0, x2: width, y1: height - bottom, y2: height - bottom, class: "axis" }),
      draw(endpoint, minutes, figures, highest),
      s("text", { x: 0, y: height - 4 }, clock(minutes[0])),
      s("text", { x: width, y: height - 4, "text-anchor": "end" }, clock(minutes.at(-1))),
    ),
    h(
      "details",
      {},
      h("summary", {}, "As a table"),
      table(
        name,
        ["Minute", ...endpoint.deployments.flatMap((each) => figures.map((figure) => `${each.name} ${figure}`))],
        minutes.map((minute, at) => row(minute, clock(minute), ...endpoint.deployments.flatMap((each) => figures.map((figure) => number(each.series[figure][at] === null ? "–" : format(each.series[figure][at])))))),
      ),
    ),
  );
}

const clock = (at) => new Date(at * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const sum = (values) => values.reduce((total, each) => total + each, 0);
const last = (values) => values.findLast((each) => each !== null) ?? null;

function bars(endpoint, minutes, [figure], highest) {
  const room = CHART.height - CHART.bottom - 6;
  const step = CHART.width / minutes.length;
  return minutes.flatMap((minute, at) => {
    let y = CHART.height - CHART.bottom;
    return endpoint.deployments.map((each, index) => {
      const size = ((each.series[figure][at] ?? 0) / highest) * room;
      y -= size;
      return s("rect", { x: at * step + 2, y, width: step - 4, height: size, class: colour(each, index), "data-key": `${minute} ${each.key}` });
    });
  });
}

function lines(endpoint, minutes, figures, highest) {
  const room = CHART.height - CHART.bottom - 6;
  const step = CHART.width / minutes.length;
  const point = (value, at) => [at * step + step / 2, CHART.height - CHART.bottom - (value / highest) * room];
  return endpoint.deployments.flatMap((each, index) =>
    figures.map((figure) => {
      const points = each.series[figure].flatMap((value, at) => (value === null ? [] : [point(value, at)]));
      return s(
        "g",
        { class: `line ${figure} ${colour(each, index)}`, "data-key": `${figure} ${each.key}` },
        s("polyline", { points: points.map((each) => each.join(",")).join(" ") }),
        points.map(([cx, cy]) => s("circle", { cx, cy, r: 2.5 })),
      );
    }),
  );
}

const form = (endpoint, index, example) =>
  h(
    "form",
    { class: "ask", "data-action": "ask", "data-endpoint": endpoint.id, "data-reply": `reply-${index}`, "data-keep": "", "data-key": "ask" },
    h("label", { for: `request-${index}` }, "Request"),
    h("textarea", { id: `request-${index}`, name: "request", rows: 5, spellcheck: "false" }, example),
    h(
      "div",
      { class: "row" },
      h("label", {}, "Deployment ", h("input", { name: "deployment", placeholder: "by the split", autocomplete: "off" })),
      h("button", {}, "Send"),
    ),
  );

export const actions = {
  async ask(form, { send }) {
    const place = document.getElementById(form.dataset.reply);
    form.setAttribute("aria-busy", "true");
    try {
      const reply = await send("/ask", { endpoint: form.dataset.endpoint, ...Object.fromEntries(new FormData(form)) });
      place.replaceChildren(...answered(reply));
    } catch (problem) {
      place.replaceChildren(error(problem.message));
    } finally {
      form.removeAttribute("aria-busy");
    }
  },
};

const answered = (reply) => [
  h("p", {}, state(reply.status < 400 ? "ok" : "failed", `HTTP ${reply.status}`), ` in ${milliseconds(reply.milliseconds)}`, reply.deployment ? [" from ", h("strong", {}, reply.deployment)] : null),
  h("pre", { tabindex: "0", "aria-label": "Reply" }, pretty(reply.body)),
];

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
