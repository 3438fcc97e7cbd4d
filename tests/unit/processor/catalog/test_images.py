"""What a client can do with images, apart from converting them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from processor import clock
from processor.errors import (
    Busy,
    ImageDeleted,
    ImageNotFound,
    JobNotFound,
    NotUploaded,
    RecordChanged,
    Throttled,
    Unavailable,
)
from processor.events import JobRequested, parse
from processor.jobs import PENDING_GRACE, JobStatus, Shown
from processor.ports.jobs import JobQuery
from processor.stores.memory import MemoryJobStore
from tests.unit.world import TENANT, World, events_of


@pytest.fixture
def world() -> World:
    return World()


async def test_a_submission_is_pending_and_outlives_its_url_by_longer_than_the_queue_keeps_events(world: World) -> None:
    submission = await world.submitted()
    job = await world.catalog.status(TENANT, submission.job.processing_id)
    assert job.status is JobStatus.PENDING
    assert job.original_key == f"uploads/{job.unique_id}.jpg"
    assert job.metadata == {"k": "v"}
    assert job.expires_at - job.created_at.timestamp() == pytest.approx(3600 + PENDING_GRACE.total_seconds(), abs=2)


async def test_a_completed_image_is_kept_though_its_job_expires_and_the_bucket_then_tells_of_its_variants(
    world: World,
) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    before = (await world.catalog.processed_images(TENANT, submission.job.unique_id)).variants

    del world.jobs._jobs[submission.job.processing_id]

    after = (await world.catalog.processed_images(TENANT, submission.job.unique_id)).variants
    assert {replace(image, stored_at=before[0].stored_at) for image in after} == {
        replace(image, stored_at=before[0].stored_at) for image in before
    }


async def test_nothing_is_shown_before_there_is_something(world: World) -> None:
    submission = await world.submitted()
    assert await world.catalog.processed_images(TENANT, submission.job.unique_id) == Shown()


async def test_another_tenants_image_is_as_good_as_none(world: World) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    unique_id = submission.job.unique_id
    with pytest.raises(JobNotFound):
        await world.catalog.status("other", submission.job.processing_id)
    for attempt in (world.catalog.processed_images, world.catalog.reprocess, world.catalog.delete):
        with pytest.raises(ImageNotFound):
            await attempt("other", unique_id)
    assert (await world.catalog.list(JobQuery(tenant="other", limit=10))).jobs == ()
    assert len((await world.catalog.processed_images(TENANT, unique_id)).variants) == 4


async def test_processing_again_needs_an_upload(world: World) -> None:
    submission = await world.submitted()
    with pytest.raises(NotUploaded):
        await world.catalog.reprocess(TENANT, submission.job.unique_id)


async def test_processing_again_needs_the_source_to_be_there_still(world: World) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    await world.source.purge(event.key)
    with pytest.raises(NotUploaded, match="not there any more"):
        await world.catalog.reprocess(TENANT, submission.job.unique_id)


async def test_processing_again_is_queued_after_it_is_recorded(world: World) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    job = await world.catalog.reprocess(TENANT, submission.job.unique_id)
    assert parse(world.queue.bodies[-1]) == (JobRequested(unique_id=job.unique_id, processing_id=job.processing_id),)
    assert (await world.jobs.job_of_any_tenant(job.processing_id)).status is JobStatus.UPLOADED


async def test_a_request_that_could_not_be_queued_is_recorded_as_failed(world: World) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    world.queue.failing = True
    with pytest.raises(Unavailable):
        await world.catalog.reprocess(TENANT, submission.job.unique_id)
    (row,) = (await world.catalog.list(JobQuery(tenant=TENANT, limit=10))).jobs
    assert (row.status, row.error and row.error.code) == (JobStatus.FAILED, "unavailable")


async def test_a_request_that_was_queued_although_its_answer_was_lost_is_the_job_that_a_worker_has(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)

    async def lose_the_answer(body: str, **_: object) -> None:
        (request,) = events_of(body)
        await world.converter.convert(request)
        raise Unavailable

    monkeypatch.setattr(world.queue, "send", lose_the_answer)
    job = await world.catalog.reprocess(TENANT, submission.job.unique_id)
    assert (await world.catalog.status(TENANT, job.processing_id)).status is JobStatus.COMPLETED


class Contended(MemoryJobStore):
    """Somebody else is always faster, so many times."""

    races = 0

    async def replace(self, *what, **how) -> None:  # type: ignore[no-untyped-def]
        self._race()
        await super().replace(*what, **how)

    async def tombstone(self, *what, **how):  # type: ignore[no-untyped-def]
        self._race()
        return await super().tombstone(*what, **how)

    def _race(self) -> None:
        if self.races:
            self.races -= 1
            raise RecordChanged


async def test_a_job_that_waits_is_queued_once_more_only_when_its_message_may_be_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    waiting = await world.catalog.reprocess(TENANT, submission.job.unique_id)
    queued = len(world.queue.bodies)
    for _ in range(10):
        assert (await world.catalog.reprocess(TENANT, submission.job.unique_id)).processing_id == waiting.processing_id
    assert len(world.queue.bodies) == queued

    later = clock.now() + timedelta(minutes=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert (await world.catalog.reprocess(TENANT, submission.job.unique_id)).processing_id == waiting.processing_id
    assert len(world.queue.bodies) == queued + 1


@pytest.mark.parametrize("attempt", ["reprocess", "delete"])
async def test_a_lost_race_is_run_again_but_not_for_ever(attempt: str) -> None:
    world = World(jobs=Contended())
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    assert isinstance(world.jobs, Contended)
    world.jobs.races = 100
    with pytest.raises(Busy):
        await getattr(world.catalog, attempt)(TENANT, submission.job.unique_id)
    world.jobs.races = 1
    await getattr(world.catalog, attempt)(TENANT, submission.job.unique_id)


async def test_a_delete_removes_source_variants_and_records_and_counts_the_variants(world: World) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    unique_id = submission.job.unique_id

    erasure = await world.catalog.delete(TENANT, unique_id)
    assert (len(erasure.sources), len(erasure.variants)) == (1, 4)

    assert await world.source.list("") == await world.processed.list("") == []
    assert (await world.catalog.list(JobQuery(tenant=TENANT, limit=10))).jobs == ()
    with pytest.raises(JobNotFound):
        await world.catalog.status(TENANT, submission.job.processing_id)
    for attempt in (world.catalog.processed_images, world.catalog.reprocess, world.catalog.delete):
        with pytest.raises(ImageNotFound):
            await attempt(TENANT, unique_id)


async def test_a_delete_comes_last_also_by_a_clock_that_is_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    done = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    monkeypatch.setattr(clock, "now", lambda: done.created_at)
    await world.catalog.delete(TENANT, done.unique_id)
    assert (await world.jobs.image_of_any_tenant(done.unique_id)).deleted_at == done.updated_at


async def test_a_delete_that_was_cut_short_is_finished_by_the_next(world: World) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    unique_id = submission.job.unique_id
    image = await world.jobs.image_of_any_tenant(unique_id)
    await world.jobs.tombstone(image, image.created_at, 2**40)  # and then the process died

    with pytest.raises(ImageNotFound):
        await world.catalog.processed_images(TENANT, unique_id)
    erasure = await world.catalog.delete(TENANT, unique_id)
    assert (len(erasure.sources), len(erasure.variants)) == (1, 4)
    with pytest.raises(ImageNotFound):
        await world.catalog.delete(TENANT, unique_id)


async def test_a_deleted_image_says_so_to_its_owner_and_to_nobody_else(world: World) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    unique_id = submission.job.unique_id
    await world.catalog.delete(TENANT, unique_id)
    for attempt in (world.catalog.processed_images, world.catalog.reprocess, world.catalog.delete):
        with pytest.raises(ImageDeleted):
            await attempt(TENANT, unique_id)
        with pytest.raises(ImageNotFound) as stranger:
            await attempt("stranger", unique_id)
        assert type(stranger.value) is ImageNotFound


async def test_the_edge_forgets_what_is_deleted_and_the_receipt_names_the_order(world: World) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    erasure = await world.catalog.delete(TENANT, submission.job.unique_id)
    assert world.edge.forgotten == [f"processed/{submission.job.unique_id}/"]
    assert erasure.invalidation == "1"


async def test_a_delete_that_the_edge_refused_is_not_done_until_it_agrees(world: World) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    world.edge.busy = True
    with pytest.raises(Throttled):
        await world.catalog.delete(TENANT, submission.job.unique_id)
    assert await world.processed.list("") == []

    world.edge.busy = False
    erasure = await world.catalog.delete(TENANT, submission.job.unique_id)
    assert erasure.invalidation == "1"
    with pytest.raises(ImageDeleted):
        await world.catalog.delete(TENANT, submission.job.unique_id)


async def test_what_arrives_after_a_complete_delete_bothers_the_edge_only_when_something_was_stored(
    world: World,
) -> None:
    submission, event = await world.uploaded()
    unique_id = submission.job.unique_id
    await world.catalog.delete(TENANT, unique_id)
    assert len(world.edge.forgotten) == 1

    await world.converter.convert(event)
    assert len(world.edge.forgotten) == 1
    await world.processed.store(
        f"processed/{unique_id}/late/webp.webp", b"x", content_type="", cache_control="", metadata={}
    )
    await world.converter.convert(event)
    assert len(world.edge.forgotten) == 2
