"""Whether the dependencies are there."""

from __future__ import annotations

import asyncio

import pytest

from processor.errors import Unavailable
from service.observe.health import Health
from tests.waiting import PATIENCE_SECONDS


class Dependency:
    def __init__(self, error: Exception | None = None, seconds: float = 0) -> None:
        self.error = error
        self.seconds = seconds
        self.asked = 0

    async def ping(self) -> None:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error


async def test_a_check_that_returns_is_ok_and_one_that_raises_is_failing() -> None:
    health = Health({"well": Dependency().ping, "gone": Dependency(Unavailable()).ping})
    assert await health.states() == {"well": "ok", "gone": "failing"}


async def test_a_check_that_hangs_is_failing_in_time() -> None:
    health = Health({"slow": Dependency(seconds=60).ping, "well": Dependency().ping}, timeout_seconds=0.01)
    assert await health.states() == {"slow": "failing", "well": "ok"}


async def test_the_checks_run_together() -> None:
    meeting = asyncio.Barrier(3)
    health = Health({str(number): meeting.wait for number in range(3)}, timeout_seconds=PATIENCE_SECONDS)
    assert set((await health.states()).values()) == {"ok"}


async def test_many_callers_at_once_are_one_question() -> None:
    dependency = Dependency(seconds=0.01)
    health = Health({"it": dependency.ping})
    await asyncio.gather(*(health.states() for _ in range(100)))
    assert dependency.asked == 1


async def test_an_answer_is_kept_for_a_while_and_then_asked_anew() -> None:
    dependency = Dependency()
    time = 0.0
    health = Health({"it": dependency.ping}, fresh_seconds=5, monotonic=lambda: time)
    await health.states()
    time = 4.9
    await health.states()
    assert dependency.asked == 1
    dependency.error = Unavailable()
    time = 5.0
    assert await health.states() == {"it": "failing"}
    assert dependency.asked == 2


async def test_a_caller_that_leaves_does_not_spoil_the_answer_for_the_others() -> None:
    dependency = Dependency(seconds=0.02)
    health = Health({"it": dependency.ping})
    leaver = asyncio.create_task(health.states())
    stayer = asyncio.create_task(health.states())
    await asyncio.sleep(0)
    leaver.cancel()
    assert await stayer == {"it": "ok"}
    with pytest.raises(asyncio.CancelledError):
        await leaver
    assert dependency.asked == 1
