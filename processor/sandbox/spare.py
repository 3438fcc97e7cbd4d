"""Renders with spare capacity, in child processes. They pause or end if others need the machine."""

from __future__ import annotations

import asyncio
import math
import time

from processor.errors import Busy, TimedOut
from processor.images import Rendered
from processor.pipeline.limits import FileLimits
from processor.pipeline.spare import LOOK_SECONDS, Spare
from processor.ports.renderer import NO_TICKET, Ticket
from processor.recipes import Recipe
from processor.sandbox.renderer import ChildRenderer

#: An image may take so many times its time limit here, not counting pauses. The time limit is on CPU time, and others
#: on the machine may leave little of it. An image that takes longer hangs.
PATIENCE = 10


class SpareRenderer:
    """Implements `ports.Renderer`. Made and used within one event loop.

    `children` must be patient, and have `spare` as their budget.
    """

    def __init__(self, children: ChildRenderer, spare: Spare, limits: FileLimits) -> None:
        self._children = children
        self._spare = spare
        self._limit_seconds = math.ceil(limits.timeout_seconds)
        self._most_seconds = PATIENCE * limits.timeout_seconds

    async def render(self, data: bytes, recipe: Recipe, ticket: Ticket = NO_TICKET) -> Rendered:
        """Like `ChildRenderer.render`. Raises `Busy` if somebody else needs the memory."""
        task = asyncio.create_task(self._children.render(data, recipe, ticket))
        try:
            await self._watched(task)
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            del task  # its error has this frame, so the two would keep each other, and the file

    async def close(self) -> None:
        """Like `ChildRenderer.close`."""
        await self._children.close()

    async def _watched(self, task: asyncio.Task[Rendered]) -> None:
        """Wait until the task has ended. Raises `Busy`, `TimedOut`."""
        went_on, since = 0.0, time.monotonic()
        while not task.done():
            await asyncio.wait({task}, timeout=LOOK_SECONDS)
            before, since = since, time.monotonic()
            if self._spare.wanted:
                raise Busy
            if not self._children.stand_still(self._spare.crowded):
                went_on += since - before
            if went_on > self._most_seconds:
                raise TimedOut(limit=self._limit_seconds)
