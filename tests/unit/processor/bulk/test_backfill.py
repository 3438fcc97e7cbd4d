"""Backfills: planned by what a tenant has, and wherever they are interrupted, no image is half of both."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from processor import clock
from processor.bulk import backfill, runner
from processor.bulk.backfill import Backfills
from processor.bulk.jobs import BulkJobs
from processor.bulk.operations import BACKFILL, operations
from processor.catalog.presets import Presets
from processor.errors import BulkInProgress, PresetNotFound
from processor.jobs import Job, JobStatus, Lease
from processor.pipeline.cost import estimate
from processor.ports.bulk import BulkItem, BulkJob, BulkResult, BulkState
from processor.ports.queue import QueueDepth
from processor.recipes import STANDARD, Recipe
from tests.unit.processor.bulk.test_runner import Bulk
from tests.unit.processor.catalog.test_presets import AVATAR, BANNER, anything, changed, completed
from tests.unit.world import PICTURE, TENANT, events_of
from tests.waiting import next_millisecond


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LIST_LAG_SECONDS", 0)
    monkeypatch.setattr(runner, "PAGE", 3)
    monkeypatch.setattr(runner, "YIELD_LOOK_SECONDS", 0)
    monkeypatch.setattr(runner, "YIELD_SECONDS", 0)  # no worker takes what is queued here


class Scene(Bulk):
    """Bulk jobs over a world with presets."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.presets = Presets(store=self.world.presets, choice=self.world.choice, jobs=self.world.jobs)
        self.backfills = Backfills(
            jobs=self.world.jobs,
            bulk=BulkJobs(store=self.store),
            choice=self.world.choice,
            estimate=estimate,
        )

    async def save(self, recipe: Recipe = AVATAR, tenant: str = TENANT) -> None:
        await self.presets.save(tenant, recipe, by="", expected=anything)

    async def images_of(self, preset: str, count: int) -> list[Job]:
        return [await completed(self.world, preset) for _ in range(count)]

    async def begun(self, name: str = "avatar") -> BulkJob:
        await next_millisecond()
        return await self.backfills.start(TENANT, name, by="key:a")

    async def convert_all(self) -> None:
        """What workers do with what is queued."""
        for body in self.world.queue.bodies:
            for event in events_of(body):
                await self.world.converter.convert(event)

    async def versions(self, jobs: Sequence[Job]) -> list[int | None]:
        """Of what is shown of each image. All of its variants are of one job."""
        found = []
        for job in jobs:
            shown = await self.world.catalog.processed_images(TENANT, job.unique_id)
            (folder,) = {variant.key.rpartition("/")[0] for variant in shown.variants}
            assert await self.world.processed.list(folder)
            found.append(shown.preset_version)
        return found


@pytest.fixture
def scene() -> Scene:
    return Scene()


# -- the plan -------------------------------------------------------------------------------------------------------


async def test_a_plan_counts_the_images_with_another_version_and_what_they_cost(scene: Scene) -> None:
    await scene.save()
    await scene.save(BANNER)
    old = await scene.images_of("avatar", 3)
    await scene.images_of("banner", 1)
    await completed(scene.world)
    await scene.save(changed(AVATAR, 90))
    await scene.images_of("avatar", 2)
    plan = await scene.backfills.plan(TENANT, "avatar")
    assert (plan.images, plan.looked_at, plan.complete, plan.recipe.version) == (3, 7, True, 2)
    assert {job.unique_id for job in plan.samples} == {job.unique_id for job in old}
    assert plan.cost.cpu_seconds == 3 * estimate(plan.recipe, PICTURE)[0]
    assert plan.cost.bytes == sum(variant.size for job in old for variant in job.variants)
    assert 0 < plan.cost.dollars < 0.001
    assert scene.world.queue.bodies == []


async def test_a_plan_for_nothing_costs_nothing(scene: Scene) -> None:
    await scene.save()
    plan = await scene.backfills.plan(TENANT, "avatar")
    assert (plan.images, plan.samples, plan.cost.dollars, plan.cost.bytes) == (0, (), 0, 0)
    for call in (scene.backfills.plan(TENANT, "nothing"), scene.backfills.start(TENANT, "nothing", by="")):
        with pytest.raises(PresetNotFound):
            await call


async def test_a_plan_that_did_not_look_at_all_images_says_so(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "LOOKED_AT", 2)
    monkeypatch.setattr(backfill, "PAGE", 2)
    await scene.save()
    await scene.images_of("avatar", 3)
    await scene.save(changed(AVATAR, 90))
    plan = await scene.backfills.plan(TENANT, "avatar")
    assert (plan.images, plan.looked_at, plan.complete) == (2, 2, False)


# -- the work -------------------------------------------------------------------------------------------------------


async def test_a_backfill_converts_what_has_another_version_and_nothing_else(scene: Scene) -> None:
    await scene.save()
    await scene.save(BANNER)
    old, others = await scene.images_of("avatar", 4), await scene.images_of("banner", 2)
    await scene.save(changed(AVATAR, 90))
    newest = await scene.images_of("avatar", 2)
    job = await scene.ended(await scene.begun())
    assert (job.state, job.found, job.done, job.failed) == (BulkState.COMPLETED, 4, 4, 0)
    assert await scene.versions(old) == [1, 1, 1, 1]  # until the new ones are there
    await scene.convert_all()
    assert await scene.versions([*old, *newest]) == [2] * 6
    for each in (*others, *newest):
        assert (await scene.world.jobs.get_image(TENANT, each.unique_id)).current_job == each.processing_id
    again = await scene.ended(await scene.begun())
    assert (again.found, again.done) == (0, 0)


async def test_the_standard_preset_of_another_release_is_backfilled_too(scene: Scene) -> None:
    old = await completed(scene.world)
    scene.world.choice.standard = replace(STANDARD, version=STANDARD.version + 1)
    job = await scene.ended(await scene.begun("standard"))
    assert (job.found, job.done) == (1, 1)
    await scene.convert_all()
    assert await scene.versions([old]) == [STANDARD.version + 1]


async def test_a_tenant_has_one_backfill_at_a_time_beside_other_bulk_jobs(scene: Scene) -> None:
    await scene.save()
    await scene.start("process")
    first = await scene.begun()
    with pytest.raises(BulkInProgress, match=first.bulk_id):
        await scene.begun()
    assert await scene.backfills.is_under_way(TENANT, "avatar")
    assert not await scene.backfills.is_under_way(TENANT, "banner")
    assert not await scene.backfills.is_under_way("other", "avatar")


@pytest.mark.parametrize("dies_after", range(1, 7))
async def test_wherever_a_process_dies_the_next_one_ends_the_backfill_and_no_image_is_half_of_both(
    scene: Scene, dies_after: int
) -> None:
    """It dies after so many writes of the records of jobs, before the message is sent, or before the result is kept."""
    await scene.save()
    old = await scene.images_of("avatar", 4)
    await scene.save(changed(AVATAR, 90))
    job = await scene.begun()
    table, done = operations(scene.world.catalog), [0]

    class Dies:
        steps_back = True

        async def do(self, job: BulkJob, item: BulkItem) -> BulkResult:
            done[0] += 1
            scene.world.queue.failing = done[0] == dies_after
            try:
                return await table[BACKFILL].do(job, item)
            finally:
                scene.world.queue.failing = False

    dying = scene.process({BACKFILL: Dies()})
    await dying.work_once()
    assert await scene.versions(old) == [1] * 4
    job = await _free(scene, job)
    await scene.ended(job)
    await scene.convert_all()
    assert await scene.versions(old) == [2] * 4
    ended = await scene.jobs.get(TENANT, job.bulk_id)
    assert (ended.state, ended.failed) == (BulkState.COMPLETED, 0)


async def test_a_result_that_was_lost_makes_no_second_job(scene: Scene) -> None:
    await scene.save()
    (old,) = await scene.images_of("avatar", 1)
    await scene.save(changed(AVATAR, 90))
    job, item = await scene.begun(), BulkItem(unique_id=old.unique_id, processing_id=old.processing_id)
    operation = operations(scene.world.catalog)[BACKFILL]
    results = [await operation.do(job, item) for _ in range(3)]
    assert len({result.new_processing_id for result in results}) == 1
    assert len((await scene.world.jobs.get_image(TENANT, old.unique_id)).job_ids) == 2


async def test_a_conversion_that_fails_leaves_the_old_variants(scene: Scene) -> None:
    await scene.save()
    (old,) = await scene.images_of("avatar", 1)
    await scene.save(changed(AVATAR, 90))
    await scene.ended(await scene.begun())
    image = await scene.world.jobs.get_image(TENANT, old.unique_id)
    lease = Lease(token="t", owner="o", expires_at=time.time() + 60)
    await scene.world.jobs.claim(image.current_job, lease, clock.now(), "tests")
    new = await scene.world.jobs.get_job(TENANT, image.current_job)
    await scene.world.jobs.finish(replace(new, status=JobStatus.FAILED, updated_at=clock.now()), lease)
    assert await scene.versions([old]) == [1]


async def test_before_each_image_it_waits_until_no_upload_waits_but_not_for_ever(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.save()
    await scene.images_of("avatar", 3)
    await scene.save(changed(AVATAR, 90))
    monkeypatch.setattr(runner, "YIELD_SECONDS", 30)
    job, looks = await scene.begun(), [0]

    async def depth() -> QueueDepth:
        looks[0] += 1
        return QueueDepth(waiting=looks[0] % 3, in_flight=0)

    monkeypatch.setattr(scene.world.queue, "depth", depth)
    await scene.ended(job)
    assert looks[0] >= 3 * 2
    monkeypatch.setattr(runner, "YIELD_SECONDS", 0)
    monkeypatch.setattr(scene.world.queue, "depth", None)  # nobody looks any more
    assert (await scene.ended(await scene.begun())).state is BulkState.COMPLETED


# -- pause ----------------------------------------------------------------------------------------------------------


async def test_one_that_is_paused_rests_until_it_is_told_to_go_on(scene: Scene) -> None:
    await scene.save()
    await scene.images_of("avatar", 2)
    await scene.save(changed(AVATAR, 90))
    job = await scene.begun()
    paused = await scene.jobs.rest(TENANT, job.bulk_id, resting=True)
    assert (paused.rests, paused.open) == (True, True)
    assert not await scene.process().work_once()
    assert await scene.jobs.rest(TENANT, job.bulk_id, resting=True) is not None
    going = await scene.jobs.rest(TENANT, job.bulk_id, resting=False)
    assert (going.rests, going.paused_until) == (False, None)
    assert (await scene.ended(job)).done == 2


async def test_one_in_work_rests_after_the_images_that_are_begun(scene: Scene) -> None:
    await scene.save()
    await scene.images_of("avatar", 6)
    await scene.save(changed(AVATAR, 90))
    job = await scene.begun()
    table = operations(scene.world.catalog)

    class Paused:
        steps_back = False

        async def do(self, job: BulkJob, item: BulkItem) -> BulkResult:
            await scene.jobs.rest(TENANT, job.bulk_id, resting=True)
            return await table[BACKFILL].do(job, item)

    await scene.process({BACKFILL: Paused()}).work_once()
    rests = await scene.jobs.get(TENANT, job.bulk_id)
    assert (rests.rests, rests.lease, rests.done) == (True, None, 3)
    assert not await scene.process().work_once()
    await scene.jobs.rest(TENANT, job.bulk_id, resting=False)
    ended = await scene.ended(job)
    assert (ended.state, ended.done) == (BulkState.COMPLETED, 6)


async def test_one_that_rests_can_be_cancelled_and_one_that_has_ended_stays_as_it_is(scene: Scene) -> None:
    await scene.save()
    job = await scene.begun()
    await scene.jobs.rest(TENANT, job.bulk_id, resting=True)
    cancelled = await scene.jobs.cancel(TENANT, job.bulk_id, by="key:a")
    assert cancelled.state is BulkState.CANCELLED
    assert await scene.jobs.rest(TENANT, job.bulk_id, resting=True) == cancelled


async def _free(scene: Scene, job: BulkJob) -> BulkJob:
    """Time passes: no lease holds any more, and what rested for a dependency is due."""
    present = await scene.store.get(TENANT, job.bulk_id)
    freed = replace(present, lease=None, paused_until=None, paused_for=None)
    return await scene.store.save(freed)


async def test_a_preset_that_somebody_chose_meanwhile_stays_chosen(scene: Scene) -> None:
    await scene.save()
    await scene.save(BANNER)
    (old,) = await scene.images_of("avatar", 1)
    await scene.save(changed(AVATAR, 90))
    job = await scene.begun()
    await next_millisecond()
    chosen = await scene.world.catalog.reprocess(TENANT, old.unique_id, preset="banner")

    item = BulkItem(unique_id=old.unique_id, processing_id=old.processing_id)
    result = await operations(scene.world.catalog)[BACKFILL].do(job, item)

    assert result.new_processing_id == chosen.processing_id
    assert await scene.world.catalog.current_job(TENANT, old.unique_id) == chosen.processing_id
