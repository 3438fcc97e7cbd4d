// Keys of programs: an administrator makes, replaces and revokes them.

import { ask, onceKey } from "./api.js";
import { button, field, fill, h } from "./dom.js";
import { time } from "./format.js";
import { confirmed, copyable, explain, heading, shown, table, toast } from "./notices.js";
import { t } from "./texts.js";

const SCOPES = ["images:read", "images:write", "images:delete", "images:review", "images:position", "images:admin"];

export async function keys(place, app, signal) {
  const list = h("div");
  const name = h("input", { required: true, maxlength: 64 });
  const boxes = SCOPES.filter((each) => app.limits.scopes.includes(each)).map((scope) =>
    h("label", { class: "check" }, h("input", { type: "checkbox", value: scope, checked: ["images:read", "images:write"].includes(scope) }), h("span", {}, scope, h("small", { class: "muted" }, t(`scope.${scope.split(":")[1]}`)))));
  const form = h("form", { class: "card stack narrow" }, h("h2", {}, t("newKey")), field(t("name"), name, t("keyNameHint")), h("fieldset", {}, h("legend", {}, t("mayDo")), boxes), h("button", { class: "button primary" }, t("makeKey")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const scopes = boxes.map((each) => each.querySelector("input")).filter((each) => each.checked).map((each) => each.value);
    await act(async () => {
      const made = await ask("POST", "keys", { body: { name: name.value, scopes }, key: onceKey() });
      form.reset();
      shown(t("keyMade"), h("p", {}, t("shownOnce")), copyable(made.key, t("key")));
    });
  });
  fill(place, heading(t("view.keys")), h("p", { class: "lead" }, t("keysText")), list);
  await draw();
  place.append(form); // below what is there by now, so that nothing moves

  async function draw() {
    const { keys: found } = await ask("GET", "keys", { signal });
    fill(list, found.length ? table(t("view.keys"), [t("name"), t("mayDo"), t("madeAt"), t("lastUsed"), t("status"), t("actions")], found.map(row)) : h("p", { class: "empty" }, t("noKeys")));
  }

  function row(key) {
    const state = key.revokedAt ? "revoked" : key.expiresAt && new Date(key.expiresAt) < new Date() ? "expired" : "valid";
    const acts = state === "valid" && h("div", { class: "row" },
      button(t("rotate"), () => act(async () => shown(t("keyMade"), h("p", {}, t("rotated")), copyable((await ask("POST", `keys/${key.keyId}/rotate`, { body: {}, key: onceKey() })).key, t("key")))), { kind: "small" }),
      button(t("revoke"), () => revoke(key), { kind: "small danger" }));
    return [h("span", {}, key.name, h("br"), h("code", {}, key.keyId)), key.scopes.map((each) => each.replace("images:", "")).join(", "), time(key.createdAt), key.lastUsedAt ? time(key.lastUsedAt) : t("never"), h("span", { class: `badge ${state}` }, t(`key.${state}`)), acts || ""];
  }

  async function revoke(key) {
    if (await confirmed(t("revokeTitle", { name: key.name }), t("revokeText"), t("revoke"))) await act(() => ask("DELETE", `keys/${key.keyId}`));
  }

  async function act(call) {
    try {
      await call();
      await draw();
    } catch (error) {
      toast(explain(error), "bad");
    }
  }
}
