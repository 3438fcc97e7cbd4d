"""Uploads that hold what they promise, over HTTP."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from processor.jobs import JobStatus

KNOWN = base64.b64encode(hashlib.sha256(b"source").digest()).decode()


async def test_a_url_for_one_object_says_so_and_comes_without_a_form(submit: Any) -> None:
    issued = await submit(once=True)
    assert issued["headers"]["If-None-Match"] == "*"
    assert issued["post"] is None


async def test_a_url_that_ran_out_is_replaced_under_the_same_ids(ask: Any, submit: Any, world: Any) -> None:
    issued = await submit(size=7)
    for body in ({}, {"expiresIn": 600}):
        status, _, again = await ask("POST", f"/images/upload-url/{issued['uniqueId']}/refresh", json=body)
        assert status == 200
        assert {**again, "expiresIn": 3600} == issued
    assert world.source.presigned[-1].expires_in_seconds == 600
    await world.upload(issued["processingId"])
    status, _, body = await ask("POST", f"/images/upload-url/{issued['uniqueId']}/refresh", json={})
    assert (status, body["code"]) == (409, "already_uploaded")


async def test_bytes_that_are_known_need_no_upload_when_the_client_asks(ask: Any, submit: Any, world: Any) -> None:
    known = await submit()
    await world.complete(known["processingId"])
    records = world.jobs.count
    for asked in ({"dedupe": True}, {"checksumSha256": KNOWN}):
        assert (await submit(**asked))["duplicateOf"] is None
    duplicate = await submit(dedupe=True, checksumSha256=KNOWN)
    assert duplicate["duplicateOf"] == duplicate["uniqueId"] == known["uniqueId"]
    assert (duplicate["uploadUrl"], duplicate["headers"], duplicate["post"]) == (None, {}, None)
    assert duplicate["processedImageUrls"] == known["processedImageUrls"]
    assert world.jobs.count == records + 2
    status, _, job = await ask("GET", f"/images/status/{duplicate['processingId']}")
    assert (status, job["status"]) == (200, JobStatus.COMPLETED)
