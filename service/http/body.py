"""Reads the body of a request."""

from __future__ import annotations

import asyncio
import re
import zlib

from aiohttp import HttpVersion11, hdrs, web

from service.http.call import largest_body
from service.http.connections import CONNECTION_TIMEOUTS
from service.http.problems import InvalidBody, PayloadTooLarge, RequestTimeout, UnsupportedMediaType

#: Bodies that may be JSON. A browser calls a string `text/plain`, and earlier clients never named a type at all.
JSON_TYPES = re.compile(r"application/([a-z0-9.+-]+\+)?json|text/plain", re.IGNORECASE)

#: How a body may be encoded, and what zlib is told to expect: gzip, and with or without a header of zlib (some leave
#: out the latter, which RFC 9110, 8.4.1.2, calls a mistake).
_PLAIN, _GZIP, _ZLIB, _BARE = 0, 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_ENCODINGS = {"": _PLAIN, "identity": _PLAIN, "gzip": _GZIP, "deflate": _ZLIB}
_BODY = web.RequestKey("decoded_body", bytes)


async def json_body(request: web.Request) -> bytes:
    """What may be JSON. Raises `UnsupportedMediaType`, `InvalidBody`."""
    given = request.headers.get(hdrs.CONTENT_TYPE)
    if given and not JSON_TYPES.fullmatch(request.content_type):
        raise UnsupportedMediaType(given.partition(";")[0])
    return await raw_body(request)


async def optional_json_body(request: web.Request) -> bytes:
    """The same; an object without fields when nothing was sent."""
    # Whether there is a body cannot be asked: once it has been read, for an `Idempotency-Key`, there seems to be none.
    return await json_body(request) if await raw_body(request) else b"{}"


def announces_too_much(request: web.Request) -> bool:
    """Whether the headers announce a body that is too large, so that nobody needs to wait for it."""
    return (request.content_length or 0) > largest_body(request)


async def expect(request: web.Request) -> None:
    """Handle `Expect: 100-continue`. A client is not asked for a body that will be refused; the refusal follows at
    once."""
    if request.version < HttpVersion11:  # it is not to be heeded then (RFC 9110, 10.1.1)
        return
    if request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
        raise web.HTTPExpectationFailed
    if not announces_too_much(request):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # so far, nothing of the answer was sent


async def raw_body(request: web.Request) -> bytes:
    """Whatever was sent; the same however often it is asked for. Raises `InvalidBody`, `PayloadTooLarge`,
    `RequestTimeout`."""
    if _BODY not in request:
        request[_BODY] = await _read(request)
    return request[_BODY]


async def _read(request: web.Request) -> bytes:
    most = largest_body(request)
    if announces_too_much(request):
        raise PayloadTooLarge(limit=most, actual=request.content_length)
    encoding = _ENCODINGS.get(request.headers.get(hdrs.CONTENT_ENCODING, "").lower())
    if encoding is None:
        raise InvalidBody
    try:
        async with asyncio.timeout(request.app[CONNECTION_TIMEOUTS].first_seconds):
            body = await request.clone(client_max_size=most).read()
    except TimeoutError:
        raise RequestTimeout from None
    except web.HTTPRequestEntityTooLarge:
        raise PayloadTooLarge(limit=most) from None
    except (web.RequestPayloadError, ConnectionError):
        raise InvalidBody from None
    return decoded(body, encoding, most) if body and encoding else body


def decoded(body: bytes, encoding: int, most: int) -> bytes:
    """The body, decompressed to at most `most` bytes.

    A few kilobytes may expand to gigabytes, which aiohttp would decompress on the event loop before anybody counted.
    Raises `InvalidBody`, `PayloadTooLarge`.
    """
    if encoding == _ZLIB and body[0] & 0xF != zlib.DEFLATED:
        encoding = _BARE
    whole = b""
    try:
        while body:  # gzip may consist of several, one behind the other
            unpacking = zlib.decompressobj(encoding)
            whole += unpacking.decompress(body, most + 1 - len(whole))
            if len(whole) > most:
                raise PayloadTooLarge(limit=most)
            if not unpacking.eof:
                raise InvalidBody
            body = unpacking.unused_data
    except zlib.error:
        raise InvalidBody from None
    return whole
