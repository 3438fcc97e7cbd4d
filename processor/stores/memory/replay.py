"""A replay store in memory."""

from __future__ import annotations

import time
from collections.abc import Callable

from processor.errors import IdempotencyKeyReused, RequestInProgress
from processor.replay import Recorded, Repeatable
from processor.stores.replay import KEPT_SECONDS, LOCK_SECONDS


class MemoryReplayStore:
    """The records of repeatable requests, as (fingerprint, answer, good until) by name."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._records: dict[str, tuple[str, bytes | None, float]] = {}

    async def begin(self, request: Repeatable) -> Recorded | None:
        """Raises `RequestInProgress`, `IdempotencyKeyReused`."""
        fingerprint, answer, good_until = self._records.get(request.name, ("", None, 0.0))
        if good_until <= self._now():
            self._records[request.name] = (request.fingerprint, None, self._now() + LOCK_SECONDS)
            return None
        if fingerprint != request.fingerprint:
            raise IdempotencyKeyReused
        if answer is None:
            raise RequestInProgress
        return Recorded(answer=answer)

    async def record(self, request: Repeatable, answer: bytes) -> None:
        """Keep the answer."""
        self._records[request.name] = (request.fingerprint, answer, self._now() + KEPT_SECONDS)

    async def abandon(self, request: Repeatable) -> None:
        """Forget that it was begun."""
        self._records.pop(request.name, None)
