// Shows /openapi.json, and at /docs/metrics the catalogue. Text from anywhere becomes text nodes, never markup.
"use strict";

const main = document.getElementById("main");
const SHOWN = 200000; // characters of an answer

function element(name, properties, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(properties || {})) {
    if (key.startsWith("on")) e.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) e.setAttribute(key, value);
  }
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

function say(message) {
  main.replaceChildren(element("p", { role: "alert" }, message));
}

// --- types ---------------------------------------------------------------------------------------------------------

function resolve(schema, api) {
  if (!schema.$ref) return schema;
  return { ...api.components.schemas[schema.$ref.split("/").pop()], name: schema.$ref.split("/").pop() };
}

function typeName(schema, api) {
  if (schema.$ref) {
    const target = resolve(schema, api);
    return target.enum ? target.enum.join(" | ") : target.name.replace("sonde.v1.", "");
  }
  if (schema.oneOf) return schema.oneOf.map((s) => typeName(s, api)).join(" or ");
  if (schema.type === "array") return `${typeName(schema.items, api)}[]`;
  if (schema.format === "date-time") return "time";
  return [].concat(schema.type || "any").join(" | ");
}

// The message inside a type, if there is one to open.
function messageOf(schema, api) {
  if (schema.oneOf) return messageOf(schema.oneOf[0], api);
  if (schema.type === "array") return messageOf(schema.items, api);
  const target = resolve(schema, api);
  return target.properties ? target : null;
}

// Messages hold messages: each is filled in when it is opened.
function fields(message, api) {
  const list = element("div", { class: "fields" });
  for (const [name, schema] of Object.entries(message.properties)) {
    const inner = messageOf(schema, api);
    const line = [element("code", {}, name), " ", element("span", { class: "quiet" }, typeName(schema, api)), schema.description ? ` — ${schema.description}` : ""];
    if (!inner) {
      list.append(element("div", {}, ...line));
      continue;
    }
    const details = element("details", {}, element("summary", {}, ...line));
    details.addEventListener("toggle", () => details.open && details.childElementCount === 1 && details.append(fields(inner, api)));
    list.append(details);
  }
  return list;
}

// --- operations ----------------------------------------------------------------------------------------------------

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

class Operation {
  constructor(api, path, method, description) {
    Object.assign(this, { api, path, method, description, inputs: new Map() });
    this.isForm = Boolean(this.content("application/x-www-form-urlencoded"));
    this.isLive = Boolean(description.responses[101]);
    this.open = Array.isArray(description.security) && description.security.length === 0;
  }

  content(type) {
    return this.description.requestBody?.content[type];
  }

  url(example) {
    let path = this.path;
    const query = new URLSearchParams();
    for (const p of this.description.parameters) {
      const value = this.inputs.get(p.name)?.value.trim() || "";
      if (p.in === "path") path = path.replace(`{${p.name}}`, value ? encodeURIComponent(value) : example ? `{${p.name}}` : "");
      else if (value) query.append(p.name, value);
    }
    return path + (query.size ? `?${query}` : "");
  }

  command() {
    const parts = ["curl", "-s"];
    if (!this.open) parts.push("-H", '"Authorization: Bearer $TOKEN"');
    if (this.isForm) parts.push("-d", quoted("username=admin&password=..."));
    else if (this.content("application/json")) parts.push("--data-binary", "@-");
    else if (this.method === "post") parts.push("-X", "POST");
    parts.push(quoted(location.origin + this.url(true)));
    const command = parts.join(" ");
    return this.content("application/json") ? `sonde-agent --once --format json | ${command}` : command;
  }

  input(parameter) {
    const schema = resolve(parameter.schema.items || parameter.schema, this.api);
    const properties = { "aria-label": parameter.name, oninput: () => this.refresh() };
    const input = schema.enum
      ? element("select", properties, element("option", { value: "" }, ""), ...schema.enum.filter((v) => v !== "unspecified").map((v) => element("option", {}, v)))
      : element("input", { ...properties, placeholder: parameter.required ? "required" : "" });
    this.inputs.set(parameter.name, input);
    return input;
  }

  parameters() {
    if (this.description.parameters.length === 0) return null;
    const rows = this.description.parameters.map((p) =>
      element("tr", {}, element("td", { class: "code" }, p.name), element("td", { class: "quiet" }, `${p.in}, ${typeName(p.schema, this.api)}`),
        element("td", {}, p.description || ""), element("td", {}, this.input(p))));
    const head = element("tr", {}, ...["Parameter", "Type", "Meaning", "Value"].map((text) => element("th", { scope: "col" }, text)));
    return element("div", { class: "scroll" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
  }

  refresh() {
    this.example.textContent = this.command();
  }

  async run() {
    this.answer.hidden = false;
    this.answer.textContent = "…";
    try {
      const body = this.body?.value;
      const reply = await fetch(this.url(false), { method: this.method.toUpperCase(), body, credentials: "same-origin" });
      let text = await reply.text();
      if ((reply.headers.get("content-type") || "").includes("json")) text = JSON.stringify(JSON.parse(text), null, 2);
      const left = text.length - SHOWN;
      this.answer.textContent = `${reply.status} ${reply.statusText}\n\n${text.slice(0, SHOWN)}${left > 0 ? `\n… and ${left} characters more` : ""}`;
    } catch (error) {
      this.answer.textContent = String(error);
    }
  }

  reply() {
    const [status, answer] = Object.entries(this.description.responses)[0];
    const schema = Object.values(answer.content || {})[0]?.schema;
    const message = schema && messageOf(schema, this.api);
    const kind = Object.keys(answer.content || {})[0] || answer.description;
    return [element("h3", {}, `Answer: ${status}, ${schema?.$ref ? typeName(schema, this.api) : kind}`), message ? fields(message, this.api) : null];
  }

  contents() {
    const json = this.content("application/json");
    this.example = element("pre", {});
    this.answer = element("pre", { "aria-live": "polite", hidden: "" });
    const parts = [this.parameters()];
    if (json) {
      this.body = element("textarea", { "aria-label": "Body", spellcheck: "false" });
      this.body.value = '{"custom": {"metrics": [{"name": "queue_depth", "double_value": 3}]}}';
      parts.push(element("h3", {}, `Body: ${typeName(json.schema, this.api)}`), this.body, fields(messageOf(json.schema, this.api), this.api));
    }
    parts.push(element("h3", {}, "Example"), this.example);
    if (!this.isForm && !this.isLive) parts.push(element("button", { type: "button", onclick: () => this.run() }, "Try"), this.answer);
    parts.push(...this.reply());
    this.refresh();
    return element("div", {}, ...parts);
  }

  show() {
    const summary = element("summary", {}, element("span", { class: "method" }, this.method.toUpperCase()), element("span", { class: "path" }, this.path),
      element("span", {}, this.description.summary), this.open ? element("span", { class: "quiet right" }, "open") : null);
    const details = element("details", { class: "operation", id: this.description.operationId }, summary);
    details.addEventListener("toggle", () => details.open && details.childElementCount === 1 && details.append(this.contents()));
    details.open = location.hash === `#${this.description.operationId}`;
    return details;
  }
}

async function showOperations() {
  const reply = await fetch("/openapi.json");
  if (!reply.ok) return say(`/openapi.json answers ${reply.status}`);
  const api = await reply.json();
  const intro = element("p", {}, `Version ${api.info.version}. Send the access token that POST /token gives as "Authorization: Bearer TOKEN"; who is logged in here `,
    "has it as a cookie. gRPC has the same operations as the service sonde.v1.Query, with server reflection.");
  const shown = [];
  for (const [path, methods] of Object.entries(api.paths))
    for (const [method, description] of Object.entries(methods)) shown.push(new Operation(api, path, method, description).show());
  main.replaceChildren(element("h2", {}, "The API"), intro, ...shown);
}

// --- metrics -------------------------------------------------------------------------------------------------------

async function showMetrics() {
  document.title = "Sonde: metrics";
  const reply = await fetch("/api/metrics/catalogue", { credentials: "same-origin" });
  if (reply.status === 401) return say("Log in to see the catalogue.");
  if (!reply.ok) return say(`/api/metrics/catalogue answers ${reply.status}`);
  const { metrics } = await reply.json();
  const rows = metrics.map((m) => {
    const row = element("tr", {}, element("td", { class: "code" }, m.path, element("br"), element("span", { class: "quiet" }, m.name)), element("td", {}, m.kind),
      element("td", {}, m.unit === "unspecified" ? "" : m.unit), element("td", { class: "code" }, (m.labels || []).join(", ")), element("td", {}, m.help || ""));
    return { row, text: `${m.path} ${m.name} ${m.kind} ${m.unit} ${(m.labels || []).join(" ")} ${m.help}`.toLowerCase() };
  });
  const count = element("p", { class: "quiet", role: "status" });
  const filter = element("input", { id: "filter", type: "search", placeholder: "Filter, e.g. disk latency", "aria-label": "Filter" });
  const apply = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    for (const { row, text } of rows) {
      row.hidden = !words.every((w) => text.includes(w));
      n += row.hidden ? 0 : 1;
    }
    count.textContent = `${n} of ${rows.length} metrics`;
  };
  filter.addEventListener("input", apply);
  apply();
  const head = element("tr", {}, ...["Path, and name for Prometheus", "Kind", "Unit", "Labels", "Meaning"].map((text) => element("th", { scope: "col" }, text)));
  main.replaceChildren(element("h2", {}, "Metrics"), filter, count,
    element("div", { class: "scroll" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows.map((r) => r.row)))));
}

// --- the frame -----------------------------------------------------------------------------------------------------

const isMetrics = location.pathname === "/docs/metrics";
const show = () => (isMetrics ? showMetrics() : showOperations()).catch((error) => say(String(error)));

document.getElementById("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const state = document.getElementById("login-state");
  try {
    const reply = await fetch("/token", { method: "POST", body: new URLSearchParams(new FormData(event.target)) });
    const answer = await reply.json();
    state.textContent = reply.ok ? "Logged in" : answer.error.message;
    if (reply.ok) event.target.reset();
    if (reply.ok && isMetrics) show();
  } catch (error) {
    state.textContent = String(error);
  }
});

for (const link of document.querySelectorAll("header nav a")) {
  if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
}
show();
