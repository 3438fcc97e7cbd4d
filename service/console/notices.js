// What people are told: short notes, questions before what cannot be undone, and refusals in plain words.

import { Problem } from "./api.js";
import { button, h } from "./dom.js";
import { has, t } from "./texts.js";

let places;

/** A note that goes away by itself. */
export function toast(text, kind = "good") {
  places ||= document.body.appendChild(h("div", { class: "toasts", role: "status", "aria-live": "polite" }));
  const note = places.appendChild(h("p", { class: `toast ${kind}` }, text));
  setTimeout(() => note.remove(), kind === "bad" ? 9000 : 4000);
}

/** What went wrong and what to do: by its code, or else in the words of the service. */
export function explain(error) {
  if (error instanceof Problem) {
    const known = has(`problem.${error.code}`) ? t(`problem.${error.code}`) : error.message;
    const fields = error.errors.map((each) => `${each.field}: ${each.message}`).join("; ");
    const asked = error.status >= 500 && error.requestId ? t("requestId", { id: error.requestId }) : "";
    return [known, fields, asked].filter(Boolean).join(" ");
  }
  if (error instanceof TypeError) return t("problem.network");
  return error?.message || String(error);
}

/** Why a job failed, and what to do. */
export function failure(error) {
  if (!error) return "";
  return has(`failure.${error.code}`) ? t(`failure.${error.code}`) : error.message || error.code;
}

/** Asks before something that cannot be undone; true if it shall be done. */
export function confirmed(title, text, act) {
  return new Promise((resolve) => {
    const end = (answer) => (dialog.close(), dialog.remove(), resolve(answer));
    const dialog = h("dialog", { class: "dialog", "aria-labelledby": "dialog-title" }, h("h2", { id: "dialog-title" }, title),
      h("p", {}, text),
      h("div", { class: "row end" }, button(t("cancel"), () => end(false)), button(act, () => end(true), { kind: "danger" })));
    dialog.addEventListener("cancel", () => end(false));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Shows something once, such as a new key. */
export function shown(title, ...content) {
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": "dialog-title" }, h("h2", { id: "dialog-title" }, title), ...content,
    h("div", { class: "row end" }, button(t("close"), () => (dialog.close(), dialog.remove()), { kind: "primary" })));
  document.body.append(dialog);
  dialog.showModal();
}

/** A text with a button that copies it. */
export function copyable(text, label) {
  const act = button(t("copy"), async () => {
    await navigator.clipboard.writeText(text);
    toast(t("copied"));
  }, { kind: "small", icon: "copy", "aria-label": t("copyWhat", { what: label }) });
  return h("div", { class: "copyable" }, h("code", { tabindex: "0", "aria-label": label }, text), act);
}

/** A table; `columns` are texts, `rows` are lists of cells. Narrow screens scroll it by itself. */
export function table(caption, columns, rows) {
  const head = h("thead", {}, h("tr", {}, columns.map((each) => h("th", { scope: "col" }, each))));
  const body = h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, cell)))));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, h("table", {}, h("caption", { class: "unseen" }, caption), head, body));
}

/** A heading of a view, with what can be done there. */
export function heading(text, ...actions) {
  return h("div", { class: "heading" }, h("h1", {}, text), h("div", { class: "row" }, ...actions));
}
