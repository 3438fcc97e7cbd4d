"""The backlog that all processes share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The counts of one look at the queues; approximate, like those of the queues."""

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
        """Write `new` in place of `old`. False, and no change, when another look has replaced `old` already."""
        ...

    async def received(self, through: int) -> None:
        """`received_through` moves to this, and never back. Nothing happens before the first look."""
        ...
