// What failed, why, and what to do; for administrators also messages that nobody could use.

import { ask, onceKey, pages } from "./api.js";
import { button, fill, h, icon } from "./dom.js";
import { number, time } from "./format.js";
import { confirmed, explain, failure, heading, table, toast } from "./notices.js";
import { t } from "./texts.js";

/** Most failed pictures that one call redrives. */
const MOST = 100;

export async function failures(place, app, signal) {
  const rows = [];
  const list = h("div");
  const more = h("div", { class: "row center" });
  const dead = h("p", { class: "muted" });
  const walk = pages("failed", { limit: 50 }, signal);
  fill(place, heading(t("view.failures"), app.may("images:admin") ? button(t("redrive"), redrive, { icon: "again" }) : null), dead, list, more);
  await next();

  async function next() {
    const { value, done } = await walk.next();
    if (done) return fill(more);
    if (value.deadLetters?.waiting) fill(dead, t("deadLetters", { n: number(value.deadLetters.waiting) }));
    rows.push(...value.images.map((job) => [h("a", { href: `#/image/${job.uniqueId}/${job.processingId}` }, job.filename), h("span", { class: "why" }, failure(job.error)), h("code", {}, job.error?.code), time(job.updatedAt)]));
    fill(list, rows.length ? table(t("view.failures"), [t("name"), t("why"), t("code"), t("since")], rows) : h("div", { class: "empty" }, icon("check"), h("p", {}, t("noFailures"))));
    fill(more, value.lastEvaluatedKey ? button(t("more"), next) : null);
  }

  /** What the service does, or would do, with the next hundred. */
  function page(body) {
    return ask("POST", "failed/redrive", { body: { ...body, limit: MOST }, key: onceKey() });
  }

  async function redrive() {
    try {
      const plan = await page({ dryRun: true });
      const n = `${number(plan.matched)}${plan.lastEvaluatedKey ? "+" : ""}`;
      if (!(await confirmed(t("redriveTitle", { n }), t("redriveText"), t("redrive")))) return;
      let redriven = 0;
      for (let lastKey; lastKey !== null; ) {
        const done = await page({ dryRun: false, lastKey });
        redriven += done.redriven;
        lastKey = done.lastEvaluatedKey;
      }
      toast(t("done.redriven", { n: redriven }));
    } catch (error) {
      toast(explain(error), "bad");
    }
  }
}
