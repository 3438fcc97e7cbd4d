"""Uploads that no message will come for."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from processor import clock
from processor.catalog.reconcile import Reconciler
from processor.events import JobRequested
from processor.images import variant_key
from processor.jobs import JobStatus, Lease, Source
from processor.ports.jobs import JobQuery
from processor.work.outcomes import OutcomeKind
from processor.work.worker import Worker, WorkerConfig
from tests.unit.world import TENANT, World
from tests.waiting import eventually


@pytest.fixture
def world() -> World:
    return World()


async def _findings(world: World, grace: timedelta = timedelta(0), **options: Any) -> list[tuple[str, str]]:
    reconciler = Reconciler(stores=world.stores, source_bucket="source", grace=grace, **options)
    return [(finding.kind.value, finding.action.value) async for finding in reconciler.findings()]


async def _work(world: World) -> None:
    worker = Worker(world.queue, world.converter, WorkerConfig(slots=1, wait_seconds=1))
    worker.start()

    async def idle() -> bool:
        return not world.queue.bodies

    await eventually(idle)
    await worker.drain(5)


async def _statuses(world: World) -> list[JobStatus]:
    page = await world.catalog.list(JobQuery(tenant=TENANT, limit=100))
    return [job.status for job in page.jobs]


async def test_an_upload_whose_event_was_lost_is_converted(world: World) -> None:
    await world.uploaded()
    assert await _findings(world) == [("unheard", "queued")]
    await _work(world)
    assert await _statuses(world) == [JobStatus.COMPLETED]


async def test_a_job_whose_message_was_lost_is_converted(world: World) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    await world.catalog.reprocess(TENANT, submission.job.unique_id)
    (message,) = await world.queue.receive(1, wait_seconds=0, visibility_seconds=60)
    await world.queue.settle([message.receipt])

    assert await _findings(world) == [("unclaimed", "queued")]
    await _work(world)
    assert await _statuses(world) == [JobStatus.COMPLETED]


async def test_an_upload_whose_record_was_lost_is_adopted(world: World) -> None:
    _, event = await world.uploaded()
    world.jobs._images.clear()
    world.jobs._jobs.clear()

    assert await _findings(world, dry_run=True, adopt_as=TENANT) == [("unrecorded", "queued")]
    assert await _findings(world) == [("unrecorded", "reported")]
    assert await _findings(world, adopt_as=TENANT) == [("unrecorded", "queued")]
    await _work(world)
    page = await world.catalog.list(JobQuery(tenant=TENANT, limit=100))
    assert [(job.status, job.original_key) for job in page.jobs] == [(JobStatus.COMPLETED, event.key)]


async def test_a_newer_upload_whose_event_was_lost_is_converted_and_the_next_one_is_newer_still(world: World) -> None:
    _, event = await world.uploaded(b"older")
    await world.converter.convert(event)
    await world.source.put(event.key, b"newer")

    assert await _findings(world) == [("unheard", "queued")]
    await _work(world)
    await world.converter.convert(await world.source.put(event.key, b"newest"))
    assert world.renderer.rendered == [b"older", b"newer", b"newest"]


async def test_what_a_deleted_image_left_behind_is_removed(world: World) -> None:
    submission, event = await world.uploaded()
    await world.catalog.delete(TENANT, submission.job.unique_id)
    await world.source.put(event.key, b"revenant")

    assert await _findings(world, dry_run=True) == [("revenant", "removed")]
    assert len(await world.source.list("")) == 1
    assert await _findings(world) == [("revenant", "removed")]
    assert await world.source.list("") == []


async def test_what_is_in_order_is_left_alone_and_a_second_run_changes_nothing(world: World) -> None:
    _, event = await world.uploaded()
    await world.converter.convert(event)
    await world.source.put("uploads/readme.txt", b"not ours")
    assert [await _findings(world) for _ in range(2)] == [[], []]


async def test_running_twice_does_the_work_once(world: World) -> None:
    await world.uploaded()
    assert [await _findings(world) for _ in range(2)] == [[("unheard", "queued")]] * 2
    await _work(world)
    assert len(world.renderer.rendered) == 1
    assert await _statuses(world) == [JobStatus.COMPLETED]


async def test_an_image_whose_job_has_expired_is_left_alone(world: World) -> None:
    _, event = await world.uploaded()
    await world.converter.convert(event)
    world.jobs._jobs.clear()
    assert await _findings(world) == []


async def test_what_is_younger_than_the_grace_is_left_alone(world: World) -> None:
    await world.uploaded()
    assert await _findings(world, grace=timedelta(hours=1)) == []


async def test_a_job_whose_worker_died_is_queued_again_once_its_lease_has_run_out(world: World) -> None:
    submission, event = await world.uploaded()
    image, job = await world.jobs.image_of_any_tenant(submission.job.unique_id), submission.job
    source = Source(etag=event.etag, size=len(b"photo"))
    await world.jobs.accept(image, job, source, job.expires_at)
    lease = Lease(token="t", owner="gone", expires_at=time.time() + 60)
    await world.jobs.claim(job.processing_id, lease, clock.now(), "tests")
    assert await _findings(world) == []
    await world.jobs.renew(job.processing_id, replace(lease, expires_at=0))
    assert await _findings(world) == [("abandoned", "queued")]
    await _work(world)
    assert await _statuses(world) == [JobStatus.COMPLETED]


async def test_variants_that_no_record_names_are_removed_and_all_others_stay(world: World) -> None:
    kept, event = await world.uploaded()
    await world.converter.convert(event)
    again = await world.catalog.reprocess(TENANT, kept.job.unique_id)
    await world.converter.convert(JobRequested(unique_id=again.unique_id, processing_id=again.processing_id))
    stray = [
        f"processed/{kept.job.unique_id}/img_1_never/webp.webp",
        "processed/11111111-1111-4111-8111-111111111111/img_1_a/webp.webp",
    ]
    for key in stray:
        await world.processed.put(key, b"x")

    assert await _findings(world, dry_run=True) == [("orphan", "removed")] * 2
    assert await _findings(world) == [("orphan", "removed")] * 2
    assert len(await world.processed.list("")) == 2 * (4 + 1)  # with manifests
    assert await _findings(world) == []


async def test_variants_of_a_superseded_job_are_removed(world: World) -> None:
    submission, event = await world.uploaded()

    async def meanwhile() -> None:
        world.renderer.during = None
        await world.another_converter().convert(await world.source.put(event.key, b"newer"))
        await world.processed.put(variant_key(submission.job.unique_id, submission.job.processing_id, "x"), b"x")

    world.renderer.during = meanwhile
    await world.converter.convert(event)
    await world.processed.put(variant_key(submission.job.unique_id, submission.job.processing_id, "x"), b"x")
    assert ("orphan", "removed") in await _findings(world)


async def test_the_true_event_of_an_upload_that_was_mended_meanwhile_does_the_work_once(world: World) -> None:
    _, event = await world.uploaded()
    await _findings(world)
    await _work(world)
    late = await world.converter.convert(event)
    assert late.kind is OutcomeKind.DUPLICATE
    assert len(world.renderer.rendered) == 1


async def test_more_uploads_than_are_compared_at_once_are_all_found(world: World) -> None:
    for _ in range(40):
        await world.uploaded()
    assert len(await _findings(world)) == 40
