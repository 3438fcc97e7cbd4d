// Uploads: a queue that survives a refresh. Files wait in IndexedDB until they have arrived; large ones go in parts,
// and of those that had begun only the missing parts are sent again.

import { Problem, ask, onceKey } from "./api.js";

/** Larger files go in parts, in bytes. */
const IN_PARTS = 16 * 2 ** 20;
const FILES_AT_ONCE = 3;
const PARTS_AT_ONCE = 3;
const TRIES = 5;
/** Files beyond this many bytes in all are not kept for a refresh. */
const MOST_KEPT = 2 ** 30;
const TYPES = /^image\//;

export const ENDED = new Set(["completed", "failed", "needs_review", "rejected", "superseded", "deleted"]);

/**
 * Tells `change` (detail: the item) and `list`. An item has `id`, `name`, `size`, `file`, `state` (waiting, sending,
 * converting, completed, failed, paused), `sent` (bytes), `uniqueId`, `processingId`, `error`.
 */
export class Uploads extends EventTarget {
  items = [];
  #running = 0;
  #shelf = new Shelf();
  #owner = "";
  #turn = null;

  /** Takes up what this owner left unfinished, once no other tab is at it. */
  async resume(owner) {
    this.#owner = owner;
    await (this.#turn ||= onlyTab("truss-uploads"));
    const known = new Set(this.items.map((each) => each.id));
    const left = (await this.#shelf.all()).filter((each) => each.owner === this.#owner && !known.has(each.id));
    for (const kept of left) this.#put({ ...kept, state: "waiting", sent: 0 });
    this.#next();
  }

  /** Ends all uploads, and forgets their files. */
  forget() {
    for (const item of [...this.items]) this.remove(item);
    this.#shelf.clear();
  }

  add(files, preset) {
    for (const file of files) {
      if (file.type && !TYPES.test(file.type)) continue;
      const item = { id: onceKey(), name: file.name, size: file.size, file, preset, state: "waiting", sent: 0 };
      this.#put(item);
      this.#keep(item);
    }
    this.#next();
  }

  pause(item) {
    item.control?.abort();
    this.#change(item, { state: "paused" });
  }

  /** Goes on after a pause, or tries again after a failure. */
  again(item) {
    const anew = item.error?.isFinal ? { id: onceKey(), uniqueId: undefined, processingId: undefined } : {};
    this.#change(item, { ...anew, state: "waiting", error: undefined, sent: 0 });
    this.#next();
  }

  remove(item) {
    item.control?.abort();
    this.#shelf.drop(item.id);
    this.items = this.items.filter((each) => each !== item);
    this.dispatchEvent(new Event("list"));
  }

  clearEnded() {
    this.items = this.items.filter((each) => !ENDED.has(each.state));
    this.dispatchEvent(new Event("list"));
  }

  /** What a live event, or a status, says of a job. */
  hear(job) {
    const item = this.items.find((each) => each.processingId === job.processingId);
    if (!item || ENDED.has(item.state)) return;
    if (job.status === "failed") this.#change(item, { state: "failed", error: { ...job.error, isFinal: true } });
    else if (ENDED.has(job.status)) this.#change(item, { state: job.status, job });
    else if (job.processedImages) this.#change(item, { job: { ...item.job, ...job } });
  }

  /** The file that was uploaded in this tab, for a comparison; nothing else can show an original. */
  original(uniqueId) {
    return this.items.find((each) => each.uniqueId === uniqueId)?.file;
  }

  #put(item) {
    this.items.push(item);
    this.dispatchEvent(new Event("list"));
  }

  #change(item, changes) {
    Object.assign(item, changes);
    this.dispatchEvent(new CustomEvent("change", { detail: item }));
  }

  #keep(item) {
    const waiting = this.items.filter((each) => !ENDED.has(each.state) && each.state !== "converting");
    if (waiting.reduce((sum, each) => sum + each.size, 0) > MOST_KEPT) return;
    const { id, name, size, file, preset, uniqueId, processingId, partSize } = item;
    this.#shelf.put({ id, name, size, file, preset, uniqueId, processingId, partSize, owner: this.#owner });
  }

  #next() {
    const waiting = this.items.filter((each) => each.state === "waiting");
    for (const item of waiting.slice(0, FILES_AT_ONCE - this.#running)) {
      this.#running += 1;
      this.#run(item).finally(() => {
        this.#running -= 1;
        this.#next();
      });
    }
  }

  async #run(item) {
    item.control = new AbortController();
    const { signal } = item.control;
    this.#change(item, { state: "sending" });
    try {
      await (item.size > IN_PARTS ? this.#inParts(item, signal) : this.#whole(item, signal));
      this.#shelf.drop(item.id);
      if (!ENDED.has(item.state)) this.#change(item, { state: "converting", sent: item.size });
      await this.#converted(item);
    } catch (error) {
      if (signal.aborted) return;
      const isFinal = error instanceof Problem && error.status < 500 && ![401, 429].includes(error.status);
      if (isFinal) this.#shelf.drop(item.id);
      this.#change(item, { state: "failed", error: { code: error.code, message: error.message, isFinal } });
    }
  }

  async #whole(item, signal) {
    const issued = await this.#begun(item, "upload-url", signal);
    if (!issued) return;
    const sent = (count) => this.#change(item, { sent: count });
    await patiently(() => put(issued.uploadUrl, issued.headers, item.file, sent, signal), signal);
  }

  async #begun(item, path, signal) {
    const file = { filename: item.name, size: item.size, preset: item.preset || undefined };
    try {
      const issued = item.uniqueId && path === "upload-url"
        ? await ask("POST", `upload-url/${item.uniqueId}/refresh`, { signal, key: onceKey(), body: {} })
        : await ask("POST", path, { body: file, key: item.id, signal });
      this.#change(item, { uniqueId: issued.uniqueId, processingId: issued.processingId, partSize: issued.partSize });
      this.#keep(item);
      return issued;
    } catch (error) {
      if (error.code === "already_uploaded") return null;
      throw error;
    }
  }

  async #inParts(item, signal) {
    let missing;
    if (item.uniqueId) missing = await this.#missing(item, signal);
    else missing = (await this.#begun(item, "multipart", signal)).parts.map((each) => each.partNumber);
    if (!missing) return;
    const arrived = new Map();
    const count = Math.ceil(item.size / item.partSize);
    const sizeOf = (number) => Math.min(item.partSize, item.size - (number - 1) * item.partSize);
    for (let number = 1; number <= count; number++) if (!missing.includes(number)) arrived.set(number, sizeOf(number));
    const tell = () => this.#change(item, { sent: [...arrived.values()].reduce((sum, each) => sum + each, 0) });
    tell();
    const send = async () => {
      for (let number = missing.shift(); number; number = missing.shift()) {
        const at = (number - 1) * item.partSize;
        const body = item.file.slice(at, at + sizeOf(number));
        const sent = (bytes) => (arrived.set(number, bytes), tell());
        await patiently(async () => {
          const [part] = (await this.#signed(item, number, signal)).parts;
          await put(part.url, part.headers, body, sent, signal);
        }, signal);
      }
    };
    await Promise.all(Array.from({ length: PARTS_AT_ONCE }, send));
    await ask("POST", `multipart/${item.uniqueId}/complete`, { key: onceKey(), signal });
  }

  #signed(item, number, signal) {
    return ask("POST", `multipart/${item.uniqueId}/parts`, { body: { partNumbers: [number] }, key: onceKey(), signal });
  }

  async #missing(item, signal) {
    try {
      const found = await ask("GET", `multipart/${item.uniqueId}`, { signal });
      item.partSize = found.partSize;
      return found.missingParts;
    } catch (error) {
      if (error.code === "already_uploaded") return null;
      throw error;
    }
  }

  /** Live events may be refused or late: the job is asked too. */
  async #converted(item) {
    const signal = item.control.signal;
    while (!ENDED.has(item.state) && !signal.aborted) {
      const job = await ask("GET", `status/${item.processingId}`, { query: { wait: 20 }, signal });
      this.hear(job);
    }
  }
}

/** Waits until no other tab has the turn, and keeps it as long as this tab is open. */
function onlyTab(name) {
  return new Promise((resolve) => {
    if (navigator.locks) navigator.locks.request(name, () => (resolve(), new Promise(() => {})));
    else resolve();
  });
}

async function patiently(act, signal) {
  for (let tried = 1; ; tried++) {
    try {
      return await act();
    } catch (error) {
      if (signal.aborted || tried === TRIES || (error.status >= 400 && error.status < 500)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** tried));
    }
  }
}

/** PUT with progress, which `fetch` cannot tell. */
function put(url, headers, body, sent, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", url);
    for (const [name, value] of Object.entries(headers || {}))
      if (name.toLowerCase() !== "content-length") request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => sent(event.loaded));
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(sent(body.size));
      else reject(new Problem(request.status, { detail: `S3: HTTP ${request.status}`, code: "upload_refused" }));
    });
    request.addEventListener("error", () => reject(new TypeError("network")));
    request.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(body);
  });
}

/** Files that have not arrived, in IndexedDB. Where the browser gives none, a refresh forgets them. */
class Shelf {
  #open = new Promise((resolve) => {
    try {
      const request = indexedDB.open("truss-console", 1);
      request.onupgradeneeded = () => request.result.createObjectStore("uploads", { keyPath: "id" });
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => resolve(null);
    } catch {
      resolve(null);
    }
  });

  async #do(mode, act) {
    const database = await this.#open;
    if (!database) return [];
    return new Promise((resolve) => {
      const request = act(database.transaction("uploads", mode).objectStore("uploads"));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => resolve([]);
    });
  }

  all = () => this.#do("readonly", (store) => store.getAll());
  put = (item) => this.#do("readwrite", (store) => store.put(item));
  clear = () => this.#do("readwrite", (store) => store.clear());
  drop = (id) => this.#do("readwrite", (store) => store.delete(id));
}

/** Files of a drop or a paste, those in folders too. */
export async function filesOf(transfer) {
  const entries = [...transfer.items].map((each) => each.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return found;
}

async function walk(entry, found) {
  if (entry.isFile) found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
  else {
    const reader = entry.createReader();
    for (let some = [1]; some.length; ) {
      some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      for (const each of some) await walk(each, found);
    }
  }
}
