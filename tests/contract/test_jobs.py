"""What a job store promises of single records, and of an image and its jobs together."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta

import pytest

from processor import clock
from processor.costs import Cost, DayOfUse, added_up
from processor.errors import Conflict, ImageNotFound, JobNotFound, LeaseLost, RecordChanged, Unavailable
from processor.facts import Facts
from processor.images import StoredVariant, source_key, variant_key
from processor.jobs import (
    NOT_THE_FILES_FAULT,
    SUPERSEDED,
    UNAVAILABLE,
    Decision,
    Failure,
    FormatSet,
    Image,
    Job,
    JobStatus,
    Lease,
    Maker,
    Manifest,
    Source,
    Timings,
    decided,
    first_image,
    next_job,
    pending_job,
    published,
    with_end,
    withheld,
)
from processor.moments import Kind, Moment
from processor.ports.costs import CostStore
from processor.ports.jobs import JobQuery
from processor.recipes import STANDARD
from processor.stores.costs import DynamoCostStore
from processor.stores.dynamodb import DynamoJobStore
from processor.stores.memory import MemoryCostStore, MemoryJobStore
from processor.stores.table import Table
from processor.usage import day_of
from tests.contract.conftest import Records
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

DAY_SECONDS = 24 * 3600
RETENTION = timedelta(days=30)
RACES = "it checks a condition and writes in two steps, between which others get in"
#: What a URL or a message may hold instead of an id, among it the ids of records of other kinds.
NO_JOB_IDS = ("", "img_", "img_1_missing", "secret_cursor", "upload_x", "img_1 OR 1=1", "img_" + "x" * 3000, "ümg_1")


def lease(seconds: float = 60, token: str | None = None) -> Lease:
    return Lease(token=token or uuid.uuid4().hex, owner="pod-1/7", expires_at=time.time() + seconds)


def source(etag: str = "e" * 32) -> Source:
    return Source(etag=etag, size=12345, event_time="2026-01-02T03:04:05.678Z")


async def create(records: Records, **metadata: str) -> tuple[Image, Job]:
    unique_id = str(uuid.uuid4())
    key = source_key(unique_id, "jpg")
    job = pending_job(records.tenant, unique_id, key, "Grüße aus Köln.jpg", metadata=metadata, recipe=STANDARD)
    image = first_image(job)
    await records.store.create(image, job)
    return image, job


async def accept(records: Records) -> tuple[Image, Job]:
    image, job = await create(records)
    accepted = await records.store.accept(image, job, source(), int(time.time()) + 30 * DAY_SECONDS)
    return await records.store.image_of_any_tenant(image.unique_id), accepted


async def claim(records: Records, seconds: float = 60) -> tuple[Image, Job, Lease]:
    image, job = await accept(records)
    held = lease(seconds)
    return image, await records.store.claim(job.processing_id, held, clock.now(), "tests"), held


async def fail(records: Records, code: str = UNAVAILABLE) -> tuple[Image, Job]:
    image, job, held = await claim(records)
    failed = replace(job, status=JobStatus.FAILED, error=Failure(code=code, message="Away."))
    await records.store.finish(failed, held)
    return image, await records.store.job_of_any_tenant(job.processing_id)


def completed(job: Job) -> Job:
    variants = tuple(
        StoredVariant(
            name=name,
            key=variant_key(job.unique_id, job.processing_id, f"{name}.webp"),
            width=300,
            height=200,
            size=4567,
            content_type="image/webp",
            quality=80,
            sha256="0" * 64,
            stored_at=clock.now(),
        )
        for name in ("thumbnail", "medium", "large", "webp")
    )
    return replace(
        job,
        status=JobStatus.COMPLETED,
        variants=variants,
        manifest=Manifest(
            etag="e",
            sha256="1" * 64,
            size=99,
            format="jpeg",
            width=640,
            height=480,
            frames=1,
            encoder="libvips 8",
            effort=2,
            service="0",
        ),
        timings=Timings(download=1, process=20, upload=3, total=24),
        updated_at=clock.now(),
        expires_at=int(time.time()) + 40 * DAY_SECONDS,
    )


def successor(records: Records, image: Image, etag: str = "f" * 32) -> Job:
    return next_job(image, None, source(etag), RETENTION, recipe=STANDARD)


async def listed(records: Records, status: JobStatus | None = None) -> list[str]:
    page = await records.store.list(JobQuery(tenant=records.tenant, limit=100, status=status))
    return [job.processing_id for job in page.jobs]


async def outcomes(*calls: Awaitable[object]) -> tuple[int, list[BaseException]]:
    """How many succeeded, and what the others raised."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    return len(answers) - len(errors), errors


# -- create and read --------------------------------------------------------------------------------------------------


async def test_an_image_and_its_job_are_read_as_they_were_written(records: Records) -> None:
    image, job = await create(records, album="Größe", empty="")
    assert await records.store.image_of_any_tenant(image.unique_id) == image
    assert await records.store.job_of_any_tenant(job.processing_id) == job


async def test_a_tenant_reads_what_is_its_own_and_learns_nothing_of_what_is_anothers(records: Records) -> None:
    image, job = await create(records)
    assert await records.store.get_image(records.tenant, image.unique_id) == image
    assert await records.store.get_job(records.tenant, job.processing_id) == job
    for tenant, unique_id, processing_id in (
        ("stranger", image.unique_id, job.processing_id),
        ("", image.unique_id, job.processing_id),
        (records.tenant, str(uuid.uuid4()), "img_1_missing"),
    ):
        with pytest.raises(ImageNotFound) as no_image:
            await records.store.get_image(tenant, unique_id)
        with pytest.raises(JobNotFound) as no_job:
            await records.store.get_job(tenant, processing_id)
        assert (type(no_image.value), no_image.value.message) == (ImageNotFound, ImageNotFound().message)
        assert (type(no_job.value), no_job.value.message) == (JobNotFound, JobNotFound().message)


async def test_what_exists_is_not_created_again(records: Records) -> None:
    image, job = await create(records)
    other = pending_job(records.tenant, image.unique_id, image.key, "other.jpg", recipe=STANDARD)
    with pytest.raises(RecordChanged):
        await records.store.create(first_image(other), other)
    assert await records.store.image_of_any_tenant(image.unique_id) == image
    with pytest.raises(JobNotFound):
        await records.store.job_of_any_tenant(other.processing_id)
    with pytest.raises(RecordChanged):
        await records.store.create(replace(image, unique_id=str(uuid.uuid4())), job)


@pytest.mark.parametrize("processing_id", NO_JOB_IDS)
async def test_no_other_id_is_a_job(records: Records, processing_id: str) -> None:
    await records.store.signing_key("cursor")
    with pytest.raises(JobNotFound):
        await records.store.job_of_any_tenant(processing_id)
    with pytest.raises(Conflict):
        await records.store.claim(processing_id, lease(), clock.now(), "tests")


@pytest.mark.parametrize("unique_id", ["", str(uuid.UUID(int=0)), "x" * 3000, "img 1"])
async def test_no_other_id_is_an_image(records: Records, unique_id: str) -> None:
    with pytest.raises(ImageNotFound):
        await records.store.image_of_any_tenant(unique_id)


async def test_an_expired_record_is_as_good_as_gone(records: Records) -> None:
    image, job = await create(records)
    records.clock.passed = job.expires_at - time.time() + 1
    with pytest.raises(ImageNotFound):
        await records.store.image_of_any_tenant(image.unique_id)
    with pytest.raises(JobNotFound):
        await records.store.job_of_any_tenant(job.processing_id)
    assert await listed(records) == []
    with pytest.raises(RecordChanged):
        await records.store.accept(image, job, source(), job.expires_at + DAY_SECONDS)
    with pytest.raises(RecordChanged):
        await records.store.tombstone(image, clock.now(), job.expires_at + DAY_SECONDS)


async def test_an_expired_job_is_not_claimed(records: Records) -> None:
    _, job = await accept(records)
    later = clock.now() + timedelta(days=31)
    with pytest.raises(Conflict):
        await records.store.claim(job.processing_id, lease(), later, "tests")


# -- accept -----------------------------------------------------------------------------------------------------------


async def test_an_accepted_job_is_uploaded_and_its_image_lives_on(records: Records) -> None:
    image, job = await create(records)
    expires_at = int(time.time()) + 30 * DAY_SECONDS
    accepted = await records.store.accept(image, job, source("00AB"), expires_at)
    assert (accepted.status, accepted.source, accepted.expires_at) == (JobStatus.UPLOADED, source("00AB"), expires_at)
    assert accepted.updated_at >= job.updated_at
    assert await records.store.job_of_any_tenant(job.processing_id) == accepted
    assert await records.store.image_of_any_tenant(image.unique_id) == replace(image, expires_at=None)
    assert await listed(records, JobStatus.PENDING) == []
    assert await listed(records, JobStatus.UPLOADED) == [job.processing_id]


async def test_an_accepted_job_is_claimed_in_the_same_write_if_there_is_a_lease(records: Records) -> None:
    image, job = await create(records)
    held, expires_at = lease(), int(time.time()) + DAY_SECONDS
    begun = await records.store.accept(image, job, source(), expires_at, lease=held, maker="tests")
    assert (begun.status, begun.lease, begun.attempts, begun.maker) == (JobStatus.PROCESSING, held, 1, "tests")
    assert [moment.kind for moment in begun.moments[-2:]] == [Kind.UPLOADED, Kind.PROCESSING]
    assert await records.store.job_of_any_tenant(job.processing_id) == begun
    assert await listed(records, JobStatus.PROCESSING) == [job.processing_id]
    with pytest.raises(Conflict):
        await records.store.claim(job.processing_id, lease(), clock.now(), "tests")
    await records.store.finish(completed(begun), held)


async def test_a_refused_upload_is_not_claimed(records: Records) -> None:
    image, job = await create(records)
    why = Failure(code="image_limit_reached", message="Too many.")
    expires_at = int(time.time()) + DAY_SECONDS
    refused = await records.store.accept(
        image, job, source(), expires_at, counted=False, refusal=why, lease=lease(), maker="tests"
    )
    assert (refused.status, refused.lease, refused.attempts) == (JobStatus.FAILED, None, 0)
    assert await records.store.job_of_any_tenant(job.processing_id) == refused


async def test_a_job_is_accepted_once(records: Records) -> None:
    image, job = await create(records)
    expires_at = int(time.time()) + DAY_SECONDS
    await records.store.accept(image, job, source(), expires_at)
    with pytest.raises(RecordChanged):
        await records.store.accept(image, job, source(), expires_at)
    with pytest.raises(RecordChanged):
        await records.store.accept(
            await records.store.image_of_any_tenant(image.unique_id), job, source("0066"), expires_at
        )


async def test_of_concurrent_accepts_one_wins(records: Records) -> None:
    records.backend.skip_on("moto", because=RACES)
    image, job = await create(records)
    expires_at = int(time.time()) + DAY_SECONDS
    calls = [records.store.accept(image, job, source(f"00{n}"), expires_at) for n in range(5)]
    won, lost = await outcomes(*calls)
    assert won == 1
    assert all(isinstance(error, RecordChanged) for error in lost)
    assert (await records.store.job_of_any_tenant(job.processing_id)).source in [source(f"00{n}") for n in range(5)]


async def test_nothing_is_accepted_for_a_deleted_image(records: Records) -> None:
    image, job = await create(records)
    await records.store.tombstone(image, clock.now(), int(time.time()) + DAY_SECONDS)
    with pytest.raises(RecordChanged):
        await records.store.accept(image, job, source(), int(time.time()) + DAY_SECONDS)
    with pytest.raises(JobNotFound):
        await records.store.job_of_any_tenant(job.processing_id)


# -- replace ----------------------------------------------------------------------------------------------------------


async def test_the_new_job_is_current_and_the_old_one_has_failed_as_superseded(records: Records) -> None:
    image, old = await accept(records)
    new = successor(records, image, "00FF")
    await records.store.replace(image, old, new)
    stored = await records.store.image_of_any_tenant(image.unique_id)
    assert stored.current_job == new.processing_id
    assert stored.job_ids == (old.processing_id, new.processing_id)
    assert await records.store.job_of_any_tenant(new.processing_id) == new
    superseded = await records.store.job_of_any_tenant(old.processing_id)
    assert superseded.status is JobStatus.FAILED
    assert superseded.error
    assert superseded.error.code == SUPERSEDED
    assert superseded.superseded_by == new.processing_id
    assert await listed(records) == [new.processing_id]
    assert await listed(records, JobStatus.UPLOADED) == [new.processing_id]
    assert await listed(records, JobStatus.FAILED) == []


async def test_a_completed_job_stays_what_it_is_when_it_is_replaced_and_names_its_successor(records: Records) -> None:
    image, job, held = await claim(records)
    await records.store.finish(completed(job), held)
    old = await records.store.job_of_any_tenant(job.processing_id)
    new = replace(successor(records, image), previous_job=old.processing_id)
    await records.store.replace(image, old, new)
    assert await records.store.job_of_any_tenant(old.processing_id) == replace(old, superseded_by=new.processing_id)
    assert (await records.store.job_of_any_tenant(new.processing_id)).previous_job == old.processing_id
    assert await listed(records) == [new.processing_id]
    assert await listed(records, JobStatus.COMPLETED) == []


async def test_a_review_is_decided_once_and_published_once(records: Records) -> None:
    _, job, held = await claim(records)
    made = replace(completed(job), facts=Facts.of({"colour": "#aabbcc"}, ("colour",)))
    waiting = replace(withheld(made, "preset", clock.now()), updated_at=clock.now())
    await records.store.finish(waiting, held)
    stored = await records.store.job_of_any_tenant(job.processing_id)
    assert (stored.status, stored.variants, stored.review) == (JobStatus.NEEDS_REVIEW, (), waiting.review)
    approved = decided(stored, Decision.APPROVED, clock.now(), by="key:a", comment="Grüße")
    await records.store.decide(approved)
    await records.store.decide(approved)  # as after an answer that was lost
    with pytest.raises(RecordChanged):
        await records.store.decide(decided(stored, Decision.REJECTED, clock.now(), by="key:b"))
    assert await records.store.job_of_any_tenant(job.processing_id) == approved
    out = published(approved, made.variants, clock.now(), stored.expires_at)
    await records.store.publish(out)
    with pytest.raises(RecordChanged):
        await records.store.publish(out)
    assert await records.store.job_of_any_tenant(job.processing_id) == out


async def test_what_nobody_has_approved_is_not_published(records: Records) -> None:
    image, job, held = await claim(records)
    await records.store.finish(withheld(completed(job), "preset", clock.now()), held)
    stored = await records.store.job_of_any_tenant(job.processing_id)
    out = published(decided(stored, Decision.APPROVED, clock.now()), (), clock.now(), stored.expires_at)
    with pytest.raises(RecordChanged):
        await records.store.publish(out)
    new = successor(records, image)
    await records.store.replace(image, stored, new)
    with pytest.raises(RecordChanged):
        await records.store.decide(decided(stored, Decision.APPROVED, clock.now()))
    old = await records.store.job_of_any_tenant(job.processing_id)
    assert (old.status, old.review, old.superseded_by) == (JobStatus.FAILED, None, new.processing_id)


async def test_an_image_whose_job_has_expired_gets_a_new_one(records: Records) -> None:
    image, _ = await accept(records)
    records.clock.passed = 31 * DAY_SECONDS
    new = replace(successor(records, image), expires_at=int(time.time()) + 60 * DAY_SECONDS)
    await records.store.replace(image, None, new)
    assert (await records.store.image_of_any_tenant(image.unique_id)).current_job == new.processing_id
    assert await listed(records) == [new.processing_id]


async def test_a_job_that_exists_does_not_become_another_images_job(records: Records) -> None:
    image, old = await accept(records)
    _, foreign = await accept(records)
    with pytest.raises(RecordChanged):
        await records.store.replace(image, old, foreign)
    assert await records.store.image_of_any_tenant(image.unique_id) == image
    assert await records.store.job_of_any_tenant(old.processing_id) == old


async def test_what_changed_in_the_meantime_is_not_replaced(records: Records) -> None:
    image, old = await accept(records)
    with pytest.raises(RecordChanged):
        await records.store.replace(replace(image, current_job="img_1_other"), old, successor(records, image))
    await records.store.claim(old.processing_id, lease(), clock.now(), "tests")
    new = successor(records, image)
    with pytest.raises(RecordChanged):
        await records.store.replace(image, old, new)
    with pytest.raises(JobNotFound):
        await records.store.job_of_any_tenant(new.processing_id)
    await records.store.tombstone(image, clock.now(), int(time.time()) + DAY_SECONDS)
    with pytest.raises(RecordChanged):
        await records.store.replace(image, None, new)


async def test_of_concurrent_replacements_one_wins(records: Records) -> None:
    records.backend.skip_on("moto", because=RACES)
    image, old = await accept(records)
    news = [successor(records, image, f"00A{n}") for n in range(5)]
    won, lost = await outcomes(*(records.store.replace(image, old, new) for new in news))
    assert won == 1
    assert all(isinstance(error, RecordChanged) for error in lost)
    stored = await records.store.image_of_any_tenant(image.unique_id)
    assert await listed(records) == [stored.current_job]
    assert stored.job_ids == (old.processing_id, stored.current_job)
    assert stored.current_job in {new.processing_id for new in news}
    superseded = await records.store.job_of_any_tenant(old.processing_id)
    assert superseded.superseded_by == stored.current_job


async def test_whoever_works_on_a_replaced_job_has_lost_its_lease(records: Records) -> None:
    image, old, held = await claim(records)
    await records.store.replace(image, old, successor(records, image))
    for late in (
        records.store.renew(old.processing_id, held),
        records.store.release(old.processing_id, held),
        records.store.finish(completed(old), held),
    ):
        with pytest.raises(LeaseLost):
            await late
    with pytest.raises(Conflict):
        await records.store.claim(old.processing_id, lease(), clock.now(), "tests")
    assert (await records.store.job_of_any_tenant(old.processing_id)).variants == ()


# -- what is asked for and by whom it is made --------------------------------------------------------------------------


async def test_a_record_says_what_was_asked_and_who_began_whoever_goes_on(records: Records) -> None:
    _, job, held = await claim(records)
    assert (job.recipe, job.maker) == (STANDARD, "tests")

    await records.store.release(job.processing_id, held)
    other = await records.store.claim(job.processing_id, lease(), clock.now(), "others")

    assert (other.recipe, other.maker) == (STANDARD, "tests")


async def test_what_is_stored_so_far_is_noted_and_gone_with_whoever_takes_over(records: Records) -> None:
    image, job, held = await claim(records, seconds=-1)
    some = completed(job).variants[:2]

    await records.store.note(job.processing_id, held, some)

    assert (await records.store.job_of_any_tenant(job.processing_id)).variants == some
    taken = await records.store.claim(job.processing_id, lease(), clock.now(), "tests")
    assert taken.variants == ()
    with pytest.raises(LeaseLost):
        await records.store.note(job.processing_id, held, some)
    assert image.current_job == job.processing_id


async def test_a_job_that_fails_or_is_replaced_shows_nothing_of_what_was_noted(records: Records) -> None:
    image, job, held = await claim(records)
    await records.store.note(job.processing_id, held, completed(job).variants[:1])
    failure = Failure(code=UNAVAILABLE, message="Away.")
    await records.store.finish(replace(job, status=JobStatus.FAILED, error=failure), held)
    assert (await records.store.job_of_any_tenant(job.processing_id)).variants == ()

    again = lease()
    job = await records.store.claim(job.processing_id, again, clock.now(), "tests")
    await records.store.note(job.processing_id, again, completed(job).variants[:1])
    await records.store.replace(image, job, successor(records, image))
    assert (await records.store.job_of_any_tenant(job.processing_id)).variants == ()


# -- claim ------------------------------------------------------------------------------------------------------------


async def test_a_claimed_job_is_processing_under_the_lease(records: Records) -> None:
    _, job = await accept(records)
    held, now = lease(), clock.now()
    claimed = await records.store.claim(job.processing_id, held, now, "tests")
    begun = (*job.moments, Moment(kind=Kind.PROCESSING, at=now))
    expected = replace(job, status=JobStatus.PROCESSING, lease=held, attempts=1, maker="tests", updated_at=now)
    assert claimed == replace(expected, moments=begun)
    assert await records.store.job_of_any_tenant(job.processing_id) == claimed
    assert await listed(records, JobStatus.UPLOADED) == []
    assert await listed(records, JobStatus.PROCESSING) == [job.processing_id]


async def test_a_job_that_is_pending_in_work_or_ended_is_not_claimed(records: Records) -> None:
    _, pending = await create(records)
    _, busy, _ = await claim(records)
    _, job, held = await claim(records)
    await records.store.finish(completed(job), held)
    _, rejected, rejected_lease = await claim(records)
    error = Failure(code="corrupt_image", message="Damaged.")
    await records.store.finish(replace(rejected, status=JobStatus.FAILED, error=error), rejected_lease)
    for each in (pending, busy, job, rejected):
        with pytest.raises(Conflict):
            await records.store.claim(each.processing_id, lease(), clock.now(), "tests")


async def test_of_concurrent_claims_exactly_one_wins(records: Records) -> None:
    records.backend.skip_on("moto", because=RACES)
    _, job = await accept(records)
    calls = [records.store.claim(job.processing_id, lease(), clock.now(), "tests") for _ in range(8)]
    won, lost = await outcomes(*calls)
    assert won == 1
    assert all(isinstance(error, Conflict) for error in lost)
    assert (await records.store.job_of_any_tenant(job.processing_id)).attempts == 1


async def test_a_claim_that_is_repeated_under_its_own_lease_is_the_same_claim(records: Records) -> None:
    _, job, held = await claim(records)
    again = await records.store.claim(job.processing_id, held, clock.now(), "tests")
    assert again == job
    assert again.attempts == 1


async def test_a_job_whose_lease_has_run_out_changes_hands(records: Records) -> None:
    _, job, lost = await claim(records, seconds=-1)
    held = lease()
    again = await records.store.claim(job.processing_id, held, clock.now(), "tests")
    assert (again.lease, again.attempts) == (held, 2)
    for late in (
        records.store.renew(job.processing_id, lost),
        records.store.release(job.processing_id, lost),
        records.store.finish(completed(job), lost),
    ):
        with pytest.raises(LeaseLost):
            await late
    await records.store.finish(completed(again), held)


@pytest.mark.parametrize("code", sorted(NOT_THE_FILES_FAULT))
async def test_a_job_that_failed_through_no_fault_of_its_file_is_taken_up_again(records: Records, code: str) -> None:
    _, job = await fail(records, code)
    again = await records.store.claim(job.processing_id, lease(), clock.now(), "tests")
    assert (again.status, again.error, again.attempts) == (JobStatus.PROCESSING, None, 2)
    assert await listed(records, JobStatus.FAILED) == []
    assert await listed(records, JobStatus.PROCESSING) == [job.processing_id]


async def test_a_job_that_was_given_up_and_then_replaced_is_not_taken_up_again(records: Records) -> None:
    image, job = await fail(records)
    new = successor(records, image)
    await records.store.replace(image, job, new)
    with pytest.raises(Conflict):
        await records.store.claim(job.processing_id, lease(), clock.now(), "tests")
    assert await listed(records) == [new.processing_id]


# -- renew, release, finish, fail -------------------------------------------------------------------------------------


async def test_a_renewed_lease_lasts_longer(records: Records) -> None:
    _, job, held = await claim(records, seconds=-1)
    longer = replace(held, expires_at=time.time() + 600)
    await records.store.renew(job.processing_id, longer)
    assert (await records.store.job_of_any_tenant(job.processing_id)).lease == longer
    with pytest.raises(Conflict):
        await records.store.claim(job.processing_id, lease(), clock.now(), "tests")


async def test_only_the_holder_touches_a_job_in_work(records: Records) -> None:
    _, job, _ = await claim(records)
    for foreign in (
        records.store.renew(job.processing_id, lease()),
        records.store.release(job.processing_id, lease()),
        records.store.finish(completed(job), lease()),
        records.store.renew("img_1_missing", lease()),
    ):
        with pytest.raises(LeaseLost):
            await foreign
    assert await records.store.job_of_any_tenant(job.processing_id) == job


async def test_a_released_job_can_be_claimed_at_once(records: Records) -> None:
    _, job, held = await claim(records, seconds=600)
    await records.store.release(job.processing_id, held)
    await records.store.release(job.processing_id, held)  # as after an answer that was lost
    again = await records.store.claim(job.processing_id, lease(), clock.now(), "tests")
    assert again.attempts == 1  # a try that was given back does not count
    with pytest.raises(LeaseLost):
        await records.store.release(job.processing_id, held)


async def test_a_heartbeat_does_not_bring_back_a_released_lease(records: Records) -> None:
    _, job, held = await claim(records)
    await records.store.release(job.processing_id, held)
    with pytest.raises(LeaseLost):
        await records.store.renew(job.processing_id, held)


async def test_a_finished_job_shows_its_outcome(records: Records) -> None:
    _, job, held = await claim(records)
    outcome = completed(job)
    await records.store.finish(outcome, held)
    assert await records.store.job_of_any_tenant(job.processing_id) == replace(
        with_end(outcome), lease=None, uncounted=False, uncounted_bytes=0
    )
    assert await listed(records, JobStatus.PROCESSING) == []
    assert await listed(records, JobStatus.COMPLETED) == [job.processing_id]


async def owing(records: Records) -> tuple[Image, Job, Lease]:
    """A completed job that is taken up for the format that it owes."""
    image, job, held = await claim(records)
    await records.store.finish(replace(completed(job), owed=("avif",)), held)
    taken = lease()
    return image, await records.store.take_up(job.processing_id, taken, clock.now()), taken


def paid(job: Job) -> Job:
    maker = Maker(encoder="libvips 8", service="0")
    made = FormatSet(format="avif", maker=maker, variants=completed(job).variants)
    return replace(job, owed=(), further=(made,), updated_at=clock.now())


async def test_a_completed_job_is_taken_up_for_what_it_owes_and_then_shows_it(records: Records) -> None:
    _, job, held = await owing(records)
    assert (job.status, job.owed, job.attempts, job.lease) == (JobStatus.COMPLETED, ("avif",), 2, held)
    await records.store.renew(job.processing_id, replace(held, expires_at=held.expires_at + 60))

    outcome = paid(job)
    await records.store.amend(outcome, held)
    await records.store.amend(outcome, held)  # as after an answer that was lost

    assert await records.store.job_of_any_tenant(job.processing_id) == replace(outcome, lease=None)
    assert await listed(records, JobStatus.COMPLETED) == [job.processing_id]
    with pytest.raises(Conflict):
        await records.store.take_up(job.processing_id, lease(), clock.now())
    with pytest.raises(LeaseLost):
        await records.store.renew(job.processing_id, held)


SPENT = Cost(cpu_ms=600, pixels=12_000_000, bytes_in=1000, bytes_out=400, bytes_saved=700)
MORE = Cost(cpu_ms=900, bytes_out=200)


def costs(records: Records) -> CostStore:
    if isinstance(records.store, MemoryJobStore):
        return MemoryCostStore(records.store)
    assert records.backend.service
    assert records.backend.made
    return DynamoCostStore(Table(records.backend.service, records.backend.made.names.table))


async def test_a_job_counts_once_for_its_day_and_key_whatever_is_repeated(records: Records) -> None:
    _, job, held = await claim(records)
    outcome = replace(completed(job), owed=("avif",), cost=SPENT)
    for _ in range(3):
        await records.store.finish(outcome, held)
    with pytest.raises(LeaseLost):
        await records.store.finish(outcome, lease())
    taken = lease()
    job = await records.store.take_up(job.processing_id, taken, clock.now())
    amended = replace(paid(job), cost=SPENT + MORE)
    for _ in range(2):
        await records.store.amend(amended, taken, MORE)

    day = day_of(outcome.updated_at)
    page = await costs(records).days(records.tenant, day, day_of(amended.updated_at))
    (used,) = added_up(replace(each, day=day) for each in page.days)
    assert used == DayOfUse(day=day, completed=1, cost=SPENT + MORE)
    assert (await records.store.job_of_any_tenant(job.processing_id)).cost == SPENT + MORE


async def test_a_job_whose_end_is_written_several_times_at_once_counts_once(records: Records) -> None:
    records.backend.skip_on("moto", because=RACES)
    _, job, held = await claim(records)
    outcome = replace(completed(job), cost=SPENT)

    await asyncio.gather(*(records.store.finish(outcome, held) for _ in range(3)))

    day = day_of(outcome.updated_at)
    page = await costs(records).days(records.tenant, day, day)
    (used,) = added_up(replace(each, day=day) for each in page.days)
    assert used == DayOfUse(day=day, completed=1, cost=SPENT)


async def test_days_are_added_up_by_key_over_all_their_parts_and_no_other_day_or_tenant_is_among_them(
    records: Records,
) -> None:
    day = ""
    for number in range(12):
        _, job, held = await claim(records)
        outcome = replace(completed(job), cost=SPENT)
        day = day_of(outcome.updated_at)
        if number % 3 == 0:
            error = Failure(code="corrupt_image", message="The image is damaged.")
            outcome = replace(job, status=JobStatus.FAILED, error=error, cost=SPENT, updated_at=outcome.updated_at)
        await records.store.finish(outcome, held)
    page = await costs(records).days(records.tenant, "2020-01-01", "2100-01-01")
    (used,) = added_up(replace(each, day=day) for each in page.days)
    assert (used.completed, used.failed, used.cost.cpu_ms) == (8, 4, 12 * 600)
    assert (await costs(records).days(records.tenant, "2020-01-01", "2020-12-31")).days == ()
    assert (await costs(records).days(f"{records.tenant}x", "2020-01-01", "2100-01-01")).days == ()


async def test_a_format_that_could_not_be_made_leaves_its_reason(records: Records) -> None:
    _, job, held = await owing(records)
    made = FormatSet(format="avif", error=Failure(code="timed_out", message="Too slow.", limit=60))
    await records.store.amend(replace(job, owed=(), further=(made,)), held)
    assert (await records.store.job_of_any_tenant(job.processing_id)).further == (made,)


async def test_what_is_owed_is_taken_up_by_one_at_a_time_and_again_when_that_one_is_gone(records: Records) -> None:
    _, job, held = await owing(records)
    with pytest.raises(Conflict):
        await records.store.take_up(job.processing_id, lease(), clock.now())
    assert await records.store.take_up(job.processing_id, held, clock.now()) == job  # the same call again

    later = clock.now() + timedelta(seconds=61)
    again = await records.store.take_up(job.processing_id, lease(seconds=120), later)
    assert again.attempts == 3
    with pytest.raises(LeaseLost):
        await records.store.amend(paid(job), held)

    assert again.lease is not None
    await records.store.release(job.processing_id, again.lease)
    third = await records.store.take_up(job.processing_id, lease(), clock.now())
    assert third.attempts == 3  # a try that was given back does not count


async def test_a_job_that_was_replaced_or_deleted_owes_nothing_any_more(records: Records) -> None:
    image, job, held = await owing(records)
    await records.store.replace(image, job, successor(records, image))
    found = await records.store.job_of_any_tenant(job.processing_id)
    assert (found.status, found.owed, found.lease) == (JobStatus.COMPLETED, (), None)
    with pytest.raises(LeaseLost):
        await records.store.amend(paid(job), held)

    image, job, held = await owing(records)
    await records.store.tombstone(image, clock.now(), int(time.time()) + DAY_SECONDS)
    with pytest.raises(LeaseLost):
        await records.store.amend(paid(job), held)
    with pytest.raises(Conflict):
        await records.store.take_up(job.processing_id, lease(), clock.now())


async def test_a_job_that_owes_nothing_is_not_taken_up(records: Records) -> None:
    _, job, held = await claim(records)
    with pytest.raises(Conflict):
        await records.store.take_up(job.processing_id, lease(), clock.now())
    await records.store.finish(completed(job), held)
    with pytest.raises(Conflict):
        await records.store.take_up(job.processing_id, lease(), clock.now())
    with pytest.raises(Conflict):
        await records.store.take_up("img_1_missing", lease(), clock.now())


async def test_a_job_that_fails_says_why(records: Records) -> None:
    _, job, held = await claim(records)
    error = Failure(code="corrupt_image", message="The image is damaged or incomplete.")
    outcome = replace(job, status=JobStatus.FAILED, error=error, updated_at=clock.now())
    await records.store.finish(outcome, held)
    assert await records.store.job_of_any_tenant(job.processing_id) == replace(
        with_end(outcome), lease=None, uncounted=False, uncounted_bytes=0
    )
    assert await listed(records, JobStatus.FAILED) == [job.processing_id]


async def test_a_job_that_fails_over_a_limit_keeps_the_numbers(records: Records) -> None:
    _, job, held = await claim(records)
    error = Failure(code="too_many_frames", message="The animation has 600 frames.", limit=500, actual=600)
    await records.store.finish(replace(job, status=JobStatus.FAILED, error=error, updated_at=clock.now()), held)
    found = (await records.store.job_of_any_tenant(job.processing_id)).error
    assert found == error
    assert [type(number) for number in (found.limit, found.actual)] == [int, int]


async def test_an_outcome_may_be_written_twice_but_not_changed(records: Records) -> None:
    _, job, held = await claim(records)
    outcome = completed(job)
    await records.store.finish(outcome, held)
    await records.store.finish(outcome, held)  # as after an answer that was lost
    with pytest.raises(LeaseLost):
        await records.store.finish(replace(job, status=JobStatus.FAILED), held)
    with pytest.raises(LeaseLost):
        await records.store.finish(outcome, lease())
    assert (await records.store.job_of_any_tenant(job.processing_id)).status is JobStatus.COMPLETED


async def test_a_job_that_nobody_holds_is_failed(records: Records) -> None:
    _, job = await accept(records)
    failed = replace(
        job, status=JobStatus.FAILED, error=Failure(code=UNAVAILABLE, message="Not queued."), updated_at=clock.now()
    )
    await records.store.fail(failed)
    assert await records.store.job_of_any_tenant(job.processing_id) == with_end(failed)
    assert await listed(records, JobStatus.FAILED) == [job.processing_id]
    assert await listed(records, JobStatus.UPLOADED) == []


async def test_a_job_in_work_or_pending_is_not_failed_from_outside(records: Records) -> None:
    _, pending = await create(records)
    _, busy, _ = await claim(records)
    for job in (pending, busy):
        with pytest.raises(RecordChanged):
            await records.store.fail(replace(job, error=Failure(code=UNAVAILABLE, message="No.")))
        assert await records.store.job_of_any_tenant(job.processing_id) == job


# -- delete -----------------------------------------------------------------------------------------------------------


async def test_a_tombstone_stays_and_its_current_job_goes(records: Records) -> None:
    image, job = await accept(records)
    deleted_at, expires_at = clock.now(), int(time.time()) + DAY_SECONDS
    written = await records.store.tombstone(image, deleted_at, expires_at)
    assert written == replace(image, deleted_at=deleted_at, expires_at=expires_at)
    assert await records.store.image_of_any_tenant(image.unique_id) == written
    with pytest.raises(JobNotFound):
        await records.store.job_of_any_tenant(job.processing_id)
    assert await listed(records) == []
    records.clock.passed = DAY_SECONDS + 1
    with pytest.raises(ImageNotFound):
        await records.store.image_of_any_tenant(image.unique_id)


async def test_an_image_whose_job_has_expired_can_be_deleted(records: Records) -> None:
    image, job = await accept(records)
    records.clock.passed = 31 * DAY_SECONDS
    with pytest.raises(JobNotFound):
        await records.store.job_of_any_tenant(job.processing_id)
    await records.store.tombstone(image, clock.now(), int(time.time()) + 60 * DAY_SECONDS)
    assert (await records.store.image_of_any_tenant(image.unique_id)).deleted_at


async def test_an_image_is_deleted_once_and_not_when_its_job_has_changed(records: Records) -> None:
    image, job = await accept(records)
    await records.store.replace(image, job, successor(records, image))
    expires_at = int(time.time()) + DAY_SECONDS
    with pytest.raises(RecordChanged):
        await records.store.tombstone(image, clock.now(), expires_at)
    image = await records.store.image_of_any_tenant(image.unique_id)
    await records.store.tombstone(image, clock.now(), expires_at)
    with pytest.raises(RecordChanged):
        await records.store.tombstone(image, clock.now(), expires_at)


async def test_of_a_delete_and_a_new_job_one_wins(records: Records) -> None:
    records.backend.skip_on("moto", because=RACES)
    image, job = await accept(records)
    new = successor(records, image)
    won, lost = await outcomes(
        records.store.replace(image, job, new),
        records.store.tombstone(image, clock.now(), int(time.time()) + DAY_SECONDS),
    )
    assert won == 1
    assert isinstance(lost[0], RecordChanged)
    deleted = (await records.store.image_of_any_tenant(image.unique_id)).deleted_at is not None
    assert await listed(records) == ([] if deleted else [new.processing_id])


async def test_no_outcome_is_written_for_a_deleted_image(records: Records) -> None:
    image, job, held = await claim(records)
    await records.store.tombstone(image, clock.now(), int(time.time()) + DAY_SECONDS)
    with pytest.raises(LeaseLost):
        await records.store.finish(completed(job), held)
    with pytest.raises(JobNotFound):
        await records.store.job_of_any_tenant(job.processing_id)


async def test_every_job_of_a_deleted_image_is_forgotten(records: Records) -> None:
    image, job = await accept(records)
    for number in range(27):  # more than a batch takes
        new = successor(records, image, f"01{number:02}")
        await records.store.replace(image, job, new)
        image, job = await records.store.image_of_any_tenant(image.unique_id), new
    image = await records.store.tombstone(image, clock.now(), int(time.time()) + DAY_SECONDS)
    erased_at = clock.now()
    await records.store.forget_jobs(image, erased_at)
    assert await records.store.image_of_any_tenant(image.unique_id) == replace(image, erased_at=erased_at)
    assert len(image.job_ids) == 28
    for processing_id in image.job_ids:
        with pytest.raises(JobNotFound):
            await records.store.job_of_any_tenant(processing_id)
    await records.store.forget_jobs(image, erased_at)


async def test_forgetting_does_not_revive_a_tombstone_that_is_gone(records: Records) -> None:
    job = pending_job(records.tenant, str(uuid.uuid4()), "uploads/x.jpg", "x.jpg", recipe=STANDARD)
    image = replace(first_image(job), deleted_at=clock.now())
    await records.store.forget_jobs(image, clock.now())
    with pytest.raises(ImageNotFound):
        await records.store.image_of_any_tenant(image.unique_id)


# -- the rest ---------------------------------------------------------------------------------------------------------


async def test_a_signing_key_stays_the_same_and_each_name_has_its_own(records: Records) -> None:
    name = uuid.uuid4().hex
    key = await records.store.signing_key(name)
    assert len(key) == 32
    assert await records.store.signing_key(name) == key
    assert await records.store.signing_key(f"{name}-other") != key


async def test_whoever_asks_first_at_once_gets_the_same_signing_key(records: Records) -> None:
    records.backend.skip_on("moto", because=RACES)
    name = uuid.uuid4().hex
    keys = await asyncio.gather(*(records.store.signing_key(name) for _ in range(6)))
    assert len(set(keys)) == 1


async def test_a_table_that_is_there_answers(records: Records) -> None:
    await records.store.ping()


async def test_a_table_that_is_not_there_is_unavailable(records: Records) -> None:
    records.backend.skip_on("memory", because="it is always there")
    assert records.backend.service
    missing = DynamoJobStore(Table(records.backend.service, "no-such-table"))
    image, job = await create(records)
    calls: list[Awaitable[object]] = [
        missing.ping(),
        missing.job_of_any_tenant(job.processing_id),
        missing.image_of_any_tenant(image.unique_id),
        missing.create(image, job),
        missing.claim(job.processing_id, lease(), clock.now(), "tests"),
        missing.list(JobQuery(tenant="t", limit=1)),
        missing.signing_key("cursor"),
        missing.forget_jobs(image, clock.now()),
    ]
    for call in calls:
        with pytest.raises(Unavailable) as raised:
            await call
        assert raised.value.message == Unavailable().message


# -- pending uploads and known files ----------------------------------------------------------------------------------


async def test_a_pending_upload_lives_on_with_its_terms(records: Records) -> None:
    image, job = await create(records)
    later = job.expires_at + 3600
    extended = await records.store.extend(image, job, later)
    assert extended.expires_at == later
    assert await records.store.job_of_any_tenant(job.processing_id) == extended
    assert (await records.store.image_of_any_tenant(image.unique_id)).expires_at == later


async def test_an_upload_that_has_come_or_is_deleted_is_not_extended(records: Records) -> None:
    came, job = await accept(records)
    gone, pending = await create(records)
    await records.store.tombstone(gone, clock.now(), int(time.time()) + 100)
    for image, stale in ((came, job), (gone, pending)):
        with pytest.raises(RecordChanged):
            await records.store.extend(image, stale, stale.expires_at + 3600)


async def test_a_completed_file_is_found_by_its_digest_in_its_own_tenant(records: Records) -> None:
    _, job, held = await claim(records)
    done = completed(job)
    assert done.manifest is not None
    digest = hashlib.sha256(job.processing_id.encode()).hexdigest()
    await records.store.finish(replace(done, manifest=replace(done.manifest, sha256=digest)), held)

    async def found() -> bool:
        return await records.store.find_completed(records.tenant, digest) == (job.processing_id,)

    await eventually(found, what="the file")
    assert await records.store.find_completed("stranger", digest) == ()
    assert await records.store.find_completed(records.tenant, "0" * 64) == ()


@pytest.mark.parametrize("end", ["replaced", "deleted", "failed"])
async def test_what_is_replaced_deleted_or_failed_is_not_found_by_its_digest(records: Records, end: str) -> None:
    image, job, held = await claim(records)
    done = completed(job)
    assert done.manifest is not None
    digest = hashlib.sha256(job.processing_id.encode()).hexdigest()
    status = JobStatus.FAILED if end == "failed" else JobStatus.COMPLETED
    outcome = replace(done, status=status, manifest=replace(done.manifest, sha256=digest))
    await records.store.finish(outcome, held)
    if end == "replaced":
        await records.store.replace(
            image, await records.store.job_of_any_tenant(job.processing_id), successor(records, image)
        )
    if end == "deleted":
        await records.store.tombstone(image, clock.now(), int(time.time()) + 100)

    async def gone() -> bool:
        return await records.store.find_completed(records.tenant, digest) == ()

    await eventually(gone, what="nothing")


async def test_a_delete_knows_for_certain_whether_the_image_was_counted(records: Records) -> None:
    image, accepted = await accept(records)
    assert not accepted.uncounted
    assert await records.store.job_of_any_tenant(accepted.processing_id) == accepted
    expires_at = int(time.time()) + DAY_SECONDS
    with pytest.raises(RecordChanged):
        await records.store.tombstone(image, clock.now(), expires_at, uncounted=True)
    assert (await records.store.image_of_any_tenant(image.unique_id)).deleted_at is None
    await records.store.tombstone(image, clock.now(), expires_at)
    waiting, _ = await create(records)
    await records.store.tombstone(waiting, clock.now(), expires_at, uncounted=True)


async def test_an_upload_that_was_refused_is_not_counted(records: Records) -> None:
    image, job = await create(records)
    refused = await records.store.accept(image, job, source(), int(time.time()) + DAY_SECONDS, counted=False)
    assert refused.uncounted
    assert await records.store.job_of_any_tenant(job.processing_id) == refused
    expires_at = int(time.time()) + DAY_SECONDS
    await records.store.tombstone(
        await records.store.image_of_any_tenant(image.unique_id), clock.now(), expires_at, uncounted=True
    )
