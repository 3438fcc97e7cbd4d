"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from processor import clock

T = TypeVar("T")

#: Bounds a wait that a bug would make endless, in seconds. It is no measure: a busy machine may need most of it.
PATIENCE_SECONDS = 180.0
#: The shortest and the longest pause between two looks, in seconds. In between it is a tenth of what has passed: looks
#: at a service twenty times a second took more of the processors than what was waited for.
PAUSE_SECONDS = 0.02, 0.25


async def eventually(
    check: Callable[[], Awaitable[T]], *, within: float = PATIENCE_SECONDS, what: str = "the condition"
) -> T:
    """The first truthy answer of `check`; fails the test when none comes within so many seconds."""
    begun = time.monotonic()
    while True:
        answer = await check()
        if answer:
            return answer
        passed = time.monotonic() - begun
        if passed > within:
            raise AssertionError(f"{what} did not come about within {within:.0f} s; last answer: {answer!r}")
        await asyncio.sleep(min(max(PAUSE_SECONDS[0], passed / 10), PAUSE_SECONDS[1]))


async def next_millisecond() -> None:
    """Return once the clock shows a later time than now, as records tell times apart."""
    begun = clock.now()
    while clock.now() <= begun:  # noqa: ASYNC110 - no event tells of the time
        await asyncio.sleep(0)
