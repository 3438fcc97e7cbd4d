"""An event bus in memory."""

from __future__ import annotations

from collections.abc import Sequence

from processor.ports.bus import BusEvent


class MemoryBus:
    """Remembers what it took."""

    def __init__(self) -> None:
        self.taken: list[BusEvent] = []

    async def put(self, events: Sequence[BusEvent]) -> None:
        self.taken += events
