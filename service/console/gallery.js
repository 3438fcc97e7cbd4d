// The gallery: pictures to drop, those under way, and all that are there.

import { ask, onceKey, pages } from "./api.js";
import { button, field, fill, h, icon, select } from "./dom.js";
import { bytes, number } from "./format.js";
import { confirmed, explain, failure, heading, toast } from "./notices.js";
import { t } from "./texts.js";
import { filesOf, ENDED } from "./uploads.js";

const PAGE = 60;
/** Ids that a batch call takes. */
const BATCH = 100;
const STATUSES = ["", "completed", "processing", "pending", "failed", "needs_review", "rejected"];

export async function gallery(place, app, signal) {
  const chosen = new Map();
  const cards = new Map();
  const grid = h("ul", { class: "grid", "aria-label": t("view.images") });
  const end = h("div", { class: "grid-end" });
  const note = h("p", { class: "muted", role: "status" });
  const status = select(STATUSES.map((each) => [each, t(each ? `status.${each}` : "status.all")]), "");
  const words = h("input", { type: "search", placeholder: t("searchHint"), autocomplete: "off" });
  const picks = h("div", { class: "picks", hidden: true, role: "region", "aria-label": t("selection") });
  let walk, looked = 0, last = null;

  fill(place,
    heading(t("view.images")),
    app.may("images:write") ? uploader(app, signal) : null,
    h("form", { class: "filters", role: "search", on: { submit: (event) => event.preventDefault() } }, field(t("search"), words), field(t("status"), status)),
    picks, note, grid, end);

  const watch = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && more(), { rootMargin: "800px" });
  watch.observe(end);
  signal.addEventListener("abort", () => watch.disconnect());
  status.addEventListener("change", restart);
  let typing;
  words.addEventListener("input", () => (clearTimeout(typing), (typing = setTimeout(restart, 250))));
  app.jobs.addEventListener("job", ({ detail }) => hear(detail), { signal });
  restart();

  function restart() {
    walk = { pages: pages("list", { limit: PAGE, status: status.value }, signal), busy: false, done: false };
    looked = 0;
    cards.clear();
    chosen.clear();
    pick();
    fill(grid, Array.from({ length: 12 }, () => h("li", { class: "tile loading", "aria-hidden": "true" })));
    fill(note);
    more(true);
  }

  function matches(job) {
    const text = `${job.filename} ${Object.values(job.metadata || {}).join(" ")} ${(job.facts?.tags || []).map((each) => each.name).join(" ")}`;
    return words.value.toLowerCase().split(/\s+/).every((word) => text.toLowerCase().includes(word));
  }

  /** Goes on until the screen is full, or nothing is left. */
  async function more(first) {
    const mine = walk;
    if (mine.busy || mine.done) return;
    mine.busy = true;
    try {
      for (let added = 0; added < PAGE / 2 && !mine.done; ) {
        const { value, done } = await mine.pages.next();
        if (mine !== walk || signal.aborted) return;
        if (first) (fill(grid), (first = false));
        mine.done = done;
        const images = (value?.images || []).filter(matches);
        looked += value?.images.length || 0;
        added += images.length;
        for (const job of images) if (!cards.has(job.uniqueId)) grid.append(card(job));
        if (words.value) fill(note, t("looked", { n: number(looked) }));
      }
    } catch (error) {
      if (error.name !== "AbortError") fill(note, explain(error));
    } finally {
      mine.busy = false;
    }
    if (mine.done && !cards.size) fill(grid, h("li", { class: "empty" }, icon(words.value || status.value ? "search" : "picture"), h("p", {}, t(words.value || status.value ? "nothingFound" : "firstPicture"))));
    else if (!mine.done && end.getBoundingClientRect().top < innerHeight + 800) more();
  }

  function hear(job) {
    const known = cards.get(job.uniqueId);
    if (job.status === "deleted") {
      known?.remove();
      cards.delete(job.uniqueId);
      chosen.delete(job.uniqueId);
      pick();
    } else if (known) known.replaceWith(card(job));
    else if (!status.value && matches(job)) {
      grid.querySelector(".empty")?.remove();
      grid.prepend(card(job));
    }
  }

  function card(job) {
    const box = h("input", { type: "checkbox", "aria-label": t("choose", { name: job.filename }), checked: chosen.has(job.uniqueId) });
    const tile = h("li", { class: `tile ${job.status}`, data: { id: job.uniqueId } },
      h("a", { href: `#/image/${job.uniqueId}/${job.processingId}` }, thumbnail(job), h("span", { class: "name" }, job.filename)),
      box);
    box.addEventListener("click", (event) => {
      const list = [...grid.querySelectorAll(".tile")];
      const range = event.shiftKey && last ? [list.indexOf(last), list.indexOf(tile)].sort((a, b) => a - b) : [list.indexOf(tile), list.indexOf(tile)];
      for (const each of list.slice(range[0], range[1] + 1)) mark(each, box.checked);
      last = tile;
      pick();
    });
    tile.job = job;
    cards.set(job.uniqueId, tile);
    return tile;
  }

  function mark(tile, on) {
    tile.querySelector("input").checked = on;
    if (on) chosen.set(tile.dataset.id, tile.job);
    else chosen.delete(tile.dataset.id);
  }

  function pick() {
    picks.hidden = !chosen.size;
    fill(picks, h("strong", {}, t("chosen", { n: chosen.size })),
      app.may("images:write") ? button(t("again"), () => batch("process", "again"), { icon: "again" }) : null,
      app.may("images:delete") ? button(t("delete"), remove, { kind: "danger", icon: "trash" }) : null,
      button(t("chooseNone"), () => ([...cards.values()].forEach((each) => mark(each, false)), pick()), { kind: "quiet" }));
  }

  async function remove() {
    if (await confirmed(t("deleteTitle", { n: chosen.size }), t("deleteText"), t("delete"))) await batch("delete", "deleted");
  }

  async function batch(verb, word) {
    const ids = [...chosen.keys()];
    let succeeded = 0;
    try {
      for (let at = 0; at < ids.length; at += BATCH) {
        const answer = await ask("POST", `batch/${verb}`, { body: { uniqueIds: ids.slice(at, at + BATCH) }, key: onceKey() });
        succeeded += answer.succeeded;
        for (const each of answer.results) if (verb === "delete" && each.answer) hear({ uniqueId: each.id, status: "deleted" });
      }
      toast(t(`done.${word}`, { n: succeeded }), succeeded === ids.length ? "good" : "bad");
    } catch (error) {
      toast(explain(error), "bad");
    }
    for (const tile of cards.values()) mark(tile, false);
    pick();
  }
}

/** What a job shows of itself: its smallest variant, over its placeholder, or in words why there is none. */
export function thumbnail(job) {
  const variants = Object.values(job.processedImages || {});
  const small = variants.sort((one, other) => one.width - other.width)[0];
  const back = job.facts?.placeholder ? { "background-image": `url("${job.facts.placeholder}")` } : {};
  const frame = h("span", { class: "frame", style: back });
  if (small) frame.append(h("img", { src: small.url, alt: "", width: small.width, height: small.height, loading: "lazy", decoding: "async" }));
  else frame.append(h("span", { class: `badge ${job.status}` }, job.status === "failed" ? icon("alert") : null, t(`status.${job.status}`)));
  return frame;
}

/** The place to drop files at, and the list of those under way. */
function uploader(app, signal) {
  const { uploads } = app;
  const picker = h("input", { type: "file", multiple: true, accept: "image/*", class: "unseen", tabindex: "-1", "aria-label": t("chooseFiles") });
  const folder = h("input", { type: "file", webkitdirectory: true, class: "unseen", tabindex: "-1", "aria-label": t("chooseFolder") });
  for (const each of [picker, folder]) each.addEventListener("change", () => (uploads.add([...each.files]), (each.value = "")));
  const zone = h("section", { class: "drop", "aria-label": t("upload") }, icon("upload"), h("p", {}, h("strong", {}, t("dropHere")), h("span", { class: "muted" }, t("dropHint", { size: bytes(app.limits.maxBytes) }))),
    h("div", { class: "row" }, button(t("chooseFiles"), () => picker.click(), { kind: "primary" }), button(t("chooseFolder"), () => folder.click())), picker, folder);
  const list = h("ul", { class: "uploads", "aria-label": t("underWay") });
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
  uploads.addEventListener("change", ({ detail }) => rows.get(detail)?.update(), { signal });
  draw();
  return h("div", { class: "uploader" }, zone, list);

  function draw() {
    for (const item of rows.keys()) if (!uploads.items.includes(item)) (rows.get(item).element.remove(), rows.delete(item));
    for (const item of uploads.items) if (!rows.has(item)) {
      const made = row(item);
      rows.set(item, made);
      list.append(made.element);
    }
    list.querySelector(".clear")?.remove();
    if (uploads.items.some((each) => ENDED.has(each.state))) list.append(h("li", { class: "clear" }, button(t("clearList"), () => uploads.clearEnded(), { kind: "small quiet" })));
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

