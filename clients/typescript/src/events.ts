// What happens to images, as it happens: a stream that goes on where it was when the connection breaks.

import { pause } from "./retrying.js";
import type { Connection, Transport } from "./transport.js";
import { type Event, event } from "./webhooks.js";

/** What to tell of, and from when on. */
export interface EventOptions {
  /** Only events of these types, such as `image.completed`. */
  types?: string[];
  /** Only of this image. */
  uniqueId?: string;
  /** Only of this job, from its beginning on. */
  processingId?: string;
  /** Begin behind this event of the last hour; by default now. */
  lastEventId?: string;
  /** Hears since when events are told again, where some were lost. */
  missed?: (since: Date) => void;
  /** Ends the stream. */
  signal?: AbortSignal;
}

/** The service is never silent for so long, in seconds: the connection is dead. */
const SILENCE_SECONDS = 60;
/** Before a new connection, in seconds, at most: streams that ended together do not come back together. */
const PAUSE_SECONDS = 2;
/** Events that are remembered, because each may come twice. */
const REMEMBERED = 10_000;
/** A longer line is none of this API; in characters. */
const LONGEST_LINE = 8 * 2 ** 20;

interface Message {
  event: string;
  data: string;
  lastId: string;
}

/**
 * Events, without an end: `for await (const event of images.events())`. It connects again by itself, and tells each event once.
 * A loop that is left ends the connection.
 */
export class EventStream implements AsyncIterable<Event> {
  /** Where to go on, also while nothing happens. */
  lastEventId: string;
  private readonly seen = new Set<string>();

  constructor(
    private readonly transport: Transport,
    private readonly options: EventOptions,
  ) {
    const begun = options.processingId?.split("_")[1];
    this.lastEventId = options.lastEventId ?? (begun === undefined ? "" : `${begun}-0`);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Event, void, undefined> {
    const { types = [], uniqueId, processingId, signal } = this.options;
    const query = { types: [...types].sort().join(",") || undefined, uniqueId, processingId };
    for (;;) {
      // In the query, because a page may not send every header to another origin.
      const asked = { ...query, lastEventId: this.lastEventId || undefined };
      const connection = await this.transport.listen("/images/events", asked, signal);
      try {
        for await (const message of messages(connection)) {
          this.lastEventId = message.lastId || this.lastEventId;
          const told = this.read(message);
          if (told !== undefined) yield told;
        }
      } catch {
        signal?.throwIfAborted(); // else it broke off, or was silent: it begins again behind the last event
      } finally {
        connection.end();
      }
      await pause(Math.random() * PAUSE_SECONDS, signal);
    }
  }

  /** The event that a message tells of for the first time. */
  private read(message: Message): Event | undefined {
    if (message.event === "gap") {
      this.options.missed?.(new Date((JSON.parse(message.data) as { since: string }).since));
    }
    if (!message.event.startsWith("image.")) return undefined;
    const told = event(message.data);
    if (this.seen.has(told.id)) return undefined;
    this.seen.add(told.id);
    for (const oldest of this.seen) {
      if (this.seen.size <= REMEMBERED) break;
      this.seen.delete(oldest);
    }
    return told;
  }
}

/** The messages of a stream (HTML, "Server-sent events"). One that is cut short at the end is none. */
async function* messages(connection: Connection): AsyncGenerator<Message, void, undefined> {
  let lastId = "";
  let type = "";
  let data: string[] = [];
  for await (const line of lines(connection)) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (line === "") {
      yield { event: type, data: data.join("\n"), lastId };
      [type, data] = ["", []];
    } else if (name === "id") lastId = value;
    else if (name === "event") type = value;
    else if (name === "data") data.push(value);
  }
}

async function* lines({ body, end }: Connection): AsyncGenerator<string, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const timer = setTimeout(() => end(new Error("the service is silent")), SILENCE_SECONDS * 1000);
    const { done, value } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return;
    const found = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = found.pop() as string;
    if (rest.length > LONGEST_LINE) throw new Error("a line without an end");
    for (const line of found) yield line.replace(/\r$/, "");
  }
}
