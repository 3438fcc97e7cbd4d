// What the tenant may use, and has used.

import { ask } from "./api.js";
import { fill, h } from "./dom.js";
import { bytes, day, number, seconds, time } from "./format.js";
import { heading, table } from "./notices.js";
import { t } from "./texts.js";

export async function usage(place, app, signal) {
  fill(place, heading(t("view.usage")));
  const [limits, used] = await Promise.all([ask("GET", "limits", { signal }), ask("GET", "usage", { signal })]);
  const meters = [
    ["images", limits.images, number],
    ["bytesPerDay", limits.bytesPerDay, bytes],
    ["megapixelsPerDay", limits.megapixelsPerDay, number],
  ].map(([name, { limit, used: count }, show]) =>
    h("div", { class: "meter card" }, h("h2", {}, t(`limit.${name}`)), h("p", { class: "big" }, show(count)), h("meter", { min: 0, max: limit, value: count, high: limit * 0.9, "aria-label": t(`limit.${name}`) }), h("p", { class: "muted" }, t("ofLimit", { limit: show(limit) }))));
  const most = Math.max(1, ...used.days.map((each) => each.completed + each.failed));
  const bars = h("ol", { class: "bars", "aria-label": t("perDay") }, [...used.days].sort((one, other) => one.day.localeCompare(other.day)).map((each) =>
    h("li", { style: { "--share": (each.completed + each.failed) / most } }, h("span", { class: "unseen" }, t("dayWas", { day: day(each.day), completed: number(each.completed), failed: number(each.failed) })), h("span", { class: "column", "aria-hidden": "true" }), h("small", { "aria-hidden": "true" }, day(each.day)))));
  const columns = [t("day"), t("completed"), t("failedCount"), t("cpu"), t("megapixels"), t("bytesIn"), t("bytesOut"), t("bytesSaved")];
  const row = (name, each) => [name, number(each.completed), number(each.failed), seconds(each.cpuMs), number(each.megapixels, 1), bytes(each.bytesIn), bytes(each.bytesOut), bytes(each.bytesSaved)];
  fill(place, heading(t("view.usage"), h("span", { class: "muted" }, t("resetsAt", { time: time(limits.resetsAt) }))), h("div", { class: "meters" }, meters),
    h("section", { class: "card" }, h("h2", {}, t("perDay")), used.days.length ? bars : h("p", { class: "empty" }, t("nothingYet")), used.days.length ? table(t("perDay"), columns, [...used.days.map((each) => row(day(each.day), each)), row(t("total"), used.total)]) : null),
    h("section", { class: "card" }, h("h2", {}, t("fileLimits")), h("dl", { class: "pairs" }, [["maxBytes", bytes(limits.maxBytes)], ["maxPixels", number(limits.maxPixels / 1e6)], ["maxSide", number(limits.maxSide)], ["maxFrames", number(limits.maxFrames)], ["formats", [...new Set(limits.formats.map((each) => each.extension))].join(", ")]].map(([name, value]) => h("div", {}, h("dt", {}, t(`limit.${name}`)), h("dd", {}, value))))));
}
