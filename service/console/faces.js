// Where faces are, drawn over a picture. Of an image whose preset hides faces nothing is drawn.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { number, percent } from "./format.js";
import { t } from "./texts.js";

export function mayShowFaces(facts) {
  return Boolean(facts?.faces?.largest.length) && !("blurFaces" in facts);
}

/** Names of the variants that show all of the picture, so that its fractions hold in them; null if nobody knows. */
export async function wholeVariants({ preset, presetVersion }, signal) {
  const { versions } = await ask("GET", `presets/${preset}/versions`, { signal }).catch(() => ({ versions: [] }));
  const made = versions.find((each) => each.version === presetVersion);
  return made ? new Set(made.document.variants.filter((each) => each.fit === "inside").map((each) => each.name)) : null;
}

/**
 * The boxes of these facts and the switch for them; null if there is nothing to draw. `fit` is told whether the
 * pictures below the boxes are whole.
 */
export function faceBoxes(facts) {
  if (!mayShowFaces(facts)) return null;
  const { count, largest } = facts.faces;
  const box = ({ left, top, width, height, score }) =>
    h("span", { class: "face", style: Object.fromEntries(Object.entries({ left, top, width, height }).map(([name, share]) => [name, `${share * 100}%`])) }, h("small", {}, percent(score)));
  const element = h("div", { class: "faces", hidden: true, "aria-hidden": "true" }, largest.map(box));
  const wanted = h("input", { type: "checkbox" });
  const control = h("label", { class: "check" }, wanted, h("span", {}, t("showFaces", { n: count, count: number(count) })));
  let fits = true;
  const show = () => (element.hidden = !wanted.checked || !fits);
  wanted.addEventListener("change", show);
  const fit = (whole) => {
    fits = Boolean(whole);
    wanted.disabled = !fits;
    show();
  };
  return { element, control, fit };
}
