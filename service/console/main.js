// Starts the page: who looks at it, what it shows, and what it hears.

import { ask, credentials, follow, session } from "./api.js";
import { button, fill, h, select } from "./dom.js";
import { Uploads } from "./uploads.js";
import { LANGUAGES, language, speak, t } from "./texts.js";
import { signInView, signOut, finishSignIn } from "./signin.js";
import { explain, toast } from "./notices.js";
import { gallery } from "./gallery.js";

/** A view: its words, the scope that it needs, and the module that makes it of the rest of the address, once it is asked for. */
const VIEWS = {
  images: { scope: "images:read", load: async () => gallery },
  image: { scope: "images:read", load: async () => (await import("./image.js")).image, hidden: true },
  reviews: { scope: "images:review", load: async () => (await import("./reviews.js")).reviews },
  presets: { scope: "images:read", load: async () => (await import("./presets.js")).presets },
  batches: { scope: "images:read", load: async () => (await import("./batches.js")).batches },
  failures: { scope: "images:read", load: async () => (await import("./failures.js")).failures },
  usage: { scope: "images:read", load: async () => (await import("./usage.js")).usage },
  webhooks: { scope: "images:admin", load: async () => (await import("./webhooks.js")).webhooks },
  keys: { scope: "images:admin", load: async () => (await import("./keys.js")).keys },
};

const config = JSON.parse(document.body.dataset.config);
/** What every view is given. */
const app = { config, uploads: new Uploads(), jobs: new EventTarget(), limits: null, may: (scope) => app.limits.scopes.includes(scope) };

const header = h("header", { class: "bar" });
const main = h("main", { id: "main", tabindex: "-1" });
const skip = h("a", { class: "skip", href: "#main", on: { click: (event) => (event.preventDefault(), main.focus()) } });
let leave = new AbortController();

async function start() {
  speak();
  document.body.append(skip, header, main);
  session.addEventListener("signed-out", () => (signOut(), show()));
  addEventListener("hashchange", show);
  addEventListener("error", (event) => toast(event.message, "bad"));
  addEventListener("unhandledrejection", (event) => event.reason?.name !== "AbortError" && toast(explain(event.reason), "bad"));
  await finishSignIn(config).catch((error) => toast(explain(error), "bad"));
  await show();
}

async function enter() {
  app.limits = await ask("GET", "limits").catch(reviewer);
  if (!app.may("images:read")) return;
  app.uploads.resume(app.limits.tenant);
  const ended = new AbortController();
  session.addEventListener("signed-out", () => ended.abort(), { once: true });
  follow({}, hear, ended.signal);
}

/** Whoever may review and nothing else is not told the limits. */
async function reviewer(refused) {
  if (refused.status !== 403) throw refused;
  await ask("GET", "review", { query: { limit: 1 } });
  return { tenant: "", scopes: ["images:review"] };
}

const asked = new Map();

/** A live event: the job's status, asked once for all events of a moment. */
function hear(name, event) {
  const { uniqueId, processingId } = event.data;
  if (name === "image.deleted") return tell({ uniqueId, processingId, status: "deleted" });
  clearTimeout(asked.get(processingId));
  asked.set(processingId, setTimeout(async () => {
    asked.delete(processingId);
    const job = await ask("GET", `status/${processingId}`).catch((error) => (error.status === 404 ? { uniqueId, processingId, status: "deleted" } : null));
    if (job) tell(job);
  }, 250));
}

function tell(job) {
  app.uploads.hear(job);
  app.jobs.dispatchEvent(new CustomEvent("job", { detail: job }));
}

async function show() {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  document.documentElement.lang = language();
  fill(skip, t("skip"));
  if (!config.open && !credentials()) {
    app.limits = null;
    bar(null);
    return fill(main, signInView(config, show));
  }
  try {
    if (!app.limits) await enter();
  } catch (error) {
    if (error.status === 401) return;
    bar(null);
    return fill(main, failed(error));
  }
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const view = VIEWS[name] ? name : Object.keys(VIEWS).find((each) => app.may(VIEWS[each].scope)) || "images";
  bar(view);
  document.title = `${t(`view.${view}`)} · ${t("title")}`;
  const place = h("div", { class: `view view-${view}` });
  fill(main, place);
  if (!app.may(VIEWS[view].scope)) return fill(place, h("p", { class: "empty" }, t("notAllowed", { scope: VIEWS[view].scope })));
  try {
    const make = await VIEWS[view].load();
    if (!signal.aborted) await make(place, app, signal, ...rest);
  } catch (error) {
    if (error.name !== "AbortError" && error.status !== 401) fill(place, failed(error));
  }
}

function failed(error) {
  return h("div", { class: "empty", role: "alert" }, h("h2", {}, t("wentWrong")), h("p", {}, explain(error)), button(t("tryAgain"), show));
}

function bar(current) {
  const shown = app.limits ? Object.entries(VIEWS).filter(([, view]) => !view.hidden && app.may(view.scope)) : [];
  const links = shown.map(([name]) =>
    h("a", { href: `#/${name}`, "aria-current": name === current ? "page" : null }, t(`view.${name}`)));
  const languages = select(Object.entries(LANGUAGES), language(), { "aria-label": t("language"), class: "quiet" });
  languages.addEventListener("change", () => (speak(languages.value), show()));
  fill(
    header,
    h("a", { class: "brand", href: "#/images" }, h("span", { class: "mark", "aria-hidden": "true" }), t("title"),
      config.stage === "prod" ? null : h("span", { class: "stage" }, config.stage)),
    links.length ? h("nav", { "aria-label": t("views") }, links) : null,
    h("div", { class: "bar-end" }, app.limits && !config.open ? h("span", { class: "tenant" }, app.limits.tenant) : null, languages,
      !config.open && credentials() ? button(t("signOut"), () => (app.uploads.forget(), session.dispatchEvent(new Event("signed-out"))), { kind: "quiet" }) : null),
  );
}

start();
