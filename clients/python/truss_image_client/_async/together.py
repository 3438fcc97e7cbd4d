"""Several things at once, and pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

#: One at a time.
Turn = asyncio.Lock


async def together(works: Sequence[Callable[[], Awaitable[None]]], *, at_once: int) -> None:
    """Do all of them. The first that fails ends the others."""
    slots = asyncio.Semaphore(at_once)

    async def one(work: Callable[[], Awaitable[None]]) -> None:
        async with slots:
            await work()

    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(one(work))
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def aside(work: Callable[[], T]) -> T:
    """Outside the event loop, because it reads files."""
    return await asyncio.to_thread(work)


async def pause(seconds: float) -> None:
    await asyncio.sleep(seconds)
