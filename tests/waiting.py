"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from processor import clock

T = TypeVar("T")


async def eventually(check: Callable[[], Awaitable[T]], *, within: float = 180.0, what: str = "the condition") -> T:
    """The first truthy answer of `check`; fails the test when none comes within so many seconds."""
    deadline = time.monotonic() + within
    while True:
        answer = await check()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come about within {within:.0f} s; last answer: {answer!r}")
        await asyncio.sleep(0.05)


async def next_millisecond() -> None:
    """Return once the clock shows a later time than now, as records tell times apart."""
    begun = clock.now()
    while clock.now() <= begun:  # noqa: ASYNC110 - no event tells of the time
        await asyncio.sleep(0)
