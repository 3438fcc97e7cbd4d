"""Variants of earlier jobs: they stay for a while, or go at once where they show more than the newest ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from processor.catalog.reconcile import Reconciler
from processor.errors import CorruptImage, ObjectNotFound, Throttled
from processor.events import JobRequested
from processor.images import PRIVATE_PREFIX, VARIANT_PREFIX, job_prefix
from processor.jobs import Job, JobStatus
from processor.recipes import FURTHER, STANDARD, Recipe
from processor.work.outcomes import OutcomeKind
from tests.unit.processor.test_reviews import keys
from tests.unit.world import TENANT, World

PRIVATE = replace(STANDARD, private=True)
AT_ONCE, LATER = timedelta(0), timedelta(days=90)


async def converted(world: World) -> Job:
    submission, event = await world.uploaded()
    assert (await world.converter.convert(event)).kind is OutcomeKind.COMPLETED
    return await world.jobs.job_of_any_tenant(submission.job.processing_id)


async def converted_again(world: World, earlier: Job, recipe: Recipe | None = None) -> Job:
    world.choice.standard = recipe or world.choice.standard
    job = await world.catalog.reprocess(TENANT, earlier.unique_id, preset="standard" if recipe else None)
    await world.converter.convert(JobRequested(unique_id=job.unique_id, processing_id=job.processing_id))
    return await world.jobs.job_of_any_tenant(job.processing_id)


async def findings(world: World, keep: timedelta | None, *, dry_run: bool = False) -> list[tuple[str, str]]:
    reconciler = Reconciler(
        stores=world.stores, source_bucket="source", grace=AT_ONCE, keep_replaced=keep, dry_run=dry_run
    )
    return [(finding.kind.value, finding.where) async for finding in reconciler.findings()]


async def stored_jobs(world: World) -> set[str]:
    """The ids of all jobs that have files."""
    return {key.split("/")[2] for key in await keys(world, "")}


def forget_records(world: World, jobs: Sequence[Job]) -> None:
    for job in jobs:
        del world.jobs._jobs[job.processing_id]


# -- what was replaced


@pytest.mark.parametrize("expired", [False, True], ids=["with their records", "when their records have expired"])
async def test_replaced_variants_go_when_the_new_ones_have_been_there_for_long(*, expired: bool) -> None:
    world = World()
    jobs = [await converted(world)]
    jobs += [await converted_again(world, jobs[0]), await converted_again(world, jobs[0])]
    if expired:
        forget_records(world, jobs)
    ids = [job.processing_id for job in jobs]
    assert await findings(world, LATER) == []
    assert await findings(world, None) == []
    gone = [("replaced", job_prefix(job.unique_id, job.processing_id)) for job in jobs[:2]]
    assert await findings(world, AT_ONCE, dry_run=True) == gone
    assert await stored_jobs(world) == set(ids)
    assert await findings(world, AT_ONCE) == gone
    assert await stored_jobs(world) == {ids[2]}
    assert await findings(world, AT_ONCE) == []
    assert world.edge.forgotten == []
    assert (await world.catalog.processed_images(TENANT, jobs[0].unique_id)).variants


async def test_a_job_that_failed_takes_nothing_away() -> None:
    world = World()
    job = await converted(world)
    await world.source.purge(job.original_key)
    await world.source.put(job.original_key, b"")
    world.renderer.during = _breaks
    again = await world.catalog.reprocess(TENANT, job.unique_id)
    await world.converter.convert(JobRequested(unique_id=again.unique_id, processing_id=again.processing_id))
    assert (await world.jobs.job_of_any_tenant(again.processing_id)).status is JobStatus.FAILED
    assert await findings(world, AT_ONCE) == []
    assert await stored_jobs(world) == {job.processing_id}


async def test_a_job_that_is_not_over_takes_nothing_away() -> None:
    world = World()
    job = await converted(world)
    await world.catalog.reprocess(TENANT, job.unique_id)
    assert [kind for kind, _ in await findings(world, AT_ONCE)] == ["unclaimed"]
    assert await stored_jobs(world) == {job.processing_id}


async def test_further_formats_go_with_the_variants_that_they_belong_to() -> None:
    world = World(recipe=replace(STANDARD, further=FURTHER["avif"]))
    job = await converted(world)
    await world.converter.make_further(JobRequested(unique_id=job.unique_id, processing_id=job.processing_id))
    assert any(key.endswith(".avif") for key in await keys(world, job.prefix))
    newer = await converted_again(world, job, STANDARD)
    await findings(world, AT_ONCE)
    assert await stored_jobs(world) == {newer.processing_id}


# -- what shows more


async def test_an_image_that_becomes_private_has_no_public_files_any_more() -> None:
    world = World()
    older = await converted(world)
    job = await converted(world)
    newer = await converted_again(world, job, PRIVATE)
    assert newer.status is JobStatus.COMPLETED
    assert await stored_jobs(world) == {older.processing_id, newer.processing_id}
    assert await keys(world, newer.prefix)
    assert newer.prefix.startswith(PRIVATE_PREFIX)
    assert world.edge.forgotten == [job.prefix]


async def test_the_status_of_a_job_whose_files_had_to_go_names_none_of_them() -> None:
    world = World()
    job = await converted(world)
    assert (await world.catalog.status(TENANT, job.processing_id)).variants
    newer = await converted_again(world, job, PRIVATE)
    status = await world.catalog.status(TENANT, job.processing_id)
    assert (status.variants, status.further, status.superseded_by) == ((), (), newer.processing_id)
    for variant in job.variants:
        with pytest.raises(ObjectNotFound):
            await world.processed.head(variant.key)


async def test_public_files_stay_until_the_private_ones_are_there() -> None:
    world = World()
    job = await converted(world)
    world.choice.standard = PRIVATE
    await world.catalog.reprocess(TENANT, job.unique_id, preset="standard")
    await findings(world, None)
    assert await stored_jobs(world) == {job.processing_id}
    assert (await world.catalog.status(TENANT, job.processing_id)).variants


async def test_an_image_that_becomes_public_again_keeps_what_is_private() -> None:
    world = World(recipe=PRIVATE)
    job = await converted(world)
    newer = await converted_again(world, job, STANDARD)
    assert await stored_jobs(world) == {job.processing_id, newer.processing_id}


@pytest.mark.parametrize("by", ["the same message", "reconcile"])
async def test_public_files_go_and_caches_hear_of_it_whoever_dies_over_that(by: str) -> None:
    world = World()
    job = await converted(world)
    world.edge.busy = True
    with pytest.raises(Throttled):
        await converted_again(world, job, PRIVATE)
    assert not any(key.endswith(".webp") for key in await keys(world, VARIANT_PREFIX))
    world.edge.busy = False
    image = await world.jobs.image_of_any_tenant(job.unique_id)
    if by == "reconcile":
        assert await findings(world, None) == [("exposed", job.prefix)]
    else:
        request = JobRequested(unique_id=job.unique_id, processing_id=image.current_job)
        assert (await world.converter.convert(request)).kind is OutcomeKind.DUPLICATE
    assert world.edge.forgotten == [job.prefix]
    assert await keys(world, VARIANT_PREFIX) == []


async def test_an_image_with_one_job_is_not_looked_through() -> None:
    world = World(recipe=PRIVATE)
    walked: list[str] = []
    walk = world.processed.walk

    def noted(prefix: str) -> object:
        walked.append(prefix)
        return walk(prefix)

    world.processed.walk = noted  # type: ignore[method-assign, assignment]
    await converted(world)
    assert walked == []


async def _breaks() -> None:
    raise CorruptImage
