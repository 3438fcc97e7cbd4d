"""What surrounds every call: headers, request ids, logs, browsers, strange requests."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
import structlog
from structlog.contextvars import merge_contextvars

from service.http.connections import CONNECTION_TIMEOUTS
from service.observe.health import DRAINING
from tests.waiting import eventually

JOB = "/images/status/img_1767323045678_9f86d081884c7d65"
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "Cache-Control": "no-store",
}
#: An answer of every kind: success, our error, no such path, no such method, what a path knows, no JSON.
EVERY_KIND = [
    ("GET", "/images/list", 200),
    ("GET", JOB, 404),
    ("GET", "/nowhere", 404),
    ("PUT", "/images/list", 405),
    ("OPTIONS", "/images/list", 204),
    ("POST", "/images/upload-url", 415),
]


@pytest.mark.parametrize(("method", "path", "status"), EVERY_KIND)
async def test_every_answer_carries_the_security_headers(client: Any, method: str, path: str, status: int) -> None:
    async with client.request(method, path) as response:
        assert response.status == status
        assert {name: response.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
        assert "Server" not in response.headers


@pytest.mark.parametrize(("method", "path", "status"), EVERY_KIND)
async def test_every_answer_repeats_a_well_formed_request_id(client: Any, method: str, path: str, status: int) -> None:
    async with client.request(method, path, headers={"X-Request-Id": "a.b:c_d-1"}) as response:
        assert response.headers["X-Request-Id"] == "a.b:c_d-1"
        if status >= 400:
            assert (await response.json(content_type="application/problem+json"))["requestId"] == "a.b:c_d-1"


@pytest.mark.parametrize("given", ["", "a b", "a" * 129, "a;b", "<script>", "ä"])
async def test_any_other_request_id_is_replaced(client: Any, given: str) -> None:
    async with client.get("/images/health", headers={"X-Request-Id": given}) as response:
        assert re.fullmatch(r"[0-9a-f]{32}", response.headers["X-Request-Id"])


async def test_every_request_has_an_id_of_its_own(client: Any) -> None:
    seen = {(await client.get("/images/health")).headers["X-Request-Id"] for _ in range(5)}
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/index.html", 404, "not_found"),
        ("GET", "/images/nothing", 404, "not_found"),
        ("POST", "/", 405, "method_not_allowed"),
        ("GET", "/images/status/", 404, "not_found"),
        ("GET", "/images/list/", 404, "not_found"),
        ("GET", "/images/health/x", 404, "not_found"),
        ("GET", "/processed/a/b/webp.webp", 404, "not_found"),
        ("DELETE", "/images/list", 405, "method_not_allowed"),
        ("PATCH", "/images/health", 405, "method_not_allowed"),
    ],
)
async def test_what_does_not_exist_is_a_problem(client: Any, method: str, path: str, status: int, code: str) -> None:
    async with client.request(method, path) as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"
        body = await response.json(content_type=None)
        assert body["code"] == code
        assert body["type"] == f"/images/docs#problem-{code}"
        if status == 405:
            assert response.headers["Allow"] == "GET, HEAD, OPTIONS"
            assert body["detail"] == "This path does not know this method; it knows GET, HEAD, OPTIONS."


async def test_a_body_that_its_header_calls_no_json_is_refused_for_the_header(client: Any) -> None:
    headers = {"Content-Type": "text/html; charset=utf-8"}
    async with client.post("/images/upload-url", data=b'{"filename": "a.jpg"}', headers=headers) as response:
        assert response.status == 415
        detail = (await response.json(content_type=None))["detail"]
        assert detail == "The Content-Type header says text/html; it must be application/json."


async def test_head_is_answered_like_get_without_a_body(client: Any) -> None:
    async with client.head("/images/health") as response:
        assert response.status == 200
        assert await response.read() == b""


async def test_a_process_that_is_ending_is_not_healthy(client: Any) -> None:
    client.app[DRAINING].set()
    async with client.get("/images/health") as response:
        assert response.status == 503
        body = await response.json()
        assert (body["status"], body["checks"]) == ("draining", {})


async def test_a_process_that_is_ending_answers_and_asks_for_a_new_connection(client: Any) -> None:
    async with client.get("/images/limits") as response:
        assert "Connection" not in response.headers
    client.app[DRAINING].set()
    for method, path, status in (("GET", "/images/limits", 200), ("GET", "/images/nowhere", 404), ("HEAD", JOB, 404)):
        async with client.request(method, path) as response:
            assert (response.status, response.headers["Connection"]) == (status, "close")


# -- logs


@pytest.fixture
def logged() -> Any:
    capture = structlog.testing.LogCapture()
    before = structlog.get_config()["processors"]
    structlog.configure(processors=[merge_contextvars, capture])
    yield capture.entries
    structlog.configure(processors=before)


async def test_every_request_is_one_line_without_its_query(client: Any, logged: Any) -> None:
    await client.get("/images/upload-url?filename=a.jpg&metadata={}", headers={"X-Request-Id": "r1"})
    (entry,) = [entry for entry in logged if entry["event"] == "Request answered"]
    assert entry.pop("duration_ms") >= 0
    assert entry.pop("bytes") > 500
    assert entry.pop("uniqueId")
    assert entry.pop("processingId")
    assert entry.pop("agent").startswith("Python/")
    assert entry == {
        "event": "Request answered",
        "log_level": "info",
        "requestId": "r1",
        "subject": "anonymous",
        "tenant": "default",
        "method": "GET",
        "route": "/images/upload-url",
        "path": "/images/upload-url",
        "status": 200,
    }


async def test_what_watches_the_process_is_noise_in_the_log_until_something_is_wrong(client: Any, logged: Any) -> None:
    for path in ("/images/health", "/images/live", "/images/ready", "/images/list", "/images/nowhere"):
        await client.get(path)
    client.app[DRAINING].set()
    await client.get("/images/ready")
    levels = [(entry["path"], entry["log_level"]) for entry in logged if entry["event"] == "Request answered"]
    assert levels == [
        ("/images/health", "debug"),
        ("/images/live", "debug"),
        ("/images/ready", "debug"),
        ("/images/list", "info"),
        ("/images/nowhere", "info"),
        ("/images/ready", "warning"),
    ]


async def test_a_line_shows_nothing_of_the_request_before_it(client: Any, logged: Any) -> None:
    await client.get(JOB)
    await client.get("/images/list")
    first, second = (entry for entry in logged if entry["event"] == "Request answered")
    assert first["processingId"] == JOB.rpartition("/")[2]
    assert first["route"] == "/images/status/{processingId}"
    assert "processingId" not in second


async def test_only_the_unforeseen_is_an_error(client: Any, logged: Any, world: Any) -> None:
    world.jobs.broken = RuntimeError("boom")
    await client.get(JOB)
    assert [(entry["event"], entry["log_level"]) for entry in logged] == [
        ("Request failed", "error"),
        ("Request answered", "error"),
    ]


async def test_probes_make_no_noise_while_all_is_well(client: Any, logged: Any) -> None:
    await client.get("/images/health")
    assert [entry["log_level"] for entry in logged] == ["debug"]


# -- strange requests


async def test_a_client_that_leaves_within_its_body_is_no_error_of_ours(
    client: Any, logged: Any, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection(client.server.host, client.server.port)
    head = (
        b"POST /images/upload-url HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
    )
    writer.write(head + b"{")
    await writer.drain()

    async def in_work() -> bool:
        return bool(client.app[CONNECTION_TIMEOUTS]._busy)

    await eventually(in_work, what="the request in work")
    writer.close()
    await writer.wait_closed()

    async def ended() -> bool:
        return not await in_work()

    await eventually(ended, what="the end of the request")
    assert [entry for entry in logged if entry["log_level"] == "error"] == []
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


# -- the local viewer


async def test_the_local_viewer_serves_variants_for_ever(serve: Any, world: Any) -> None:
    client = await serve(local_viewer=True)
    async with client.post("/images/upload-url", json={"filename": "a.jpg"}) as response:
        submitted = await response.json()
    await world.complete(submitted["processingId"])
    path = submitted["processedImageUrl"].removeprefix("https://cdn.example.com")
    async with client.get(path) as response:
        assert (response.status, response.content_type) == (200, "image/webp")
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert await response.read() == b"webp"


@pytest.mark.parametrize(
    "path", ["", "x", "../uploads/a.jpg", "%2e%2e/x", "6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e/img_1_a/webp.webp"]
)
async def test_the_local_viewer_serves_nothing_else(serve: Any, path: str) -> None:
    client = await serve(local_viewer=True)
    async with client.get(f"/processed/{path}") as response:
        assert response.status == 404
        assert response.content_type == "application/problem+json"
