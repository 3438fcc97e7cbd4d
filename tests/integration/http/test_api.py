"""Every call of the wire contract, field by field."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest

from processor import clock
from processor.errors import RecordChanged, Throttled, Unavailable
from processor.recipes import STANDARD
from service.observe.health import DRAINING
from service.routes import ROUTES

CDN = "https://cdn.example.com"
SIZES = ["thumbnail", "medium", "large", "webp"]
UNKNOWN_IMAGE = "6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e"
UNKNOWN_JOB = "img_1767323045678_9f86d081884c7d65"
DIGEST = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


# -- upload-url


async def test_an_upload_url_is_answered_with_every_field(ask: Any, world: Any) -> None:
    fields = {
        "filename": "photo.JPG",
        "contentType": "image/jpeg",
        "expiresIn": 60,
        "size": 7,
        "checksumSha256": DIGEST,
        "metadata": {"album": "summer"},
    }
    status, headers, body = await ask("POST", "/images/upload-url", json=fields)
    assert status == 200
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    unique_id, processing_id = body["uniqueId"], body["processingId"]
    assert re.fullmatch(r"img_\d{13}_[0-9a-f]{16}", processing_id)
    urls = {size: f"{CDN}/processed/{unique_id}/{processing_id}/{size}.webp" for size in SIZES}
    assert body == {
        "uploadUrl": f"memory://source/uploads/{unique_id}.jpg",
        "headers": {"Content-Type": "image/jpeg", "Content-Length": "7", "x-amz-checksum-sha256": DIGEST},
        "post": {
            "url": "memory://source/",
            "fields": {
                "key": f"uploads/{unique_id}.jpg",
                "Content-Type": "image/jpeg",
                "x-amz-checksum-sha256": DIGEST,
            },
        },
        "key": f"uploads/{unique_id}.jpg",
        "uniqueId": unique_id,
        "processingId": processing_id,
        "expiresIn": 60,
        "processedImageUrl": urls["webp"],
        "processedImageUrls": urls,
        "preset": "standard",
        "presetVersion": STANDARD.version,
        "duplicateOf": None,
    }
    (terms,) = world.source.presigned
    assert (terms.size, terms.checksum_sha256, terms.max_bytes, terms.expires_in_seconds) == (7, DIGEST, 1000, 60)
    assert (await world.jobs.job_of_any_tenant(processing_id)).metadata == {"album": "summer"}


async def test_the_same_is_asked_by_query(ask: Any, world: Any) -> None:
    parameters = {"filename": "photo.png", "expiresIn": "120", "size": "7", "metadata": '{"album": "summer"}'}
    status, _, body = await ask("GET", "/images/upload-url", params=parameters)
    assert status == 200
    assert (body["expiresIn"], body["headers"]) == (120, {"Content-Type": "image/png", "Content-Length": "7"})
    assert (await world.jobs.job_of_any_tenant(body["processingId"])).metadata == {"album": "summer"}


@pytest.mark.parametrize(
    "content_type", [None, "application/json", "application/vnd.x+json", "text/plain;charset=UTF-8"]
)
async def test_a_body_may_come_as_earlier_clients_send_it(ask: Any, content_type: str | None) -> None:
    options: dict[str, Any] = {"data": b'{"filename":"a.jpg"}', "skip_auto_headers": ["Content-Type"]}
    if content_type is not None:
        options["headers"] = {"Content-Type": content_type}
    assert (await ask("POST", "/images/upload-url", **options))[0] == 200


async def test_asking_with_head_makes_no_record(client: Any, world: Any) -> None:
    assert (await client.head("/images/upload-url?filename=a.jpg")).status == 405
    assert world.jobs.count == 0


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"json": {}}, 400, "invalid_request"),
        ({"json": []}, 400, "invalid_request"),
        ({"json": {"filename": "a.jpg", "expiresIn": 5}}, 400, "invalid_request"),
        ({"json": {"filename": "a.jpg", "contentType": "text/html"}}, 400, "unsupported_content_type"),
        ({"json": {"filename": "a.jpg", "size": 1001}}, 400, "file_too_large"),
        ({"data": b"{"}, 400, "invalid_json"),
        ({"data": b""}, 400, "invalid_json"),
        ({"data": b"x" * 70_000}, 413, "payload_too_large"),
        ({"data": {"filename": "a.jpg"}}, 415, "unsupported_media_type"),
        ({"data": b"<a/>", "headers": {"Content-Type": "application/xml"}}, 415, "unsupported_media_type"),
        ({"data": b"no gzip", "headers": {"Content-Encoding": "gzip"}}, 400, "invalid_body"),
    ],
)
async def test_a_bad_body_is_refused(ask: Any, options: Any, status: int, code: str, world: Any) -> None:
    if isinstance(options.get("data"), bytes):
        options = {**options, "headers": {"Content-Type": "application/json"} | options.get("headers", {})}
    found, _, body = await ask("POST", "/images/upload-url", **options)
    assert (found, body["code"]) == (status, code)
    assert world.jobs.count == 0


async def test_bad_fields_are_listed(ask: Any) -> None:
    _, _, body = await ask("GET", "/images/upload-url", params={"expiresIn": "x"})
    assert body["errors"] == [
        {"field": "filename", "message": "is required"},
        {"field": "expiresIn", "message": "must be a whole number, in digits"},
    ]
    assert body["error"] == body["detail"]


# -- status


async def test_a_fresh_job_is_pending(ask: Any, submit: Any) -> None:
    submitted = await submit(metadata={"album": "summer"})
    status, _, body = await ask("GET", f"/images/status/{submitted['processingId']}")
    assert status == 200
    assert TIME.fullmatch(body["timestamp"])
    assert body.pop("listedAt") == body.pop("timestamp")
    assert TIME.fullmatch(body.pop("updatedAt"))
    assert body == {
        "processingId": submitted["processingId"],
        "uniqueId": submitted["uniqueId"],
        "originalKey": submitted["key"],
        "filename": "a.jpg",
        "metadata": {"album": "summer"},
        "status": "pending",
        "processedImages": {},
        "preset": "standard",
        "presetVersion": STANDARD.version,
        "error": None,
        "timings": None,
        "supersededBy": None,
    }


async def test_a_completed_job_shows_its_variants_where_they_were_promised(ask: Any, submit: Any, world: Any) -> None:
    submitted = await submit()
    await world.complete(submitted["processingId"])
    _, _, body = await ask("GET", f"/images/status/{submitted['processingId']}")
    assert body["status"] == "completed"
    assert body["timings"] == {"download": 1, "process": 2, "upload": 3, "total": 6}
    assert {size: image["url"] for size, image in body["processedImages"].items()} == submitted["processedImageUrls"]
    assert body["processedImages"]["thumbnail"] == {
        "key": submitted["processedImageUrls"]["thumbnail"].removeprefix(f"{CDN}/"),
        "url": submitted["processedImageUrls"]["thumbnail"],
        "width": 30,
        "height": 20,
        "size": 4,
        "sha256": "0" * 64,
        "contentType": "image/webp",
        "storedAt": "2026-01-02T03:04:05.678Z",
    }


async def test_a_failed_job_says_why(ask: Any, submit: Any, world: Any) -> None:
    processing_id = (await submit())["processingId"]
    await world.fail(processing_id)
    _, _, body = await ask("GET", f"/images/status/{processing_id}")
    assert (body["status"], body["error"]) == (
        "failed",
        {"code": "corrupt_image", "message": "The image is damaged."},
    )


async def test_a_job_that_failed_over_a_limit_names_it_and_what_the_file_has(ask: Any, submit: Any, world: Any) -> None:
    processing_id = (await submit())["processingId"]
    await world.fail(processing_id, "too_many_frames", limit=500, actual=600)
    _, _, body = await ask("GET", f"/images/status/{processing_id}")
    assert (body["error"]["limit"], body["error"]["actual"]) == (500, 600)


@pytest.mark.parametrize("processing_id", [UNKNOWN_JOB, "nonsense", "img_1_%2e%2e", "img_1_a%0a", "%00"])
async def test_an_unknown_job_and_nonsense_look_the_same(ask: Any, processing_id: str) -> None:
    status, _, body = await ask("GET", f"/images/status/{processing_id}")
    assert (status, body["code"]) == (404, "job_not_found")


async def test_another_tenants_job_is_not_found(ask: Any, world: Any) -> None:
    processing_id = (await world.submit("other")).processing_id
    assert (await ask("GET", f"/images/status/{processing_id}"))[0] == 404


# -- list


async def test_a_list_is_read_page_by_page_to_its_end(ask: Any, submit: Any) -> None:
    made = [(await submit())["processingId"] for _ in range(5)]
    seen: list[str] = []
    counts = []
    parameters = {"limit": "2"}
    while True:
        status, _, body = await ask("GET", "/images/list", params=parameters)
        assert status == 200
        seen += [image["processingId"] for image in body["images"]]
        counts.append(body["count"])
        if body["lastEvaluatedKey"] is None:
            break
        parameters["lastKey"] = body["lastEvaluatedKey"]
    assert counts == [2, 2, 1]
    assert seen == sorted(made, reverse=True)


async def test_an_empty_list_is_an_answer(ask: Any) -> None:
    status, _, body = await ask("GET", "/images/list")
    assert (status, body) == (200, {"images": [], "count": 0, "lastEvaluatedKey": None})


async def test_a_row_is_what_the_status_says(ask: Any, submit: Any, world: Any) -> None:
    processing_id = (await submit())["processingId"]
    await world.complete(processing_id)
    _, _, status = await ask("GET", f"/images/status/{processing_id}")
    _, _, listed = await ask("GET", "/images/list")
    assert listed["images"] == [status]


async def test_every_filter_reaches_the_store(ask: Any, world: Any) -> None:
    parameters = {"status": "failed", "limit": "7", "from": "2026-01-01", "to": "2026-02-01T00:00:00Z", "order": "asc"}
    assert (await ask("GET", "/images/list", params=parameters))[0] == 200
    (query,) = world.jobs.queries
    assert (query.tenant, query.status, query.limit, query.newest_first) == ("default", "failed", 7, False)
    assert clock.to_iso(query.created_from) == "2026-01-01T00:00:00.000Z"
    assert clock.to_iso(query.created_to) == "2026-02-01T00:00:00.000Z"


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "status=done", "order=up", "from=x", "from=2026-02-01&to=2026-01-01"]
)
async def test_a_bad_list_is_refused(ask: Any, query: str) -> None:
    status, _, body = await ask("GET", f"/images/list?{query}")
    assert (status, body["code"], len(body["errors"])) == (400, "invalid_request", 1)


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("lastEvaluatedKey=A", "lastEvaluatedKey: is not known here, but lastKey is"),
        ("last_key=A&limit=2", "last_key: is not known here, but lastKey is"),
        ("status=pending&status=failed", "status: must not be there more than once"),
        (
            "from=2026-01-02T03:04:05+01:00",
            "from: has a space where an offset begins: a + must be written %2B in a URL",
        ),
    ],
)
@pytest.mark.parametrize("path", ["/images/list", "/images/failed"])
async def test_a_slip_in_a_query_is_named(ask: Any, path: str, query: str, detail: str) -> None:
    if path == "/images/failed":  # which has no status, but a code
        query, detail = query.replace("status", "code"), detail.replace("status", "code")
    status, _, body = await ask("GET", f"{path}?{query}")
    assert (status, body["code"], body["detail"]) == (400, "invalid_request", detail)


async def test_other_parameters_that_nobody_knows_are_ignored(ask: Any) -> None:
    assert (await ask("GET", "/images/list?_=1&theme=dark&utm_source=x"))[0] == 200


async def test_an_image_that_is_processed_again_keeps_its_place(ask: Any, submit: Any, world: Any) -> None:
    first, *_ = [await submit() for _ in range(3)]
    await world.complete(first["processingId"])
    _, _, before = await ask("GET", "/images/list")
    status, _, again = await ask("POST", f"/images/process/{first['uniqueId']}")
    assert status == 202
    _, _, after = await ask("GET", "/images/list")
    assert [row["uniqueId"] for row in after["images"]] == [row["uniqueId"] for row in before["images"]]
    (then,) = (row for row in before["images"] if row["uniqueId"] == first["uniqueId"])
    (now,) = (row for row in after["images"] if row["uniqueId"] == first["uniqueId"])
    assert (now["processingId"], now["listedAt"]) == (again["processingId"], then["listedAt"])
    assert then["listedAt"] == then["timestamp"] <= now["timestamp"]


@pytest.mark.parametrize("change", [{"status": "failed"}, {"order": "asc"}, {"from": "2026-01-01"}, {"lastKey": "A"}])
async def test_a_cursor_belongs_to_its_list(ask: Any, submit: Any, change: dict[str, str]) -> None:
    for _ in range(2):
        await submit()
    _, _, page = await ask("GET", "/images/list?limit=1")
    parameters = {"limit": "1", "lastKey": page["lastEvaluatedKey"]} | change
    status, _, body = await ask("GET", "/images/list", params=parameters)
    assert (status, body["code"]) == (400, "invalid_cursor")


# -- process


async def test_processing_again_makes_a_new_job(ask: Any, submit: Any, world: Any) -> None:
    submitted = await submit()
    await world.complete(submitted["processingId"])
    status, _, body = await ask("POST", f"/images/process/{submitted['uniqueId']}")
    assert status == 202
    assert body.pop("processingId") != submitted["processingId"]
    made = {"preset": "standard", "presetVersion": STANDARD.version}
    assert body == {
        "message": "Processing started",
        "uniqueId": submitted["uniqueId"],
        "key": submitted["key"],
        **made,
    }
    assert world.queue.count == 1


async def test_processing_again_twice_is_one_new_job_and_the_old_one_names_it(
    ask: Any, submit: Any, world: Any
) -> None:
    submitted = await submit()
    await world.complete(submitted["processingId"])
    answers = [await ask("POST", f"/images/process/{submitted['uniqueId']}") for _ in range(2)]
    assert [status for status, _, _ in answers] == [202, 202]
    (processing_id,) = {body["processingId"] for _, _, body in answers}
    _, _, old = await ask("GET", f"/images/status/{submitted['processingId']}")
    assert (old["status"], old["supersededBy"]) == ("completed", processing_id)
    _, _, new = await ask("GET", f"/images/status/{processing_id}")
    assert (new["status"], new["supersededBy"]) == ("uploaded", None)


async def test_an_image_that_others_are_changing_all_the_time_is_busy(
    ask: Any, submit: Any, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(*_: Any, **__: Any) -> None:
        raise RecordChanged

    submitted = await submit()
    await world.complete(submitted["processingId"])
    monkeypatch.setattr(world.jobs, "replace", lose)
    status, headers, body = await ask("POST", f"/images/process/{submitted['uniqueId']}")
    assert (status, body["code"], headers["Retry-After"]) == (409, "busy", "1")


async def test_what_was_not_uploaded_cannot_be_processed(ask: Any, submit: Any) -> None:
    status, _, body = await ask("POST", f"/images/process/{(await submit())['uniqueId']}")
    assert (status, body["code"]) == (409, "not_uploaded")


# -- processed


async def test_processed_images_are_listed_with_every_field(ask: Any, submit: Any, world: Any) -> None:
    submitted = await submit()
    await world.complete(submitted["processingId"])
    status, _, body = await ask("GET", f"/images/processed/{submitted['uniqueId'].upper()}")
    assert (status, body["uniqueId"], body["count"]) == (200, submitted["uniqueId"], 4)
    assert [image["sizeType"] for image in body["processedImages"]] == SIZES
    assert body["processedImages"][0] == {
        "key": submitted["processedImageUrls"]["thumbnail"].removeprefix(f"{CDN}/"),
        "url": submitted["processedImageUrls"]["thumbnail"],
        "size": 4,
        "lastModified": "2026-01-02T03:04:05.678Z",
        "sizeType": "thumbnail",
        "width": 30,
        "height": 20,
        "sha256": "0" * 64,
        "contentType": "image/webp",
    }


async def test_before_processing_there_is_nothing_to_list(ask: Any, submit: Any) -> None:
    unique_id = (await submit())["uniqueId"]
    status, _, body = await ask("GET", f"/images/processed/{unique_id}")
    assert (status, body) == (200, {"uniqueId": unique_id, "processedImages": [], "count": 0})


# -- delete


async def test_a_deleted_image_is_gone_everywhere(ask: Any, submit: Any, world: Any) -> None:
    submitted = await submit()
    unique_id, processing_id = submitted["uniqueId"], submitted["processingId"]
    await world.complete(processing_id)
    status, _, body = await ask("DELETE", f"/images/image/{unique_id}")
    receipt = body.pop("receipt")
    assert (status, body) == (
        200,
        {"message": "Image deleted", "uniqueId": unique_id, "deletedProcessedImages": 4},
    )
    assert receipt["sources"] == [submitted["key"]]
    assert sorted(receipt["variants"]) == sorted(
        f"processed/{unique_id}/{processing_id}/{name}.webp" for name in ("thumbnail", "medium", "large", "webp")
    )
    assert TIME.fullmatch(receipt["erasedAt"])
    assert await world.processed.list("") == await world.source.list("") == []
    assert (await ask("GET", f"/images/status/{processing_id}"))[0] == 404
    assert (await ask("GET", f"/images/processed/{unique_id}"))[0] == 404
    assert (await ask("POST", f"/images/process/{unique_id}"))[0] == 404
    assert (await ask("DELETE", f"/images/image/{unique_id}"))[0] == 404
    assert (await ask("GET", "/images/list"))[2]["images"] == []


@pytest.mark.parametrize("in_parts", [False, True])
async def test_every_call_about_a_deleted_image_has_the_code_that_the_guide_says(
    ask: Any, submit: Any, world: Any, *, in_parts: bool
) -> None:
    """Jobs go with their image, so a status knows nothing more of them."""
    begin = {"filename": "a.jpg", "size": 7}
    made = (await ask("POST", "/images/multipart", json=begin))[2] if in_parts else await submit()
    if not in_parts:
        await world.complete(made["processingId"])
    assert (await ask("DELETE", f"/images/image/{made['uniqueId']}"))[0] == 200
    calls = [
        (route.method, route.path) for route in ROUTES if {"{uniqueId}", "{processingId}"} & set(route.path.split("/"))
    ]
    assert len(calls) >= 8
    for method, path in calls:
        expected = "job_not_found" if "{processingId}" in path else "image_deleted"
        there = path.format(uniqueId=made["uniqueId"], processingId=made["processingId"])
        decision = {"decision": "approve", "processingId": made["processingId"]}
        given = {"json": decision} if "/review/" in path and method == "POST" else {}
        status, _, body = await ask(method, there, **given)
        assert (status, body["code"]) == (404, expected), (method, path)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/images/process"), ("GET", "/images/processed"), ("DELETE", "/images/image")]
)
@pytest.mark.parametrize("unique_id", [UNKNOWN_IMAGE, "nonsense", "..%2f..%2fetc", "%00", UNKNOWN_IMAGE + "%20"])
async def test_an_unknown_image_and_nonsense_look_the_same(ask: Any, method: str, path: str, unique_id: str) -> None:
    status, _, body = await ask(method, f"{path}/{unique_id}")
    assert (status, body["code"]) == (404, "image_not_found")


# -- health


async def test_a_healthy_service_says_so(ask: Any) -> None:
    status, _, body = await ask("GET", "/images/health")
    assert status == 200
    assert TIME.fullmatch(body.pop("timestamp"))
    assert body == {
        "status": "healthy",
        "service": "image-service",
        "stage": "test",
        "checks": {"table": "ok", "queue": "ok"},
    }


async def test_a_service_without_a_dependency_is_unhealthy(ask: Any, world: Any) -> None:
    world.jobs.broken = Unavailable("secret")
    status, headers, body = await ask("GET", "/images/health")
    assert (status, body["status"]) == (503, "unhealthy")
    assert body["checks"] == {"table": "failing", "queue": "ok"}
    assert headers["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("path", ["/images/live", "/images/ready"])
async def test_a_process_that_works_lives_and_is_ready(ask: Any, path: str) -> None:
    status, _, body = await ask("GET", path)
    assert (status, body["status"]) == (200, "healthy")


async def test_a_process_whose_worker_died_asks_for_a_restart(ask: Any, world: Any) -> None:
    world.worker_died = True
    status, _, body = await ask("GET", "/images/live")
    assert (status, body["status"], body["checks"]) == (503, "unhealthy", {"worker": "failing"})


async def test_an_outage_restarts_no_process(ask: Any, world: Any) -> None:
    world.jobs.broken = world.queue.broken = Unavailable("secret")
    status, _, body = await ask("GET", "/images/live")
    assert (status, body["status"]) == (200, "healthy")


async def test_a_process_that_drains_lives_but_is_not_ready(client: Any) -> None:
    client.app[DRAINING].set()
    async with client.get("/images/live") as live, client.get("/images/ready") as ready:
        assert (live.status, ready.status) == (200, 503)
        assert (await ready.json())["status"] == "draining"


# -- errors


@pytest.mark.parametrize("error", [Unavailable("AccessDenied: arn:aws:secret"), Throttled("arn:aws:secret")])
async def test_a_dependency_that_is_away_is_a_503_with_a_time(ask: Any, world: Any, error: Exception) -> None:
    world.jobs.broken = error
    status, headers, body = await ask("GET", "/images/list")
    assert status == 503
    assert int(headers["Retry-After"]) > 0
    assert "arn" not in str(body)


async def test_an_unforeseen_error_tells_nothing(ask: Any, world: Any) -> None:
    world.jobs.broken = RuntimeError("secret")
    status, _, body = await ask("GET", f"/images/status/{UNKNOWN_JOB}")
    assert (status, body["code"], body["error"]) == (500, "internal_error", "Something went wrong.")


async def test_a_queue_that_is_away_fails_the_new_job_and_says_so(ask: Any, submit: Any, world: Any) -> None:
    submitted = await submit()
    await world.complete(submitted["processingId"])
    world.queue.broken = Unavailable()
    assert (await ask("POST", f"/images/process/{submitted['uniqueId']}"))[0] == 503
    _, _, listed = await ask("GET", "/images/list")
    assert [image["status"] for image in listed["images"]] == ["failed"]
