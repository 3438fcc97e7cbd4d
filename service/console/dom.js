// Makes elements. Text stays text: nothing here, or anywhere in the console, writes HTML.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. `props`: `on` (listeners by name), `data` (dataset), `style` (CSS properties), and attributes;
 * an attribute that is null, undefined or false is left out.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) set(element, name, value);
  element.append(...nodes(children));
  return element;
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
  else if (name === "data") Object.assign(element.dataset, value);
  else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
  else if (name === "value" || name === "checked") element[name] = value;
  else element.setAttribute(name, value === true ? "" : value);
}

/** Flattens lists, and drops what is empty. */
function nodes(children) {
  return children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false);
}

/** Puts these in the place of whatever is there. */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

const PATHS = {
  check: "M5 13l4 4L19 7",
  close: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h10v10H9zM5 15V5h10",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  again: "M20 11a8 8 0 1 0-2.3 6.2M20 5v6h-6",
  upload: "M12 16V5M7 10l5-5 5 5M5 19h14",
  alert: "M12 8v5M12 16.5v.5M12 3l9.5 17h-19z",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  back: "M15 5l-7 7 7 7",
  pause: "M9 5v14M15 5v14",
  play: "M8 5l11 7-11 7z",
  search: "M11 4a7 7 0 1 0 0 14a7 7 0 0 0 0-14M16 16l4.5 4.5",
  picture: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9h.01",
  plus: "M12 5v14M5 12h14",
};

/** A picture beside a word, so screen readers pass over it. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }))
    svg.setAttribute(key, value);
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button that is busy, and cannot be pressed again, until what it does has ended. */
export function button(text, act, { kind = "", icon: name, ...props } = {}) {
  const element = h("button", { type: "button", class: `button ${kind}`, ...props }, name && icon(name), text);
  element.addEventListener("click", async (event) => {
    if (element.getAttribute("aria-busy")) return;
    element.setAttribute("aria-busy", "true");
    try {
      await act(event);
    } finally {
      element.removeAttribute("aria-busy");
    }
  });
  return element;
}

let numbers = 0;

/** A label and its input. */
export function field(text, input, hint) {
  input.id ||= `field-${++numbers}`;
  const note = hint && h("small", { id: `${input.id}-hint` }, hint);
  if (note) input.setAttribute("aria-describedby", note.id);
  return h("div", { class: "field" }, h("label", { for: input.id }, text), input, note);
}

/** A choice; `options` are pairs of value and text. */
export function select(options, value, props = {}) {
  const element = h("select", props, ...options.map(([each, text]) => h("option", { value: each }, text)));
  element.value = value ?? options[0]?.[0] ?? "";
  return element;
}
