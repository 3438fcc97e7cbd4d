// Signing in: with an API key, which the tab keeps and forgets, or with Cognito (code flow with PKCE, RFC 7636).

import { keep, onceKey } from "./api.js";
import { button, field, h } from "./dom.js";
import { t } from "./texts.js";
import { toast } from "./notices.js";

const PENDING = "truss-sign-in";

export function signInView(config, entered) {
  const key = h("input", { type: "password", name: "key", autocomplete: "off", spellcheck: "false", required: true, placeholder: "truss_…" });
  const form = h("form", { class: "stack" }, field(t("key"), key, t("keyHint")), h("button", { class: "button primary wide" }, t("signIn")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keep({ header: "X-Api-Key", value: key.value.trim() });
    entered();
  });
  const pool = config.signIn && button(t("signInPool"), () => begin(config.signIn), { kind: config.keys ? "wide" : "primary wide" });
  return h("section", { class: "card sign-in", "aria-labelledby": "sign-in" }, h("span", { class: "mark large", "aria-hidden": "true" }),
    h("h1", { id: "sign-in" }, t("signInTitle")), h("p", { class: "muted" }, t("signInText")), config.keys ? form : null, pool,
    config.keys || pool ? null : h("p", {}, t("noWayIn")));
}

export function signOut() {
  keep(null);
}

function address() {
  return location.origin + location.pathname;
}

async function begin({ url, clientId }) {
  const verifier = onceKey() + onceKey();
  const state = onceKey();
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const challenge = btoa(String.fromCharCode(...new Uint8Array(digest))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  sessionStorage.setItem(PENDING, JSON.stringify({ verifier, state, hash: location.hash }));
  const asked = { response_type: "code", client_id: clientId, redirect_uri: address(), scope: "openid", state, code_challenge: challenge, code_challenge_method: "S256" };
  location.assign(`${url}/oauth2/authorize?${new URLSearchParams(asked)}`);
}

/** Trades the code, with which the pool sent the viewer back, for a token. */
export async function finishSignIn({ signIn }) {
  const came = new URLSearchParams(location.search);
  const begun = JSON.parse(sessionStorage.getItem(PENDING) || "null");
  if (!signIn || !begun || !(came.has("code") || came.has("error"))) return;
  sessionStorage.removeItem(PENDING);
  history.replaceState(null, "", address() + begun.hash);
  if (came.get("state") !== begun.state || came.has("error")) return toast(t("signInFailed"), "bad");
  const body = new URLSearchParams({ grant_type: "authorization_code", client_id: signIn.clientId, code: came.get("code"), redirect_uri: address(), code_verifier: begun.verifier });
  const response = await fetch(`${signIn.url}/oauth2/token`, { method: "POST", body });
  if (!response.ok) return toast(t("signInFailed"), "bad");
  const token = await response.json();
  keep({ header: "Authorization", value: `Bearer ${token.access_token}`, expires: Date.now() + token.expires_in * 1000 });
}
