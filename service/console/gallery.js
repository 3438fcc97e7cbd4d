// The gallery: pictures to drop, those under way, and all that are there.

import { ask, onceKey, pages } from "./api.js";
import { button, field, fill, h, icon, select } from "./dom.js";
import { number } from "./format.js";
import { LongList } from "./longlist.js";
import { confirmed, explain, heading, toast } from "./notices.js";
import { t } from "./texts.js";
import { uploader } from "./uploader.js";

const PAGE = 60;
/** Pages that one look at the end of the list asks for, while it finds too little. */
const PAGES_AT_ONCE = 5;
/** Ids that a batch call takes. */
const BATCH = 100;
const STATUSES = ["", "completed", "processing", "pending", "failed", "needs_review", "rejected"];
const idOf = (job) => job.uniqueId;

export async function gallery(place, app, signal, by, value) {
  const chosen = new Map();
  const loading = h("div", { class: "grid", "aria-hidden": "true" });
  const grid = h("div", { class: "blocks", role: "list", "aria-label": t("view.images") });
  const list = new LongList(grid, card, idOf, signal);
  const end = h("div", { class: "grid-end" });
  const note = h("div", { class: "row center", role: "status" });
  const status = select(STATUSES.map((each) => [each, t(each ? `status.${each}` : "status.all")]), "");
  const name = h("input", { type: "search", placeholder: t("nameHint"), autocomplete: "off", maxlength: 200 });
  const known = h("datalist", { id: "tags" });
  const tag = h("input", { type: "search", placeholder: t("tagHint"), autocomplete: "off", list: "tags", maxlength: 100, value: by === "tag" ? value : "" });
  const picks = h("div", { class: "picks", hidden: true, role: "region", "aria-label": t("selection") });
  const tags = new Set();
  let walk, last = null;

  fill(place,
    heading(t("view.images")),
    app.may("images:write") ? uploader(app, signal) : null,
    h("form", { class: "filters", role: "search", on: { submit: (event) => event.preventDefault() } }, field(t("fileName"), name), field(t("tag"), tag), field(t("status"), status), known),
    picks, loading, grid, end, note);

  const watch = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && more(), { rootMargin: "1200px" });
  watch.observe(end);
  signal.addEventListener("abort", () => watch.disconnect());
  status.addEventListener("change", restart);
  let typing;
  for (const each of [name, tag]) each.addEventListener("input", () => (clearTimeout(typing), (typing = setTimeout(restart, 250))));
  app.jobs.addEventListener("job", ({ detail }) => hear(detail), { signal });
  restart();

  function restart() {
    const query = { limit: PAGE, status: status.value, name: name.value.trim(), tag: tag.value.trim() };
    walk = { pages: pages("list", query, signal), busy: false, done: false, waits: false, narrowed: Boolean(query.status || query.name || query.tag) };
    list.clear();
    chosen.clear();
    pick();
    fill(loading, Array.from({ length: 12 }, () => h("div", { class: "tile loading" })));
    grid.hidden = true;
    fill(note);
    more();
  }

  /** What the service would find; live events tell of all pictures. */
  function matches(job) {
    const wanted = tag.value.trim().toLowerCase();
    return (!status.value || job.status === status.value) && job.filename.toLowerCase().includes(name.value.trim().toLowerCase()) && (!wanted || tagsOf(job).some((each) => each.toLowerCase() === wanted));
  }

  /** Goes on until a screen is full, or nothing is left, or so much was searched that somebody should want more. */
  async function more(asked = false) {
    const mine = walk;
    if (mine.busy || mine.done || (mine.waits && !asked)) return;
    mine.busy = true;
    mine.waits = false;
    try {
      for (let added = 0, looks = 0; added < PAGE / 2 && !mine.done; looks++) {
        if (looks === PAGES_AT_ONCE) {
          mine.waits = true;
          break;
        }
        const { value: page, done } = await mine.pages.next();
        if (mine !== walk || signal.aborted) return;
        mine.done = done;
        const images = page?.images || [];
        added += images.length;
        images.forEach(learn);
        fill(loading);
        grid.hidden = false;
        list.add(images);
      }
      fill(note, mine.waits ? button(t("searchOn"), () => more(true)) : mine.done && !list.items.length ? nothing() : null);
    } catch (error) {
      if (error.name !== "AbortError") fill(note, h("p", { class: "muted" }, explain(error)), button(t("tryAgain"), restart));
      mine.done = true;
    } finally {
      mine.busy = false;
      if (mine === walk) grid.hidden = !list.items.length;
    }
    if (!mine.done && end.getBoundingClientRect().top < innerHeight + 1200) more();
  }

  function nothing() {
    return h("div", { class: "empty" }, icon(walk.narrowed ? "search" : "picture"), h("p", {}, t(walk.narrowed ? "nothingFound" : "firstPicture")));
  }

  /** Tags that were seen are offered. */
  function learn(job) {
    for (const each of tagsOf(job)) if (!tags.has(each)) (tags.add(each), known.append(h("option", { value: each })));
  }

  function hear(job) {
    if (job.status === "deleted") {
      list.remove(job.uniqueId);
      chosen.delete(job.uniqueId);
      pick();
    } else if (!list.replace(job) && walk && matches(job)) {
      fill(note);
      fill(loading);
      grid.hidden = false;
      list.addFirst(job);
    }
    if (walk.done && !list.items.length) (fill(note, nothing()), (grid.hidden = true));
  }

  function card(job) {
    const box = h("input", { type: "checkbox", "aria-label": t("choose", { name: job.filename }), checked: chosen.has(job.uniqueId) });
    const tile = h("div", { class: `tile ${job.status}`, role: "listitem" },
      h("a", { href: `#/image/${job.uniqueId}/${job.processingId}` }, thumbnail(job), h("span", { class: "name" }, job.filename)),
      box);
    box.addEventListener("click", (event) => {
      const [from, to] = [event.shiftKey && last ? last : job.uniqueId, job.uniqueId].map((id) => list.items.findIndex((each) => each.uniqueId === id)).sort((one, other) => one - other);
      for (const each of list.items.slice(Math.max(0, from), to + 1)) mark(each, box.checked);
      last = job.uniqueId;
      pick();
    });
    return tile;
  }

  function mark(job, on) {
    const shown = list.of(job.uniqueId)?.querySelector("input");
    if (shown) shown.checked = on;
    if (on) chosen.set(job.uniqueId, job);
    else chosen.delete(job.uniqueId);
  }

  function pick() {
    picks.hidden = !chosen.size;
    fill(picks, h("strong", {}, t("chosen", { n: chosen.size, count: number(chosen.size) })),
      app.may("images:write") ? button(t("again"), () => batch("process", "again"), { icon: "again" }) : null,
      app.may("images:delete") ? button(t("delete"), remove, { kind: "danger", icon: "trash" }) : null,
      button(t("chooseNone"), none, { kind: "quiet" }));
  }

  function none() {
    for (const job of [...chosen.values()]) mark(job, false);
    pick();
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
    none();
  }
}

/** What a picture shows, and the keywords in its metadata. */
function tagsOf(job) {
  const { tags = [], metadata = {} } = job.facts || {};
  return [...tags.map((each) => each.name), ...(metadata.keywords || [])];
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
