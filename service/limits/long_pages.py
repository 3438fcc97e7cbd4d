"""A separate queue for a tenant's long pages, so that its other requests do not wait behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from service.auth.middleware import tenant_of
from service.http.rendering import FEW_ROWS
from service.limits.lines import Lines

#: How many pages of a tenant are in work at once: while one waits for the table, the other is written.
AT_ONCE = 2
#: How many requests of a tenant may wait; the next one is refused.
MAX_WAITING = 50

LONG_PAGES = web.AppKey("long_pages", Lines)


def page_lines() -> Lines:
    """The queues for the long pages of a process."""
    return Lines(AT_ONCE, MAX_WAITING)


@asynccontextmanager
async def page_turn(request: web.Request, rows: int | None = None) -> AsyncIterator[None]:
    """Hold a turn for a page of so many rows (None: unknown). A short page does not wait.

    Raises `TooManyRequests`, and `RequestTimeout` when the caller has hung up.
    """
    if rows is not None and rows <= FEW_ROWS:
        yield
        return
    async with request.app[LONG_PAGES].turn(request, tenant_of(request)):
        yield
