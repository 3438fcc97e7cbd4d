"""Bytes that are no request, or too many: answered as every other error is."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from typing import Any

import pytest
import structlog
from aiohttp import web

from service.http.protocol import MAX_FIELD_BYTES, MAX_FIELDS, MAX_TARGET_BYTES, ApiRunner
from service.observe.metrics import METRICS
from tests.integration.http.conftest import World, make_application
from tests.integration.http.test_edges import SECURITY_HEADERS
from tests.waiting import PATIENCE_SECONDS

PAGE = "https://app.example.com"
SECRET = b"eyJSECRET"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HEAD = b"Host: x\r\nOrigin: https://app.example.com\r\nX-Request-Id: mine\r\nConnection: close\r\n"
POST = b"POST /images/upload-url HTTP/1.1\r\nContent-Type: application/json\r\n" + HEAD


@dataclass(frozen=True)
class Answer:
    """One answer of the service."""

    status: int
    headers: Message
    problem: dict[str, Any]
    text: bytes


Send = Callable[[bytes], Awaitable[Answer]]


@pytest.fixture
async def start(world: World) -> AsyncIterator[Callable[..., Awaitable[tuple[Send, web.Application]]]]:
    """The application as the server runs it."""
    async with AsyncExitStack() as stack:

        async def begin(**settings: Any) -> tuple[Send, web.Application]:
            app = make_application(world, **settings)
            runner = ApiRunner(app, access_log=None, handle_signals=False)
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()

            async def send(text: bytes) -> Answer:
                reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
                writer.write(text)
                found = b""
                while not _is_whole(found) and (more := await asyncio.wait_for(reader.read(65_536), PATIENCE_SECONDS)):
                    found += more
                writer.close()
                await writer.wait_closed()
                return _parsed(found)

            return send, app

        yield begin


def _is_whole(text: bytes) -> bool:
    """Whoever was refused before it sent its body is listened to for a while; nobody has to wait for that."""
    head, _, body = text.removeprefix(CONTINUE).partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: ([0-9]+)", head)
    return length is not None and len(body) >= int(length[1])


def _parsed(text: bytes) -> Answer:
    line, _, rest = text.partition(b"\r\n")
    head, _, body = rest.partition(b"\r\n\r\n")
    return Answer(int(line.split()[1]), BytesParser().parsebytes(head + b"\r\n\r\n"), json.loads(body or b"{}"), text)


def _get(*headers: bytes, target: bytes = b"/images/list") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + HEAD + b"".join(each + b"\r\n" for each in headers) + b"\r\n"


REFUSED = [
    (_get(b"Authorization: Bearer " + SECRET + b"z" * MAX_FIELD_BYTES), 431, "headers_too_large"),
    (_get(b"Cookie: " + SECRET + b"z" * 60_000), 431, "headers_too_large"),
    (_get(SECRET + b"z" * MAX_FIELD_BYTES + b": x"), 431, "headers_too_large"),
    (_get(*(b"X-%d: " % number + SECRET for number in range(MAX_FIELDS + 1))), 431, "headers_too_large"),
    (_get(target=b"/images/list?x=" + SECRET + b"a" * MAX_TARGET_BYTES), 414, "uri_too_long"),
    (_get(target=b"/" + SECRET + b"a" * 60_000), 414, "uri_too_long"),
    (b"GARBAGE " + SECRET + b"\r\n\r\n", 400, "malformed_request"),
    (b"\x16\x03\x01\x02\x00" + SECRET, 400, "malformed_request"),
    (b"GET / HTTP/9.9\r\n" + HEAD + SECRET + b": x\r\n\r\n", 400, "malformed_request"),
    (b"GET / HTTP/1.1\r\nX: " + SECRET + b"\r\n\r\n", 400, "malformed_request"),
    (_get(b"Bad Header: " + SECRET), 400, "malformed_request"),
    (_get(b"X: " + SECRET + b"\x00"), 400, "malformed_request"),
    (_get(b"Content-Length: " + SECRET), 400, "malformed_request"),
    (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400, "malformed_request"),
    (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "malformed_request"),
]


@pytest.mark.parametrize(("text", "status", "code"), REFUSED, ids=lambda value: str(value)[:40])
async def test_what_is_no_request_is_answered_with_a_problem_that_repeats_nothing(
    start: Any, text: bytes, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    send, _ = await start(cors_origins=(PAGE,))
    with structlog.testing.capture_logs() as logged:
        answer = await send(text)
    assert (answer.status, answer.problem["code"], answer.problem["status"]) == (status, code, status)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])
    assert answer.problem["requestId"] == answer.headers["X-Request-Id"]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert answer.headers["Server"] is None
    assert SECRET not in answer.text
    assert SECRET.decode() not in f"{logged}{caplog.text}"
    (entry,) = logged
    assert (entry["event"], entry["log_level"], entry["code"]) == ("Request not understood", "info", code)


async def test_where_no_page_may_call_no_page_may_read_it(start: Any) -> None:
    send, _ = await start()
    assert (await send(REFUSED[0][0])).headers["Access-Control-Allow-Origin"] is None


async def test_what_is_no_request_is_counted(start: Any) -> None:
    send, app = await start()
    await send(REFUSED[0][0])
    line = 'truss_http_request_seconds_count{method="other",route="unmatched",status="431"} 1.0'
    assert line in app[METRICS].exposition()[0].decode()


@pytest.mark.parametrize(
    "text",
    [
        _get(b"Authorization: Bearer " + b"z" * (16 * 1024 - len("Authorization: Bearer "))),
        _get(target=b"/images/list?x=" + b"a" * (MAX_TARGET_BYTES - 200)),
        _get(*(b"X-%d: x" % number for number in range(MAX_FIELDS - 4))),
    ],
    ids=["a token as long as a load balancer lets through", "a long query", "many headers"],
)
async def test_what_a_load_balancer_lets_through_is_read(start: Any, text: bytes) -> None:
    send, _ = await start()
    answer = await send(text)
    assert answer.status in (200, 400)
    assert answer.headers["X-Request-Id"] == "mine"


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}garbage\r\n",
        b"-2\r\n{}\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\n{}",
    ],
    ids=lambda body: body[:12].decode(),
)
async def test_a_body_in_bad_chunks_is_a_problem(start: Any, body: bytes) -> None:
    send, _ = await start(cors_origins=(PAGE,))
    answer = await send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert (answer.status, answer.problem["code"]) in ((400, "invalid_body"), (400, "malformed_request"))
    assert answer.headers["Access-Control-Allow-Origin"] in (PAGE, "*")


@pytest.mark.parametrize("target", [b"/images/list", b"/nowhere"])
async def test_an_expectation_that_nobody_meets_is_a_problem(start: Any, target: bytes) -> None:
    send, _ = await start(cors_origins=(PAGE,))
    answer = await send(_get(b"Expect: a miracle", target=target))
    assert (answer.status, answer.problem["code"]) == (417, "expectation_failed")
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert answer.headers["Server"] is None


@pytest.mark.parametrize(
    "request_line", [b"OPTIONS * HTTP/1.1", b"CONNECT x:443 HTTP/1.1", b"GET http://x/nowhere HTTP/1.1"]
)
async def test_a_target_that_is_no_path_is_a_problem(start: Any, request_line: bytes) -> None:
    send, _ = await start()
    answer = await send(request_line + b"\r\n" + HEAD + b"\r\n")
    assert answer.status in (400, 404, 405)
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_failure_behind_every_boundary_says_nothing_of_itself(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, _ = await start()

    def fail(*_: Any) -> None:
        raise RuntimeError(SECRET.decode())

    monkeypatch.setattr("service.http.middleware._template", fail)
    with structlog.testing.capture_logs() as logged:
        answer = await send(_get())
    assert (answer.status, answer.problem["code"]) == (500, "internal_error")
    assert SECRET not in answer.text
    assert [entry["log_level"] for entry in logged if entry["event"] == "Request failed"] == ["error"]


SMALL = b'{"filename": "a.png"}'
LARGE = 10_000_000_000


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n", b"Expect: 100-Continue\r\n"])
async def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(start: Any, expect: bytes) -> None:
    send, _ = await start(cors_origins=(PAGE,))
    answer = await send(POST + expect + b"Content-Length: %d\r\n\r\n" % LARGE)
    assert (answer.status, answer.problem["code"]) == (413, "payload_too_large")
    assert (answer.problem["limit"], answer.problem["actual"]) == (65_536, LARGE)
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE


@pytest.mark.parametrize(("version", "asked"), [(b"HTTP/1.1", True), (b"HTTP/1.0", False)])
async def test_whoever_waits_for_a_word_before_the_body_gets_it(start: Any, version: bytes, *, asked: bool) -> None:
    """HTTP/1.0 has no such word, and what is expected in it is not heeded."""
    send, _ = await start()
    head = POST.replace(b"HTTP/1.1", version) + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(SMALL)
    answer = (await send(head + SMALL)).text
    assert answer.startswith(CONTINUE) == asked
    assert b" 200 OK\r\n" in answer
    if not asked:
        odd = head.replace(b"100-continue", b"a miracle")
        assert b" 200 OK\r\n" in (await send(odd + SMALL)).text


async def test_a_body_that_unpacks_to_too_much_is_refused_as_one_byte_too_many(
    start: Any,
) -> None:
    send, _ = await start()
    packed = gzip.compress(b" " * 5_000_000)
    answer = await send(POST + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)
    assert (answer.status, answer.problem["code"], answer.problem["limit"]) == (413, "payload_too_large", 65_536)
    assert answer.problem["actual"] == 65_537  # nobody unpacks more to count it


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"rot13", b"gzip, gzip"])
async def test_a_body_in_an_encoding_that_nobody_decodes_is_not_taken_for_plain(start: Any, encoding: bytes) -> None:
    send, _ = await start()
    head = POST + b"Content-Encoding: " + encoding + b"\r\nContent-Length: %d\r\n\r\n" % len(SMALL)
    answer = await send(head + SMALL)
    assert (answer.status, answer.problem["code"]) == (400, "invalid_body")


@pytest.mark.parametrize("encoding", [b"identity", b"", b"GZip", b"deflate"])
async def test_a_body_may_be_packed_as_http_has_it(start: Any, encoding: bytes) -> None:
    send, _ = await start()
    body = {b"GZip": gzip.compress(SMALL), b"deflate": zlib.compress(SMALL)}.get(encoding, SMALL)
    head = POST + b"Content-Encoding: " + encoding + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert (await send(head + body)).status == 200


async def test_a_type_that_is_no_json_is_repeated_as_it_was_sent(start: Any) -> None:
    send, _ = await start()
    twice = POST.replace(b"application/json", b"application/json, application/json")
    answer = await send(twice + b"Content-Length: %d\r\n\r\n" % len(SMALL) + SMALL)
    assert answer.status == 415
    assert "says application/json, application/json;" in answer.problem["detail"]
    none = POST.replace(b"application/json", b"")
    assert (await send(none + b"Content-Length: %d\r\n\r\n" % len(SMALL) + SMALL)).status == 200
