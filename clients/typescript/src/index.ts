// A client for the Truss image service: uploads straight to S3, and variants of them.

export { Client, type ClientOptions, type UploadOptions, type WaitOptions } from "./client.js";
export * from "./errors.js";
export { type EventOptions, EventStream } from "./events.js";
export type * from "./models.js";
export type { CallOptions } from "./transport.js";
export type { Progress, Source, Upload } from "./uploads.js";
export type { Event } from "./webhooks.js";
