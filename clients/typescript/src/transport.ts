// One call over HTTP: with authentication, with retries by the service's words, and with errors that say why.

import { ApiError, NotReached, NotThisService, type TrussImageError, refusal } from "./errors.js";
import type { Problem } from "./models.js";
import { backoff, pause, pauseAfter, retryAfter } from "./retrying.js";

/** What every call takes. */
export interface CallOptions {
  /** Ends the call when the caller gives up. */
  signal?: AbortSignal | undefined;
  /** A name of your choice for this request, of those that make something. Without it, each call has one of its own. */
  idempotencyKey?: string | undefined;
}

/** A call that succeeded. `replayed`: an earlier call with the same idempotency key had this answer. */
export interface Answer<T> {
  document: T | undefined;
  etag: string;
  replayed: boolean;
}

interface Failure {
  failure: TrussImageError;
  /** Seconds to wait before the call is repeated; undefined: that does not help. */
  rest: number | undefined;
}

type Query = Record<string, unknown>;

/** The service at a base URL. */
export class Transport {
  constructor(
    private readonly baseUrl: string,
    private readonly credentials: () => Promise<Record<string, string>>,
    readonly fetch: typeof globalThis.fetch,
    private readonly timeoutSeconds: number,
    private readonly patienceSeconds: number,
  ) {}

  /** The document of an answer. */
  async call<T>(method: string, path: string, query: Query, body: unknown, options: CallOptions = {}): Promise<T> {
    const answer = await this.send<T>(method, path, query, body, options);
    return answer.document as T;
  }

  /** The rows of a list, page by page, as far as the caller reads. */
  async *rows<P extends { lastEvaluatedKey: string | null }, R>(
    path: string,
    query: Query,
    name: keyof P,
    options: CallOptions,
  ): AsyncGenerator<R, void, undefined> {
    let lastKey: string | null | undefined;
    do {
      const page: P = await this.call<P>("GET", path, { ...query, lastKey }, undefined, options);
      yield* page[name] as R[];
      lastKey = page.lastEvaluatedKey;
    } while (lastKey != null);
  }

  /** The answer as it came. A POST has the same idempotency key at every try, so nothing is done twice. */
  async send<T>(
    method: string,
    path: string,
    query: Query,
    body: unknown,
    options: CallOptions & { etag?: string } = {},
  ): Promise<Answer<T>> {
    const headers: Record<string, string> = { ...(await this.credentials()) };
    if (method === "POST") headers["Idempotency-Key"] = options.idempotencyKey ?? newKey();
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (options.etag) headers["If-None-Match"] = options.etag;
    const request = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    const began = Date.now();
    for (let tries = 0; ; tries++) {
      const answer = await this.once<T>(this.url(path, query), request, tries, options.signal);
      if (!("failure" in answer)) return answer;
      const waited = (Date.now() - began) / 1000;
      if (answer.rest === undefined || waited + answer.rest > this.patienceSeconds) throw answer.failure;
      await pause(answer.rest, options.signal);
    }
  }

  private url(path: string, query: Query): string {
    const asked = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== null) asked.set(name, String(value));
    }
    const text = asked.toString();
    return `${this.baseUrl}${path}${text && `?${text}`}`;
  }

  private async once<T>(
    url: string,
    request: RequestInit,
    tries: number,
    signal: AbortSignal | undefined,
  ): Promise<Answer<T> | Failure> {
    let response: Response;
    let text: string;
    const limit = limited(signal, this.timeoutSeconds);
    try {
      // A redirect is followed by no caller with a key: it may lead elsewhere.
      response = await this.fetch(url, { ...request, redirect: "manual", cache: "no-store", signal: limit.signal });
      text = await response.text();
    } catch (error) {
      signal?.throwIfAborted();
      return { failure: new NotReached(`${this.baseUrl} was not reached`, { cause: error }), rest: backoff(tries) };
    } finally {
      limit.end();
    }
    const document = parsed(text);
    const isGood = response.ok && (document !== undefined || text === "");
    if (isGood || response.status === 304) {
      return {
        document: document as T | undefined,
        etag: response.headers.get("ETag") ?? "",
        replayed: response.headers.get("Idempotent-Replayed") === "true",
      };
    }
    const failure = isProblem(document)
      ? refusal(document, retryAfter(response.headers))
      : new NotThisService(`${this.baseUrl} answers, but does not speak this API (HTTP ${response.status})`);
    const code = failure instanceof ApiError ? failure.code : "";
    return { failure, rest: pauseAfter(response.status, code, response.headers, tries) };
  }
}

/** A name within a path. Dots would lead out of it. */
export function quoted(name: string): string {
  const text = encodeURIComponent(name);
  if (text === "." || text === "..") throw new TypeError("dots are no name");
  return text;
}

/** A signal that ends with another one, or after so many seconds. */
export function limited(signal: AbortSignal | undefined, seconds: number): { signal: AbortSignal; end: () => void } {
  const controller = new AbortController();
  const giveUp = (): void => controller.abort(signal?.reason);
  const timer = setTimeout(() => controller.abort(new Error("it took too long")), seconds * 1000);
  if (signal?.aborted) giveUp();
  signal?.addEventListener("abort", giveUp, { once: true });
  return {
    signal: controller.signal,
    end: () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", giveUp);
    },
  };
}

function newKey(): string {
  // Pages without TLS have no `randomUUID`, and Node 18 has no global `crypto`.
  if (globalThis.crypto?.randomUUID) return globalThis.crypto.randomUUID();
  return Array.from({ length: 4 }, () => Math.random().toString(36).slice(2)).join("-");
}

function parsed(text: string): unknown {
  try {
    const document: unknown = JSON.parse(text);
    return typeof document === "object" && document !== null ? document : undefined;
  } catch {
    return undefined;
  }
}

function isProblem(document: unknown): document is Problem {
  return typeof (document as Problem | undefined)?.code === "string";
}
