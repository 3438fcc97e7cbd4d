"""Long pages of one tenant stand in a line, so that a flood of them floods neither the table nor this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from processor.turns import Turns
from service.auth.middleware import tenant_of
from service.http.problems import TooManyRequests
from service.http.rendering import FEW_ROWS

#: Pages of one tenant in work at once: while one waits for the table, the other is written.
AT_ONCE = 2
#: Most requests of one tenant that wait; whoever comes then is told to come again.
MAX_WAITING = 50


@dataclass(slots=True)
class LongPages:
    """The lines of one process. No tenant waits for the table's answers to another."""

    _lines: dict[str, Turns] = field(default_factory=dict)

    def waiting_of(self, tenant: str) -> int:
        """Who stands in its line."""
        return self._lines[tenant].waiting if tenant in self._lines else 0

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Wait for it, and hold it. Raises `TooManyRequests`."""
        if self.waiting_of(tenant) >= MAX_WAITING:
            raise TooManyRequests(limit=AT_ONCE + MAX_WAITING)
        line = self._lines.setdefault(tenant, Turns(AT_ONCE))
        await line.enter(0)
        try:
            yield
        finally:
            line.leave(0)
            if not line.running:
                self._lines.pop(tenant, None)


LONG_PAGES = web.AppKey("long_pages", LongPages)


@asynccontextmanager
async def page_turn(request: web.Request, rows: int) -> AsyncIterator[None]:
    """Hold a turn for a page of so many rows; a few wait for nobody. Raises `TooManyRequests`."""
    if rows <= FEW_ROWS:
        yield
        return
    async with request.app[LONG_PAGES].turn(tenant_of(request)):
        yield
