// The place to drop pictures at, and the list of those under way.

import { button, fill, h, icon } from "./dom.js";
import { bytes } from "./format.js";
import { failure } from "./notices.js";
import { t } from "./texts.js";
import { filesOf, ENDED } from "./uploads.js";

export function uploader(app, signal) {
  const { uploads } = app;
  const picker = h("input", { type: "file", multiple: true, accept: "image/*", class: "unseen", tabindex: "-1", "aria-label": t("chooseFiles") });
  const folder = h("input", { type: "file", webkitdirectory: true, class: "unseen", tabindex: "-1", "aria-label": t("chooseFolder") });
  for (const each of [picker, folder]) each.addEventListener("change", () => (uploads.add([...each.files]), (each.value = "")));
  const zone = h("section", { class: "drop", "aria-label": t("upload") }, icon("upload"), h("p", {}, h("strong", {}, t("dropHere")), h("span", { class: "muted" }, t("dropHint", { size: bytes(app.limits.maxBytes) }))),
    h("div", { class: "row" }, button(t("chooseFiles"), () => picker.click(), { kind: "primary" }), button(t("chooseFolder"), () => folder.click())), picker, folder);
  const list = h("ul", { class: "uploads", "aria-label": t("underWay") });
  const clear = h("li", { class: "clear" }, button(t("clearList"), () => uploads.clearEnded(), { kind: "small quiet" }));
  list.append(clear);
  const rows = new Map();

  const over = (on) => zone.classList.toggle("over", on);
  addEventListener("dragover", (event) => (event.preventDefault(), over(true)), { signal });
  addEventListener("dragleave", (event) => event.relatedTarget || over(false), { signal });
  addEventListener("drop", async (event) => {
    event.preventDefault();
    over(false);
    uploads.add(await filesOf(event.dataTransfer));
  }, { signal });
  addEventListener("paste", async (event) => {
    const files = await filesOf(event.clipboardData);
    if (files.length) uploads.add(files);
  }, { signal });
  uploads.addEventListener("list", draw, { signal });
  uploads.addEventListener("change", ({ detail }) => (rows.get(detail)?.update(), offer()), { signal });
  draw();
  return h("div", { class: "uploader" }, zone, list);

  function draw() {
    for (const item of rows.keys()) if (!uploads.items.includes(item)) (rows.get(item).element.remove(), rows.delete(item));
    for (const item of uploads.items) if (!rows.has(item)) {
      const made = row(item);
      rows.set(item, made);
      list.insertBefore(made.element, clear);
    }
    offer();
  }

  /** Once there is something to clear. */
  function offer() {
    list.hidden = !uploads.items.length;
    clear.hidden = !uploads.items.some((each) => ENDED.has(each.state));
  }

  function row(item) {
    const bar = h("progress", { max: 1, value: 0, "aria-label": t("progressOf", { name: item.name }) });
    const word = h("span", { class: "word" });
    const acts = h("span", { class: "row" });
    const thumb = h("span", { class: "thumb" });
    const element = h("li", { class: "upload" }, thumb, h("span", { class: "who" }, h("span", { class: "name" }, item.name), h("small", { class: "muted" }, bytes(item.size))), bar, word, acts);
    let acted = "";
    const update = () => {
      element.className = `upload ${item.state}`;
      bar.value = item.size ? item.sent / item.size : 1;
      if (item.state === "converting" && !item.job) bar.removeAttribute("value");
      bar.hidden = ENDED.has(item.state);
      fill(word, item.state === "failed" ? failure(item.error) : t(`upload.${item.state}`));
      const image = Object.values(item.job?.processedImages || {})[0];
      if (image && !thumb.firstChild) fill(thumb, h("img", { src: image.url, alt: "", width: 40, height: 40 }));
      if (acted !== item.state) (acted = item.state, fill(acts, actions(item)));
    };
    update();
    return { element, update };
  }

  function actions(item) {
    const small = { kind: "small quiet" };
    const named = (key) => ({ ...small, "aria-label": t(`${key}What`, { what: item.name }) });
    if (item.state === "sending" || item.state === "waiting") return [button(t("pause"), () => uploads.pause(item), { ...named("pause"), icon: "pause" })];
    if (item.state === "paused") return [button(t("goOn"), () => uploads.again(item), { ...named("goOn"), icon: "play" }), button(t("remove"), () => uploads.remove(item), named("remove"))];
    if (item.state === "failed") return [button(t("tryAgain"), () => uploads.again(item), { ...named("tryAgain"), icon: "again" }), button(t("remove"), () => uploads.remove(item), named("remove"))];
    if (item.state === "completed") return [h("a", { href: `#/image/${item.uniqueId}/${item.processingId}` }, t("look"))];
    return [];
  }
}
