"""Actors that take turns before every call of a store: a search decides who goes next, and who dies there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from processor.errors import Conflict, NotFound, Unavailable


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


@dataclass
class Stage:
    """Where actors play, each of which is a process of its own."""

    scheduler: Scheduler = field(default_factory=Scheduler)
    actors: list[asyncio.Task[None]] = field(default_factory=list)

    def turned(self, behind: Any) -> Any:
        """A store as the next actor has it."""
        return Turned(behind, self.scheduler, len(self.actors))

    def play(self, deed: Awaitable[object]) -> None:
        """Have the next actor do something; what it is told, or dies of, is nobody's business."""

        async def run() -> None:
            with contextlib.suppress(NotFound, Conflict, Unavailable):
                try:
                    await deed
                except* Killed:
                    pass

        self.actors.append(asyncio.create_task(run()))

    async def quiet(self) -> None:
        """Until every actor waits for its turn or has ended; in between it may be in a thread."""
        for turns in range(1_000_000):
            await asyncio.sleep(0)
            if turns >= 10 and not self._busy():
                return
        raise AssertionError("an actor is stuck")

    def _busy(self) -> bool:
        waiting = {actor for actor, _ in self.scheduler.waiting.values()}
        return any(not task.done() and actor not in waiting for actor, task in enumerate(self.actors))

    async def end(self) -> None:
        """Let everybody come to the end."""
        while self.scheduler.waiting:
            self.scheduler.release(min(self.scheduler.waiting))
            await self.quiet()
            await self.quiet()
        await asyncio.gather(*self.actors)
