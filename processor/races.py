"""Conditional changes, with retries if somebody else was faster."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

#: How often a change is tried while others are faster, and the longest first pause between two tries, in seconds.
MAX_RACES, RACE_PAUSE_SECONDS = 5, 0.02


async def races() -> AsyncIterator[None]:
    """The tries of a conditional change: in each, read again, then write."""
    for number in range(MAX_RACES):
        if number:
            pause = RACE_PAUSE_SECONDS * 2**number
            await asyncio.sleep(pause * random.random())  # noqa: S311 - spreads load, protects nothing
        yield
