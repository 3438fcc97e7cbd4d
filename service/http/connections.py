"""Timeouts of connections: for the first request, between two requests, and for a body."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

#: How often connections are looked at, in seconds.
LOOK_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Connection(Protocol):
    """The part of aiohttp's connections that is used here."""

    def force_close(self) -> None:
        """Close at once, even during a transfer."""
        ...


@dataclass(slots=True)
class ConnectionTimeouts:
    """Closes connections that send nothing; aiohttp itself would wait for a first request for ever."""

    #: From the connection to the end of its first request's headers, and for the body of any request.
    first_seconds: float
    #: From one answer to the end of the next request's headers. Longer than a load balancer keeps its connections, or
    #: it would send requests into closed ones.
    idle_seconds: float
    monotonic: Callable[[], float] = time.monotonic
    _deadlines: dict[Connection, float] = field(default_factory=dict)
    _busy: set[Connection] = field(default_factory=set)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Suspend the timeout of a connection while a request is answered."""
        connection: Connection = request.protocol
        self._busy.add(connection)
        try:
            return await handler(request)
        finally:
            self._busy.discard(connection)
            self._deadlines[connection] = self.monotonic() + self.idle_seconds

    def look(self, connections: Iterable[Connection]) -> None:
        """Close connections whose time is over, and forget closed ones."""
        now, deadlines = self.monotonic(), self._deadlines
        self._deadlines = {each: deadlines.get(each, now + self.first_seconds) for each in connections}
        for connection, deadline in self._deadlines.items():
            if now >= deadline and connection not in self._busy:
                log.info("Silent connection closed")
                connection.force_close()

    async def watch(self, connections: Callable[[], Iterable[Connection]]) -> None:
        """Look every second, until cancelled."""
        while True:
            self.look(connections())
            await asyncio.sleep(LOOK_SECONDS)


CONNECTION_TIMEOUTS = web.AppKey("connection_timeouts", ConnectionTimeouts)
