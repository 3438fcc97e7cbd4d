// The client: every call of the API, and what takes several calls.

import { Calls } from "./calls.js";
import { JobFailed, NotDone, UploadFailed } from "./errors.js";
import type { BatchDelete, BatchProcess, BulkJob, DeleteResult, ImageFilter, Job, ProcessResult } from "./models.js";
import { type EventOptions, EventStream } from "./events.js";
import { pause } from "./retrying.js";
import { type CallOptions, Transport, quoted } from "./transport.js";
import { MULTIPART_BYTES, type Progress, type Source, type Upload, Uploading } from "./uploads.js";

/** How the client reaches the service. */
export interface ClientOptions {
  /** Base URL of the service. */
  baseUrl: string;
  /** An API key, for programs. Never put one into a page. */
  apiKey?: string;
  /** A JWT, in place of a key; a function is asked before each call, so that it can renew it. */
  token?: string | (() => string | Promise<string>);
  /** For administrators: the tenant to act for. */
  tenant?: string;
  /** How long one exchange may take, in seconds: 60 by default. */
  timeoutSeconds?: number;
  /** How long a call may wait in all until it is repeated, in seconds: 60 by default. */
  patienceSeconds?: number;
  /** In place of the global one: for proxies and tests. */
  fetch?: typeof globalThis.fetch;
}

/** How a file is uploaded. */
export interface UploadOptions extends CallOptions {
  /** By default that of a `File`. */
  filename?: string;
  contentType?: string;
  /** Name of the preset; by default the tenant's. */
  preset?: string;
  metadata?: Record<string, string>;
  /** Bytes of an image that is complete are not sent at all. */
  dedupe?: boolean;
  progress?: Progress;
  /** A file of more bytes goes up in parts: 64 MiB by default. */
  multipartBytes?: number;
}

/** How long to wait. */
export interface WaitOptions extends CallOptions {
  /** 300 by default. */
  timeoutSeconds?: number;
}

/** Images in one call of a batch, at most. */
const BATCH = 100;
/** How long the service is asked to wait for a change of a job, and the shortest time between two looks. In seconds. */
const WAIT_SECONDS = 20;
const LOOK_SECONDS = 0.2;
/** Time between two looks at a bulk job, in seconds. */
const BULK_LOOK_SECONDS = 1;

const OPEN = new Set(["queued", "running", "cancelling"]);

/** The image service. It repeats a call that was refused for a time, or got no answer, as the service says. */
export class Client extends Calls {
  protected readonly transport: Transport;

  constructor(options: ClientOptions) {
    super();
    const { apiKey, token, tenant, timeoutSeconds = 60, patienceSeconds = 60 } = options;
    if (!/^https?:\/\//.test(options.baseUrl)) throw new TypeError("give the base URL of the service, as baseUrl");
    const credentials = async (): Promise<Record<string, string>> => ({
      ...(apiKey ? { "X-Api-Key": apiKey } : {}),
      ...(token ? { Authorization: `Bearer ${typeof token === "function" ? await token() : token}` } : {}),
      ...(tenant ? { "X-Tenant": tenant } : {}),
    });
    const fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
    const baseUrl = options.baseUrl.replace(/\/+$/, "");
    this.transport = new Transport(baseUrl, credentials, fetch, timeoutSeconds, patienceSeconds);
  }

  /**
   * Send a file straight to the storage, bound to its size, and to its checksum where that can be had: a file of more than
   * `multipartBytes` is not read for it, and pages without TLS cannot make one.
   *
   * An upload that was broken off, even with its page or process, goes on if it is called again within a day with the same file and
   * the same `idempotencyKey`: parts that are there are not sent again, and nothing is stored twice.
   */
  async upload(source: Source, options: UploadOptions = {}): Promise<Upload> {
    const content = source instanceof Blob ? source : new Blob([source as BlobPart]);
    if (content.size === 0) throw new UploadFailed("the file is empty");
    const { multipartBytes = MULTIPART_BYTES, preset, metadata, dedupe } = options;
    const isLarge = content.size > multipartBytes;
    const terms = {
      filename: nameOf(source, options.filename),
      contentType: options.contentType ?? (content.type.startsWith("image/") ? content.type : undefined),
      size: content.size,
      checksumSha256: isLarge ? undefined : await checksum(content),
      preset,
      metadata,
      dedupe,
    };
    const uploading = new Uploading(this.transport, this, content, options.progress, options);
    return isLarge ? uploading.inParts(terms) : uploading.whole({ ...terms, once: true });
  }

  /**
   * The job once it has completed; the one in its place, if it was superseded. The service answers as soon as there is a change, so
   * this asks little. Rejects with `JobFailed`, also while it needs a review, and with `NotDone` after `timeoutSeconds`.
   */
  async wait(processingId: string, options: WaitOptions = {}): Promise<Job> {
    const { timeoutSeconds = 300, signal } = options;
    const until = Date.now() + timeoutSeconds * 1000;
    let [id, etag] = [processingId, ""];
    for (;;) {
      const began = Date.now();
      const wait = Math.max(1, Math.min(WAIT_SECONDS, Math.floor((until - began) / 1000)));
      const answer = await this.transport.send<Job>("GET", `/images/status/${quoted(id)}`, { wait }, undefined, {
        signal,
        etag,
      });
      const job = answer.document;
      if (job?.status === "completed") return job;
      if (job?.supersededBy) [id, etag] = [job.supersededBy, ""];
      else if (job && ["failed", "needs_review", "rejected"].includes(job.status)) throw new JobFailed(job);
      else if (job !== undefined) etag = answer.etag;
      if (Date.now() >= until) throw new NotDone(`${id} has not ended after ${timeoutSeconds} s; it goes on in the service`);
      await pause(Math.max(0, LOOK_SECONDS - (Date.now() - began) / 1000), signal);
    }
  }

  /** Upload a file, and wait until its variants are there. */
  async convert(source: Source, options: UploadOptions & WaitOptions = {}): Promise<Job> {
    const uploaded = await this.upload(source, options);
    return this.wait(uploaded.processingId, options);
  }

  /** Convert images again, a hundred in a call. Each has a result, also one that is refused. */
  async processImages(uniqueIds: string[], options: { preset?: string } & CallOptions = {}): Promise<ProcessResult[]> {
    const { preset, signal } = options;
    return this.each(uniqueIds, (some) =>
      this.transport.call<BatchProcess>("POST", "/images/batch/process", {}, { uniqueIds: some, preset }, { signal }),
    );
  }

  /** Delete images for ever, a hundred in a call. Each has a result. */
  async deleteImages(uniqueIds: string[], options: CallOptions = {}): Promise<DeleteResult[]> {
    const { signal } = options;
    return this.each(uniqueIds, (some) =>
      this.transport.call<BatchDelete>("POST", "/images/batch/delete", {}, { uniqueIds: some }, { signal }),
    );
  }

  /** Convert all images that match again, in the background: see `waitForBatch`. */
  processMatching(filter: ImageFilter, options: { preset?: string } & CallOptions = {}): Promise<BulkJob> {
    return this.transport.call("POST", "/images/batch/process", {}, { filter, preset: options.preset }, options);
  }

  /** Delete all images that match for ever, in the background: see `waitForBatch`. */
  deleteMatching(filter: ImageFilter, options: CallOptions = {}): Promise<BulkJob> {
    return this.transport.call("POST", "/images/batch/delete", {}, { filter }, options);
  }

  /** The bulk job once it has ended; its `state` says how. Rejects with `NotDone` after `timeoutSeconds`, an hour by default. */
  async waitForBatch(batchId: string, options: WaitOptions = {}): Promise<BulkJob> {
    const { timeoutSeconds = 3600, signal } = options;
    const until = Date.now() + timeoutSeconds * 1000;
    for (;;) {
      const job = await this.getBatch(batchId, { signal });
      if (!OPEN.has(job.state)) return job;
      if (Date.now() >= until) throw new NotDone(`${batchId} has not ended; it goes on in the service`);
      await pause(BULK_LOOK_SECONDS, signal);
    }
  }

  /**
   * What happens to images, as it happens: of all, of one image, of one job, or only events of some types.
   *
   * `for await` over it has no end. When the connection breaks, or the service is silent for a minute, it goes on where it was, and
   * tells nothing twice. It works in pages too, with the token of their user.
   */
  events(options: EventOptions = {}): EventStream {
    return new EventStream(this.transport, options);
  }

  private async each<R>(names: string[], call: (some: string[]) => Promise<{ results: R[] }>): Promise<R[]> {
    const found: R[] = [];
    for (let start = 0; start < names.length; start += BATCH) {
      found.push(...(await call(names.slice(start, start + BATCH))).results);
    }
    return found;
  }
}

function nameOf(source: Source, given: string | undefined): string {
  const name = given ?? (source as Partial<File>).name ?? "image";
  // The API refuses control characters, and halves of characters.
  return name.replace(/[\u0000-\u001f\u007f-\u009f]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "_");
}

async function checksum(content: Blob): Promise<string | undefined> {
  const subtle = globalThis.crypto?.subtle;
  if (subtle === undefined) return undefined;
  const digest = new Uint8Array(await subtle.digest("SHA-256", await content.arrayBuffer()));
  return btoa(String.fromCharCode(...digest));
}
