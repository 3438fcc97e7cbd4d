// Webhooks: where they lead, how they fare, each attempt, and sending again.

import { ask, onceKey } from "./api.js";
import { button, field, fill, h } from "./dom.js";
import { number, time } from "./format.js";
import { confirmed, copyable, explain, heading, shown, table, toast } from "./notices.js";
import { t } from "./texts.js";

const KINDS = ["image.uploaded", "image.processing", "image.variant", "image.needs_review", "image.completed", "image.rejected", "image.failed", "image.superseded", "image.deleted"];

export async function webhooks(place, app, signal) {
  const list = h("div", { class: "stack" });
  const url = h("input", { type: "url", required: true, placeholder: "https://example.com/hook" });
  const words = h("input", { maxlength: 200 });
  const boxes = KINDS.map((kind) => h("label", { class: "check" }, h("input", { type: "checkbox", value: kind, checked: ["image.completed", "image.failed"].includes(kind) }), h("span", {}, kind)));
  const form = h("form", { class: "card stack narrow" }, h("h2", {}, t("newWebhook")), field(t("address"), url), field(t("description"), words), h("fieldset", {}, h("legend", {}, t("events")), boxes), h("button", { class: "button primary" }, t("makeWebhook")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const events = boxes.map((each) => each.querySelector("input")).filter((each) => each.checked).map((each) => each.value);
    await act(async () => {
      const made = await ask("POST", "webhooks", { body: { url: url.value, description: words.value, events }, key: onceKey() });
      form.reset();
      shown(t("secretMade"), h("p", {}, t("shownOnce")), copyable(made.secret, t("secret")));
    });
  });
  fill(place, heading(t("view.webhooks")), h("p", { class: "lead" }, t("webhooksText")), list);
  await draw();
  place.append(form); // below what is there by now, so that nothing moves

  async function draw() {
    const { webhooks: found } = await ask("GET", "webhooks", { signal });
    fill(list, found.length ? found.map(card) : h("p", { class: "empty" }, t("noWebhooks")));
  }

  function card(hook) {
    const attempts = h("div");
    const path = `webhooks/${hook.webhookId}`;
    const state = hook.on ? (hook.failingSince ? "failing" : "valid") : "off";
    return h("article", { class: "card" },
      h("div", { class: "row spread" }, h("h2", { class: "address" }, hook.url), h("span", { class: `badge ${state}` }, t(`hook.${state}`))),
      hook.description ? h("p", {}, hook.description) : null,
      h("p", { class: "muted" }, hook.events.join(", ")),
      hook.failingSince ? h("p", { class: "notice bad" }, t("failingSince", { time: time(hook.failingSince), why: hook.lastFailure?.code || hook.lastFailure?.status || "" })) : null,
      h("div", { class: "row" },
        button(t("showAttempts"), () => deliveries(attempts, path), { kind: "small" }),
        button(t("sendTest"), () => act(() => ask("POST", `${path}/test`, { key: onceKey() }), t("testSent")), { kind: "small" }),
        button(t("replayFailed"), () => act(() => ask("POST", `${path}/replay`, { body: { failed: true }, key: onceKey() }), t("replayed")), { kind: "small" }),
        button(t(hook.on ? "switchOff" : "switchOn"), () => act(() => ask("PATCH", path, { body: { on: !hook.on } })), { kind: "small" }),
        button(t("newSecret"), () => act(async () => shown(t("secretMade"), h("p", {}, t("secretOverlap")), copyable((await ask("POST", `${path}/rotate`, { body: {}, key: onceKey() })).secret, t("secret")))), { kind: "small" }),
        button(t("delete"), () => remove(hook, path), { kind: "small danger" })),
      attempts);
  }

  async function deliveries(into, path) {
    try {
      const { deliveries: found } = await ask("GET", `${path}/attempts`, { query: { limit: 50 }, signal });
      const again = (each) => button(t("sendAgain"), () => act(() => ask("POST", `${path}/replay`, { body: { eventId: each.eventId }, key: onceKey() }), t("replayed"), false), { kind: "small quiet" });
      fill(into, found.length ? table(t("attempts"), [t("event"), t("since"), t("status"), t("tries"), t("lastAnswer"), t("actions")], found.map((each) => {
        const last = each.attempts[each.attempts.length - 1];
        return [each.type, time(each.eventAt), h("span", { class: `badge ${each.status}` }, t(`delivery.${each.status}`)), number(each.attempts.length), last ? `${last.status ?? last.code} · ${number(last.milliseconds)} ms` : "–", again(each)];
      })) : h("p", { class: "muted" }, t("noAttempts")));
    } catch (error) {
      toast(explain(error), "bad");
    }
  }

  async function remove(hook, path) {
    if (await confirmed(t("removeWebhook"), hook.url, t("delete"))) await act(() => ask("DELETE", path));
  }

  async function act(call, said, anew = true) {
    try {
      await call();
      if (said) toast(said);
      if (anew) await draw();
    } catch (error) {
      toast(explain(error), "bad");
    }
  }
}
