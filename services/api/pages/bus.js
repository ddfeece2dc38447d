// The page of the bus: the AsyncAPI document beside it, to be looked up in. Text only, no markup.

const PARTS_DEPTH_MAX = 4;
const COPIED_MS = 1500;
const DAY_MS = 24 * 3600 * 1000;
const state = { document: null, topics: [] };

// Text with `code` in it.
function prose(text) {
  const pieces = text.split("`");
  return pieces.map((piece, number) => (number % 2 ? make("code", {}, piece) : piece));
}

const nameOf = (reference) => reference.split("/").pop();

// Like `words`, but what has a name is called by it.
function named(schema) {
  if (schema.$ref) return nameOf(schema.$ref);
  const several = schema.anyOf || schema.oneOf;
  if (several) return several.map(named).join(" or ");
  if (schema.type === "array" && schema.items) return `list of ${named(schema.items)}`;
  const inner = schema.additionalProperties;
  if (schema.type === "object" && inner && typeof inner === "object") return `map to ${named(inner)}`;
  return words(schema);
}

// The named schemas that a field is made of.
function references(schema) {
  if (schema.$ref) return [schema.$ref];
  const inner = schema.anyOf || schema.oneOf || [schema.items, schema.additionalProperties];
  return inner.filter((one) => one && typeof one === "object").flatMap(references);
}

function part(reference, depth) {
  const schema = at(reference);
  const inside = schema.enum
    ? make("p", { class: "values" }, schema.enum.join(", "))
    : schema.properties && table(schema, depth + 1);
  if (!inside || depth >= PARTS_DEPTH_MAX) return [];
  return [make("details", { class: "part" }, make("summary", {}, nameOf(reference)), inside)];
}

function row(name, schema, isNeeded, depth) {
  const about = make("td", {}, ...prose(schema.description || ""));
  if (depth < PARTS_DEPTH_MAX) about.append(...references(schema).flatMap((one) => part(one, depth)));
  const needed = isNeeded ? [make("span", { class: "needed", title: "required" }, " *")] : [];
  const fallback = schema.default === undefined || schema.default === null ? "" : `, ${JSON.stringify(schema.default)} if absent`;
  const kind = make("td", { class: "type" }, named(schema) + (isNeeded ? "" : fallback));
  return make("tr", {}, make("td", {}, name, ...needed), kind, about);
}

function table(schema, depth = 0) {
  const needed = new Set(schema.required || []);
  const rows = Object.entries(schema.properties).map(([name, one]) => row(name, one, needed.has(name), depth));
  const head = ["field", "type", "meaning"].map((word) => make("th", { scope: "col" }, word));
  return make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
}

function copyable(text) {
  const button = make("button", { type: "button", class: "quiet" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), COPIED_MS);
  });
  return button;
}

function keyWords(key) {
  if (key.const) return [make("code", {}, key.const)];
  return prose(key.description || words(key));
}

function body(message) {
  const key = message.bindings.kafka.key;
  const made = [
    make("h4", {}, "Key"), make("p", {}, ...keyWords(key)),
    make("h4", {}, "Headers"), table(message.headers),
  ];
  const payload = resolved(message.payload);
  if (payload.properties) made.push(make("h4", {}, "Record"), table(payload));
  for (const example of message.examples || []) {
    const text = JSON.stringify(example.payload, null, 2);
    const head = make("div", { class: "row" }, make("h4", {}, "Example"), copyable(text));
    made.push(head, make("pre", { tabindex: "0" }, text));
  }
  return made;
}

// The inside is made when it is first opened: the page is there at once.
function messageOf(topic, name, reference) {
  const message = resolved(reference);
  const title = make("summary", {}, make("h3", {}, name), make("p", { class: "summary" }, ...prose(message.summary)));
  const element = make("details", { class: "message", id: `${topic}/${name}` }, title);
  element.addEventListener("toggle", () => {
    if (element.open && element.childElementCount === 1) element.append(...body(message));
  });
  const payload = resolved(message.payload);
  const fields = Object.keys(payload.properties || {}).join(" ");
  return { name, element, words: `${name} ${message.summary} ${fields}`.toLowerCase() };
}

function kept(configuration) {
  const isThinned = configuration["cleanup.policy"].includes("compact");
  const days = configuration["retention.ms"] / DAY_MS;
  const time = days >= 1 ? `${days} days` : `${Math.round(days * 24 * 60)} minutes`;
  const parts = [...(isThinned ? ["the last record of each key"] : []), ...(days ? [time] : [])];
  return parts.join(", ");
}

function topicOf(topic, channel, action) {
  const messages = Object.entries(channel.messages).map(([name, one]) => messageOf(topic, name, one));
  const isYours = action === "receive";
  const badge = make("span", { class: isYours ? "badge good" : "badge" }, isYours ? "you publish" : "you read");
  const told = { Key: channel["x-key"], "Written by": channel["x-writer"], Kept: kept(channel.bindings.kafka.topicConfiguration) };
  const facts = Object.entries(told).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  const element = make(
    "section", { class: "card topic", id: topic, "aria-label": topic },
    make("header", {}, make("h2", {}, topic), badge),
    make("dl", { class: "facts" }, ...facts),
    ...messages.map((one) => one.element),
  );
  const count = make("span", { class: "kind" }, String(messages.length));
  const link = make("a", { href: `#${topic}` }, topic.replace("cellnode.", ""), count);
  return { topic, element, link, messages, words: `${topic} ${channel.description}`.toLowerCase() };
}

function search() {
  const sought = $("search").value.trim().toLowerCase();
  let topics = 0;
  let messages = 0;
  for (const one of state.topics) {
    const isWhole = one.words.includes(sought);
    const fitting = one.messages.filter((message) => isWhole || message.words.includes(sought));
    for (const message of one.messages) message.element.hidden = !fitting.includes(message);
    one.element.hidden = one.link.hidden = !isWhole && fitting.length === 0;
    topics += one.element.hidden ? 0 : 1;
    messages += fitting.length;
  }
  $("found").textContent = sought ? `${messages} messages on ${topics} topics` : "";
}

// An address may name a topic or one of its messages.
function goToFragment() {
  const found = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!found) return;
  if (found.tagName === "DETAILS") found.open = true;
  found.scrollIntoView();
}

function show(told) {
  state.document = told;
  const actions = Object.values(told.operations).map((one) => [nameOf(one.channel.$ref), one.action]);
  const actionOf = Object.fromEntries(actions);
  $("about").append(...told.info.description.split("\n\n").map((text) => make("p", {}, ...prose(text))));
  state.topics = Object.entries(told.channels).map(([name, channel]) => topicOf(name, channel, actionOf[name]));
  $("topics").append(...state.topics.map((one) => one.element));
  $("contents").append(...state.topics.map((one) => one.link));
  $("columns").hidden = false;
  goToFragment();
}

async function load() {
  try {
    const answer = await fetch("asyncapi.json");
    if (!answer.ok) throw new Error(`${answer.status}`);
    show(await answer.json());
  } catch (error) {
    $("notice").hidden = false;
    $("notice").textContent = `The document cannot be read: ${error.message}`;
  }
}

$("search").addEventListener("input", search);
addEventListener("hashchange", goToFragment);
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target === $("search")) return;
  event.preventDefault();
  $("search").focus();
});
load();
