"""Middleware of every call: request id, probes, errors, headers."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from structlog.contextvars import bind_contextvars, clear_contextvars

from service.http.call import is_quiet
from service.http.problems import problem_of
from service.observe.health import DRAINING
from service.observe.probes import PROBES

REQUEST_ID_HEADER = "X-Request-Id"
#: What a caller's request id may look like. Anything else could forge lines in somebody's log.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
#: Headers of every answer, unless the handler knows better.
DEFAULT_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",  # one year; browsers ignore it on plain HTTP
    hdrs.CACHE_CONTROL: "no-store",
}

_REQUEST_ID_KEY = web.RequestKey("request_id", str)
_CODE_KEY = web.RequestKey("code", str)
_HELD = web.RequestKey("held_seconds", float)

log = structlog.get_logger(__name__)


def request_id_of(request: web.BaseRequest) -> str:
    """The caller's request id when it is well formed, else a new one; the same for the whole request."""
    if _REQUEST_ID_KEY not in request:
        given = request.headers.get(REQUEST_ID_HEADER, "")
        request[_REQUEST_ID_KEY] = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    return request[_REQUEST_ID_KEY]


@contextmanager
def held(request: web.Request) -> Iterator[None]:
    """While a request waits because its caller asked for that: it is no slower by it."""
    began = time.monotonic()
    try:
        yield
    finally:
        request[_HELD] = request.get(_HELD, 0.0) + time.monotonic() - began


@web.middleware
async def observed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Add the request id to all log lines of the request, and report the result to the probes."""
    # One connection's requests share a context: what the last one bound must not show in this one's lines.
    clear_contextvars()
    bind_contextvars(requestId=request_id_of(request))
    facts = {
        "method": request.method,
        "path": request.path,
        "route": _template(request),
        "quiet": is_quiet(request.match_info.handler),
        "continues": request.headers.get("traceparent"),
    }
    with request.app[PROBES].span("request", **facts) as span:
        response = await handler(request)
        span.facts |= {
            "status": response.status,
            "bytes": response.content_length or 0,
            "code": request.get(_CODE_KEY, ""),
            "agent": request.headers.get(hdrs.USER_AGENT, ""),
            "held": request.get(_HELD, 0.0),
        }
    return response


@web.middleware
async def error_boundary(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a problem. Only unexpected errors are logged with a traceback."""
    try:
        return await handler(request)
    except Exception as error:
        problem = problem_of(error)
        request[_CODE_KEY] = problem.code
        if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.exception("Request failed")
        return problem.to_response(request_id_of(request))


async def finish_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Complete the headers just before they are sent, also of answers that no handler made."""
    complete_headers(request, response)


async def close_when_draining(request: web.Request, response: web.StreamResponse) -> None:
    """Ask a client that keeps its connection to make the next one elsewhere."""
    if request.app[DRAINING].is_set():
        response.force_close()
        response.headers[hdrs.CONNECTION] = "close"  # aiohttp has written this header already


def complete_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    response.headers[REQUEST_ID_HEADER] = request_id_of(request)
    for name, value in DEFAULT_HEADERS.items():
        response.headers.setdefault(name, value)
    # What runs here, and in which version, is nobody's business.
    response.headers.popall(hdrs.SERVER, None)


def _template(request: web.Request) -> str:
    """The path's pattern, so that lines of one call can be counted together."""
    resource = request.match_info.route.resource
    return "unmatched" if resource is None else resource.canonical
