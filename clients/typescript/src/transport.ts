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

/** A stream that has begun. */
export interface Connection {
  body: ReadableStream<Uint8Array>;
  end: (reason?: unknown) => void;
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
    return this.persist((tries) => this.once<T>(this.url(path, query), request, tries, options.signal), options.signal);
  }

  /** A stream of Server-Sent Events that has begun. Whoever gets it ends it; `signal` ends it too. */
  listen(path: string, query: Query, signal: AbortSignal | undefined): Promise<Connection> {
    return this.persist(async (tries) => {
      const headers = { ...(await this.credentials()), Accept: "text/event-stream" };
      return this.begin(this.url(path, query), headers, tries, signal);
    }, signal);
  }

  private async persist<T extends object>(once: (tries: number) => Promise<T | Failure>, signal: AbortSignal | undefined): Promise<T> {
    const began = Date.now();
    for (let tries = 0; ; tries++) {
      const answer = await once(tries);
      if (!("failure" in answer)) return answer;
      const waited = (Date.now() - began) / 1000;
      if (answer.rest === undefined || waited + answer.rest > this.patienceSeconds) throw answer.failure;
      await pause(answer.rest, signal);
    }
  }

  private async begin(
    url: string,
    headers: Record<string, string>,
    tries: number,
    signal: AbortSignal | undefined,
  ): Promise<Connection | Failure> {
    const connection = new AbortController();
    const giveUp = (): void => connection.abort(signal?.reason);
    const end = (reason?: unknown): void => {
      signal?.removeEventListener("abort", giveUp);
      connection.abort(reason);
    };
    if (signal?.aborted) giveUp();
    signal?.addEventListener("abort", giveUp, { once: true });
    const timer = setTimeout(() => end(new Error("it took too long")), this.timeoutSeconds * 1000);
    try {
      const request: RequestInit = { headers, redirect: "manual", cache: "no-store", signal: connection.signal };
      const response = await this.fetch(url, request);
      const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") ?? false;
      if (response.ok && isStream && response.body) return { body: response.body, end };
      const failed = this.failed(response, await response.text(), tries);
      end();
      return failed;
    } catch (error) {
      end();
      return this.notReached(error, tries, signal);
    } finally {
      clearTimeout(timer);
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
      return this.notReached(error, tries, signal);
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
    return this.failed(response, text, tries);
  }

  private notReached(error: unknown, tries: number, signal: AbortSignal | undefined): Failure {
    signal?.throwIfAborted();
    return { failure: new NotReached(`${this.baseUrl} was not reached`, { cause: error }), rest: backoff(tries) };
  }

  private failed(response: Response, text: string, tries: number): Failure {
    const document = parsed(text);
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
