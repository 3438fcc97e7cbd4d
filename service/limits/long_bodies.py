"""Parses long bodies outside the event loop, in the turn of their tenant."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from aiohttp import web

from processor.aside import aside
from service.auth.middleware import tenant_of
from service.http.wire import Q, read_body

#: A shorter body, in bytes, is parsed faster than it is handed to another thread.
SHORT_BYTES = 8 * 1024

Result = TypeVar("Result")


async def asked_by(request: web.Request, model: type[Q], body: bytes) -> Q:
    """A JSON body as a model. Raises what `read_body` raises."""
    return await understood(request, partial(read_body, model, body), body)


async def understood(request: web.Request, read: Callable[[], Result], body: bytes) -> Result:
    """What `read` returns or raises, which makes something of a body."""
    return read() if len(body) < SHORT_BYTES else await aside(read, tenant_of(request))
