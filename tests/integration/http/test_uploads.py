"""Uploads that hold what they promise, over HTTP."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

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


async def test_no_answer_promises_more_time_than_the_session_has_that_signs(ask: Any, submit: Any, world: Any) -> None:
    world.source.session_seconds = 700
    issued = await submit(expiresIn=3600)
    assert issued["expiresIn"] == 700
    assert (await submit(expiresIn=600))["expiresIn"] == 600
    _, _, refreshed = await ask("POST", f"/images/upload-url/{issued['uniqueId']}/refresh", json={})
    _, _, begun = await ask("POST", "/images/multipart", json={"filename": "a.png", "size": 10})
    _, _, parts = await ask("POST", f"/images/multipart/{begun['uniqueId']}/parts", json={})
    _, _, form = await ask("GET", "/images/s3/params?filename=a.png&type=image/png")
    _, _, started = await ask("POST", "/images/s3/multipart", json={"filename": "a.png", "type": "image/png"})
    _, _, part = await ask("GET", f"/images/s3/multipart/{started['uploadId']}/1?key={started['key']}")
    assert [each["expiresIn"] for each in (refreshed, begun, parts)] == [700] * 3
    assert [each["expires"] for each in (form, part)] == [700] * 2


async def test_a_duplicate_promises_no_time_at_all(submit: Any, world: Any) -> None:
    await world.complete((await submit())["processingId"])
    assert (await submit(dedupe=True, checksumSha256=KNOWN))["expiresIn"] == 0


async def test_a_page_learns_the_limits_of_a_file_before_it_uploads(ask: Any) -> None:
    _, _, limits = await ask("GET", "/images/limits")
    assert {name: number for name, number in limits.items() if name.startswith("max")} == {
        "maxBytes": 1000,
        "maxPixels": 120_000_000,
        "maxSide": 32_767,
        "maxFrames": 500,
        "maxScans": 100,
        "maxPieces": 10_000,
        "maxSeconds": 60,
        "maxMemory": 1024**3 - 1000,
        "maxWebhooks": 10,
    }
    assert {each["extension"]: each["contentType"] for each in limits["formats"]} == {
        "jpg": "image/jpeg",
        "jpeg": "image/jpeg",
        "jpe": "image/jpeg",
        "jfif": "image/jpeg",
        "png": "image/png",
        "apng": "image/png",
        "webp": "image/webp",
        "gif": "image/gif",
        "avif": "image/avif",
        "avifs": "image/avif",
        **dict.fromkeys(("heic", "heif", "heics", "heifs", "hif"), "image/heic"),
        "tif": "image/tiff",
        "tiff": "image/tiff",
    }


async def test_a_tenant_learns_the_bounds_of_presets_and_assets(ask: Any) -> None:
    _, _, limits = await ask("GET", "/images/limits")
    assert limits["presets"] == {
        "count": 50,
        "versions": 50,
        "variants": 12,
        "effects": 4,
        "side": 16_383,
        "containSide": 4096,
        "cpuSeconds": 20,
    }
    assert limits["assets"] == {"count": 100, "bytes": 4 * 1024**2, "characters": 120, "lines": 4}


async def test_every_format_that_is_listed_may_be_uploaded(ask: Any, submit: Any) -> None:
    _, _, limits = await ask("GET", "/images/limits")
    for each in limits["formats"]:
        assert (await submit(filename=f"a.{each['extension']}"))["headers"]["Content-Type"] == each["contentType"]


async def test_a_refusal_names_both_numbers(ask: Any) -> None:
    status, _, body = await ask("POST", "/images/upload-url", json={"filename": "a.jpg", "size": 1001})
    assert (status, body["code"], body["limit"], body["actual"]) == (400, "file_too_large", 1000, 1001)
    assert body["detail"] == "The file has 1,001 bytes; the service accepts 1,000."
    _, _, body = await ask("POST", "/images/upload-url", json={"filename": "a.jpg", "expiresIn": 50000})
    assert (body["limit"], body["actual"]) == (43200, 50000)
    assert (body["errors"][0]["limit"], body["errors"][0]["actual"]) == (43200, 50000)
    _, _, body = await ask("POST", "/images/upload-url", json={"filename": "a.jpg", "x": "y" * 70_000})
    assert (body["code"], body["limit"], body["actual"] > 70_000) == ("payload_too_large", 65536, True)
    _, _, begun = await ask("POST", "/images/multipart", json={"filename": "a.png", "size": 10})
    path = f"/images/multipart/{begun['uniqueId']}/parts"
    _, _, body = await ask("POST", path, json={"partNumbers": [2]})
    assert (body["code"], body["limit"], body["actual"]) == ("no_such_part", 1, 2)
    _, _, body = await ask("POST", path, json={"partNumbers": [1] * 101})
    assert (body["code"], body["limit"], body["actual"]) == ("invalid_request", 100, 101)


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("POST", "/images/upload-url", {"json": {"filename": "a.jxl"}}),
        ("GET", "/images/upload-url", {"params": {"filename": "a.jxl"}}),
        ("POST", "/images/multipart", {"json": {"filename": "a.jxl", "size": 10}}),
        ("GET", "/images/s3/params", {"params": {"filename": "a", "type": "image/jxl"}}),
        ("POST", "/images/s3/multipart", {"json": {"filename": "a.jxl"}}),
    ],
)
async def test_no_way_to_upload_takes_what_can_never_be_converted(
    ask: Any, world: Any, method: str, path: str, options: Any
) -> None:
    status, _, body = await ask(method, path, **options)
    assert (status, body["code"]) == (400, "unsupported_content_type")
    assert body["accepted"] == [
        *("image/jpeg", "image/png", "image/webp", "image/gif"),
        *("image/avif", "image/heic", "image/tiff"),
    ]
    assert world.jobs.count == 0


BODIES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/images/upload-url", {"filename": "a.jpg"}),
    ("POST", "/images/upload-url/{image}/refresh", {}),
    ("POST", "/images/multipart", {"filename": "a.png", "size": 10}),
    ("POST", "/images/multipart/{parts}/parts", {}),
    ("POST", "/images/s3/multipart", {"filename": "a.png"}),
    ("POST", "/images/failed/redrive", {}),
    ("PUT", "/images/limits", {}),
    ("POST", "/images/keys", {"name": "n", "scopes": ["images:read"]}),
]


@pytest.mark.parametrize(("method", "path", "asked"), BODIES)
async def test_every_answer_to_a_body_names_the_fields_that_mean_nothing(
    ask: Any, submit: Any, method: str, path: str, asked: dict[str, Any]
) -> None:
    _, _, begun = await ask("POST", "/images/multipart", json={"filename": "a.png", "size": 10})
    path = path.format(image=(await submit())["uniqueId"], parts=begun["uniqueId"])
    _, _, body = await ask(method, path, json=asked | {"userId": "u", "quality": 80})
    assert body["ignored"] == ["userId", "quality"]
    _, _, body = await ask(method, path, json=asked)
    assert "ignored" not in body


async def test_a_protection_that_is_misspelled_is_refused_and_nothing_is_made(ask: Any, world: Any) -> None:
    asked = {"filename": "a.jpg", "checksumSha265": KNOWN, "onces": True}
    status, _, body = await ask("POST", "/images/upload-url", json=asked)
    assert (status, body["code"], world.jobs.count) == (400, "invalid_request", 0)
    assert [error["field"] for error in body["errors"]] == ["checksumSha265", "onces"]
    assert "checksumSha256" in body["detail"]
