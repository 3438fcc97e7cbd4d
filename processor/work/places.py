"""Memory for a file from its download until its turn: the turn has its own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from processor.ports.room import Room
from processor.probe import NO_PROBES, Probes


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one file waits."""

    #: Whether there was no wait for it: S3 does not keep a download for whoever waits.
    at_once: bool
    #: May be called again.
    leave: Callable[[], None]


@contextlib.asynccontextmanager
async def place_for(
    size_bytes: int, tenant: str, room: Room | None, probes: Probes = NO_PROBES
) -> AsyncIterator[Place]:
    """Waits for the place; it is left at the end, if not before. What is larger than the room takes all of it."""
    with contextlib.ExitStack() as held:
        at_once = True
        if room is not None:
            taken = min(size_bytes, room.budget_bytes)
            at_once = not room.waits(taken)
            with probes.span("wait", of="place"):
                await room.enter(taken, tenant)
            held.callback(room.leave, taken, tenant)
        yield Place(at_once=at_once, leave=held.close)
