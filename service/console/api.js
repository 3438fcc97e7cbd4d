// Calls of the API, as the viewer. A refusal is a `Problem`, with the words of the service.

/** Where the API is: the page is at `/images/console`, perhaps behind a prefix. */
const BASE = new URL(".", location.href);
const TRIES = 4;
const KEY = "truss-credentials";

/** Tells of `signed-out`, when the service does not know the credentials any more. */
export const session = new EventTarget();

export class Problem extends Error {
  constructor(status, document, retryAfter) {
    super(document.detail || document.title || `HTTP ${status}`);
    Object.assign(this, { status, code: document.code || "", requestId: document.requestId || "", retryAfter });
    this.errors = document.errors || [];
  }
}

/** `{header, value, expires?}`; kept for this tab alone, and gone with it. */
export function credentials() {
  const kept = JSON.parse(sessionStorage.getItem(KEY) || "null");
  return kept && kept.expires && kept.expires < Date.now() ? null : kept;
}

export function keep(given) {
  if (given) sessionStorage.setItem(KEY, JSON.stringify(given));
  else sessionStorage.removeItem(KEY);
}

function headers(more = {}) {
  const given = credentials();
  return { Accept: "application/json", ...(given ? { [given.header]: given.value } : {}), ...more };
}

function address(path, query = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query))
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  return url;
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * One call. Reads are repeated when the service is away or asks for patience; so is whatever has an idempotency
 * `key`, which the service does once however often it is asked.
 */
export async function ask(method, path, { query, body, key, signal, etag } = {}) {
  const more = body === undefined ? {} : { "Content-Type": "application/json" };
  if (key) more["Idempotency-Key"] = key;
  if (etag) more["If-Match"] = etag;
  const request = { method, signal, cache: "no-store", body: body === undefined ? undefined : JSON.stringify(body) };
  const mayRepeat = method === "GET" || Boolean(key);
  for (let tried = 1; ; tried++) {
    try {
      return await once(address(path, query), { ...request, headers: headers(more) });
    } catch (error) {
      const passes = error instanceof TypeError || (error instanceof Problem && [429, 502, 503, 504].includes(error.status));
      const wait = error.retryAfter ?? 2 ** (tried - 1);
      if (!mayRepeat || !passes || tried === TRIES || wait > 30 || signal?.aborted) throw error;
      await pause(wait * 1000);
    }
  }
}

async function once(url, request) {
  const response = await fetch(url, request);
  const text = await response.text();
  const document = parsed(text);
  if (response.ok) return Object.assign(document, { etag: response.headers.get("ETag") });
  if (response.status === 401) session.dispatchEvent(new Event("signed-out"));
  const after = Number(response.headers.get("Retry-After") || NaN);
  throw new Problem(response.status, document, Number.isNaN(after) ? undefined : after);
}

function parsed(text) {
  try {
    return JSON.parse(text) || {};
  } catch {
    return {};
  }
}

/** A key under which a call is done once. */
export function onceKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (each) => each.toString(16).padStart(2, "0")).join("");
}

/** Every page of a list, one after the other: `for await (const page of pages(...))`. */
export async function* pages(path, query = {}, signal) {
  for (let lastKey; ; ) {
    const page = await ask("GET", path, { query: { ...query, lastKey }, signal });
    yield page;
    lastKey = page.lastEvaluatedKey;
    if (!lastKey) return;
  }
}

/** Live events, until `signal` ends them. It comes back by itself, with the last id, and tells each event once. */
export async function follow(query, tell, signal) {
  const told = new Set();
  for (let last, failures = 0; !signal.aborted; ) {
    try {
      await read(address("events", { ...query, lastEventId: last }), signal, (event) => {
        failures = 0;
        last = event.id || last;
        if (event.name.startsWith("image.") && !told.has(event.data.id)) {
          told.add(event.data.id);
          tell(event.name, event.data);
        }
      });
    } catch (error) {
      if (signal.aborted || [401, 403, 404].includes(error.status)) return;
      failures += 1;
    }
    await pause(Math.min(30, 2 ** failures) * 500);
  }
}

async function read(url, signal, tell) {
  const response = await fetch(url, { headers: headers({ Accept: "text/event-stream" }), signal, cache: "no-store" });
  if (!response.ok) throw new Problem(response.status, parsed(await response.text()));
  let rest = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    blocks.map(event).filter(Boolean).forEach(tell);
  }
}

function event(block) {
  const found = {};
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    if (at > 0) found[line.slice(0, at)] = line.slice(at + 1).trimStart();
  }
  return found.data ? { id: found.id, name: found.event || "message", data: parsed(found.data) } : null;
}
