"""Calls about one thing, one after the other: those that come meanwhile share one run, which begins after they came."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Result = TypeVar("Result")


@dataclass(slots=True)
class Joined(Generic[Result]):
    """A storm of calls costs no more than calls in a row. Whoever is cancelled leaves the others their run."""

    _running: dict[str, asyncio.Task[Result]] = field(default_factory=dict)
    _next: dict[str, asyncio.Task[Result]] = field(default_factory=dict)

    async def run(self, name: str, work: Callable[[], Awaitable[Result]]) -> Result:
        """What a run returns or raises that begins now, or when the one of this name has ended that is under way."""
        if name not in self._running:
            task = self._running[name] = asyncio.create_task(self._first(name, work))
        elif name in self._next:
            task = self._next[name]
        else:
            task = self._next[name] = asyncio.create_task(self._second(name, work, self._running[name]))
        return await asyncio.shield(task)

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
        return await self._first(name, work)
