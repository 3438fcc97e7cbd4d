"""Who may start: tenants by turns, while threads and memory last."""

from __future__ import annotations

import asyncio
from collections import Counter, deque

from processor.errors import TooLargeForMemory

#: A weight in bytes, and what ends the wait.
_Entry = tuple[int, asyncio.Future[None]]


class MemoryBudget:
    """A semaphore with weights, and a queue for each tenant.

    The turn is with the tenant that has the fewest images in work, and of several with the one that has waited for the
    longest time since it had one. Whose turn it is nobody overtakes: else a large image would wait for as long as small
    ones come.
    """

    def __init__(self, *, slots: int, budget_bytes: int) -> None:
        self._slots = slots
        self._budget_bytes = budget_bytes
        self._taken: list[int] = []
        self._running: Counter[str] = Counter()
        self._queues: dict[str, deque[_Entry]] = {}

    @property
    def running(self) -> int:
        """Admissions not given back yet."""
        return len(self._taken)

    @property
    def waiting(self) -> int:
        """Who stands in a queue."""
        return sum(map(len, self._queues.values()))

    @property
    def budget_bytes(self) -> int:
        """All of it."""
        return self._budget_bytes

    @property
    def free_bytes(self) -> int:
        """What is left."""
        return self._budget_bytes - sum(self._taken)

    async def enter(self, weight_bytes: int, tenant: str = "") -> None:
        """Wait for a slot and for `weight_bytes`. Raises `TooLargeForMemory` when there never are so many."""
        if weight_bytes > self._budget_bytes:
            raise TooLargeForMemory(limit=self._budget_bytes, actual=weight_bytes)
        if not self._queues and self._fits(weight_bytes):
            self._take(weight_bytes, tenant)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (weight_bytes, turn)
        self._queues.setdefault(tenant, deque()).append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the turn came together with the cancellation
                self.leave(weight_bytes, tenant)
            elif entry in self._queues.get(tenant, ()):
                self._dequeue(tenant, entry)
                self._call_next()  # the one behind may be small enough
            raise

    def leave(self, weight_bytes: int, tenant: str = "") -> None:
        """Give back what `enter` took."""
        self._taken.remove(weight_bytes)
        self._running[tenant] -= 1
        if not self._running[tenant]:
            del self._running[tenant]
        self._move_to_end(tenant)
        self._call_next()

    def _call_next(self) -> None:
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

    def _move_to_end(self, tenant: str) -> None:
        if tenant in self._queues:
            self._queues[tenant] = self._queues.pop(tenant)

    def _take(self, weight: int, tenant: str) -> None:
        self._taken.append(weight)
        self._running[tenant] += 1

    def _dequeue(self, tenant: str, entry: _Entry) -> None:
        self._queues[tenant].remove(entry)
        if not self._queues[tenant]:
            del self._queues[tenant]

    def _fits(self, weight: int) -> bool:
        return len(self._taken) < self._slots and sum(self._taken) + weight <= self._budget_bytes
