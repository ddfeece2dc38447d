"use strict";
// What all pages share: elements, and JSON Schema in words. A page keeps its document in `state`.

const $ = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Schemas in words.

function at(reference) {
  let found = state.document;
  for (const part of reference.split("/").slice(1)) {
    found = found && found[part.replaceAll("~1", "/").replaceAll("~0", "~")];
  }
  return found || {};
}

function resolved(schema) {
  for (let i = 0; schema && schema.$ref && i < 16; i++) schema = at(schema.$ref);
  return schema || {};
}

const plural = (kind) => ({ "any value": "values", text: "texts" })[kind] || `${kind}s`;

function words(given, depth = 0) {
  const schema = resolved(given);
  if (depth > 4) return "…";
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  const several = schema.anyOf || schema.oneOf;
  if (several) return several.map((one) => words(one, depth + 1)).join(" or ");
  if (Array.isArray(schema.type)) {
    return schema.type.map((type) => words({ ...schema, type }, depth + 1)).join(" or ");
  }
  if (schema.type === "array") return arrayWords(schema, depth);
  if (schema.type === "integer" || schema.type === "number") return schema.type + range(schema);
  if (schema.type === "string") return schema.format || "text";
  return schema.type || "any value";
}

function arrayWords(schema, depth) {
  const { minItems: least, maxItems: most } = schema;
  const count = least === undefined ? "" : least === most ? `${least} ` : `at least ${least} `;
  if (schema.prefixItems) return `[${schema.prefixItems.map((one) => words(one, depth + 1)).join(", ")}]`;
  if (!schema.items) return count ? `array of ${count}values` : "array";
  const inner = words(schema.items, depth + 1);
  const [kind, ...rest] = inner.split(" ");
  return `array of ${count}${inner === "any value" ? "values" : [plural(kind), ...rest].join(" ")}`;
}

function range({ minimum: low, maximum: high }) {
  const wide = (limit) => limit === undefined || Math.abs(limit) > 1e15;
  if (wide(low) && wide(high)) return "";
  if (wide(high)) return ` ≥ ${low}`;
  return wide(low) ? ` ≤ ${high}` : ` ${low}…${high}`;
}
