"""Queues of requests, one for each tenant: a flood blocks neither the event loop nor the table for others."""

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
        """Wait for a turn, and hold it in the block. Raises `TooManyRequests`, and `RequestTimeout` when the caller has
        hung up."""
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
        """A callback that gives back a turn; further calls do nothing."""
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
    """The queues for all requests of a process."""
    return Lines(AT_ONCE, hold_seconds=HOLD_SECONDS)


@web.middleware
async def in_line(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request wait for its turn, after the rate limits, which keep the queue short."""
    principal = find_principal(request)
    if principal is None or principal is ANONYMOUS:
        return await handler(request)
    async with request.app[REQUESTS].turn(request, principal.tenant):
        return await handler(request)
