// Uploads straight to the storage, in one piece or in parts; they go on where an earlier try stopped.

import type { Calls } from "./calls.js";
import { Conflict, UploadFailed } from "./errors.js";
import type { Job, Multipart, Part, UploadUrl } from "./models.js";
import { backoff, pause } from "./retrying.js";
import type { Answer, CallOptions, Transport } from "./transport.js";

/** What can be uploaded. In Node, `openAsBlob` of `node:fs` makes a Blob of a path without reading it. */
export type Source = Blob | ArrayBuffer | Uint8Array;

/**
 * Hears how many bytes of the file have been sent, and how many it has. Pages hear it all the time; elsewhere `fetch` tells nothing
 * before a piece is sent.
 */
export type Progress = (sent: number, size: number) => void;

/** A file that is in the storage. */
export interface Upload {
  uniqueId: string;
  processingId: string;
  key: string;
  /** Where each variant will be, by its name, as soon as the job has completed. */
  urls: Record<string, string>;
  /** It was there before, so nothing was sent. */
  existing: boolean;
}

/** Files of more bytes go up in parts, so many of them at once. */
export const MULTIPART_BYTES = 64 * 1024 * 1024;
const PARTS_AT_ONCE = 4;
/** How often a piece is sent, and how often a URL that has run out is replaced, or missing parts are sent again. */
const TRIES = 6;
const REFRESHES = 3;

const BUSY_CODES = /SlowDown|RequestTimeout|ConditionalRequestConflict|OperationAborted|InternalError/;
const EXPIRED_CODES = /ExpiredToken|TokenRefreshRequired/;

/** The service must sign the upload again. */
class UrlExpired extends UploadFailed {}
/** The piece may be sent once more. */
class Again extends UploadFailed {}

type Terms = Record<string, unknown>;
type Tell = (sent: number) => void;

/** One file on its way. */
export class Uploading {
  private readonly sent = new Map<number, number>();

  constructor(
    private readonly transport: Transport,
    private readonly calls: Calls,
    private readonly content: Blob,
    private readonly progress: Progress | undefined,
    private readonly options: CallOptions,
  ) {}

  /** In one PUT. */
  async whole(terms: Terms): Promise<Upload> {
    const { document, replayed } = await this.begin<UploadUrl>("/images/upload-url", terms);
    let issued = document as UploadUrl;
    if (issued.duplicateOf || (replayed && !(await this.isPending(issued)))) return uploaded(issued, true);
    if (replayed) {
      const refreshed = await this.refreshed(issued);
      if (refreshed === undefined) return uploaded(issued, true);
      issued = refreshed;
    }
    await this.sendWhole(issued);
    return uploaded(issued, false);
  }

  /** In parts. Of an upload that was begun before, only the parts that are missing are sent. */
  async inParts(terms: Terms): Promise<Upload> {
    const { document, replayed } = await this.begin<Multipart>("/images/multipart", terms);
    const begun = document as Multipart;
    if (begun.duplicateOf || (replayed && !(await this.isPending(begun)))) return uploaded(begun, true);
    await this.sendParts(begun, replayed ? await this.missing(begun) : begun.parts);
    for (let left = REFRESHES; ; left--) {
      try {
        await this.calls.completeMultipartUpload(begun.uniqueId, this.signal());
        return uploaded(begun, false);
      } catch (error) {
        const missing = error instanceof Conflict ? error.problem.missingParts : undefined;
        if (left === 0 || !missing?.length) throw error;
        await this.sendParts(begun, await this.signed(begun, missing));
      }
    }
  }

  private begin<T>(path: string, terms: Terms): Promise<Answer<T>> {
    return this.transport.send<T>("POST", path, {}, terms, this.options);
  }

  private signal(): CallOptions {
    return { signal: this.options.signal };
  }

  private async isPending(issued: { processingId: string }): Promise<boolean> {
    const job: Job = await this.calls.getStatus(issued.processingId, this.signal());
    return job.status === "pending";
  }

  /** New URLs; undefined: the file has arrived meanwhile. */
  private async refreshed(issued: UploadUrl): Promise<UploadUrl | undefined> {
    try {
      return await this.calls.refreshUploadUrl(issued.uniqueId, this.signal());
    } catch (error) {
      if (error instanceof Conflict && error.code === "already_uploaded") return undefined;
      throw error;
    }
  }

  private async sendWhole(first: UploadUrl): Promise<void> {
    let issued: UploadUrl | undefined = first;
    for (let left = REFRESHES; issued !== undefined; left--) {
      try {
        return await this.put(issued.uploadUrl ?? "", issued.headers, this.content, (sent) => this.tell(0, sent));
      } catch (error) {
        if (!(error instanceof UrlExpired) || left === 0) throw error;
      }
      issued = await this.refreshed(issued);
    }
  }

  private async missing(begun: Multipart): Promise<Part[]> {
    const there = await this.calls.getMultipartUpload(begun.uniqueId, this.signal());
    for (const part of there.parts) this.tell(part.partNumber, part.size);
    return this.signed(begun, there.missingParts);
  }

  private async signed(begun: Multipart, partNumbers: number[]): Promise<Part[]> {
    if (partNumbers.length === 0) return [];
    return (await this.calls.signParts(begun.uniqueId, { partNumbers, ...this.signal() })).parts;
  }

  /** The first part that fails ends the others. */
  private async sendParts(begun: Multipart, parts: Part[]): Promise<void> {
    const waiting = parts[Symbol.iterator]();
    const stop = new AbortController();
    const sendSome = async (): Promise<void> => {
      for (const part of waiting) {
        stop.signal.throwIfAborted();
        await this.sendPart(begun, part);
      }
    };
    const lines = Array.from({ length: PARTS_AT_ONCE }, () =>
      sendSome().catch((error: unknown) => {
        stop.abort(error);
        throw error;
      }),
    );
    const failed = (await Promise.allSettled(lines)).find((line) => line.status === "rejected");
    if (failed !== undefined) throw stop.signal.reason;
  }

  private async sendPart(begun: Multipart, first: Part): Promise<void> {
    let part = first;
    const start = (part.partNumber - 1) * begun.partSize;
    const piece = this.content.slice(start, start + part.size);
    for (let left = REFRESHES; ; left--) {
      try {
        return await this.put(part.url, part.headers, piece, (sent) => this.tell(part.partNumber, sent));
      } catch (error) {
        if (!(error instanceof UrlExpired) || left === 0) throw error;
      }
      part = (await this.signed(begun, [part.partNumber]))[0] ?? part;
    }
  }

  private async put(url: string, headers: Record<string, string>, piece: Blob, tell: Tell): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        await this.putOnce(url, headers, piece, tell);
        tell(piece.size);
        return;
      } catch (error) {
        if (!(error instanceof Again) || tries === TRIES - 1) throw error;
      }
      await pause(backoff(tries), this.options.signal);
    }
  }

  private async putOnce(url: string, headers: Record<string, string>, piece: Blob, tell: Tell): Promise<void> {
    // Browsers set the length themselves, and refuse to be told.
    const sent = Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() !== "content-length"));
    const { status, text } =
      this.progress !== undefined && typeof XMLHttpRequest === "function"
        ? await putByPage(url, sent, piece, tell, this.options.signal)
        : await this.putByFetch(url, sent, piece);
    // 412: the URL is good for one object, and an earlier try of this call has made it.
    if (status !== 412 && (status < 200 || status > 299)) throw refused(status, text);
  }

  private async putByFetch(url: string, headers: Record<string, string>, piece: Blob): Promise<Stored> {
    const { signal } = this.options;
    try {
      const response = await this.transport.fetch(url, { method: "PUT", headers, body: piece, signal: signal ?? null });
      return { status: response.status, text: await response.text() };
    } catch (error) {
      signal?.throwIfAborted();
      throw new Again("the upload broke off", { cause: error });
    }
  }

  private tell(piece: number, sent: number): void {
    this.sent.set(piece, sent);
    this.progress?.(
      [...this.sent.values()].reduce((sum, each) => sum + each, 0),
      this.content.size,
    );
  }
}

interface Stored {
  status: number;
  text: string;
}

/** `fetch` tells no page how much it has sent. */
function putByPage(
  url: string,
  headers: Record<string, string>,
  piece: Blob,
  tell: Tell,
  signal: AbortSignal | undefined,
): Promise<Stored> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const request = new XMLHttpRequest();
    const giveUp = (): void => request.abort();
    request.open("PUT", url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => tell(event.loaded);
    request.onload = () => resolve({ status: request.status, text: request.responseText });
    request.onerror = () => reject(new Again("the upload broke off"));
    request.onabort = () => reject(signal?.reason);
    request.onloadend = () => signal?.removeEventListener("abort", giveUp);
    signal?.addEventListener("abort", giveUp, { once: true });
    request.send(piece);
  });
}

function uploaded(issued: UploadUrl | Multipart, existing: boolean): Upload {
  const { uniqueId, processingId, key, processedImageUrls: urls } = issued;
  return { uniqueId, processingId, key, urls, existing };
}

/** S3's errors are XML (Amazon S3 API reference, "Error responses"); only their code is repeated. */
function refused(status: number, text: string): UploadFailed {
  const code = /<Code>([^<]{1,200})<\/Code>/.exec(text)?.[1] ?? "";
  if (EXPIRED_CODES.test(code) || /<Message>[^<]*has expired/.test(text)) {
    return new UrlExpired("the URL for the upload has run out");
  }
  const words = `the upload was refused (HTTP ${status}${code ? `, ${code}` : ""})`;
  const isBusy = status >= 500 || status === 408 || status === 429 || BUSY_CODES.test(code);
  return isBusy ? new Again(words) : new UploadFailed(words);
}
