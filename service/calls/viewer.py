"""Replaces CloudFront in the local mode: it serves variants, and a sample picture for a first upload."""

from __future__ import annotations

import re
import time
import zlib
from functools import cache

from aiohttp import hdrs, web

from processor.errors import ObjectNotFound
from processor.formats import FORMATS
from processor.images import PRIVATE_PREFIX, VARIANT_PREFIX
from processor.ports.objects import ObjectStore
from processor.storing import PRIVATE_CACHE_CONTROL
from service.http.call import unlisted
from service.http.problems import Forbidden
from service.http.rendering import LINKS

#: The processed bucket. It is set only in the local mode, where this process replaces CloudFront.
LOCAL_VIEWER = web.AppKey[ObjectStore]("local_viewer")

#: The object under a key with its job's id never changes. One year is the maximum that HTTP advises (RFC 9111).
CACHE_CONTROL = "public, max-age=31536000, immutable"

#: Width and height of the sample, in pixels.
_SAMPLE = (1200, 800)

#: Content types of variants, by the extension of the key.
_SERVED = {each.extension: each.content_type for each in FORMATS if each.encoding}
_PATH = re.compile(rf"[0-9a-f-]{{36}}/[A-Za-z0-9_]{{1,90}}/[a-z0-9_-]{{1,32}}\.(?P<extension>{'|'.join(_SERVED)})")


@unlisted
async def view(request: web.Request) -> web.Response:
    return await _served(request, VARIANT_PREFIX, CACHE_CONTROL)


@unlisted
async def view_private(request: web.Request) -> web.Response:
    """As CloudFront does it: without a signature that holds, nobody learns whether there is anything."""
    links, key = request.app[LINKS], PRIVATE_PREFIX + request.match_info["path"]
    signer = links.signer
    query = {name: value for name, value in request.query.items() if len(request.query.getall(name)) == 1}
    if signer is None or not signer.current.admits(f"{links.base}/{key}", query, time.time()):
        raise Forbidden
    return await _served(request, PRIVATE_PREFIX, PRIVATE_CACHE_CONTROL)


async def _served(request: web.Request, prefix: str, cache_control: str) -> web.Response:
    path = request.match_info["path"]
    asked = _PATH.fullmatch(path)
    if asked is None:
        raise ObjectNotFound
    store = request.app[LOCAL_VIEWER]
    found = await store.head(prefix + path)
    body = await store.fetch(found.key, max_bytes=found.size, etag=found.etag)
    return web.Response(
        body=body, content_type=_SERVED[asked["extension"]], headers={hdrs.CACHE_CONTROL: cache_control}
    )


@unlisted
async def sample(request: web.Request) -> web.Response:
    del request
    return web.Response(body=sample_picture(), content_type="image/png", headers={hdrs.CACHE_CONTROL: "no-cache"})


@cache
def sample_picture() -> bytes:
    """A PNG (RFC 2083) with a colour gradient."""
    width, height = _SAMPLE
    across = bytes(255 * x // width for x in range(width))
    rows = bytearray()
    for y in range(height):
        row = bytearray(3 * width)
        row[0::3], row[1::3], row[2::3] = across, bytes([255 * y // height]) * width, across[::-1]
        rows += b"\0" + row  # no filter
    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])  # eight bits each of red, green, blue
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4) for kind, data in chunks
    )
