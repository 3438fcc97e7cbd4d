"""What all processes know together of how much there is to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What was seen in the queues at one look; about, as the queues themselves tell it."""

    #: Which look it was: each has the number after the one that it took the place of.
    look: int
    visible: int
    in_flight: int
    delayed: int
    #: None: nobody knows where dead letters go.
    dead_letters: int | None = None
    #: Messages that were sent before have been received, in seconds since the epoch.
    received_through: int


class BacklogStore(Protocol):
    """One record for all processes. Every call raises `Unavailable`, every write `Busy` too."""

    async def latest(self) -> Backlog | None:
        """None before the first look."""
        ...

    async def replace(self, old: Backlog | None, new: Backlog) -> bool:
        """False, and nothing is changed, when another look has taken the place of `old` already."""
        ...

    async def received(self, through: int) -> None:
        """`received_through` moves to this, and never back. Nothing happens before the first look."""
        ...
