// Presets: what they make, tried on a picture before they are saved, and backfills of what was made before.

import { ask, onceKey } from "./api.js";
import { button, field, fill, h, icon, select } from "./dom.js";
import { bytes, dollars, number, time } from "./format.js";
import { batchCard } from "./batches.js";
import { boxes, choicesOf, fieldFor, schemas } from "./presetfields.js";
import { MARK, base64, markOf, marks } from "./watermarks.js";
import { confirmed, explain, heading, table, toast } from "./notices.js";
import { t } from "./texts.js";

const ANALYSES = ["colour", "placeholder", "blurhash", "colours", "likeness", "metadata", "position"];
/** Fields for which the service must be able to look into pictures. */
const LOOKING = ["blurFaces", "moderation"];
const NEW = { name: "square", width: 300, height: 300, fit: "cover", gravity: "attention", formats: ["webp"] };
/** Largest file that a preview takes, in bytes. */
const MOST = 4 * 2 ** 20;

export function presets(place, app, signal, name) {
  return name ? one(place, app, signal, name) : all(place, app, signal);
}

async function all(place, app, signal) {
  const list = h("ul", { class: "cards" });
  const name = h("input", { required: true, pattern: "[a-z][a-z0-9\\-]{0,31}", placeholder: "avatar" });
  const form = h("form", { class: "row bottom" }, field(t("name"), name), h("button", { class: "button primary" }, t("newPreset")));
  form.addEventListener("submit", (event) => (event.preventDefault(), (location.hash = `#/presets/${name.value}`)));
  fill(place, heading(t("view.presets")), h("p", { class: "lead" }, t("presetsText")), list);
  const found = await ask("GET", "presets", { signal });
  fill(list, found.presets.map((preset) => h("li", { class: "card" },
    h("h2", {}, h("a", { href: `#/presets/${preset.name}` }, preset.name)),
    h("p", { class: "row" }, preset.name === found.default ? h("span", { class: "badge valid" }, t("default")) : null, h("span", { class: "muted" }, preset.builtIn ? t("builtIn") : t("version", { n: preset.version })), preset.document.review ? h("span", { class: "badge needs_review" }, t("status.needs_review")) : null),
    h("p", { class: "muted" }, h("small", {}, t("cpuOf", { n: number(preset.cpuSeconds, 2) }))),
    h("p", {}, preset.document.variants.map((each) => `${each.name} ${size(each)}`).join(" · ")))));
  if (app.may("images:admin")) place.append(form);
}

function size({ width, height }) {
  return width || height ? `${width ?? "∞"} × ${height ?? "∞"}` : t("fullSize");
}

async function one(place, app, signal, name) {
  const [listed, history, { PresetDocument, VariantRequest }] = await Promise.all([ask("GET", "presets", { signal }), ask("GET", `presets/${name}/versions`, { signal }).catch(absent), schemas(signal)]);
  const saved = await ask("GET", `presets/${name}`, { signal }).catch(absent);
  const mayChange = app.may("images:admin") && !saved?.builtIn;
  const document = saved ? saved.document : { variants: [NEW], analyses: ANALYSES.slice(0, 5), keep: [] };
  const rows = h("div", { class: "stack" });
  const results = h("div", { class: "previews", "aria-live": "polite" });
  let picture = null, under = false, stale = false;

  const analyses = boxes("analyses", [...ANALYSES, ...Object.keys(app.limits.looking).filter((each) => app.limits.looking[each])], document.analyses);
  const others = Object.entries(PresetDocument.properties).filter(([each]) => !["variants", "analyses"].includes(each) && mayAsk(each))
    .map(([each, schema]) => [each, fieldFor(each, schema, document[each])]).filter(([, made]) => made);
  let assets = [];
  fill(rows, document.variants.map(row));

  const file = h("input", { type: "file", accept: "image/*" });
  file.addEventListener("change", async () => {
    const [chosen] = file.files;
    if (!chosen) return;
    if (chosen.size > MOST) return toast(t("tooLargeForPreview", { size: bytes(MOST) }), "bad");
    picture = { picture: await base64(chosen) };
    await preview();
  });

  const editor = h("form", { class: "card stack", on: { submit: (event) => event.preventDefault(), input: later, change: later } },
    h("h2", {}, t("variants")), rows,
    mayChange ? button(t("addVariant"), () => (rows.append(row({ ...NEW, name: `variant${rows.children.length + 1}` })), later()), { kind: "small", icon: "plus" }) : null,
    analyses.element, others.map(([, made]) => made.element));
  if (!mayChange) for (const each of editor.querySelectorAll("input, select")) each.disabled = true;
  const library = marks(app, signal, (found) => {
    assets = found;
    for (const each of rows.children) each.mark.offer(found);
  });

  fill(place, h("a", { class: "back", href: "#/presets" }, icon("back"), t("view.presets")),
    heading(name, saved ? h("span", { class: "muted" }, saved.builtIn ? t("builtIn") : t("version", { n: saved.version })) : h("span", { class: "badge" }, t("notSaved")),
      listed.default === name ? h("span", { class: "badge valid" }, t("default")) : saved && app.may("images:admin") ? button(t("makeDefault"), () => act(() => ask("PATCH", "presets", { body: { default: name } }))) : null,
      mayChange && saved ? button(t("delete"), remove, { kind: "danger" }) : null,
      mayChange ? button(t("save"), save, { kind: "primary" }) : null),
    h("div", { class: "columns wide" }, editor, h("section", { class: "card stack" }, h("h2", {}, t("preview")), app.may("images:write") ? [field(t("tryOn"), file, t("tryOnHint", { size: bytes(MOST) })), results] : null)),
    library,
    saved ? backfill(app, signal, name) : null,
    history?.versions.length ? h("section", { class: "card" }, h("h2", {}, t("versions")), table(t("versions"), [t("versionNumber"), t("madeAt"), t("madeBy"), t("variants")], history.versions.map((each) => [number(each.version), each.createdAt ? time(each.createdAt) : "–", each.createdBy || "–", each.document.variants.map((v) => v.name).join(", ")]))) : null);

  if (app.may("images:write")) {
    const [latest] = (await ask("GET", "list", { query: { limit: 1, status: "completed" }, signal })).images;
    if (latest) picture = { uniqueId: latest.uniqueId };
    await preview();
  }

  let typing;
  function later() {
    clearTimeout(typing);
    typing = setTimeout(preview, 600);
  }

  /** What needs models that are not installed is offered only where the preset has it already. */
  function mayAsk(each) {
    return !LOOKING.includes(each) || app.limits.looking.faces || document[each];
  }

  function row(variant) {
    const input = (key, props) => h("input", { "data-key": key, value: variant[key] ?? "", ...props });
    const numeric = (key, most) => input(key, { type: "number", min: 1, max: most, inputmode: "numeric" });
    const qualities = choicesOf(VariantRequest.properties.formats).map((each) => field(t("quality", { format: each.toUpperCase() }), h("input", { "data-quality": each, type: "number", min: 1, max: 100, value: variant.quality?.[each] ?? "", placeholder: t("usual") })));
    const mark = markOf(variant.effects?.find((each) => each.name === MARK));
    const chosen = (key, options, value) => select(options.map((each) => [each, t(`${key}.${each}`)]), value, { "data-key": key });
    const formats = h("span", { class: "row" }, choicesOf(VariantRequest.properties.formats).map((each) => h("label", { class: "check" }, h("input", { type: "checkbox", "data-format": each, checked: (variant.formats || ["webp"]).includes(each) }), h("span", {}, each.toUpperCase()))));
    const gravity = field(t("gravity"), chosen("gravity", choicesOf(VariantRequest.properties.gravity).filter((each) => each !== "faces" || app.limits.looking.faces || variant.gravity === each), variant.gravity || "centre"));
    const colour = field(t("colour"), h("input", { "data-key": "colour", value: variant.colour ?? "", placeholder: "#ffffff" }));
    const fit = chosen("fit", choicesOf(VariantRequest.properties.fit), variant.fit || "inside");
    const apt = () => ((gravity.hidden = fit.value === "inside"), (colour.hidden = fit.value !== "contain"));
    fit.addEventListener("change", apt);
    apt();
    const element = h("fieldset", { class: "variant" }, h("legend", {}, variant.name),
      field(t("name"), input("name", { required: true })), field(t("width"), numeric("width", 16383)), field(t("height"), numeric("height", 16383)),
      field(t("fit"), fit), gravity, colour,
      h("div", { class: "field" }, h("span", { class: "label" }, t("formats")), formats), qualities, mark.element,
      mayChange ? button(t("remove"), () => (element.remove(), later()), { kind: "small quiet", "aria-label": t("removeWhat", { what: variant.name }) }) : null);
    mark.offer(assets);
    return Object.assign(element, { kept: variant, mark });
  }

  function read() {
    const variants = [...rows.children].map((element) => {
      const value = (key) => element.querySelector(`[data-key="${key}"]`).value.trim();
      const fit = value("fit");
      const made = { name: value("name"), fit, formats: [...element.querySelectorAll("[data-format]")].filter((each) => each.checked).map((each) => each.dataset.format) };
      for (const key of ["width", "height"]) if (value(key)) made[key] = Number(value(key));
      if (fit !== "inside") made.gravity = value("gravity");
      if (fit === "contain" && value("colour")) made.colour = value("colour");
      const quality = Object.fromEntries([...element.querySelectorAll("[data-quality]")].filter((each) => each.value && made.formats.includes(each.dataset.quality)).map((each) => [each.dataset.quality, Number(each.value)]));
      if (Object.keys(quality).length) made.quality = quality;
      if (element.kept.effort) made.effort = Object.fromEntries(Object.entries(element.kept.effort).filter(([format]) => made.formats.includes(format)));
      made.effects = [...(element.kept.effects || []).filter((each) => each.name !== MARK), element.mark.read()].filter(Boolean);
      return made;
    });
    return { ...document, variants, analyses: analyses.read(), ...Object.fromEntries(others.map(([each, made]) => [each, made.read()])) };
  }

  /** One at a time, for the service makes few at once: what was changed meanwhile is shown by the next. */
  async function preview() {
    if (under) return (stale = true);
    under = true;
    do {
      stale = false;
      await show();
    } while (stale && !signal.aborted);
    under = false;
  }

  async function show() {
    if (!picture) return fill(results, h("p", { class: "muted" }, t("nothingToTry")));
    results.setAttribute("aria-busy", "true");
    try {
      const made = await ask("POST", "presets/preview", { body: { document: read(), ...picture }, signal });
      fill(results, h("p", { class: "muted" }, t("cpuOf", { n: number(made.cpuSeconds, 2) })), made.variants.map(previewed));
    } catch (error) {
      if (error.name !== "AbortError") fill(results, h("p", { class: "notice bad", role: "alert" }, explain(error)));
    } finally {
      results.removeAttribute("aria-busy");
    }
  }

  async function save() {
    await act(async () => {
      await ask("PUT", `presets/${name}`, { body: read(), etag: saved?.etag });
      toast(t("saved"));
    });
  }

  async function remove() {
    if (await confirmed(t("removePreset", { name }), t("removePresetText"), t("delete"))) await act(async () => (await ask("DELETE", `presets/${name}`), (location.hash = "#/presets")));
  }

  async function act(call) {
    try {
      await call();
      if (location.hash.startsWith(`#/presets/${name}`)) await one(place, app, signal, name);
    } catch (error) {
      toast(explain(error), "bad");
    }
  }
}

/** How much is older than the preset, what it costs to make it anew, and doing so. */
function backfill(app, signal, name) {
  const place = h("div", { class: "stack" });
  const plan = async () => {
    try {
      place.setAttribute("aria-busy", "true");
      const found = await ask("POST", `presets/${name}/plan`, { body: {}, signal });
      fill(place, h("p", {}, t("planned", { n: number(found.images), cpu: number(found.cost.cpuSeconds), bytes: bytes(found.cost.bytes), dollars: dollars(found.cost.dollars) })),
        found.samples.map(beforeAndAfter),
        found.images && app.may("images:write") ? button(t("backfill"), () => start(found.images), { kind: "primary" }) : null);
    } catch (error) {
      toast(explain(error), "bad");
    } finally {
      place.removeAttribute("aria-busy");
    }
  };
  const start = async (count) => {
    if (!(await confirmed(t("backfillTitle", { n: number(count) }), t("backfillText"), t("backfill")))) return;
    try {
      await watch((await ask("POST", `presets/${name}/backfill`, { key: onceKey() })).batchId);
    } catch (error) {
      toast(explain(error), "bad");
    }
  };
  const watch = async (id) => {
    const job = await ask("GET", `batch/${id}`, { signal });
    fill(place, batchCard(job, app, () => watch(id)));
    if (["queued", "running", "cancelling"].includes(job.state)) setTimeout(() => signal.aborted || watch(id), 2000);
  };
  return h("section", { class: "card stack" }, h("h2", {}, t("older")), h("p", { class: "muted" }, t("olderText")), h("div", { class: "row" }, button(t("plan"), plan)), place);
}

/** A picture of a plan as it is, beside what it would become. */
function beforeAndAfter(sample) {
  const before = Object.entries(sample.processedImages).map(([name, url]) => h("figure", {}, h("img", { src: url, alt: name, loading: "lazy" }), h("figcaption", {}, name)));
  const after = sample.after ? sample.after.map(previewed) : h("p", { class: "muted" }, t("noAfter", { why: sample.problem?.detail ?? "" }));
  return h("div", { class: "columns" }, h("section", { class: "stack" }, h("h3", {}, t("before")), h("div", { class: "previews" }, before)), h("section", { class: "stack" }, h("h3", {}, t("after")), h("div", { class: "previews" }, after)));
}

/** A file of a preview, under what it is. */
function previewed(file) {
  return h("figure", {},
    file.data ? h("img", { src: `data:${file.contentType};base64,${file.data}`, alt: file.name, width: file.width, height: file.height }) : h("p", { class: "muted" }, t("tooLargeToShow")),
    h("figcaption", {}, `${file.name} · ${file.format} · ${file.width} × ${file.height} · ${bytes(file.size)}`));
}

function absent(error) {
  if (error.status === 404) return null;
  throw error;
}
