"""What is spare of the machine: it stands in nobody's way."""

from __future__ import annotations

import asyncio

import pytest

from processor.errors import TooLargeForMemory
from processor.pipeline import spare as spare_module
from processor.pipeline.budget import MemoryBudget
from processor.pipeline.lanes import Lanes
from processor.pipeline.spare import Spare


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare_module, "LOOK_SECONDS", 0.001)


@pytest.fixture
def budget() -> MemoryBudget:
    return MemoryBudget(slots=2, budget_bytes=100)


@pytest.fixture
def lanes() -> Lanes:
    return Lanes(1)


@pytest.fixture
def spare(budget: MemoryBudget, lanes: Lanes) -> Spare:
    return Spare(budget, lanes)


async def _waits(work: asyncio.Task[None]) -> bool:
    await asyncio.sleep(0.02)
    return not work.done()


async def test_it_is_there_while_a_thread_is_free_and_nobody_waits(spare: Spare, lanes: Lanes) -> None:
    await spare.idle()
    async with lanes.long.turn():
        work = asyncio.create_task(spare.idle())
        assert spare.crowded
        assert await _waits(work)
    await work


async def test_what_is_lent_takes_no_slot_and_is_out_of_the_budget(spare: Spare, budget: MemoryBudget) -> None:
    await spare.enter(60)
    assert (budget.running, budget.free_bytes, spare.free_bytes) == (0, 40, 40)
    await budget.enter(40)
    assert spare.waits(1)
    spare.leave(60)
    assert budget.free_bytes == 60


async def test_who_waits_for_memory_wants_what_is_lent_and_gets_it_before_anybody_borrows_more(
    spare: Spare, budget: MemoryBudget
) -> None:
    await spare.enter(60)
    assert not spare.wanted
    image = asyncio.create_task(budget.enter(50))
    borrower = asyncio.create_task(spare.enter(10))
    assert await _waits(image)
    wanted_before = spare.wanted
    assert await _waits(borrower)

    spare.leave(60)

    await image
    await borrower
    assert (wanted_before, spare.wanted) == (True, False)


async def test_who_waits_for_a_slot_has_no_use_for_memory(spare: Spare, budget: MemoryBudget) -> None:
    await spare.enter(60)
    for _ in range(2):
        await budget.enter(10)
    image = asyncio.create_task(budget.enter(10))
    assert await _waits(image)
    assert not spare.wanted
    budget.leave(10)
    await image


async def test_more_than_there_is_is_not_waited_for(spare: Spare) -> None:
    with pytest.raises(TooLargeForMemory) as refused:
        await spare.enter(101)
    assert refused.value.numbers == (100, 101)
