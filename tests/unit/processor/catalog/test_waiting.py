"""Callers that wait for a job hear of its next change, and their looks are shared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from processor.catalog import waiting
from processor.catalog.waiting import Waiting
from processor.errors import Unavailable
from processor.jobs import Job
from processor.ports.changes import version_of
from processor.stores.memory import MemoryChanges
from tests.unit.world import TENANT, World
from tests.waiting import eventually

#: Longer than any test takes.
LONG = 600.0


class Looks(MemoryChanges):
    """Remembers what was looked at, and fails while it is told to."""

    def __init__(self, world: World) -> None:
        super().__init__(world.jobs)
        self.asked: list[Sequence[str]] = []
        self.broken: Exception | None = None

    async def versions(self, processing_ids: Sequence[str]) -> Mapping[str, str]:
        self.asked.append(processing_ids)
        if self.broken is not None:
            raise self.broken
        return await super().versions(processing_ids)


class Scene:
    def __init__(self) -> None:
        self.world = World()
        self.looks = Looks(self.world)
        self.waiting = Waiting(changes=self.looks)

    async def change(self, job: Job, seconds: float) -> None:
        await self.waiting.change(job.processing_id, version_of(job), seconds)

    @asynccontextmanager
    async def callers(self, *jobs: Job, seconds: float = LONG) -> AsyncIterator[Callable[[], list[bool]]]:
        """One for each job; who has heard."""
        tasks = [asyncio.create_task(self.change(job, seconds)) for job in jobs]
        try:
            yield lambda: [task.done() for task in tasks]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def looked(self, times: int = 2) -> None:
        """That many looks began from now on, so that one has ended."""
        before = len(self.looks.asked)

        async def enough() -> bool:
            return len(self.looks.asked) >= before + times

        await eventually(enough)


async def everybody(heard: Callable[[], list[bool]]) -> None:
    async def all_of_them() -> bool:
        return all(heard())

    await eventually(all_of_them)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.001)
    return Scene()


async def test_who_waits_hears_of_the_next_change_and_nobody_else_does(scene: Scene) -> None:
    submission, event = await scene.world.uploaded()
    other = (await scene.world.submitted()).job
    async with scene.callers(submission.job, other) as heard:
        await scene.looked()
        assert heard() == [False, False]
        await scene.world.converter.convert(event)
        await scene.looked()
        assert heard() == [True, False]


async def test_a_change_that_came_before_the_first_look_is_heard_of(scene: Scene) -> None:
    submission, event = await scene.world.uploaded()
    await scene.world.converter.convert(event)
    await scene.change(submission.job, LONG)


async def test_a_job_that_is_gone_has_changed(scene: Scene) -> None:
    submission, event = await scene.world.uploaded()
    await scene.world.converter.convert(event)
    job = await scene.world.jobs.get_job(TENANT, submission.job.processing_id)
    async with scene.callers(job) as heard:
        await scene.looked()
        assert heard() == [False]
        await scene.world.catalog.delete(TENANT, job.unique_id)
        await everybody(heard)


async def test_nobody_waits_longer_than_it_said(scene: Scene) -> None:
    await scene.change((await scene.world.submitted()).job, 0.01)


async def test_many_who_wait_for_few_jobs_share_each_look(scene: Scene) -> None:
    jobs = [(await scene.world.submitted()).job for _ in range(3)]
    async with scene.callers(*jobs * 100):
        await scene.looked()  # the first may have begun before all were there
        before = len(scene.looks.asked)
        await scene.looked(5)
        looks = scene.looks.asked[before:]
    assert len(looks) >= 5
    assert all(sorted(asked) == sorted(job.processing_id for job in jobs) for asked in looks)


async def test_nothing_is_looked_at_while_nobody_waits(scene: Scene) -> None:
    job = (await scene.world.submitted()).job
    for _ in range(2):  # and it begins again
        async with scene.callers(job):
            await scene.looked()

        async def ended() -> bool:
            return scene.waiting._looking is None

        await eventually(ended)
    assert scene.waiting._callers == {}


async def test_a_look_that_fails_is_made_again(scene: Scene) -> None:
    submission, event = await scene.world.uploaded()
    async with scene.callers(submission.job) as heard:
        for broken in (Unavailable(), RuntimeError("a defect")):
            scene.looks.broken = broken
            await scene.looked()
        await scene.world.converter.convert(event)
        assert heard() == [False]
        scene.looks.broken = None
        await everybody(heard)


async def test_at_the_end_all_hear_at_once_and_nobody_waits_any_more(scene: Scene) -> None:
    job = (await scene.world.submitted()).job
    async with scene.callers(job, job) as heard:
        await scene.looked()
        scene.waiting.end()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert heard() == [True, True]
    await scene.change(job, LONG)


async def test_looks_are_further_apart_the_more_jobs_are_waited_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        paused.append(seconds)
        await sleep(0)

    monkeypatch.setattr(waiting, "JOBS_A_LOOK", 2)
    jobs = [(await scene.world.submitted()).job for _ in range(6)]
    monkeypatch.setattr(asyncio, "sleep", noted)
    async with scene.callers(*jobs):
        for _ in range(20):
            await sleep(0)
    assert set(paused) == {0.003}
