"""An edge cache in memory."""

from __future__ import annotations


class MemoryEdge:
    """Remembers the invalidations, in order."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    async def invalidate(self, prefix: str) -> str:
        """The id counts up from 1."""
        self.forgotten.append(prefix)
        return str(len(self.forgotten))
