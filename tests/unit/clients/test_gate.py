"""The gate: one refusal holds all calls back, and afterwards they go one by one."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from service.http.buckets import Buckets
from truss_image_client._async import gate as gates
from truss_image_client._async.gate import PACE_SECONDS, AsyncGate
from truss_image_client._sync.gate import Gate

PATIENCE_SECONDS = 120.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(gates, "monotonic", clock.monotonic)
    monkeypatch.setattr(gates, "pause", clock.sleep)
    return clock


class Clock:
    """Time that passes only when everybody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self.now + seconds, self._count, woken))
        await woken

    async def run(self, *stories: Coroutine[Any, Any, None]) -> None:
        tasks = [asyncio.ensure_future(story) for story in stories]
        while not all(task.done() for task in tasks):
            for _ in range(5):
                await asyncio.sleep(0)
            if self._sleepers:
                self.now, _, woken = heapq.heappop(self._sleepers)
                woken.set_result(None)
        await asyncio.gather(*tasks)


class LimitedService:
    """Callers of one gate before the service's own token bucket."""

    def __init__(self, clock: Clock, *, rate: float, burst: int) -> None:
        self.clock, self.rate, self.burst = clock, rate, burst
        self.gate = AsyncGate(PATIENCE_SECONDS)
        self.bucket = Buckets(monotonic=clock.monotonic)
        self.passed = self.refused = 0
        self.entries: list[tuple[float, bool]] = []
        self.longest_wait = 0.0

    async def caller(self, calls: int) -> None:
        for _ in range(calls):
            began = self.clock.now
            while not await self._call():
                pass
            self.longest_wait = max(self.longest_wait, self.clock.now - began)

    async def _call(self) -> bool:
        entered_at = await self.gate.enter()
        wait = self.bucket.take("caller", rate=self.rate, burst=self.burst).retry_after
        self.entries.append((entered_at, wait is None))
        await self.clock.sleep(0.01)  # the answer's way
        if wait is None:
            self.gate.passed()
            self.passed += 1
            return True
        self.gate.close(wait, entered_at=entered_at)
        self.refused += 1
        return False


async def test_while_nothing_is_refused_nobody_waits(clock: Clock) -> None:
    service = LimitedService(clock, rate=50, burst=200)
    await clock.run(*(service.caller(3) for _ in range(64)))
    assert clock.now - 100 == pytest.approx(0.03)


@pytest.mark.parametrize(("rate", "burst"), [(50, 200), (5, 5), (1, 1)])
async def test_many_callers_end_together_with_few_refusals_and_nobody_starves(
    clock: Clock, rate: float, burst: int
) -> None:
    service = LimitedService(clock, rate=rate, burst=burst)
    calls = 30 if rate > 10 else 4
    await clock.run(*(service.caller(calls) for _ in range(64)))
    needed = (64 * calls - burst) / rate
    assert service.passed == 64 * calls
    assert service.refused < service.passed / 4 + 64
    assert clock.now - 100 < needed * 3 + 30
    assert service.longest_wait < PATIENCE_SECONDS * 3


async def test_when_one_is_told_to_wait_all_wait_and_then_go_one_by_one(clock: Clock) -> None:
    gate = AsyncGate(PATIENCE_SECONDS)
    times: list[float] = []

    async def caller() -> None:
        times.append(await gate.enter())

    gate.close(7, entered_at=clock.now)
    gate.close(3, entered_at=clock.now - 1)
    await clock.run(*(caller() for _ in range(10)))
    assert times[0] == 107
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(pauses) >= PACE_SECONDS[0] * 0.999


async def test_calls_that_waited_for_their_turn_wait_again_when_another_is_refused(clock: Clock) -> None:
    gate = AsyncGate(PATIENCE_SECONDS)
    times: list[float] = []

    async def caller() -> None:
        times.append(await gate.enter())
        if len(times) == 1:
            gate.close(20, entered_at=clock.now)

    gate.close(5, entered_at=clock.now)
    await clock.run(*(caller() for _ in range(10)))
    assert times[0] == 105
    assert min(times[1:]) == 125


async def test_patience_ends_when_no_call_at_all_gets_through(clock: Clock) -> None:
    gate = AsyncGate(PATIENCE_SECONDS)
    began = clock.now
    clock.now += PATIENCE_SECONDS - 1
    assert gate.may_wait(0, since=began)
    gate.passed()
    clock.now += PATIENCE_SECONDS - 1
    assert gate.may_wait(0, since=began)
    clock.now += 1
    assert not gate.may_wait(0, since=began)


async def test_what_takes_longer_than_anybodys_patience_is_not_waited_for(clock: Clock) -> None:
    gate = AsyncGate(PATIENCE_SECONDS)
    assert gate.may_wait(PATIENCE_SECONDS, since=clock.now)
    assert not gate.may_wait(PATIENCE_SECONDS + 1, since=clock.now)


def test_threads_that_were_told_to_wait_all_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("truss_image_client._sync.gate.pause", waited.append)
    monkeypatch.setattr("truss_image_client._sync.gate.monotonic", lambda: 100.0)
    gate = Gate(PATIENCE_SECONDS)
    gate.close(7, entered_at=100.0)
    callers = [threading.Thread(target=gate.enter) for _ in range(8)]
    for each in callers:
        each.start()
    for each in callers:
        each.join(180)
    least = PACE_SECONDS[0]
    assert sorted(waited) == pytest.approx([7 + number * least for number in range(8)])
