"""From an event to an outcome, whatever comes twice, late, out of order, or in the middle of something else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from processor import catalog, conversion
from processor.catalog import UploadRequest
from processor.conversion import CACHE_CONTROL, Outcome, OutcomeKind
from processor.errors import CorruptImage, DecoderCrashed, ImageNotFound, JobNotFound, TooManyJobs, Unavailable
from processor.events import JobRequested
from processor.images import STANDARD_VARIANTS, image_prefix, job_prefix
from processor.jobs import JobStatus, Terms
from processor.stores.memory import MemoryObjectStore
from tests.unit.world import TENANT, World


class Killed(BaseException):
    """The process is gone; nothing of it is tidied up."""


@pytest.fixture
def world() -> World:
    return World()


async def _status(world: World, processing_id: str) -> JobStatus:
    return (await world.jobs.get_job(processing_id)).status


# -- the straight way --------------------------------------------------------------------------------------------


async def test_an_upload_becomes_a_completed_job_with_every_variant_stored(world: World) -> None:
    submission, event = await world.uploaded()

    outcome = await world.converter.convert(event)

    job = await world.jobs.get_job(submission.job.processing_id)
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
    outcome = await world.converter.convert(replace(event, **change))  # type: ignore[arg-type]
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

    image = await world.jobs.get_image(submission.job.unique_id)
    assert outcome.kind is OutcomeKind.COMPLETED
    assert outcome.processing_id == image.current_job != submission.job.processing_id
    assert await _status(world, submission.job.processing_id) is JobStatus.COMPLETED


async def test_a_source_that_was_replaced_before_it_was_fetched_fails_as_superseded_and_the_newer_one_wins(
    world: World,
) -> None:
    submission, older = await world.uploaded(b"older")
    newer = await world.source.put(older.key, b"newer")

    outcomes = [await world.converter.convert(event) for event in (older, newer)]

    assert [(outcome.kind, outcome.code) for outcome in outcomes] == [
        (OutcomeKind.FAILED, "superseded"),
        (OutcomeKind.COMPLETED, None),
    ]
    assert outcomes[0].processing_id == submission.job.processing_id
    assert world.renderer.rendered == [b"newer"]


async def test_events_without_a_sequencer_still_do_the_work_once(world: World) -> None:
    _, event = await world.uploaded()
    bare = replace(event, sequencer="")
    assert [(await world.converter.convert(bare)).kind for _ in range(2)] == [
        OutcomeKind.COMPLETED,
        OutcomeKind.DUPLICATE,
    ]


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

    job = await world.jobs.get_job(submission.job.processing_id)
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

    old = await world.jobs.get_job(submission.job.processing_id)
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
        await world.jobs.get_job(submission.job.processing_id)


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
    before = await world.catalog.processed_images(TENANT, unique_id)
    outcome = await world.converter.convert(JobRequested(unique_id=unique_id, processing_id=again.processing_id))
    after = await world.catalog.processed_images(TENANT, unique_id)

    assert outcome.kind is OutcomeKind.COMPLETED
    assert {submission.job.processing_id in image.key for image in before} == {True}
    assert {again.processing_id in image.key for image in after} == {True}
    assert len(before) == len(after) == len(STANDARD_VARIANTS)


async def test_processing_again_during_the_work_supersedes_it(world: World) -> None:
    submission, event = await world.uploaded()
    requested = []

    async def meanwhile() -> None:
        world.renderer.during = None
        requested.append(await world.catalog.reprocess(TENANT, submission.job.unique_id))

    world.renderer.during = meanwhile
    first = await world.converter.convert(event)
    (again,) = requested
    second = await world.converter.convert(JobRequested(unique_id=again.unique_id, processing_id=again.processing_id))

    assert (first.kind, second.kind) == (OutcomeKind.SUPERSEDED, OutcomeKind.COMPLETED)
    assert len(await world.processed.list(image_prefix(again.unique_id))) == len(STANDARD_VARIANTS) + 1


# -- what goes wrong ---------------------------------------------------------------------------------------------


async def test_a_bad_file_fails_with_its_code_and_its_message(world: World) -> None:
    async def meanwhile() -> None:
        raise CorruptImage

    world.renderer.during = meanwhile
    submission, event = await world.uploaded()
    outcome = await world.converter.convert(event)

    job = await world.jobs.get_job(submission.job.processing_id)
    assert (outcome.kind, outcome.code) == (OutcomeKind.FAILED, "corrupt_image")
    assert job.error is not None
    assert (job.error.code, job.error.message) == ("corrupt_image", "The image is damaged or incomplete.")
    assert (await world.converter.convert(event)).kind is OutcomeKind.DUPLICATE


async def test_a_file_beyond_the_limit_fails_before_it_is_read(world: World) -> None:
    _, event = await world.uploaded(b"x" * 1001)
    outcome = await world.converter.convert(event)
    assert (outcome.kind, outcome.code) == (OutcomeKind.FAILED, "file_too_large")
    assert world.renderer.rendered == []


async def test_a_source_that_has_vanished_fails_the_job(world: World) -> None:
    _, event = await world.uploaded()
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
    job = await world.jobs.get_job(submission.job.processing_id)
    assert (job.status, job.error and job.error.code) == (JobStatus.FAILED, "unavailable")

    assert (await world.converter.convert(event)).kind is OutcomeKind.COMPLETED
    assert (await world.jobs.get_job(submission.job.processing_id)).error is None


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
            world.converter.lease_seconds = lease_seconds
            await world.converter.renew_leases()
            job = await world.jobs.get_job(submission.job.processing_id)
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
    await asyncio.wait_for(all_in_work.wait(), 10)
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
    submission = await world.catalog.submit(TENANT, request)
    event = await world.source.put(submission.job.original_key, b"photo")
    outcome = await world.converter.convert(event)
    assert outcome.code == code


async def test_what_was_announced_holds_for_every_later_upload_by_the_same_url() -> None:
    world = World()
    terms = Terms(content_type="image/jpeg", size=5)
    request = UploadRequest(filename="a.jpg", extension="jpg", terms=terms, expires_in_seconds=60)
    submission = await world.catalog.submit(TENANT, request)
    await world.converter.convert(await world.source.put(submission.job.original_key, b"photo"))
    outcome = await world.converter.convert(await world.source.put(submission.job.original_key, b"another"))
    assert outcome.code == "unexpected_file"


async def test_an_image_has_a_bounded_number_of_jobs_so_that_its_record_never_bursts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "MAX_JOBS", 3)
    monkeypatch.setattr(conversion, "MAX_JOBS", 3)
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    for _ in range(2):
        await world.catalog.reprocess(TENANT, submission.job.unique_id)
    with pytest.raises(TooManyJobs):
        await world.catalog.reprocess(TENANT, submission.job.unique_id)
    outcome = await world.converter.convert(await world.source.put(submission.job.original_key, b"more"))
    assert (outcome.kind, outcome.settles) == (OutcomeKind.REFUSED, True)
    assert len((await world.jobs.get_image(submission.job.unique_id)).job_ids) == 3
    await world.catalog.delete(TENANT, submission.job.unique_id)
