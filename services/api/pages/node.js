// The page of one node: which one, its own address says. Nothing is made of text but text.

const STATUS_MS = 2000;
const SNIPPET_CHARACTERS_MAX = 20000;
const [, NODE] = /^\/v1\/nodes\/([^/]+)\/docs$/.exec(location.pathname) || [, ""];
const PROJECT = new URLSearchParams(location.search).get("project") || "default";
const EXECUTE = `/v1/nodes/${NODE}:execute`;
const PROJECT_HEADERS = PROJECT === "default" ? {} : { "Cellnode-Project": PROJECT };

const state = { document: null, revision: "", fields: [], language: "curl" };

// Fields.

function makeField(name, schema, example) {
  const told = resolved(schema);
  const id = `input-${name}`;
  const isText = told.type === "string" || isOfTexts(told);
  const known = example === undefined ? (told.examples || [])[0] : example;
  const value = known === undefined ? plainest(told) : known;
  const initial = isText ? String(value) : pretty(value);
  const control = controlFor(told, id, initial);
  const error = make("p", { class: "error", id: `${id}-error` });
  const hint = make("p", { class: "hint", id: `${id}-hint` }, told.description || "");
  control.setAttribute("aria-describedby", `${id}-error ${id}-hint`);
  $("fields").append(
    make(
      "div",
      { class: "field" },
      make("label", { for: id }, name, make("span", { class: "kind" }, words(schema))),
      control,
      error,
      ...(told.description ? [hint] : []),
    ),
  );
  control.addEventListener("input", () => {
    complain(field, "");
    fitHeight(control);
    showSnippet();
  });
  const field = { name, control, error, initial, isText };
  fitHeight(control);
  return field;
}

// Where no example is known: something to begin with.
function plainest(schema) {
  const kind = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  return { object: {}, array: [], string: "", boolean: true, null: null }[kind] ?? 0;
}

const isOfTexts = (schema) => Boolean(schema.enum) && schema.enum.every((one) => typeof one === "string");

function controlFor(schema, id, initial) {
  const choices = schema.enum || (schema.type === "boolean" ? [true, false] : null);
  if (choices) {
    const select = make("select", { id });
    const isText = schema.type === "string" || isOfTexts(schema);
    for (const one of choices) {
      const value = isText ? one : JSON.stringify(one);
      select.append(make("option", { value }, isText ? one : value));
    }
    select.value = initial || select.value;
    return select;
  }
  if (schema.type === "integer" || schema.type === "number") {
    return Object.assign(make("input", { id, inputmode: "decimal", autocomplete: "off" }), { value: initial });
  }
  return Object.assign(make("textarea", { id, rows: 1, spellcheck: "false" }), { value: initial });
}

function fitHeight(control) {
  if (control.tagName !== "TEXTAREA") return;
  control.rows = Math.min(12, Math.max(control.value.split("\n").length, Math.ceil(control.value.length / 52), 1));
}

function flat(value) {
  if (Array.isArray(value)) return `[${value.map(flat).join(", ")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${flat(one)}`).join(", ")}}`;
}

function pretty(value) {
  const text = flat(value);
  if (text.length <= 60 || value === null || typeof value !== "object") return text;
  if (!Array.isArray(value)) return JSON.stringify(value, null, 2);
  if (value.some((one) => typeof one === "object" && one)) return `[\n${value.map((one) => `  ${flat(one)}`).join(",\n")}\n]`;
  return text;
}

function complain(field, text) {
  field.error.textContent = text;
  field.control.setAttribute("aria-invalid", text ? "true" : "false");
}

function valueOf(field) {
  const text = field.control.value;
  return field.isText ? text : JSON.parse(text);
}

// The raw text of each value, so that a number keeps all its digits.
function literal(field) {
  return field.isText ? JSON.stringify(field.control.value) : field.control.value.trim();
}

function body() {
  const members = state.fields.map((field) => `${JSON.stringify(field.name)}: ${compact(literal(field))}`);
  return `{"input": {${members.join(", ")}}}`;
}

function compact(text) {
  return text.includes('"') ? text : text.replaceAll(/\s+/g, " ");
}

// The same call elsewhere.

function callHeaders() {
  const timeout = $("timeout").value.trim();
  const key = $("key").value.trim();
  return {
    ...PROJECT_HEADERS,
    ...(timeout ? { "X-Request-Timeout": timeout } : {}),
    ...(key ? { "Idempotency-Key": key } : {}),
  };
}

const shellQuoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curl() {
  const headers = { "Content-Type": "application/json", ...callHeaders() };
  const lines = Object.entries(headers).map(([name, value]) => `-H ${shellQuoted(`${name}: ${value}`)}`);
  return [`curl ${shellQuoted(location.origin + EXECUTE)}`, ...lines, `-d ${shellQuoted(body())}`].join(" \\\n  ");
}

function pythonLiteral(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(pythonLiteral).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${pythonLiteral(one)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}

function python() {
  const timeout = $("timeout").value.trim();
  const key = $("key").value.trim();
  const values = state.fields.map((field) => `${field.name}=${pythonLiteral(valueOf(field))}`);
  if (timeout) values.push(`timeout_seconds=${timeout}`);
  if (key) values.push(`idempotency_key=${JSON.stringify(key)}`);
  const project = PROJECT === "default" ? "" : `, project=${JSON.stringify(PROJECT)}`;
  const inside = values.length > 1 ? `\n    ${values.join(",\n    ")},\n` : values.join("");
  return [
    "import cellnode",
    "",
    `client = cellnode.connect(${JSON.stringify(location.origin)}${project})`,
    `node = client.node(${JSON.stringify(NODE)})`,
    `print(node.call(${inside}))`,
  ].join("\n");
}

function snippet() {
  try {
    return state.language === "curl" ? curl() : python();
  } catch {
    return "An input is not JSON yet.";
  }
}

function showSnippet() {
  const text = snippet();
  const isLong = text.length > SNIPPET_CHARACTERS_MAX;
  $("snippet").textContent = isLong ? `${text.slice(0, SNIPPET_CHARACTERS_MAX)}\n… (Copy takes all of it)` : text;
}

function choose(language) {
  state.language = language;
  for (const one of ["curl", "python"]) {
    $(`tab-${one}`).setAttribute("aria-selected", String(one === language));
    $(`tab-${one}`).tabIndex = one === language ? 0 : -1;
  }
  $("snippet").setAttribute("aria-labelledby", `tab-${language}`);
  showSnippet();
}

async function copy() {
  const button = $("copy");
  try {
    await navigator.clipboard.writeText(snippet());
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren($("snippet"));
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 1500);
}

// The call itself.

function firstWrong() {
  let wrong = null;
  for (const field of state.fields) {
    try {
      valueOf(field);
      complain(field, "");
    } catch (error) {
      complain(field, `${field.name} is not JSON: ${error.message}`);
      wrong = wrong || field;
    }
  }
  return wrong;
}

async function run(event) {
  event.preventDefault();
  const wrong = firstWrong();
  if (wrong) return wrong.control.focus();
  $("timeout-error").textContent = "";
  $("send").disabled = true;
  $("answer").replaceChildren(make("p", { class: "hint" }, "The cell is running…"));
  const began = performance.now();
  try {
    const headers = { "Content-Type": "application/json", ...callHeaders() };
    const answer = await fetch(EXECUTE, { method: "POST", headers, body: body() });
    const text = await answer.text();
    showAnswer(answer, text, performance.now() - began);
  } catch (error) {
    showProblem({ title: "The node could not be reached", detail: String(error.message || error) });
  } finally {
    $("send").disabled = false;
  }
}

function showAnswer(answer, text, milliseconds) {
  const told = parsed(text);
  const facts = [`${milliseconds.toFixed(0)} ms here`];
  const executed = answer.headers.get("Cellnode-Execution-Us");
  if (executed) facts.push(`${(executed / 1000).toFixed(1)} ms in the cell`);
  const instance = answer.headers.get("Cellnode-Instance");
  if (instance) facts.push(instance);
  const badge = make("span", { class: `badge ${answer.ok ? "good" : "bad"}` }, String(answer.status));
  const row = make("div", { class: "told" }, badge, make("span", { class: "hint" }, facts.join(" · ")));
  if (answer.ok && told && told.output) {
    $("answer").replaceChildren(row, ...outputs(told.output, text));
  } else {
    showProblem(told || { title: `The answer is ${answer.status}`, detail: text.slice(0, 2000) }, row);
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function outputs(values, text) {
  const names = Object.keys(values);
  if (!names.length) return [make("p", { class: "hint" }, "The cell has run; this node has no outputs.")];
  // JavaScript rounds long integers; then the answer is shown as it came.
  const isRounded = /(^|[[:,\s])-?\d{16}/.test(text);
  if (isRounded) return [make("pre", { tabindex: "0", "aria-label": "The answer" }, text)];
  return names.map((name) =>
    make(
      "div",
      { class: "output" },
      make("p", { class: "label" }, name),
      make("pre", { tabindex: "0", "aria-label": name }, typeof values[name] === "string" ? values[name] : pretty(values[name])),
    ),
  );
}

function showProblem(problem, row) {
  const parts = [make("h3", {}, problem.title || "Something is wrong"), make("p", {}, problem.detail || "")];
  if (problem.remedy) parts.push(make("p", {}, `What helps: ${problem.remedy}.`));
  if (problem.code === "not-found") {
    parts.push(make("p", {}, "Calls go through the gateway: open this page there."));
  }
  if (problem.traceback) parts.push(make("pre", { tabindex: "0", "aria-label": "Traceback" }, problem.traceback));
  const ids = ["code", "request_id", "trace_id"].filter((name) => problem[name]);
  if (ids.length) {
    parts.push(make("p", { class: "ids mono" }, ids.map((name) => `${name.replace("_", " ")} ${problem[name]}`).join(" · ")));
  }
  $("answer").replaceChildren(...(row ? [row] : []), make("div", { class: "problem" }, ...parts));
  blame(problem);
}

function blame(problem) {
  const name = /^input\.([A-Za-z0-9_]+)/.exec(problem.field || "");
  const field = name && state.fields.find((one) => one.name === name[1]);
  if (field) complain(field, problem.detail);
  if (/X-Request-Timeout/.test(problem.detail || "")) $("timeout-error").textContent = problem.detail;
}

// What there is.

function reset() {
  for (const field of state.fields) {
    field.control.value = field.initial || field.control.value;
    complain(field, "");
    fitHeight(field.control);
  }
  $("timeout").value = $("key").value = "";
  showSnippet();
}

function show(found) {
  state.document = found;
  const post = Object.values(found.paths)[0].post;
  const asked = post.requestBody.content["application/json"];
  const inputs = found.components.schemas.Input.properties;
  const example = (asked.example || { input: {} }).input;
  $("fields").replaceChildren();
  state.fields = Object.keys(inputs).map((name) => makeField(name, inputs[name], example[name]));
  $("no-inputs").hidden = state.fields.length > 0;
  const given = Object.entries(found.components.schemas.Output.properties);
  $("outputs").replaceChildren(...given.map(([name, schema]) => variable(name, schema)));
  if (!given.length) $("outputs").append(make("p", { class: "hint" }, "Nothing: this node has no outputs."));
  $("columns").hidden = false;
  showSnippet();
}

function variable(name, schema) {
  const told = resolved(schema);
  const head = make("dt", {}, make("span", { class: "mono" }, name), words(schema));
  return make("div", {}, head, ...(told.description ? [make("dd", {}, told.description)] : []));
}

function facts(node) {
  const told = node.status || {};
  const pairs = [
    ["healthy instances", told.healthy === undefined ? "…" : `${told.healthy} of ${told.want}`],
    ["revision", node.revision.slice(0, 12)],
    ["checkpoint", node.spec.checkpoint.slice(0, 12)],
    ["deadline", `${node.spec.deadline_seconds} s`],
  ];
  $("facts").replaceChildren(...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function notice(text) {
  $("notice").hidden = !text;
  if ($("notice").textContent !== text) $("notice").textContent = text;
}

async function ask(path) {
  const query = PROJECT === "default" || !path.endsWith("openapi.json") ? "" : `?project=${encodeURIComponent(PROJECT)}`;
  const answer = await fetch(`/v1/nodes/${NODE}${path}${query}`, { headers: PROJECT_HEADERS });
  const told = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(told.detail || told.title), { code: told.code });
  return told;
}

function showStatus(word, sentence) {
  const badge = $("status");
  badge.textContent = word;
  badge.dataset.status = word;
  badge.classList.toggle("busy", word === "CREATED" || word === "DELETING");
  if ($("sentence").textContent !== sentence) $("sentence").textContent = sentence;
}

async function look() {
  try {
    const node = await ask("");
    const told = node.status || { status: "CREATED", sentence: "It was just deployed." };
    showStatus(told.status, told.sentence);
    facts(node);
    if (node.revision !== state.revision) {
      const isFirst = !state.revision;
      const found = await ask("/openapi.json");
      state.revision = node.revision;
      show(found);
      notice(isFirst ? "" : "The node was updated meanwhile; its inputs are shown anew.");
    } else if (!state.document) notice("");
    if ($("notice").dataset.lost) {
      delete $("notice").dataset.lost;
      notice("");
    }
  } catch (error) {
    $("notice").dataset.lost = "true";
    const isGone = error.code === "node-unknown";
    showStatus(isGone ? "not there" : "unknown", "");
    $("facts").replaceChildren();
    notice(isGone ? `There is no node ${NODE} in project ${PROJECT}.` : `The node's status cannot be read: ${error.message}`);
  }
}

async function follow() {
  if (!document.hidden) await look();
  setTimeout(follow, STATUS_MS);
}

document.title = `${NODE} · cellnode`;
$("name").textContent = NODE;
$("project").textContent = `Node of project ${PROJECT}`;
if (PROJECT !== "default") $("document").href = `openapi.json?project=${encodeURIComponent(PROJECT)}`;
$("call").addEventListener("submit", run);
$("reset").addEventListener("click", reset);
$("copy").addEventListener("click", copy);
$("timeout").addEventListener("input", showSnippet);
$("key").addEventListener("input", showSnippet);
for (const language of ["curl", "python"]) {
  const tab = $(`tab-${language}`);
  tab.addEventListener("click", () => choose(language));
  tab.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = language === "curl" ? "python" : "curl";
    choose(other);
    $(`tab-${other}`).focus();
  });
}
follow();
