"""The body of a request, before anybody looks into it."""

from __future__ import annotations

from aiohttp import hdrs, web

from service.problems import InvalidBody, UnsupportedMediaType
from service.schemas import JSON_TYPES


async def json_body(request: web.Request) -> bytes:
    """What may be JSON. Raises `UnsupportedMediaType`, `InvalidBody`."""
    if hdrs.CONTENT_TYPE in request.headers and not JSON_TYPES.fullmatch(request.content_type):
        raise UnsupportedMediaType
    return await raw_body(request)


async def raw_body(request: web.Request) -> bytes:
    """Whatever was sent; the same however often it is asked for. Raises `InvalidBody`."""
    try:
        return await request.read()
    except (web.RequestPayloadError, ConnectionError):
        raise InvalidBody from None
