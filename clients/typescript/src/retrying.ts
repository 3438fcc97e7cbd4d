// When to ask again: as the service says, and otherwise with growing pauses.

/** First and longest pause where nobody says how long, in seconds. */
const BACKOFF_SECONDS = [0.5, 10] as const;
/** Pause where the service is busy, and does not say how long. In seconds. */
const BUSY_SECONDS = 1;

/** Seconds to wait before a call that was refused is repeated; undefined: repeating it does not help. */
export function pauseAfter(status: number, code: string, headers: Headers, tries: number): number | undefined {
  if (status === 429 || status === 503 || code === "request_in_progress") return retryAfter(headers) ?? BUSY_SECONDS;
  return status === 502 || status === 504 ? backoff(tries) : undefined;
}

/** Seconds to wait after so many tries in vain; callers that failed together do not come back together. */
export function backoff(tries: number): number {
  const [first, longest] = BACKOFF_SECONDS;
  return (0.5 + Math.random() / 2) * Math.min(longest, first * 2 ** tries);
}

/** Seconds (RFC 9110, 10.2.3). A date is compared with the sender's clock. */
export function retryAfter(headers: Headers): number | undefined {
  const text = headers.get("retry-after")?.trim() ?? "";
  if (/^\d+$/.test(text)) return Number(text);
  const then = Date.parse(text);
  if (Number.isNaN(then)) return undefined;
  const sent = Date.parse(headers.get("date") ?? "");
  return Math.max(0, (then - (Number.isNaN(sent) ? Date.now() : sent)) / 1000);
}

/** Wait so many seconds, or until the caller gives up. */
export function pause(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const giveUp = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", giveUp);
      resolve();
    }, seconds * 1000);
    signal?.addEventListener("abort", giveUp, { once: true });
  });
}
