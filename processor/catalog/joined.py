"""Merges simultaneous calls about one thing: calls that come during a run share the next run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Result = TypeVar("Result")


@dataclass(slots=True)
class Joined(Generic[Result]):
    """Many simultaneous calls cost no more than calls in a row. A cancelled caller does not cancel the run of the
    others."""

    _running: dict[str, asyncio.Task[Result]] = field(default_factory=dict)
    _next: dict[str, asyncio.Task[Result]] = field(default_factory=dict)

    async def run(self, name: str, work: Callable[[], Awaitable[Result]]) -> Result:
        """The result of a run that begins now; or, if one of this name is running, of the next one after it."""
        if name not in self._running:
            task = self._running[name] = asyncio.create_task(self._first(name, work))
        elif name in self._next:
            task = self._next[name]
        else:
            task = self._next[name] = asyncio.create_task(self._second(name, work, self._running[name]))
        try:
            return await asyncio.shield(task)
        finally:
            del task  # its error has this frame, so the two would keep each other, and what its callers hold

    async def _first(self, name: str, work: Callable[[], Awaitable[Result]]) -> Result:
        try:
            return await work()
        finally:
            following = self._next.pop(name, None)
            if following is None:
                del self._running[name]
            else:
                self._running[name] = following

    async def _second(self, name: str, work: Callable[[], Awaitable[Result]], before: asyncio.Task[Result]) -> Result:
        await asyncio.wait([before])
        del before
        return await self._first(name, work)
