"""A replay store in memory."""

from __future__ import annotations

import time
from collections.abc import Callable

from processor.errors import IdempotencyKeyReused, RequestInProgress
from processor.ports.replays import Recorded, Repeatable
from processor.stores.replay import KEPT_SECONDS, LOCK_SECONDS


class MemoryReplayStore:
    """The records of repeatable requests, as (request, answer, time of expiry) by name."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._records: dict[str, tuple[Repeatable, bytes | None, float]] = {}

    async def begin(self, request: Repeatable) -> Recorded | None:
        """Raises `RequestInProgress`, `IdempotencyKeyReused`."""
        first, answer, good_until = self._records.get(request.name, (request, None, 0.0))
        if good_until <= self._now():
            self._records[request.name] = (request, None, self._now() + LOCK_SECONDS)
            return None
        if first.fingerprint != request.fingerprint:
            raise IdempotencyKeyReused
        if answer is None:
            raise RequestInProgress
        return Recorded(answer=answer)

    async def record(self, request: Repeatable, answer: bytes) -> None:
        if self._is_own(request):
            self._records[request.name] = (request, answer, self._now() + KEPT_SECONDS)

    async def abandon(self, request: Repeatable) -> None:
        if self._is_own(request):
            del self._records[request.name]

    def _is_own(self, request: Repeatable) -> bool:
        return request.name in self._records and self._records[request.name][0].token == request.token
