// The client asks again as the service says, does nothing twice, and says what is wrong.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import * as truss from "truss-image-client";

const KEY = "truss_k3v7q2mzt5x6wabn_EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAM";

function answer(status, document, headers = {}) {
  const body = document === undefined || status === 304 ? null : JSON.stringify(document);
  return () => new Response(body, { status, headers });
}

function problem(status, code, headers = {}, more = {}) {
  return answer(status, { status, code, detail: `${code}.`, requestId: "0b6c7e5f", ...more }, headers);
}

/** A client whose service gives these answers, one after the other; the last goes on. */
function client(answers, options = {}) {
  const asked = [];
  const fetch = async (url, request) => {
    const body = request.body instanceof Blob ? Buffer.from(await request.body.arrayBuffer()) : request.body;
    asked.push({ url: new URL(url), ...request, body });
    const next = typeof answers === "function" ? answers : answers.length > 1 ? answers.shift() : answers[0];
    return next(asked.at(-1));
  };
  return { asked, images: new truss.Client({ baseUrl: "https://images.example.com/", apiKey: KEY, fetch, ...options }) };
}

const broken = () => Promise.reject(new TypeError("fetch failed"));
const issued = (more = {}, headers = {}) =>
  answer(
    200,
    {
      uploadUrl: "https://bucket.example/u?signed",
      headers: { "Content-Type": "image/jpeg", "Content-Length": "7" },
      key: "uploads/u.jpg",
      uniqueId: "u",
      processingId: "img_1_a",
      processedImageUrls: { webp: "https://cdn/u" },
      duplicateOf: null,
      ...more,
    },
    headers,
  );
const job = (status, more = {}, headers = {}) => answer(200, { processingId: "img_1_a", status, ...more }, headers);
const REPLAYED = { "Idempotent-Replayed": "true" };

test("a call is repeated when the service says, and every try of a POST has the same key", async () => {
  const later = problem(429, "too_many_requests", { "Retry-After": "0" });
  const { images, asked } = client([later, broken, problem(409, "request_in_progress", { "Retry-After": "0" }), answer(202, {})]);
  await images.processImage("u");
  await images.processImage("u");
  await images.processImage("u", { idempotencyKey: "mine" });
  const keys = asked.map((each) => each.headers["Idempotency-Key"]);
  assert.equal(new Set(keys.slice(0, 4)).size, 1);
  assert.notEqual(keys[4], keys[0]);
  assert.equal(keys[5], "mine");
});

test("a limit of the day is not waited for, and says when it ends", async () => {
  const { images, asked } = client([problem(429, "daily_limit_reached", { "Retry-After": "40000" })]);
  await assert.rejects(images.getLimits(), (error) => {
    assert.ok(error instanceof truss.TooManyRequests);
    assert.deepEqual([error.code, error.retryAfter, error.name], ["daily_limit_reached", 40000, "TooManyRequests"]);
    return true;
  });
  assert.equal(asked.length, 1);
});

test("a date in Retry-After is compared with the sender's clock", async () => {
  const headers = { "Retry-After": "Wed, 21 Oct 2015 09:28:30 GMT", Date: "Wed, 21 Oct 2015 07:28:30 GMT" };
  const { images } = client([problem(503, "unavailable", headers)]);
  await assert.rejects(images.getLimits(), (error) => error.retryAfter === 7200);
});

for (const [status, kind] of [
  [400, "BadRequest"],
  [401, "NotAuthenticated"],
  [403, "NotAllowed"],
  [404, "NotFound"],
  [409, "Conflict"],
  [500, "Unavailable"],
]) {
  test(`a refusal with ${status} is ${kind}, and says why`, async () => {
    const { images } = client([problem(status, "some_code")]);
    await assert.rejects(images.getStatus("img_1_a"), {
      name: kind,
      message: "some_code: some_code. (request 0b6c7e5f)",
    });
  });
}

for (const [what, other] of [
  ["a page", () => new Response("<html>hello</html>")],
  ["a redirect", () => new Response(null, { status: 302, headers: { Location: "https://login.example.com" } })],
  ["another 404", () => new Response("nothing here", { status: 404 })],
]) {
  test(`${what} is not taken for the service`, async () => {
    const { images, asked } = client([other]);
    await assert.rejects(images.getHealth(), truss.NotThisService);
    assert.equal(asked[0].redirect, "manual");
  });
}

test("a service that stays away is given up after the caller's patience", async () => {
  const { images } = client([broken], { patienceSeconds: 0 });
  await assert.rejects(images.getHealth(), truss.NotReached);
});

test("a caller who gives up ends the call", async () => {
  const stop = new AbortController();
  const { images } = client([problem(429, "too_many_requests", { "Retry-After": "50" })]);
  const call = images.getHealth({ signal: stop.signal });
  stop.abort(new Error("enough"));
  await assert.rejects(call, /enough/);
});

test("a name cannot lead to another call", async () => {
  const { images, asked } = client([problem(404, "job_not_found")]);
  for (const name of ["../keys", "a/b?c=d#e"]) await assert.rejects(images.getStatus(name), truss.NotFound);
  assert.ok(asked.every((each) => each.url.pathname.split("/").length === 4 && each.url.search === ""));
  assert.throws(() => images.getStatus(".."), TypeError);
});

test("an upload is bound to its bytes; the key goes to the service, and not to the storage", async () => {
  const told = [];
  const { images, asked } = client([issued(), answer(200)]);
  const done = await images.upload(new Blob(["picture"], { type: "image/jpeg" }), {
    filename: "x\u0000y\ud800.jpg",
    progress: (...each) => told.push(each),
  });
  assert.deepEqual(JSON.parse(asked[0].body), {
    filename: "x_y_.jpg",
    contentType: "image/jpeg",
    size: 7,
    ...(globalThis.crypto ? { checksumSha256: createHash("sha256").update("picture").digest("base64") } : {}),
    once: true,
  });
  assert.equal(asked[0].headers["X-Api-Key"], KEY);
  assert.deepEqual([asked[1].method, asked[1].body.toString()], ["PUT", "picture"]);
  assert.deepEqual(asked[1].headers, { "Content-Type": "image/jpeg" });
  assert.deepEqual(told, [[7, 7]]);
  assert.deepEqual([done.processingId, done.existing, done.urls.webp], ["img_1_a", false, "https://cdn/u"]);
});

test("a storage that is busy or breaks off is asked again, and an earlier try that arrived is enough", async () => {
  const slow = () => new Response("<Error><Code>SlowDown</Code></Error>", { status: 503 });
  const { images, asked } = client([issued(), broken, slow, answer(412)]);
  assert.equal((await images.upload(new Uint8Array([1, 2, 3]))).existing, false);
  assert.equal(asked.length, 4);
});

test("a URL that has run out is replaced", async () => {
  const expired = () => new Response("<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>", { status: 403 });
  const { images, asked } = client([issued(), expired, issued({ uploadUrl: "https://bucket.example/new" }), answer(200)]);
  await images.upload(new Uint8Array([1]));
  assert.deepEqual([asked[2].url.pathname, asked[3].url.href], ["/images/upload-url/u/refresh", "https://bucket.example/new"]);
});

test("a refused upload says why without its URL", async () => {
  const { images } = client([issued(), () => new Response("<Error><Code>EntityTooLarge</Code></Error>", { status: 400 })]);
  await assert.rejects(images.upload(new Uint8Array([1])), { name: "UploadFailed", message: "the upload was refused (HTTP 400, EntityTooLarge)" });
});

test("known bytes and a repeated upload that arrived are not sent", async () => {
  for (const answers of [[issued({ duplicateOf: "u" })], [issued({}, REPLAYED), job("completed")]]) {
    const { images, asked } = client(answers);
    assert.equal((await images.upload(new Uint8Array([1]), { idempotencyKey: "mine" })).existing, true);
    assert.ok(asked.every((each) => each.method !== "PUT"));
  }
});

/** A service for files in parts of 4 bytes; `arrived` are there already. */
function parted(arrived, stored, { incomplete = 0 } = {}) {
  const part = (partNumber) => ({ partNumber, size: partNumber < 3 ? 4 : 2, url: `https://bucket.example/${partNumber}`, headers: {} });
  const begun = { uniqueId: "u", processingId: "img_1_a", key: "k", partSize: 4, processedImageUrls: {} };
  return ({ url, method, body }) => {
    if (method === "PUT") {
      stored[url.pathname] = body.toString();
      return new Response(null);
    }
    if (url.pathname === "/images/multipart") {
      return answer(201, { ...begun, parts: [1, 2, 3].map(part) }, arrived.length ? REPLAYED : {})();
    }
    if (url.pathname.startsWith("/images/status/")) return job("pending")();
    if (url.pathname.endsWith("/parts")) return answer(200, { ...begun, parts: JSON.parse(body).partNumbers.map(part) })();
    if (url.pathname.endsWith("/complete")) {
      return incomplete-- > 0 ? problem(409, "upload_incomplete", {}, { missingParts: [2] })() : answer(200, begun)();
    }
    const missingParts = [1, 2, 3].filter((number) => !arrived.includes(number));
    return answer(200, { ...begun, parts: arrived.map(part), missingParts })();
  };
}

test("a large file goes up in parts, and parts that are missing go again", async () => {
  const stored = {};
  const { images, asked } = client(parted([], stored, { incomplete: 1 }));
  await images.upload(new Blob(["0123456789"]), { multipartBytes: 5 });
  assert.deepEqual(stored, { "/1": "0123", "/2": "4567", "/3": "89" });
  assert.equal(asked.filter((each) => each.method === "PUT").length, 4);
});

test("an interrupted large upload sends only what is missing", async () => {
  const [stored, told] = [{}, []];
  const { images } = client(parted([1, 2], stored));
  await images.upload(new Blob(["0123456789"]), { multipartBytes: 5, idempotencyKey: "mine", progress: (sent) => told.push(sent) });
  assert.deepEqual([stored, told], [{ "/3": "89" }, [4, 8, 10]]);
});

test("a part that fails for good ends the upload", async () => {
  const good = parted([], {});
  const { images } = client((request) => (request.method === "PUT" ? new Response("", { status: 403 }) : good(request)));
  await assert.rejects(images.upload(new Blob(["0123456789"]), { multipartBytes: 5 }), /HTTP 403/);
});

test("an empty file is refused before any call", async () => {
  const { images, asked } = client([issued()]);
  await assert.rejects(images.upload(new Blob([])), truss.UploadFailed);
  assert.equal(asked.length, 0);
});

test("waiting asks for the next change, and follows the job in the place of another", async () => {
  const { images, asked } = client([
    job("processing", {}, { ETag: '"1"' }),
    answer(304),
    job("failed", { supersededBy: "img_2_b" }),
    job("completed", { processingId: "img_2_b" }),
  ]);
  assert.equal((await images.wait("img_1_a")).processingId, "img_2_b");
  assert.deepEqual(asked.map((each) => each.headers["If-None-Match"]), [undefined, '"1"', '"1"', undefined]);
  assert.ok(asked.every((each) => Number(each.url.searchParams.get("wait")) >= 1));
});

test("a job that fails says why, and waiting has an end", async () => {
  const failed = client([job("failed", { error: { code: "corrupt_image", message: "It is damaged." } })]);
  await assert.rejects(failed.images.wait("img_1_a"), { name: "JobFailed", code: "corrupt_image" });
  const slow = client([job("processing")]);
  await assert.rejects(slow.images.wait("img_1_a", { timeoutSeconds: 0 }), truss.NotDone);
});

test("a list goes on from page to page, as far as it is read", async () => {
  const page = (last) => answer(200, { images: [{}, {}], count: 2, lastEvaluatedKey: last });
  const { images, asked } = client([page("a"), page("b"), page(null)]);
  const rows = [];
  for await (const row of images.listImages({ status: "completed" })) rows.push(row);
  assert.equal(rows.length, 6);
  assert.deepEqual(asked.map((each) => each.url.search), ["?status=completed", "?status=completed&lastKey=a", "?status=completed&lastKey=b"]);
  const first = client([page("a")]);
  for await (const _ of first.images.listImages()) break;
  assert.equal(first.asked.length, 1);
});

test("more than a hundred images take more than one call", async () => {
  const { images, asked } = client(({ body }) => answer(200, { results: JSON.parse(body).uniqueIds.map((id) => ({ id })) })());
  const names = Array.from({ length: 250 }, (_, number) => `${number}`);
  assert.deepEqual((await images.deleteImages(names)).map((each) => each.id), names);
  assert.equal(asked.length, 3);
});

test("a token is asked for before each call", async () => {
  let times = 0;
  const { images, asked } = client([answer(200, {})], { apiKey: undefined, token: async () => `t${++times}` });
  await images.getHealth();
  await images.getHealth();
  assert.deepEqual(asked.map((each) => each.headers.Authorization), ["Bearer t1", "Bearer t2"]);
});

test("a base URL is needed", () => {
  assert.throws(() => new truss.Client({ baseUrl: "images.example.com" }), TypeError);
});

// -- events -----------------------------------------------------------------------------------------------------------

const told = (number, type = "image.uploaded") => {
  const event = { id: `${number}-0`, type, time: "2026-01-02T03:04:05.678Z", subject: "u", data: { n: number } };
  return `id: ${number}-0\r\nevent: ${type}\r\ndata: ${JSON.stringify(event)}\r\n\r\n`;
};

/** A stream that comes in small pieces, and then breaks off. */
function stream(text) {
  const bytes = Buffer.from(text);
  let at = 0;
  const pull = (controller) => {
    if (at >= bytes.length) return controller.error(new Error("cut"));
    controller.enqueue(bytes.subarray(at, (at += 7)));
  };
  return () => new Response(new ReadableStream({ pull }), { headers: { "Content-Type": "text/event-stream; charset=utf-8" } });
}

test("events go on where the connection broke, and none is told twice", async () => {
  const { images, asked } = client([
    stream(`${told(1)}${told(2)}id: 9-0\nevent: image.failed\ndata: {`),
    problem(429, "too_many_streams", { "Retry-After": "0" }),
    stream(`${told(2)}: keep-alive\nid: 5-0\n\nevent: closed\ndata: {"reason": "time"}\n\n`),
    stream(`event: gap\ndata: {"since": "2026-01-02T03:00:00.000Z"}\n\n${told(1)}${told(7, "image.later")}`),
  ]);
  const found = [];
  const missed = [];
  const events = images.events({ types: ["image.b", "image.a"], uniqueId: "u", missed: (since) => missed.push(since) });
  for await (const event of events) {
    found.push([event.id, event.data.n]);
    if (event.type === "image.later") break;
  }
  assert.deepEqual(found, [["1-0", 1], ["2-0", 2], ["7-0", 7]]);
  assert.deepEqual(asked.map((each) => each.url.searchParams.get("lastEventId")), [null, "2-0", "2-0", "5-0"]);
  assert.equal(asked[0].url.searchParams.get("types"), "image.a,image.b");
  assert.deepEqual(missed, [new Date("2026-01-02T03:00:00Z")]);
  assert.equal(events.lastEventId, "7-0");
  assert.ok(asked.at(-1).signal.aborted, "the connection is ended");
});

test("events of a job are told from its beginning", async () => {
  const { images, asked } = client([stream(told(1))]);
  for await (const _ of images.events({ processingId: "img_1767323045678_a" })) break;
  assert.equal(asked[0].url.searchParams.get("lastEventId"), "1767323045678-0");
});

test("a stream that may not begin says why, and one that nobody wants any more ends", async () => {
  const first = (images, options) => images.events(options)[Symbol.asyncIterator]().next();
  await assert.rejects(first(client([problem(401, "unauthenticated")]).images), truss.NotAuthenticated);
  await assert.rejects(first(client([answer(200, {})]).images), truss.NotThisService);
  const stop = new AbortController();
  const never = (asked) =>
    new Response(
      new ReadableStream({
        start: (controller) => asked.signal.addEventListener("abort", () => controller.error(asked.signal.reason)),
        pull: () => queueMicrotask(() => stop.abort(new Error("enough"))), // somebody reads
      }),
      { headers: { "Content-Type": "text/event-stream" } },
    );
  const { images } = client(never);
  await assert.rejects(first(images, { signal: stop.signal }), /enough/);
});
