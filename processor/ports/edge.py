"""The interface to the caches in front of the processed bucket."""

from __future__ import annotations

from typing import Protocol


class EdgeCache(Protocol):
    """The caches between the processed bucket and its viewers."""

    async def invalidate(self, prefix: str) -> str:
        """Invalidate everything under the prefix in every cache. Returns the id of the invalidation, which takes about
        a minute."""
        ...
