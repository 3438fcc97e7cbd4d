// Deliveries of webhooks: are they from the service, and what do they say (Standard Webhooks). For servers: a page has no secrets.

import { WebhookRefused } from "./errors.js";

/** How far the time of a delivery may be from now, in seconds. */
const TOLERANCE_SECONDS = 300;
/** Node 18 has no global one. A name in a variable is left alone by bundlers. */
const NODE_CRYPTO = "node:crypto";

/** What happened to an image. `data` is as documented for each `type`. */
export interface Event {
  /** The same however often it is sent: remember it for a day. */
  id: string;
  type: string;
  time: string;
  subject: string;
  data: Record<string, unknown>;
}

/** How strictly to look. */
export interface VerifyOptions {
  /** How old a delivery may be, in seconds: 300 by default. */
  toleranceSeconds?: number;
  /** In place of the clock, in seconds since 1970. */
  now?: number;
}

/** Headers as `fetch`, Node or a Lambda have them. */
export type HeadersLike = Headers | Record<string, string | string[] | undefined>;

/**
 * The event of a delivery. Rejects with `WebhookRefused`.
 *
 * `body` must be the bytes as they came. `secret` is that of the webhook, or several while it is replaced. Signatures are compared
 * in constant time.
 */
export async function verify(
  body: string | Uint8Array,
  headers: HeadersLike,
  secret: string | string[],
  options: VerifyOptions = {},
): Promise<Event> {
  const [id, moment, signatures] = ["id", "timestamp", "signature"].map((name) => sent(headers, `webhook-${name}`));
  if (!id || !moment || !signatures) throw new WebhookRefused("a header of Standard Webhooks is missing");
  const { toleranceSeconds = TOLERANCE_SECONDS, now = Date.now() / 1000 } = options;
  if (!/^\d+$/.test(moment) || !(Math.abs(now - Number(moment)) <= toleranceSeconds)) {
    throw new WebhookRefused("the delivery is too old, or from the future");
  }
  const text = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const signed = joined(new TextEncoder().encode(`${id}.${moment}.`), text);
  const given = signatures.split(" ").filter((each) => each.startsWith("v1,"));
  let isGenuine = false;
  for (const each of typeof secret === "string" ? [secret] : secret) {
    const key = await keyOf(each);
    for (const signature of given) isGenuine = (await isSigned(key, signature, signed)) || isGenuine;
  }
  if (!isGenuine) throw new WebhookRefused("the signature is wrong");
  return event(new TextDecoder().decode(text));
}

/** The event of a CloudEvent that came over a trusted way, such as EventBridge's `detail`. */
export function event(document: string | Record<string, unknown>): Event {
  let told: Partial<Event> | undefined;
  try {
    told = typeof document === "string" ? (JSON.parse(document) as Partial<Event>) : document;
  } catch {
    // It is told below.
  }
  if (typeof told?.id !== "string" || typeof told.type !== "string" || typeof told.time !== "string") {
    throw new WebhookRefused("the body is no event");
  }
  return { id: told.id, type: told.type, time: told.time, subject: told.subject ?? "", data: told.data ?? {} };
}

interface Key {
  subtle: SubtleCrypto;
  key: CryptoKey;
}

async function keyOf(secret: string): Promise<Key> {
  const bytes = decoded(secret.replace(/^whsec_/, ""));
  if (bytes === undefined || bytes.length === 0) throw new TypeError("the webhook's secret is `whsec_` and base64");
  const crypto = globalThis.crypto ?? ((await import(NODE_CRYPTO)) as { webcrypto: Crypto }).webcrypto;
  const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  return { subtle: crypto.subtle, key };
}

async function isSigned({ subtle, key }: Key, signature: string, signed: Uint8Array<ArrayBuffer>): Promise<boolean> {
  const bytes = decoded(signature.slice("v1,".length));
  return bytes !== undefined && (await subtle.verify("HMAC", key, bytes, signed));
}

function decoded(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}

function joined(one: Uint8Array, other: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(one.length + other.length);
  whole.set(one);
  whole.set(other, one.length);
  return whole;
}

function sent(headers: HeadersLike, name: string): string {
  if (headers instanceof Headers) return headers.get(name) ?? "";
  const value = Object.entries(headers).find(([each]) => each.toLowerCase() === name)?.[1];
  return typeof value === "string" ? value : "";
}
