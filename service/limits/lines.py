"""Lines of requests, one for each tenant: a flood keeps neither the event loop nor the table from others."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler

from processor.turns import Turns
from service.auth.authenticator import ANONYMOUS
from service.auth.middleware import find_principal
from service.http.problems import RequestTimeout, TooManyRequests

#: Requests of one tenant in work at once in one process. While one waits for AWS another is worked on, and two are
#: enough for that; with so many, those of others come between after a few milliseconds.
AT_ONCE = 8
#: What takes longer, in seconds, waits for something else than the processor, and another one may begin beside it.
HOLD_SECONDS = 0.25


@dataclass(slots=True)
class Lines:
    """The lines of one process. No tenant stands behind another."""

    at_once: int
    #: Whoever comes when so many of its tenant wait is told to come again.
    most_waiting: float = math.inf
    #: How long one keeps others of its tenant waiting.
    hold_seconds: float = math.inf
    _lines: dict[str, Turns] = field(default_factory=dict)

    def waiting_of(self, tenant: str) -> int:
        """Who stands in its line."""
        return self._lines[tenant].waiting if tenant in self._lines else 0

    @asynccontextmanager
    async def turn(self, request: web.Request, tenant: str) -> AsyncIterator[None]:
        """Wait for it, and hold it. Raises `TooManyRequests`, and `RequestTimeout` when the caller has hung up."""
        if self.waiting_of(tenant) >= self.most_waiting:
            raise TooManyRequests(limit=self.at_once + int(self.most_waiting))
        async with self.place(tenant):
            if request.transport is None:  # what nobody waits for any more need not be done
                raise RequestTimeout
            yield

    @asynccontextmanager
    async def place(self, tenant: str) -> AsyncIterator[None]:
        """The same for a part of a request, which stands in line by itself and goes on whoever hangs up."""
        line = self._lines.setdefault(tenant, Turns(self.at_once))
        await line.enter(0)
        leave = self._leaving(tenant, line)
        timer = (
            None if self.hold_seconds == math.inf else asyncio.get_running_loop().call_later(self.hold_seconds, leave)
        )
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()
            leave()

    def _leaving(self, tenant: str, line: Turns) -> Callable[[], None]:
        """What gives back a turn, once, however often it is called."""
        held = True

        def leave() -> None:
            nonlocal held
            if held:
                held = False
                line.leave(0)
            if not line.running and self._lines.get(tenant) is line:
                del self._lines[tenant]

        return leave


REQUESTS = web.AppKey("requests", Lines)


def request_lines() -> Lines:
    """Of all requests of a process."""
    return Lines(AT_ONCE, hold_seconds=HOLD_SECONDS)


@web.middleware
async def in_line(request: web.Request, handler: Handler) -> web.StreamResponse:
    """After the limits, which keep the line short."""
    principal = find_principal(request)
    if principal is None or principal is ANONYMOUS:
        return await handler(request)
    async with request.app[REQUESTS].turn(request, principal.tenant):
        return await handler(request)
