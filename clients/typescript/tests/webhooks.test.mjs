// A delivery is taken for what it is.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";

import { WebhookRefused } from "truss-image-client";
import { event, verify } from "truss-image-client/webhooks";

const NOW = 1_767_323_045;
const KEY = Buffer.from("0123456789abcdef0123456789abcdef");
const SECRET = `whsec_${KEY.toString("base64")}`;
const BODY = JSON.stringify({ id: "1-0", type: "image.completed", time: "2026-01-02T03:04:05.678Z", subject: "u", data: { uniqueId: "u" } });

function signed({ id = "msg_1", at = NOW, key = KEY, body = BODY } = {}) {
  const signature = createHmac("sha256", key).update(`${id}.${at}.${body}`).digest("base64");
  return { "Webhook-Id": id, "webhook-timestamp": `${at}`, "webhook-signature": `v1,${signature}` };
}

test("a genuine delivery is an event, however the server has its headers", async () => {
  for (const headers of [signed(), new Headers(signed())]) {
    const told = await verify(BODY, headers, SECRET, { now: NOW });
    assert.deepEqual([told.id, told.type, told.data.uniqueId], ["1-0", "image.completed", "u"]);
  }
  assert.equal((await verify(Buffer.from(BODY), signed(), SECRET, { now: NOW })).subject, "u");
});

test("while a secret is replaced, either signs", async () => {
  const other = Buffer.from("another secret of the webhook...");
  const headers = { ...signed(), "webhook-signature": `v1a,xxxx v1,!!! ${signed({ key: other })["webhook-signature"]}` };
  const secrets = [SECRET, `whsec_${other.toString("base64")}`];
  assert.equal((await verify(BODY, headers, secrets, { now: NOW })).type, "image.completed");
});

const WRONG = {
  "of another secret": signed({ key: Buffer.from("another") }),
  "of another body": signed({ body: "{}" }),
  "too old": signed({ at: NOW - 301 }),
  "from the future": signed({ at: NOW + 301 }),
  "without a time": { ...signed(), "webhook-timestamp": "NaN" },
  "without an id": { ...signed(), "Webhook-Id": "" },
  "with another id": { ...signed(), "Webhook-Id": "msg_2" },
  "with an empty signature": { ...signed(), "webhook-signature": "v1," },
  "without headers": {},
};
for (const [what, headers] of Object.entries(WRONG)) {
  test(`a delivery ${what} is refused`, async () => {
    await assert.rejects(verify(BODY, headers, SECRET, { now: NOW }), WebhookRefused);
  });
}

test("an empty secret is no secret", async () => {
  for (const secret of ["", "whsec_", "whsec_???"]) await assert.rejects(verify(BODY, signed(), secret, { now: NOW }), TypeError);
});

test("an event of a bus is read as it is", () => {
  assert.equal(event(JSON.parse(BODY)).type, "image.completed");
  assert.throws(() => event("no event"), WebhookRefused);
});
