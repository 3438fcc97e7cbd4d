// Fields of a preset's document, made of the schema that the service itself gives: a new field has its place at once.

import { ask } from "./api.js";
import { field, h, select } from "./dom.js";
import { has, t } from "./texts.js";

/** The schemas of the service's API document, by name. */
export async function schemas(signal) {
  return (await ask("GET", "openapi.json", { signal })).components.schemas;
}

/** The values that a schema allows, also where null is one. */
export function choicesOf(schema) {
  return schema.enum || schema.items?.enum || schema.anyOf?.flatMap((each) => each.enum || []) || [];
}

/**
 * A field for a property: `{element, read}`. `read` gives its value, or undefined for what the document need not say.
 * Null for a schema of a kind that nobody has thought of: then the document keeps what it has.
 */
export function fieldFor(name, schema, value) {
  const make = KINDS.find(([applies]) => applies(schema))?.[1];
  return make ? make(name, schema, value) : null;
}

const orNull = (schema, type) => schema.anyOf?.some((each) => each.type === type) && schema.anyOf.some((each) => each.type === "null");

const KINDS = [
  [(schema) => schema.type === "boolean", flag],
  [(schema) => orNull(schema, "boolean"), (name, schema, value) => choice(name, ["true", "false"], value === undefined || value === null ? "" : String(value), (text) => text === "true")],
  [(schema) => choicesOf(schema).length && schema.type !== "array", (name, schema, value) => choice(name, choicesOf(schema), value ?? "", (text) => text)],
  [(schema) => schema.type === "array" && choicesOf(schema).length, (name, schema, value) => boxes(name, choicesOf(schema), value)],
  [(schema) => schema.type === "object" && schema.properties, numbers],
];

function flag(name, schema, value) {
  const input = h("input", { type: "checkbox", checked: Boolean(value) });
  return { element: h("label", { class: "check" }, input, h("span", {}, labelOf(name), h("small", { class: "muted" }, hintOf(name, schema)))), read: () => input.checked || undefined };
}

function choice(name, options, value, parse) {
  const input = select([["", optionOf(name, "none")], ...options.map((each) => [each, optionOf(name, each)])], value);
  return { element: field(labelOf(name), input, hintOf(name, {})), read: () => (input.value ? parse(input.value) : undefined) };
}

/** Several of these; what is not among them stays. */
export function boxes(name, options, chosen = []) {
  const inputs = options.map((each) => h("input", { type: "checkbox", value: each, checked: chosen.includes(each) }));
  const others = chosen.filter((each) => !options.includes(each));
  const element = h("fieldset", { class: "inline" }, h("legend", {}, labelOf(name)), inputs.map((input) => h("label", { class: "check" }, input, h("span", {}, has(`choice.${input.value}`) ? t(`choice.${input.value}`) : input.value))));
  return { element, read: () => [...inputs.filter((each) => each.checked).map((each) => each.value), ...others] };
}

/** A map of numbers, each of which may be left out. */
function numbers(name, schema, value = {}) {
  const inputs = Object.entries(schema.properties).map(([key, { minimum, maximum, type }]) => [key, h("input", { type: "number", min: minimum, max: maximum, step: type === "integer" ? 1 : "any", value: value?.[key] ?? "" })]);
  const element = h("fieldset", {}, h("legend", {}, labelOf(name)), h("p", { class: "muted" }, h("small", {}, hintOf(name, schema))), inputs.map(([key, input]) => field(optionOf(name, key), input)));
  const read = () => {
    const given = Object.fromEntries(inputs.filter(([, input]) => input.value !== "").map(([key, input]) => [key, Number(input.value)]));
    return Object.keys(given).length ? given : undefined;
  };
  return { element, read };
}

function labelOf(name) {
  return has(`preset.${name}`) ? t(`preset.${name}`) : name;
}

function optionOf(name, value) {
  return has(`preset.${name}.${value}`) ? t(`preset.${name}.${value}`) : value === "none" ? t("none") : value;
}

/** In the viewer's language; or in the service's own words, for a field that has no text here yet. */
function hintOf(name, { description }) {
  return has(`presetHint.${name}`) ? t(`presetHint.${name}`) : description;
}
