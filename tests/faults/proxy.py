"""A reverse proxy between the service and AWS that breaks chosen calls in chosen ways, and counts all of them."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

#: `X-Amz-Target` names an operation after one of these.
_TARGETS = {"AmazonSQS": "sqs", "DynamoDB_20120810": "dynamodb"}
#: Headers that belong to one connection, and what aiohttp writes itself.
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "expect", "content-length"})
#: SO_LINGER that makes a close a reset.
_AT_ONCE = struct.pack("ii", 1, 0)


class Kind(StrEnum):
    """What a fault does to a call."""

    LATENCY = "latency"  # it is forwarded after a while
    RESET_BEFORE = "reset before"  # the connection is reset, and nothing was forwarded
    RESET_AFTER = "reset after"  # it is carried out, and the connection reset instead of an answer
    ERROR = "error"  # 500
    THROTTLED = "throttled"
    TRUNCATED = "truncated"  # it is carried out, and half of the answer's body comes back
    EXPIRED = "expired"  # the credentials are said to have expired


#: What AWS's services say of the same trouble: status and code.
_REFUSALS = {
    Kind.ERROR: {
        "s3": (500, "InternalError"),
        "sqs": (500, "InternalFailure"),
        "dynamodb": (500, "InternalServerError"),
    },
    Kind.THROTTLED: {
        "s3": (503, "SlowDown"),
        "sqs": (400, "RequestThrottled"),
        "dynamodb": (400, "ProvisionedThroughputExceededException"),
    },
    Kind.EXPIRED: {
        "s3": (400, "ExpiredToken"),
        "sqs": (403, "ExpiredTokenException"),
        "dynamodb": (400, "ExpiredTokenException"),
    },
}


@dataclass(slots=True, kw_only=True)
class Fault:
    """Strikes calls of `operation` (`s3:PutObject`, `dynamodb:*`) in whose path or body all of `about` are found.

    It strikes `times` calls, or all of them until it is lifted. What strikes after a call was carried out may be kept
    for an answer that contains `answering`.
    """

    operation: str
    kind: Kind
    about: tuple[str, ...] = ()
    times: int | None = None
    seconds: float = 1.0
    answering: bytes = b""
    struck: int = 0

    def aims_at(self, operation: str, content: str) -> bool:
        """Whether the call is one to strike."""
        due = self.times is None or self.struck < self.times
        return due and fnmatchcase(operation, self.operation) and all(part in content for part in self.about)


@dataclass(slots=True)
class FaultyAws:
    """A running proxy. `seen` counts the calls that came, by operation, whatever became of them."""

    endpoint_url: str
    upstream: str
    seen: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)

    def strike(
        self,
        operation: str,
        kind: Kind,
        *about: str,
        times: int | None = None,
        seconds: float = 1.0,
        answering: bytes = b"",
    ) -> Fault:
        """Arm a fault."""
        fault = Fault(operation=operation, kind=kind, about=about, times=times, seconds=seconds, answering=answering)
        self.faults.append(fault)
        return fault

    def lift(self) -> None:
        """Let every call through from now on."""
        self.faults.clear()

    def behind(self, url: str) -> str:
        """The same address through this proxy."""
        return url.replace(self.upstream, self.endpoint_url)

    def next_fault(self, operation: str, content: str) -> Fault | None:
        """The fault that is due, counted as struck."""
        for fault in self.faults:
            if fault.aims_at(operation, content):
                fault.struck += 1
                return fault
        return None


@asynccontextmanager
async def run_proxy(upstream: str) -> AsyncIterator[FaultyAws]:
    """A proxy on a free port before the AWS at `upstream`; it harms nothing until a fault is armed."""
    app = web.Application(client_max_size=2**30)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout) as session:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        proxy = FaultyAws("", upstream)

        async def handle(request: web.Request) -> web.StreamResponse:
            return await _handle(request, session, proxy)

        app.router.add_route("*", "/{path:.*}", handle)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            proxy.endpoint_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield proxy
        finally:
            await runner.cleanup()


def operation_of(request: web.BaseRequest) -> str:
    """`service:Operation`, as AWS's policies name it."""
    prefix, _, name = request.headers.get("X-Amz-Target", "").partition(".")
    return f"{_TARGETS.get(prefix, prefix)}:{name}" if name else f"s3:{_s3_operation(request)}"


def _s3_operation(request: web.BaseRequest) -> str:
    in_bucket = "/" not in request.path.strip("/")
    for parameter, name in (("versions", "ListObjectVersions"), ("list-type", "ListObjectsV2")):
        if parameter in request.query:
            return name
    if "delete" in request.query:
        return "DeleteObjects"
    return f"{request.method.title()}{'Bucket' if in_bucket else 'Object'}"


async def _handle(request: web.Request, session: aiohttp.ClientSession, proxy: FaultyAws) -> web.StreamResponse:
    operation = operation_of(request)
    proxy.seen[operation] += 1
    body = await request.read()
    fault = proxy.next_fault(operation, request.path_qs + body.decode(errors="replace"))
    if fault is not None and fault.kind is Kind.LATENCY:
        await asyncio.sleep(fault.seconds)
    elif fault is not None and fault.kind is Kind.RESET_BEFORE:
        return _reset(request)
    elif fault is not None and fault.kind in _REFUSALS:
        return _refusal(operation.partition(":")[0], fault.kind)
    answer, content = await _forward(request, body, session, proxy)
    if fault is None or fault.kind is Kind.LATENCY:
        return _answer(answer, content)
    if fault.answering not in content:
        fault.struck -= 1
        return _answer(answer, content)
    return _reset(request) if fault.kind is Kind.RESET_AFTER else await _cut_short(request, answer, content)


Answer = tuple[aiohttp.ClientResponse, bytes]


async def _forward(request: web.Request, body: bytes, session: aiohttp.ClientSession, proxy: FaultyAws) -> Answer:
    """Carry out a call. The Host header goes with it unchanged, because the signature covers it."""
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
    url = URL(proxy.upstream + request.raw_path, encoded=True)
    async with session.request(
        request.method, url, headers=headers, data=body, allow_redirects=False, skip_auto_headers=["Content-Type"]
    ) as answer:
        return answer, await answer.read()


def _headers(answer: aiohttp.ClientResponse) -> list[tuple[str, str]]:
    return [(name, value) for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP]


def _answer(answer: aiohttp.ClientResponse, body: bytes) -> web.Response:
    headers = CIMultiDict(_headers(answer))
    if answer.method == "HEAD":
        headers["Content-Length"] = answer.headers.get("Content-Length", "0")
        return web.Response(status=answer.status, headers=headers)
    return web.Response(status=answer.status, headers=headers, body=body)


def _reset(request: web.Request) -> web.Response:
    """Not an end of the stream, which a client may take for an empty answer, but a reset."""
    if request.transport is not None:
        connection: socket.socket = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        request.transport.abort()
    return web.Response()


async def _cut_short(request: web.Request, answer: aiohttp.ClientResponse, body: bytes) -> web.StreamResponse:
    """The answer's head, which promises the whole body, and the first half of it."""
    cut = web.StreamResponse(status=answer.status, headers=CIMultiDict(_headers(answer)))
    cut.content_length = max(len(body), 2)
    await cut.prepare(request)
    await cut.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return cut


def _refusal(service: str, kind: Kind) -> web.Response:
    status, code = _REFUSALS[kind][service]
    if service == "s3":
        xml = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>Injected.</Message></Error>'
        return web.Response(status=status, text=xml, content_type="application/xml")
    content = json.dumps({"__type": f"com.amazonaws.{service}#{code}", "message": "Injected."})
    headers = {"x-amzn-query-error": f"{code};Sender"} if service == "sqs" else {}
    return web.Response(status=status, text=content, content_type="application/x-amz-json-1.0", headers=headers)
