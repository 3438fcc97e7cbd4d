"""The event loop tells how late it is."""

from __future__ import annotations

import asyncio
import re
import time

from service.observe.lag import watch_loop
from service.observe.metrics import Metrics
from tests.waiting import eventually

#: For how long the loop is blocked here, in seconds, and how much of that must be seen.
BLOCKED, SEEN = 0.2, 0.15


async def seen(told: list[float], *, looks: int = 1, late: float = 0.0) -> None:
    """Wait until there were so many looks, and one that came so late."""

    async def enough() -> bool:
        return len(told) >= looks and max(told) >= late

    await eventually(enough, what=f"{looks} looks, one {late} seconds late")


async def test_a_block_is_seen_and_told() -> None:
    metrics, told = Metrics(), list[float]()

    def late(seconds: float) -> None:
        told.append(seconds)
        metrics.late(seconds)

    watching = asyncio.create_task(watch_loop(late))
    await seen(told)

    time.sleep(BLOCKED)  # noqa: ASYNC251 - that is the block
    await seen(told, late=SEEN)
    watching.cancel()

    counts = dict(
        re.findall(r'truss_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)', metrics.exposition()[0].decode())
    )
    assert float(counts["+Inf"]) == len(told)
    assert float(counts["0.1"]) < len(told)


async def test_no_loop_is_ever_early() -> None:
    told = list[float]()
    watching = asyncio.create_task(watch_loop(told.append, look_seconds=0.001))

    await seen(told, looks=20)
    watching.cancel()

    assert min(told) >= 0
