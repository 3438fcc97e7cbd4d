// Watermarks: pictures and texts of the tenant, and where a variant has one.

import { ask, onceKey } from "./api.js";
import { field, fill, h, select } from "./dom.js";
import { bytes, day } from "./format.js";
import { explain, toast } from "./notices.js";
import { t } from "./texts.js";

/** The name of the effect. */
export const MARK = "watermark";
const POSITIONS = ["southeast", "south", "southwest", "east", "centre", "west", "northeast", "north", "northwest", "tiled"];
const DEFAULTS = { position: "southeast", scale: 0.25, opacity: 0.6, margin: 0.03 };
/** Numbers of a mark, and the least and the most that each may be. */
const NUMBERS = { scale: [0.01, 1], opacity: [0.01, 1], margin: [0, 0.25] };

/** The tenant's marks, with a place to add one; `changed` is told the list whenever it is another. */
export function marks(app, signal, changed) {
  const list = h("ul", { class: "marks" });
  const words = h("input", { maxlength: app.limits.assets.characters, placeholder: "© Ada" });
  const file = h("input", { type: "file", accept: "image/*" });
  const form = h("form", { class: "row bottom" }, field(t("markText"), words), h("button", { class: "button" }, t("addMark")));
  form.addEventListener("submit", (event) => (event.preventDefault(), words.value && add({ text: words.value })));
  file.addEventListener("change", async () => file.files[0] && add({ picture: await base64(file.files[0]) }));
  const mayAdd = app.may("images:admin");
  draw().catch((error) => error.name === "AbortError" || toast(explain(error), "bad"));
  return h("section", { class: "card stack" }, h("h2", {}, t("marks")), h("p", { class: "muted" }, t("marksText")), list, mayAdd ? [form, field(t("markPicture"), file, t("upToHint", { size: bytes(app.limits.assets.bytes) }))] : null);

  async function draw() {
    const { assets } = await ask("GET", "assets", { signal });
    const shown = await Promise.all(assets.slice(0, 24).map((each) => ask("GET", `assets/${each.assetId}`, { signal }).catch(() => null)));
    fill(list, shown.filter(Boolean).map((each, index) => h("li", {}, h("img", { src: `data:${each.contentType};base64,${each.data}`, alt: "" }), h("small", { class: "muted" }, nameOf(assets[index])))));
    changed(assets);
  }

  async function add(body) {
    try {
      await ask("POST", "assets", { body, key: onceKey() });
      words.value = file.value = "";
      await draw();
    } catch (error) {
      toast(explain(error), "bad");
    }
  }
}

function nameOf({ assetId, addedAt }) {
  return `${assetId.slice(0, 8)} · ${day(addedAt)}`;
}

/** The mark of a variant: `{element, read, offer}`; `read` gives the effect, or null without one. */
export function markOf(effect) {
  const kept = { ...DEFAULTS, ...effect };
  const asset = select([["", t("noMark")]], "");
  const position = select(POSITIONS.map((each) => [each, t(`position.${each}`)]), kept.position);
  const numbers = Object.entries(NUMBERS).map(([key, [min, max]]) => [key, h("input", { type: "number", min, max, step: 0.01, value: kept[key] })]);
  const more = h("div", { class: "variant wide" }, field(t("markPosition"), position), numbers.map(([key, input]) => field(t(`mark.${key}`), input)));
  const apt = () => (more.hidden = !asset.value);
  asset.addEventListener("change", apt);
  const offer = (assets) => {
    const now = asset.value || effect?.asset || "";
    const there = assets.map((each) => [each.assetId, nameOf(each)]);
    const gone = now && !assets.some((each) => each.assetId === now) ? [[now, now.slice(0, 8)]] : [];
    fill(asset, [["", t("noMark")], ...there, ...gone].map(([value, text]) => h("option", { value }, text)));
    asset.value = now;
    apt();
  };
  offer([]);
  const read = () => (asset.value ? { ...effect, name: MARK, asset: asset.value, position: position.value, ...Object.fromEntries(numbers.map(([key, input]) => [key, Number(input.value)])) } : null);
  return { element: h("div", { class: "mark-of" }, field(t("mark"), asset), more), read, offer };
}

/** A file's content. */
export async function base64(file) {
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
  return url.slice(url.indexOf(",") + 1);
}
