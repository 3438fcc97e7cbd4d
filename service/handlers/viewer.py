"""The local stand-in for CloudFront: variants, read only."""

from __future__ import annotations

import re

from aiohttp import hdrs, web

from processor.errors import ObjectNotFound
from processor.images import VARIANT_PREFIX
from service.keys import LOCAL_VIEWER

#: A key that names its job never changes what it holds; one year is as long as HTTP's own advice goes (RFC 9111).
CACHE_CONTROL = "public, max-age=31536000, immutable"

_PATH = re.compile(r"[0-9a-f-]{36}/[A-Za-z0-9_]{1,90}/[a-z0-9]{1,32}\.webp")


async def view(request: web.Request) -> web.Response:
    """`GET /processed/{path}`."""
    path = request.match_info["path"]
    if _PATH.fullmatch(path) is None:
        raise ObjectNotFound
    store = request.app[LOCAL_VIEWER]
    found = await store.head(VARIANT_PREFIX + path)
    body = await store.fetch(found.key, max_bytes=found.size, etag=found.etag)
    return web.Response(body=body, content_type="image/webp", headers={hdrs.CACHE_CONTROL: CACHE_CONTROL})
