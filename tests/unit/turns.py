"""Actors that take turns before every call of a store: a search decides who goes next, and who dies there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from processor.errors import Unavailable


class Killed(BaseException):
    """The actor's process is gone: nothing that it still tries has an effect."""


@dataclass
class Scheduler:
    """Lets one call at a time go through. An actor may wait with several, as with the variants that it stores."""

    waiting: dict[int, tuple[int, asyncio.Future[None]]] = field(default_factory=dict)
    dead: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    calls: int = 0

    async def turn(self, actor: int) -> int:
        """The number of the call, once it is let through."""
        if actor in self.dead:
            raise Killed
        self.calls += 1
        call, gate = self.calls, asyncio.get_running_loop().create_future()
        self.waiting[call] = (actor, gate)
        try:
            await gate
        finally:
            self.waiting.pop(call, None)
        if actor in self.dead:
            raise Killed
        return call

    def release(self, call: int, *, kill: bool = False, lose: bool = False) -> None:
        """Let a call through; or have its actor die in front of it; or carry it out and lose the answer."""
        actor, gate = self.waiting[call]
        if kill:
            self.dead.add(actor)
        if lose:
            self.lost.add(call)
        if not gate.done():
            gate.set_result(None)


@dataclass
class Turned:
    """A store whose every call waits for the actor's turn."""

    behind: Any
    scheduler: Scheduler
    actor: int

    @contextlib.asynccontextmanager
    async def open(self, key: str, **options: Any) -> AsyncIterator[Any]:
        await self.scheduler.turn(self.actor)
        async with self.behind.open(key, **options) as download:
            yield download

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self.behind, name)

        async def call(*arguments: Any, **options: Any) -> Any:
            number = await self.scheduler.turn(self.actor)
            answer = await method(*arguments, **options)
            if number in self.scheduler.lost:
                raise Unavailable
            return answer

        return call
