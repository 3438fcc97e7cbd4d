// Background jobs: deletes and conversions of many images, and backfills of presets.

import { ask } from "./api.js";
import { button, fill, h } from "./dom.js";
import { number, time } from "./format.js";
import { explain, heading, toast } from "./notices.js";
import { t } from "./texts.js";

const LOOK_EVERY = 2000;
const OVER = new Set(["completed", "cancelled", "failed"]);

export async function batches(place, app, signal) {
  const list = h("div", { class: "stack" });
  fill(place, heading(t("view.batches")), h("p", { class: "lead" }, t("batchesText")), list);
  await draw();

  async function draw() {
    const { batches: found } = await ask("GET", "batch", { signal });
    if (signal.aborted) return;
    fill(list, found.length ? found.map((each) => batchCard(each, app, draw)) : h("p", { class: "empty" }, t("noBatches")));
    if (found.some((each) => !OVER.has(each.state))) setTimeout(() => signal.aborted || draw(), LOOK_EVERY);
  }
}

/** A background job with its progress; `changed` is called after a change. */
export function batchCard(job, app, changed) {
  const done = job.done + job.failed;
  const act = async (call) => {
    try {
      await call();
      await changed();
    } catch (error) {
      toast(explain(error), "bad");
    }
  };
  const path = `batch/${job.batchId}`;
  const acts = !OVER.has(job.state) && app.may("images:write") && h("div", { class: "row" },
    job.pausedUntil ? button(t("goOn"), () => act(() => ask("PATCH", path, { body: { paused: false } })), { kind: "small", icon: "play" })
      : button(t("pause"), () => act(() => ask("PATCH", path, { body: { paused: true } })), { kind: "small", icon: "pause" }),
    button(t("cancel"), () => act(() => ask("DELETE", path)), { kind: "small danger" }));
  const title = t(`batch.${job.operation}`, { preset: job.preset || "" });
  return h("article", { class: "card" }, h("div", { class: "row spread" }, h("h2", {}, title), h("span", { class: `badge ${job.state}` }, t(`batchState.${job.pausedUntil && !OVER.has(job.state) ? "paused" : job.state}`))),
    h("progress", { max: Math.max(1, job.found), value: OVER.has(job.state) ? Math.max(1, job.found) : done, "aria-label": title }),
    h("p", { class: "muted" }, t("batchSaid", { done: number(job.done), found: number(job.found), failed: number(job.failed), time: time(job.createdAt) })), acts || null);
}
