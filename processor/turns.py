"""Turns between tenants, where there is not enough for all at once."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#: A weight, and what ends the wait.
_Entry = tuple[int, asyncio.Future[None]]


class Turns:
    """A semaphore with a queue for each tenant.

    The next turn goes to the tenant with the fewest in work; among equals, to the one that had its last turn longest
    ago. Nobody overtakes that tenant. Otherwise a heavy piece of work would wait for as long as light ones come.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._taken: list[int] = []
        self._running: Counter[str] = Counter()
        self._queues: dict[str, deque[_Entry]] = {}

    @property
    def running(self) -> int:
        """How many had a turn and have not left yet."""
        return len(self._taken)

    @property
    def waiting(self) -> int:
        return sum(map(len, self._queues.values()))

    def waits(self, weight: int = 0) -> bool:
        """Whether a new caller would have to wait."""
        return bool(self._queues) or not self._fits(weight)

    async def enter(self, weight: int, tenant: str = "") -> None:
        """Wait for a turn."""
        if not self.waits(weight):
            self._take(weight, tenant)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (weight, turn)
        self._queues.setdefault(tenant, deque()).append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the turn came together with the cancellation
                self.leave(weight, tenant)
            elif entry in self._queues.get(tenant, ()):
                self._dequeue(tenant, entry)
                self.call_next()  # the one behind may be small enough
            raise

    def leave(self, weight: int, tenant: str = "") -> None:
        self._taken.remove(weight)
        self._count(tenant, -1)
        self._move_to_end(tenant)
        self.call_next()

    def lessen(self, weight: int, to: int) -> None:
        """Reduce the weight of somebody in work."""
        self._taken[self._taken.index(weight)] = to
        self.call_next()

    @asynccontextmanager
    async def turn(self, tenant: str = "") -> AsyncIterator[None]:
        """Hold a turn without a weight."""
        await self.enter(0, tenant)
        try:
            yield
        finally:
            self.leave(0, tenant)

    def rename(self, tenant: str, to: str) -> None:
        """Change the tenant of somebody in work."""
        self._count(tenant, -1)
        self._count(to, +1)

    def call_next(self) -> None:
        """Let the next ones in, while there is room."""
        while self._queues:
            tenant = min(self._queues, key=self._running.__getitem__)
            entry = weight, turn = self._queues[tenant][0]
            if not turn.done() and not self._fits(weight):
                return
            self._dequeue(tenant, entry)
            if not turn.done():  # cancelled, and about to notice
                self._move_to_end(tenant)
                self._take(weight, tenant)
                turn.set_result(None)

    def _fits(self, weight: int) -> bool:  # noqa: ARG002 - for those that have a weight
        """Whether there is room for one more, of this weight."""
        return len(self._taken) < self._at_once

    def _move_to_end(self, tenant: str) -> None:
        if tenant in self._queues:
            self._queues[tenant] = self._queues.pop(tenant)

    def _take(self, weight: int, tenant: str) -> None:
        self._taken.append(weight)
        self._count(tenant, +1)

    def _count(self, tenant: str, more: int) -> None:
        self._running[tenant] += more
        if not self._running[tenant]:
            del self._running[tenant]

    def _dequeue(self, tenant: str, entry: _Entry) -> None:
        self._queues[tenant].remove(entry)
        if not self._queues[tenant]:
            del self._queues[tenant]
