"""The interface to the memory for files that wait for their conversion."""

from __future__ import annotations

from typing import Protocol


class Room(Protocol):
    """Memory for files, given out by turns. Nobody waits for more while holding some, so there is no deadlock."""

    @property
    def budget_bytes(self) -> int:
        """All of it."""
        ...

    @property
    def free_bytes(self) -> int:
        """What nobody holds."""
        ...

    def waits(self, weight: int = 0, /) -> bool:
        """Whether whoever comes now has to wait for `weight` bytes."""
        ...

    async def enter(self, weight: int, tenant: str = "", /) -> None:
        """Wait for `weight` bytes."""
        ...

    def leave(self, weight: int, tenant: str = "", /) -> None:
        """Give back what `enter` took."""
        ...
