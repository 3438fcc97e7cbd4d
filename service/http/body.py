"""The body of a request, before anybody looks into it."""

from __future__ import annotations

import asyncio
import re

from aiohttp import hdrs, web

from service.http.connections import PATIENCE
from service.http.problems import InvalidBody, PayloadTooLarge, RequestTimeout, UnsupportedMediaType

#: Bodies that may be JSON. A browser calls a string `text/plain`, and earlier clients never named a type at all.
JSON_TYPES = re.compile(r"application/([a-z0-9.+-]+\+)?json|text/plain", re.IGNORECASE)


async def json_body(request: web.Request) -> bytes:
    """What may be JSON. Raises `UnsupportedMediaType`, `InvalidBody`."""
    if hdrs.CONTENT_TYPE in request.headers and not JSON_TYPES.fullmatch(request.content_type):
        raise UnsupportedMediaType(request.content_type)
    return await raw_body(request)


async def optional_json_body(request: web.Request) -> bytes:
    """The same; an object without fields when nothing was sent."""
    # Whether there is a body cannot be asked: once it has been read, for an `Idempotency-Key`, there seems to be none.
    return await json_body(request) if await raw_body(request) else b"{}"


async def raw_body(request: web.Request) -> bytes:
    """Whatever was sent; the same however often it is asked for. Raises `InvalidBody`, `PayloadTooLarge`,
    `RequestTimeout`."""
    try:
        async with asyncio.timeout(request.app[PATIENCE].first_seconds):
            return await request.read()
    except TimeoutError:
        raise RequestTimeout from None
    except web.HTTPRequestEntityTooLarge:
        raise PayloadTooLarge(limit=request.client_max_size, actual=request.content_length) from None
    except (web.RequestPayloadError, ConnectionError):
        raise InvalidBody from None
