"""From an event to an outcome, whatever comes twice, late, out of order, or in the middle of something else."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from processor import clock
from processor.catalog import images as catalog
from processor.catalog.uploads import UploadRequest
from processor.errors import (
    Busy,
    CorruptImage,
    DecoderCrashed,
    ImageNotFound,
    JobNotFound,
    RecordChanged,
    TooManyJobs,
    Unavailable,
)
from processor.events import JobRequested, SourceArrived, parse
from processor.images import image_prefix, job_prefix, unique_id_of
from processor.jobs import Failure, Image, Job, JobStatus, Source, Terms
from processor.recipes import STANDARD_VARIANTS
from processor.stores.memory import MemoryJobStore, MemoryObjectStore
from processor.storing import CACHE_CONTROL
from processor.work import intake
from processor.work.outcomes import Outcome, OutcomeKind
from tests.unit.world import TENANT, World
from tests.waiting import PATIENCE_SECONDS


class Killed(BaseException):
    """The process is gone; nothing of it is tidied up."""


@pytest.fixture
def world() -> World:
    return World()


async def _status(world: World, processing_id: str) -> JobStatus:
    return (await world.jobs.job_of_any_tenant(processing_id)).status


# -- the straight way --------------------------------------------------------------------------------------------


async def test_an_upload_becomes_a_completed_job_with_every_variant_stored(world: World) -> None:
    submission, event = await world.uploaded()

    outcome = await world.converter.convert(event)

    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert outcome.kind is OutcomeKind.COMPLETED
    assert outcome.processing_id == job.processing_id
    assert job.status is JobStatus.COMPLETED
    assert [variant.name for variant in job.variants] == [spec.name for spec in STANDARD_VARIANTS]
    assert job.timings is not None
    assert job.lease is None
    assert job.attempts == 1
    for variant in job.variants:
        assert variant.key.startswith(job_prefix(job.unique_id, job.processing_id))
        assert (await world.processed.head(variant.key)).size == variant.size


async def test_a_variant_is_stored_to_be_cached_for_ever_and_says_what_it_is(world: World) -> None:
    stored: list[Mapping[str, Any]] = []

    class Watched(MemoryObjectStore):
        async def store(self, key: str, body: bytes, **how: Any) -> None:
            stored.append(how)
            await super().store(key, body, **how)

    world.processed = Watched("processed")
    submission, event = await world.uploaded()
    await world.another_converter().convert(event)

    assert len(stored) == len(STANDARD_VARIANTS) + 1
    assert stored[-1]["content_type"] == "application/json"  # the manifest, last
    assert stored[0] == {
        "content_type": "image/webp",
        "cache_control": CACHE_CONTROL,
        "metadata": {
            "unique-id": submission.job.unique_id,
            "processing-id": submission.job.processing_id,
            "width": "4",
            "height": "3",
        },
        "sha256": hashlib.sha256(b"webp of photo").hexdigest(),
    }


# -- what is not ours --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"bucket": "another"}, OutcomeKind.FOREIGN),
        ({"key": "uploads/readme.txt"}, OutcomeKind.FOREIGN),
        ({"key": "uploads/0c7c40e5-8f6c-4b6e-9f4e-0a4c5c9d8b11.jpg"}, OutcomeKind.UNKNOWN),
    ],
)
async def test_what_nobody_asked_for_is_settled_and_changes_nothing(
    world: World, change: dict[str, str], kind: OutcomeKind
) -> None:
    submission, event = await world.uploaded()
    outcome = await world.converter.convert(replace(event, **change))
    assert outcome.kind is kind
    assert outcome.settles
    assert await _status(world, submission.job.processing_id) is JobStatus.PENDING


async def test_another_ending_of_a_known_image_is_foreign(world: World) -> None:
    _, event = await world.uploaded()
    outcome = await world.converter.convert(replace(event, key=event.key.replace(".jpg", ".png")))
    assert outcome.kind is OutcomeKind.FOREIGN


# -- twice, late, out of order -----------------------------------------------------------------------------------


async def test_the_same_event_again_does_the_work_once(world: World) -> None:
    _, event = await world.uploaded()
    kinds = [(await world.converter.convert(event)).kind for _ in range(3)]
    assert kinds == [OutcomeKind.COMPLETED, OutcomeKind.DUPLICATE, OutcomeKind.DUPLICATE]
    assert len(world.renderer.rendered) == 1


async def test_a_newer_upload_gets_a_job_of_its_own_and_the_older_event_is_then_stale(world: World) -> None:
    submission, older = await world.uploaded(b"older")
    newer = await world.source.put(older.key, b"newer")

    first = await world.converter.convert(newer)
    late = await world.converter.convert(older)

    # The pending job was waiting for a source; the newest one is its.
    assert first.processing_id == submission.job.processing_id
    assert late.kind is OutcomeKind.STALE
    assert world.renderer.rendered == [b"newer"]


async def test_an_upload_over_a_completed_one_becomes_the_current_job(world: World) -> None:
    submission, event = await world.uploaded(b"older")
    await world.converter.convert(event)

    outcome = await world.converter.convert(await world.source.put(event.key, b"newer"))

    image = await world.jobs.image_of_any_tenant(submission.job.unique_id)
    assert outcome.kind is OutcomeKind.COMPLETED
    assert outcome.processing_id == image.current_job != submission.job.processing_id
    assert await _status(world, submission.job.processing_id) is JobStatus.COMPLETED


async def test_a_source_that_was_replaced_before_its_event_came_is_not_looked_for_and_the_newer_one_is_the_jobs(
    world: World,
) -> None:
    submission, older = await world.uploaded(b"older")
    newer = await world.source.put(older.key, b"newer")

    outcomes = [await world.converter.convert(event) for event in (older, newer)]

    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.COMPLETED, OutcomeKind.DUPLICATE]
    assert outcomes[0].processing_id == submission.job.processing_id
    assert world.renderer.rendered == [b"newer"]


async def test_a_source_that_is_replaced_before_it_is_fetched_leads_to_the_newer_one_in_the_same_message(
    world: World,
) -> None:
    submission, event = await world.uploaded(b"older")
    await world.converter.convert(event)
    again = await world.catalog.reprocess(TENANT, submission.job.unique_id)
    newer = await world.source.put(event.key, b"newer")  # its event is lost

    request = JobRequested(unique_id=again.unique_id, processing_id=again.processing_id)
    outcome = await world.converter.convert(request)

    overtaken = await world.catalog.status(TENANT, again.processing_id)
    assert outcome.kind is OutcomeKind.COMPLETED
    assert (overtaken.status, overtaken.error and overtaken.error.code) == (JobStatus.FAILED, "superseded")
    assert overtaken.superseded_by == outcome.processing_id
    assert world.renderer.rendered == [b"older", b"newer"]
    assert (await world.converter.convert(newer)).kind is OutcomeKind.DUPLICATE


# -- the same bytes again, and other bytes -----------------------------------------------------------------------


async def _end(world: World, event: SourceArrived, state: str) -> None:
    """Bring the job of an upload into a state."""
    if state == "uploaded":
        image = await world.jobs.image_of_any_tenant(unique_id_of(event.key) or "")
        job, found = await world.jobs.job_of_any_tenant(image.current_job), await world.source.head(event.key)
        await world.jobs.accept(image, job, Source(etag=found.etag, size=found.size), job.expires_at)
    elif state == "completed":
        await world.converter.convert(event)
    else:
        world.renderer.during = _damaged
        await world.converter.convert(event)
        world.renderer.during = None


async def _damaged() -> None:
    raise CorruptImage


@pytest.mark.parametrize("state", ["uploaded", "completed", "failed"])
async def test_the_same_bytes_again_are_no_new_job_whatever_has_become_of_the_first(world: World, state: str) -> None:
    submission, event = await world.uploaded()
    await _end(world, event, state)
    again = await world.source.put(event.key, b"photo")
    outcome = await world.converter.convert(again)
    image = await world.jobs.image_of_any_tenant(submission.job.unique_id)
    assert image.job_ids == (submission.job.processing_id,)
    assert outcome.kind is (OutcomeKind.COMPLETED if state == "uploaded" else OutcomeKind.DUPLICATE)
    assert len(world.renderer.rendered) == 1


async def test_the_same_bytes_again_while_the_first_are_in_work_wait_for_their_end(world: World) -> None:
    submission, event = await world.uploaded()
    seen: list[OutcomeKind] = []

    async def meanwhile() -> None:
        world.renderer.during = None
        again = await world.source.put(event.key, b"photo")
        seen.append((await world.another_converter().convert(again)).kind)

    world.renderer.during = meanwhile
    outcome = await world.converter.convert(event)
    assert (outcome.kind, seen) == (OutcomeKind.COMPLETED, [OutcomeKind.BUSY])
    assert outcome.processing_id == submission.job.processing_id


@pytest.mark.parametrize("etag", ["9b2cf535f27731c974343645a3985328-3", "0123456789abcdef0123456789abcdef"])
async def test_the_same_bytes_under_another_etag_are_known_again_once_their_job_is_done(
    world: World, etag: str
) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    stored = world.source._objects[event.key]
    world.source._objects[event.key] = replace(stored, info=replace(stored.info, etag=etag))
    outcome = await world.converter.convert(replace(event, etag=etag))
    assert (outcome.kind, outcome.processing_id) == (OutcomeKind.DUPLICATE, submission.job.processing_id)
    assert len(world.renderer.rendered) == 1


async def test_other_bytes_of_the_same_size_are_a_new_job(world: World) -> None:
    submission, event = await world.uploaded(b"photo")
    await world.converter.convert(event)
    outcome = await world.converter.convert(await world.source.put(event.key, b"ohtop"))
    assert outcome.kind is OutcomeKind.COMPLETED
    assert outcome.processing_id != submission.job.processing_id


async def test_whoever_holds_an_old_id_is_told_the_current_one_however_many_came_in_between(world: World) -> None:
    submission, event = await world.uploaded(b"0")
    ids = [submission.job.processing_id]
    await world.converter.convert(event)
    for number in range(1, 4):
        outcome = await world.converter.convert(await world.source.put(event.key, b"%d" % number))
        ids.append(outcome.processing_id or "")
    jobs = [await world.catalog.status(TENANT, processing_id) for processing_id in ids]
    assert [job.superseded_by for job in jobs] == [ids[-1]] * 3 + [None]
    assert {job.status for job in jobs} == {JobStatus.COMPLETED}
    assert [(await world.jobs.job_of_any_tenant(each)).superseded_by for each in ids] == [*ids[1:], None]


@pytest.mark.parametrize("code", ["source_missing", "superseded", "daily_limit_reached", "image_limit_reached"])
async def test_a_job_that_failed_through_no_fault_of_its_bytes_is_taken_up_again_when_they_come_again(
    world: World, code: str
) -> None:
    submission, event = await world.uploaded()
    await _end(world, event, "uploaded")
    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    await world.jobs.fail(replace(job, error=Failure(code=code, message="No.")))
    outcome = await world.converter.convert(await world.source.put(event.key, b"photo"))
    assert (outcome.kind, outcome.processing_id) == (OutcomeKind.COMPLETED, submission.job.processing_id)


async def test_processing_again_at_once_asks_for_the_job_that_is_on_its_way(world: World) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    jobs = [await world.catalog.reprocess(TENANT, submission.job.unique_id) for _ in range(3)]
    assert len({job.processing_id for job in jobs}) == 1
    for body in world.queue.bodies:  # one is enough; the others make sure of it
        (request,) = parse(body)
        assert isinstance(request, JobRequested)
        await world.converter.convert(request)
    assert len(world.renderer.rendered) == 2
    later = await world.catalog.reprocess(TENANT, submission.job.unique_id)
    assert later.processing_id != jobs[0].processing_id


# -- what a message says is not believed -------------------------------------------------------------------------


async def test_an_event_before_the_upload_does_not_harm_the_clients_id(world: World) -> None:
    submission = await world.submitted()
    forged = SourceArrived(bucket="source", key=submission.job.original_key, etag="e")
    request = JobRequested(unique_id=submission.job.unique_id, processing_id=submission.job.processing_id)
    assert [(await world.converter.convert(event)).kind for event in (forged, request)] == [OutcomeKind.MISSING] * 2
    assert await _status(world, submission.job.processing_id) is JobStatus.PENDING

    outcome = await world.converter.convert(await world.source.put(submission.job.original_key, b"photo"))
    assert (outcome.kind, outcome.processing_id) == (OutcomeKind.COMPLETED, submission.job.processing_id)


@pytest.mark.parametrize("etag", ["", "forged", "é" * 115_000, "\ud800"])
@pytest.mark.parametrize("event_time", ["", "9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00+14:00", "x" * 230_000])
async def test_what_is_recorded_and_counted_is_what_the_bucket_says(world: World, etag: str, event_time: str) -> None:
    submission, event = await world.uploaded()
    outcome = await world.converter.convert(replace(event, etag=etag, event_time=event_time))
    job, found = await world.jobs.job_of_any_tenant(submission.job.processing_id), await world.source.head(event.key)
    assert outcome.kind is OutcomeKind.COMPLETED
    assert job.source == Source(etag=found.etag, size=5, event_time=clock.to_iso(found.last_modified))
    assert outcome.servable_seconds is not None
    assert outcome.servable_seconds < 60
    assert list(outcome.stored_seconds) == [spec.name for spec in STANDARD_VARIANTS]
    assert all(0 <= seconds <= outcome.servable_seconds for seconds in outcome.stored_seconds.values())
    assert (await world.quota.store.get(TENANT)).usage.bytes == 5


async def test_a_forged_event_keeps_no_later_upload_out(world: World) -> None:
    _, event = await world.uploaded()
    await world.converter.convert(replace(event, etag="F" * 32))
    outcome = await world.converter.convert(await world.source.put(event.key, b"newer"))
    assert outcome.kind is OutcomeKind.COMPLETED
    assert world.renderer.rendered == [b"photo", b"newer"]
    assert (await world.converter.convert(replace(event, etag="F" * 32))).kind is OutcomeKind.STALE


# -- races -------------------------------------------------------------------------------------------------------


class Contended(MemoryJobStore):
    """Somebody else is always faster."""

    async def accept(self, *_: Any, **__: Any) -> Job:
        raise RecordChanged


async def test_who_always_loses_looks_again_in_a_while_and_takes_nothing_for_an_outage() -> None:
    world = World(jobs=Contended())
    _, event = await world.uploaded()
    outcome = await world.converter.convert(event)
    assert (outcome.kind, outcome.settles) == (OutcomeKind.BUSY, False)
    assert 1 <= outcome.retry_after_seconds <= 5


async def test_a_claim_that_could_not_be_tried_settles_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, event = await world.uploaded()
    await world.converter.convert(event)

    async def crowded(*_: object) -> None:
        raise Busy

    monkeypatch.setattr(world.jobs, "claim", crowded)
    with pytest.raises(Busy):
        await world.converter.convert(event)


async def test_an_upload_that_comes_back_to_known_bytes_while_others_are_accepted_is_what_is_shown(
    world: World,
) -> None:
    """The event of the last upload is taken for a duplicate, a moment before the other bytes are recorded.

    Where the bucket keeps no versions, nothing in the record says that anybody was there.
    """
    world.source.versioned = False
    submission, first = await world.uploaded(b"first")
    await world.converter.convert(first)
    other = await world.source.put(first.key, b"other")
    replace_job = world.jobs.replace

    async def slowly(image: Image, old: Job | None, new: Job, **how: str) -> None:
        if not seen:
            last = await world.source.put(first.key, b"first")
            seen.append((await world.another_converter().convert(last)).kind)
        await replace_job(image, old, new, **how)

    seen: list[OutcomeKind] = []
    world.jobs.replace = slowly  # type: ignore[method-assign]
    outcome = await world.converter.convert(other)

    assert seen == [OutcomeKind.DUPLICATE]
    assert outcome.kind is OutcomeKind.COMPLETED
    assert world.renderer.rendered == [b"first", b"first"]
    shown = await world.catalog.status(TENANT, submission.job.processing_id)
    assert shown.superseded_by == outcome.processing_id


async def test_an_upload_that_comes_back_to_known_bytes_is_counted_and_makes_no_job(world: World) -> None:
    """Where the bucket keeps versions, whoever counted the last upload says so in the record."""
    submission, first = await world.uploaded(b"first")
    await world.converter.convert(first)
    other = await world.source.put(first.key, b"other")
    last = await world.source.put(first.key, b"first")
    assert (await world.converter.convert(last)).kind is OutcomeKind.DUPLICATE
    assert (await world.converter.convert(other)).kind is OutcomeKind.STALE
    assert world.renderer.rendered == [b"first"]
    assert (await world.catalog.status(TENANT, submission.job.processing_id)).superseded_by is None
    assert (await world.quota.store.get(TENANT)).usage.bytes == 15


# -- two at once -------------------------------------------------------------------------------------------------


async def test_two_workers_with_the_same_event_do_the_work_once_and_the_second_is_told_when_to_look_again(
    world: World,
) -> None:
    _, event = await world.uploaded()
    seen = []

    async def meanwhile() -> None:
        seen.append(await world.another_converter().convert(event))

    world.renderer.during = meanwhile
    outcome = await world.converter.convert(event)

    assert outcome.kind is OutcomeKind.COMPLETED
    assert [other.kind for other in seen] == [OutcomeKind.BUSY]
    assert not seen[0].settles
    assert 1 <= seen[0].retry_after_seconds <= 61


async def test_a_job_whose_workers_lease_has_run_out_is_taken_over_and_the_late_one_changes_nothing(
    world: World,
) -> None:
    submission, event = await world.uploaded()
    taken_over = []

    async def meanwhile() -> None:
        world.renderer.during = None
        taken_over.append(await world.another_converter().convert(event))

    world.renderer.during = meanwhile
    late = await world.another_converter(lease_seconds=-1).convert(event)

    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert [other.kind for other in taken_over] == [OutcomeKind.COMPLETED]
    assert late.kind is OutcomeKind.SUPERSEDED
    assert job.status is JobStatus.COMPLETED
    assert job.attempts == 2
    assert world.suspects.rendered == [b"photo"]  # it had been left in work: its image may be what did it
    for variant in job.variants:  # the late one must not have cleaned up after the winner
        await world.processed.head(variant.key)


# -- requests in the middle of things ----------------------------------------------------------------------------


async def test_a_newer_upload_during_the_work_wins_and_the_losers_variants_are_removed(world: World) -> None:
    submission, event = await world.uploaded(b"older")
    outcomes = []

    async def meanwhile() -> None:
        world.renderer.during = None
        outcomes.append(await world.another_converter().convert(await world.source.put(event.key, b"newer")))

    world.renderer.during = meanwhile
    loser = await world.converter.convert(event)

    old = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert loser.kind is OutcomeKind.SUPERSEDED
    assert outcomes[0].kind is OutcomeKind.COMPLETED
    assert (old.status, old.error and old.error.code) == (JobStatus.FAILED, "superseded")
    assert await world.processed.list(job_prefix(old.unique_id, old.processing_id)) == []


async def test_a_delete_during_the_work_leaves_nothing(world: World) -> None:
    submission, event = await world.uploaded()

    async def meanwhile() -> None:
        await world.catalog.delete(TENANT, submission.job.unique_id)

    world.renderer.during = meanwhile
    outcome = await world.converter.convert(event)

    assert outcome.kind is OutcomeKind.SUPERSEDED
    assert await world.processed.list("") == []
    assert await world.source.list("") == []
    with pytest.raises(JobNotFound):
        await world.jobs.job_of_any_tenant(submission.job.processing_id)


async def test_whatever_arrives_for_a_deleted_image_is_removed(world: World) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    await world.catalog.delete(TENANT, submission.job.unique_id)

    late = await world.converter.convert(await world.source.put(event.key, b"revenant"))

    assert late.kind is OutcomeKind.DELETED
    assert await world.source.list("") == []
    assert await world.processed.list("") == []
    with pytest.raises(ImageNotFound):
        await world.catalog.processed_images(TENANT, submission.job.unique_id)


async def test_a_request_for_a_job_that_was_deleted_is_settled(world: World) -> None:
    outcome = await world.converter.convert(JobRequested(unique_id="u", processing_id="img_1_a"))
    assert outcome.kind is OutcomeKind.DELETED


async def test_processing_again_makes_a_new_job_and_the_old_variants_are_shown_until_it_is_done(world: World) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    unique_id = submission.job.unique_id

    again = await world.catalog.reprocess(TENANT, unique_id)
    before = (await world.catalog.processed_images(TENANT, unique_id)).variants
    outcome = await world.converter.convert(JobRequested(unique_id=unique_id, processing_id=again.processing_id))
    after = (await world.catalog.processed_images(TENANT, unique_id)).variants

    assert outcome.kind is OutcomeKind.COMPLETED
    assert {submission.job.processing_id in image.key for image in before} == {True}
    assert {again.processing_id in image.key for image in after} == {True}
    assert len(before) == len(after) == len(STANDARD_VARIANTS)


async def test_processing_again_during_the_work_is_the_same_work(world: World) -> None:
    submission, event = await world.uploaded()
    requested = []

    async def meanwhile() -> None:
        world.renderer.during = None
        requested.append(await world.catalog.reprocess(TENANT, submission.job.unique_id))

    world.renderer.during = meanwhile
    first = await world.converter.convert(event)
    (again,) = requested
    second = await world.converter.convert(JobRequested(unique_id=again.unique_id, processing_id=again.processing_id))

    assert (first.kind, second.kind) == (OutcomeKind.COMPLETED, OutcomeKind.DUPLICATE)
    assert first.processing_id == second.processing_id
    assert len(await world.processed.list(image_prefix(again.unique_id))) == len(STANDARD_VARIANTS) + 1


# -- what goes wrong ---------------------------------------------------------------------------------------------


async def test_a_bad_file_fails_with_its_code_and_its_message(world: World) -> None:
    async def meanwhile() -> None:
        raise CorruptImage

    world.renderer.during = meanwhile
    submission, event = await world.uploaded()
    outcome = await world.converter.convert(event)

    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert (outcome.kind, outcome.code) == (OutcomeKind.FAILED, "corrupt_image")
    assert job.error is not None
    assert (job.error.code, job.error.message) == ("corrupt_image", "The image is damaged or incomplete.")
    assert (await world.converter.convert(event)).kind is OutcomeKind.DUPLICATE


async def test_a_file_beyond_the_limit_fails_before_it_is_read(world: World) -> None:
    _, event = await world.uploaded(b"x" * 1001)
    outcome = await world.converter.convert(event)
    assert (outcome.kind, outcome.code) == (OutcomeKind.FAILED, "file_too_large")
    assert world.renderer.rendered == []
    assert outcome.processing_id
    assert (await world.jobs.job_of_any_tenant(outcome.processing_id)).error == Failure(
        code="file_too_large",
        message="The file has 1,001 bytes; the service accepts 1,000.",
        limit=1000,
        actual=1001,
    )


async def test_a_source_that_has_vanished_fails_the_job(world: World) -> None:
    _, event = await world.uploaded()
    await _end(world, event, "uploaded")
    await world.source.purge(event.key)
    outcome = await world.converter.convert(event)
    assert (outcome.kind, outcome.code) == (OutcomeKind.FAILED, "source_missing")


async def test_a_dependency_that_fails_leaves_the_job_free_to_be_claimed_at_once(world: World) -> None:
    async def meanwhile() -> None:
        world.renderer.during = None
        raise Unavailable

    world.renderer.during = meanwhile
    submission, event = await world.uploaded()
    with pytest.raises(Unavailable):
        await world.converter.convert(event)
    assert await _status(world, submission.job.processing_id) is JobStatus.PROCESSING

    assert (await world.converter.convert(event)).kind is OutcomeKind.COMPLETED


async def test_an_image_that_brings_down_what_decodes_it_fails_and_costs_one_worker(world: World) -> None:
    async def die() -> None:
        raise Killed

    async def crash() -> None:
        raise DecoderCrashed

    world.renderer.during, world.suspects.during = die, crash
    _, event = await world.uploaded()
    with pytest.raises(Killed):
        await world.another_converter(lease_seconds=-1).convert(event)

    outcome = await world.converter.convert(event)

    assert (outcome.kind, outcome.code) == (OutcomeKind.FAILED, "decoder_crashed")
    assert len(world.renderer.rendered) == 1
    assert (await world.converter.convert(event)).kind is OutcomeKind.DUPLICATE


async def test_a_store_that_fails_for_one_variant_never_leaves_a_completed_job(world: World) -> None:
    class Flaky(MemoryObjectStore):
        async def store(self, key: str, body: bytes, **how: Any) -> None:
            if "large" in key:
                raise Unavailable
            await super().store(key, body, **how)

    world.processed = Flaky("processed")
    submission, event = await world.uploaded()
    with pytest.raises(Unavailable):
        await world.another_converter().convert(event)
    assert await _status(world, submission.job.processing_id) is JobStatus.PROCESSING


async def test_after_the_last_try_the_job_is_failed_and_a_redrive_takes_it_up_again(world: World) -> None:
    async def meanwhile() -> None:
        world.renderer.during = None
        raise RuntimeError("a defect")

    world.renderer.during = meanwhile
    submission, event = await world.uploaded()
    with pytest.raises(RuntimeError):
        await world.converter.convert(event, last_try=True)
    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert (job.status, job.error and job.error.code) == (JobStatus.FAILED, "unavailable")

    assert (await world.converter.convert(event)).kind is OutcomeKind.COMPLETED
    assert (await world.jobs.job_of_any_tenant(submission.job.processing_id)).error is None


async def test_a_cancelled_conversion_gives_its_job_back(world: World) -> None:
    started = asyncio.Event()

    async def meanwhile() -> None:
        started.set()
        await asyncio.Event().wait()

    world.renderer.during = meanwhile
    _, event = await world.uploaded()
    task = asyncio.create_task(world.converter.convert(event, last_try=True))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    world.renderer.during = None
    assert (await world.another_converter().convert(event)).kind is OutcomeKind.COMPLETED


async def test_leases_are_renewed_while_the_work_goes_on_and_a_lost_one_is_no_error(world: World) -> None:
    submission, event = await world.uploaded()
    expiries = []

    async def meanwhile() -> None:
        for lease_seconds in (100, 200):
            world.converter.leases.seconds = lease_seconds
            await world.converter.renew_leases()
            job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
            assert job.lease is not None
            expiries.append(job.lease.expires_at)
        await world.catalog.delete(TENANT, submission.job.unique_id)
        await world.converter.renew_leases()

    world.renderer.during = meanwhile
    await world.converter.convert(event)
    assert 90 < expiries[1] - expiries[0] < 110
    await world.converter.renew_leases()  # nothing in work: nothing to renew


async def test_a_lease_that_cannot_be_renewed_keeps_no_other_from_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = [await world.uploaded() for _ in range(3)]
    renewed: list[str] = []
    ids = [submission.job.processing_id for submission, _ in uploads]

    async def renew(processing_id: str, _: object) -> None:
        if processing_id == ids[0]:
            raise Unavailable
        renewed.append(processing_id)

    monkeypatch.setattr(world.jobs, "renew", renew)
    all_in_work = asyncio.Barrier(4)

    async def wait() -> None:
        await all_in_work.wait()
        await all_in_work.wait()

    world.renderer.during = wait
    conversions = [asyncio.create_task(world.converter.convert(event)) for _, event in uploads]
    await asyncio.wait_for(all_in_work.wait(), PATIENCE_SECONDS)
    with pytest.raises(Unavailable):
        await world.converter.renew_leases()
    await all_in_work.wait()
    await asyncio.gather(*conversions)
    assert sorted(renewed) == sorted(ids[1:])


@pytest.mark.parametrize("kind", list(OutcomeKind))
def test_every_outcome_but_busy_settles_its_message(kind: OutcomeKind) -> None:
    assert Outcome(kind=kind).settles == (kind is not OutcomeKind.BUSY)


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        (Terms(content_type="image/jpeg", size=5), None),
        (
            Terms(content_type="image/jpeg", checksum_sha256="sI0Y4GcpTAJP7xyCIrpFSq9HDyWJ5o9O0nVM6emGBtI="),
            "unexpected_file",
        ),
        (Terms(content_type="image/jpeg", size=6), "unexpected_file"),
    ],
)
async def test_a_file_that_is_not_the_announced_one_fails(terms: Terms, code: str | None) -> None:
    world = World()
    request = UploadRequest(filename="a.jpg", extension="jpg", terms=terms, expires_in_seconds=60)
    submission = await world.uploads.submit(TENANT, request)
    event = await world.source.put(submission.job.original_key, b"photo")
    outcome = await world.converter.convert(event)
    assert outcome.code == code


async def test_what_was_announced_holds_for_every_later_upload_by_the_same_url() -> None:
    world = World()
    terms = Terms(content_type="image/jpeg", size=5)
    request = UploadRequest(filename="a.jpg", extension="jpg", terms=terms, expires_in_seconds=60)
    submission = await world.uploads.submit(TENANT, request)
    await world.converter.convert(await world.source.put(submission.job.original_key, b"photo"))
    outcome = await world.converter.convert(await world.source.put(submission.job.original_key, b"another"))
    assert outcome.code == "unexpected_file"


async def test_an_image_has_a_bounded_number_of_jobs_so_that_its_record_never_bursts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "MAX_JOBS", 3)
    monkeypatch.setattr(intake, "MAX_JOBS", 3)
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    for _ in range(2):
        again = await world.catalog.reprocess(TENANT, submission.job.unique_id)
        await world.converter.convert(JobRequested(unique_id=again.unique_id, processing_id=again.processing_id))
    with pytest.raises(TooManyJobs):
        await world.catalog.reprocess(TENANT, submission.job.unique_id)
    outcome = await world.converter.convert(await world.source.put(submission.job.original_key, b"more"))
    assert (outcome.kind, outcome.settles) == (OutcomeKind.REFUSED, True)
    assert len((await world.jobs.image_of_any_tenant(submission.job.unique_id)).job_ids) == 3
    await world.catalog.delete(TENANT, submission.job.unique_id)


@pytest.mark.parametrize("how", ["deleted", "overwritten"])
async def test_a_render_that_nobody_wants_any_more_is_called_off_by_the_heartbeat(world: World, how: str) -> None:
    submission, event = await world.uploaded()
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def for_ever() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    world.renderer.during = for_ever
    conversion = asyncio.create_task(world.converter.convert(event))
    await began.wait()
    await world.converter.renew_leases()
    assert not cancelled.is_set()

    world.renderer.during = None
    if how == "deleted":
        await world.catalog.delete(TENANT, submission.job.unique_id)
    else:
        await world.another_converter().convert(await world.source.put(event.key, b"other"))
    await world.converter.renew_leases()

    assert (await conversion).kind is OutcomeKind.SUPERSEDED
    assert cancelled.is_set()
    renders = len(world.renderer.rendered)
    assert (await world.quota.store.get(TENANT)).usage.pixels == renders * 12
