"""What the core needs of the caches before the processed bucket."""

from __future__ import annotations

from typing import Protocol


class EdgeCache(Protocol):
    """What stands between the processed bucket and its viewers."""

    async def invalidate(self, prefix: str) -> str:
        """Have every edge forget what lies under the prefix; the id of the order, which takes a minute or so."""
        ...
