"""Queues of requests, one for each tenant: a flood blocks neither the event loop nor the table for others."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Handler

from processor.turns import Turns
from service.auth.authenticator import ANONYMOUS
from service.auth.middleware import find_principal
from service.http.problems import RequestTimeout, TooManyRequests

#: How many requests of a tenant one process works on at once. Two would keep the loop busy while one waits for AWS.
#: With eight, requests of others come between after a few milliseconds.
AT_ONCE = 8
#: A request that takes longer, in seconds, waits for something other than the CPU, so another one may begin beside it.
HOLD_SECONDS = 0.25


@dataclass(slots=True)
class Lines:
    """The queues of one process. No tenant waits behind another."""

    at_once: int
    #: With so many waiting requests of a tenant, the next one is refused.
    most_waiting: float = math.inf
    #: How long a request holds its turn at most, in seconds.
    hold_seconds: float = math.inf
    _lines: dict[str, Turns] = field(default_factory=dict)

    def waiting_of(self, tenant: str) -> int:
        """How many of its requests wait."""
        return self._lines[tenant].waiting if tenant in self._lines else 0

    @asynccontextmanager
    async def turn(self, request: web.Request, tenant: str) -> AsyncIterator[None]:
        """Wait for it, and hold it. Raises what `come` raises."""
        place = await self.come(request, tenant)
        try:
            yield
        finally:
            place.leave()

    @asynccontextmanager
    async def place(self, tenant: str) -> AsyncIterator[None]:
        """The same for a part of a request, which stands in line by itself and goes on whoever hangs up."""
        place = await self._enter(tenant)
        try:
            yield
        finally:
            place.leave()

    async def come(self, request: web.Request, tenant: str) -> Place:
        """Wait for a turn. Raises `TooManyRequests`, and `RequestTimeout` when the caller has hung up."""
        if self.waiting_of(tenant) >= self.most_waiting:
            raise TooManyRequests(limit=self.at_once + int(self.most_waiting))
        place = await self._enter(tenant)
        if request.transport is None:  # what nobody waits for any more need not be done
            place.leave()
            raise RequestTimeout
        return place

    async def _enter(self, tenant: str) -> Place:
        line = self._lines.setdefault(tenant, Turns(self.at_once))
        await line.enter(0)
        return Place(partial(self._left, tenant, line), self.hold_seconds)

    def _left(self, tenant: str, line: Turns) -> None:
        line.leave(0)
        if not line.running and self._lines.get(tenant) is line:
            del self._lines[tenant]


class Place:
    """A turn that is held until it is left, however often that is said; for so many seconds at most."""

    def __init__(self, give_back: Callable[[], None], seconds: float) -> None:
        self._give_back: Callable[[], None] | None = give_back
        loop = asyncio.get_running_loop()
        self._timer = None if seconds == math.inf else loop.call_later(seconds, self.leave)

    def leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._give_back is not None:
            give_back, self._give_back = self._give_back, None
            give_back()


REQUESTS = web.AppKey("requests", Lines)
_PLACE = web.RequestKey("place_in_line", Place)


def request_lines() -> Lines:
    """The queues for all requests of a process."""
    return Lines(AT_ONCE, hold_seconds=HOLD_SECONDS)


@web.middleware
async def in_line(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request wait for its turn, after the rate limits, which keep the queue short."""
    principal = find_principal(request)
    if principal is None or principal is ANONYMOUS:
        return await handler(request)
    request[_PLACE] = await request.app[REQUESTS].come(request, principal.tenant)
    try:
        return await handler(request)
    finally:
        request[_PLACE].leave()


def leave_line(request: web.Request) -> None:
    """Let the next request of the tenant begin: this one waits for something else than the processor."""
    if _PLACE in request:
        request[_PLACE].leave()


async def stand_in_line(request: web.Request, tenant: str) -> None:
    """Whoever left has something to do again. Raises what `Lines.come` raises."""
    if _PLACE in request:
        request[_PLACE] = await request.app[REQUESTS].come(request, tenant)
