"""Pauses between tries and looks: spread, growing, and over when it is time to stop."""

from __future__ import annotations

import asyncio
import contextlib
import random


def jittered(seconds: float, *, least: float = 0.5) -> float:
    """Somewhere between this part of it and all of it, so that processes do not march in step."""
    return seconds * (least + random.random() * (1 - least))  # noqa: S311 - spreads load, protects nothing


def backoff(attempt: int, bounds: tuple[float, float]) -> float:
    """Exponential from the lower to the upper bound, and jittered."""
    first, longest = bounds
    return jittered(min(longest, first * 2.0 ** min(max(attempt, 1) - 1, 30)))


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Sleep, unless it is time to stop."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)
