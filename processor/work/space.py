"""Memory for a file from its download until its conversion starts, which has memory of its own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from processor.ports.room import Room
from processor.probe import NO_PROBES, Probes


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The memory in which one file waits."""

    #: Whether there was no wait: S3 does not keep a download open for long.
    at_once: bool
    #: May be called again.
    leave: Callable[[], None]


@contextlib.asynccontextmanager
async def space_for(
    size_bytes: int, tenant: str, room: Room | None, probes: Probes = NO_PROBES
) -> AsyncIterator[Space]:
    """Wait for the memory of a file, and release it at the end, if not before. A file larger than the room takes all of
    it."""
    with contextlib.ExitStack() as held:
        at_once = True
        if room is not None:
            taken = min(size_bytes, room.budget_bytes)
            at_once = not room.waits(taken)
            with probes.span("wait", of="place"):
                await room.enter(taken, tenant)
            held.callback(room.leave, taken, tenant)
        yield Space(at_once=at_once, leave=held.close)
