"""A render with what is spare: the real child stands still, gives way, and has processor time for its limit."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest

from processor.errors import Busy, TimedOut
from processor.pipeline.budget import MemoryBudget
from processor.pipeline.engine import EngineConfig
from processor.pipeline.lanes import Lanes
from processor.pipeline.limits import FileLimits
from processor.pipeline.spare import Spare
from processor.recipes import FURTHER, STANDARD
from processor.sandbox.renderer import ChildRenderer
from processor.sandbox.spare import SpareRenderer
from tests import corpus
from tests.waiting import eventually

BUDGET = 512 * 1024 * 1024
AVIF = replace(STANDARD, further=FURTHER["avif"]).in_format("avif")
#: So much work that it is still at it when somebody looks.
SLOW = replace(AVIF, specs=tuple(replace(spec, effort=6) for spec in AVIF.specs))


@cache
def picture() -> bytes:
    return corpus.jpeg(corpus.large(1600, 1200))


@dataclass
class Machine:
    """Two threads, some memory, and what is spare of both."""

    timeout_seconds: float = 60

    def __post_init__(self) -> None:
        limits = FileLimits(timeout_seconds=self.timeout_seconds)
        config = EngineConfig(threads=2, memory_budget_bytes=BUDGET, limits=limits)
        self.budget, self.lanes = MemoryBudget.of_threads(2, BUDGET), Lanes(2)
        self.spare = Spare(self.budget, self.lanes)
        self.children = ChildRenderer(config, budget=self.spare, patient=True)
        self.renderer = SpareRenderer(self.children, self.spare, limits)

    async def at_work(self) -> int:
        """The process id of the child that has begun, once its share is lent."""

        async def begun() -> int:
            (child,) = self.children._children or (None,)
            return child._transport.get_pid() if child is not None and self.budget.lent else 0

        return await eventually(begun)


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    machine = Machine()
    yield machine
    await machine.renderer.close()


def state_of(process_id: int) -> str:
    """As Linux has it: R runs, S sleeps, T is stopped; nothing, there is none."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return ""


async def test_it_makes_what_the_recipe_asks_for_and_gives_everything_back(machine: Machine) -> None:
    rendered = await machine.renderer.render(corpus.jpeg(), AVIF)

    assert [variant.spec for variant in rendered.variants] == list(AVIF.specs)
    assert {variant.data[4:12] for variant in rendered.variants} == {b"ftypavif"}
    assert (machine.budget.lent, machine.budget.running) == (0, 0)


async def test_it_stands_still_while_every_thread_is_at_work_and_then_goes_on(machine: Machine) -> None:
    recipe = replace(SLOW, specs=SLOW.specs[:1])
    task = asyncio.create_task(machine.renderer.render(picture(), recipe))
    child = await machine.at_work()
    assert os.sched_getscheduler(child) == os.SCHED_IDLE

    async def stands_still() -> bool:
        return state_of(child) == "T"

    async with machine.lanes.long.turn("a"), machine.lanes.long.turn("b"):
        await eventually(stands_still)
        assert not task.done()

    rendered = await task
    assert [variant.name for variant in rendered.variants] == ["thumbnail"]


async def test_who_waits_for_memory_gets_it_and_the_render_is_put_off(machine: Machine) -> None:
    task = asyncio.create_task(machine.renderer.render(picture(), SLOW))
    child = await machine.at_work()

    await machine.budget.enter(BUDGET, "a")

    with pytest.raises(Busy):
        await task
    assert machine.budget.lent == 0
    assert state_of(child) == ""
    machine.budget.leave(BUDGET, "a")


async def test_a_child_that_stands_still_is_killed_with_its_caller(machine: Machine) -> None:
    task = asyncio.create_task(machine.renderer.render(picture(), SLOW))
    child = await machine.at_work()
    machine.children.stand_still(True)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert state_of(child) == ""
    assert machine.budget.lent == 0


async def test_the_time_limit_is_on_the_time_of_the_processor() -> None:
    machine = Machine(timeout_seconds=0.5)
    try:
        with pytest.raises(TimedOut):
            await machine.renderer.render(picture(), SLOW)
    finally:
        await machine.renderer.close()
