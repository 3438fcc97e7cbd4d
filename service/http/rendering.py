"""An answer as an HTTP response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Protocol

from aiohttp import web


class Answered(Protocol):
    """Whatever knows itself as JSON."""

    def to_json(self) -> bytes:
        """The body."""
        ...


#: At a time and process: more threads would only take the interpreter from each other and from the loop.
_LARGE_AT_ONCE = ThreadPoolExecutor(1, thread_name_prefix="answer")


async def render_large(make: Callable[[], Answered]) -> web.Response:
    """The same for an answer of many images, which takes tens of milliseconds: beside the loop, one after the other."""
    body = await asyncio.get_running_loop().run_in_executor(_LARGE_AT_ONCE, lambda: make().to_json())
    return web.Response(body=body, content_type="application/json", charset="utf-8")


def render(answer: Answered, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """JSON in UTF-8."""
    return web.Response(status=status, body=answer.to_json(), content_type="application/json", charset="utf-8")
