"""A store of the backlog in memory."""

from __future__ import annotations

from dataclasses import replace

from processor.ports.backlog import Backlog


class MemoryBacklogStore:
    """The one record."""

    def __init__(self) -> None:
        self._latest: Backlog | None = None

    async def latest(self) -> Backlog | None:
        return self._latest

    async def replace(self, old: Backlog | None, new: Backlog) -> bool:
        if (old and old.look) != (self._latest and self._latest.look):
            return False
        self._latest = new
        return True

    async def received(self, through: int) -> None:
        if self._latest is not None:
            self._latest = replace(self._latest, received_through=max(through, self._latest.received_through))
