"""An answer as an HTTP response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from aiohttp import web
from pydantic import BaseModel

from service.http.wire import as_json

#: Where the processed bucket is public, without a slash at the end.
PUBLIC_URL = web.AppKey("public_url", str)

#: At a time and process: more threads would only take the interpreter from each other and from the loop.
_LARGE_AT_ONCE = ThreadPoolExecutor(1, thread_name_prefix="answer")


async def render_large(request: web.Request, make: Callable[[], BaseModel]) -> web.Response:
    """The same for an answer of many images, which takes tens of milliseconds: beside the loop, one after the other."""
    public_url = request.app[PUBLIC_URL]
    loop = asyncio.get_running_loop()
    body = await loop.run_in_executor(_LARGE_AT_ONCE, lambda: as_json(make(), public_url))
    return web.Response(body=body, content_type="application/json", charset="utf-8")


def render(request: web.Request, answer: BaseModel, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """JSON in UTF-8."""
    body = as_json(answer, request.app[PUBLIC_URL])
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8")
