"""Whose turn it is, when there is not enough for all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from processor.pipeline.budget import MemoryBudget


class Queue:
    """Who was let in, in order."""

    def __init__(self, budget: MemoryBudget) -> None:
        self.budget = budget
        self.let_in: list[str] = []

    async def stand(self, tenant: str, weight: int = 1) -> asyncio.Task[None]:
        async def enter() -> None:
            await self.budget.enter(weight, tenant)
            self.let_in.append(tenant)

        task = asyncio.create_task(enter())
        await asyncio.sleep(0)
        return task

    async def leave(self, *tenants: str, weight: int = 1) -> None:
        for tenant in tenants:
            self.budget.leave(weight, tenant)
            await asyncio.sleep(0)


async def standing(slots: int, tenants: Sequence[str]) -> Queue:
    queue = Queue(MemoryBudget(slots=slots, budget_bytes=100))
    for tenant in tenants:
        await queue.stand(tenant)
    return queue


async def test_a_flood_of_one_tenant_keeps_no_other_waiting_for_more_than_a_turn() -> None:
    queue = await standing(1, "aaaaaab")
    await queue.leave("a")
    assert queue.let_in == ["a", "b"]


async def test_tenants_take_turns() -> None:
    queue = await standing(1, "aaabbbccc")
    for place in range(8):
        await queue.leave(queue.let_in[place])
    assert "".join(queue.let_in) == "abcabcabc"


async def test_who_has_the_least_in_work_is_next() -> None:
    queue = await standing(3, "aabaab")
    await queue.leave("b")
    assert queue.let_in == ["a", "a", "b", "b"]
    await queue.leave("a", "a")
    assert queue.let_in[4:] == ["a", "a"]


async def test_nobody_overtakes_whose_turn_it_is_however_small() -> None:
    queue = await standing(2, "a")
    await queue.stand("b", 100)
    await queue.stand("c")
    await queue.stand("a")
    assert queue.let_in == ["a"]
    await queue.leave("a")
    assert queue.let_in == ["a", "b"]


@pytest.mark.parametrize("gone", [0, 1, 2])
async def test_who_gives_up_is_in_nobodys_way(gone: int) -> None:
    budget = MemoryBudget(slots=1, budget_bytes=100)
    queue = Queue(budget)
    await queue.stand("a")
    waiting = [await queue.stand(tenant) for tenant in "abb"]
    waiting[gone].cancel()
    await asyncio.gather(waiting[gone], return_exceptions=True)
    assert (budget.running, budget.waiting) == (1, 2)
    for place in range(2):
        await queue.leave(queue.let_in[place])
    assert sorted(queue.let_in) == sorted(["a", *("abb"[:gone] + "abb"[gone + 1 :])])
    await queue.leave(queue.let_in[2])
    assert (budget.running, budget.waiting, budget.free_bytes) == (0, 0, 100)
