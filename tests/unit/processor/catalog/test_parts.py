"""Uploads in parts over the in-memory stores, with parts of four bytes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.catalog import parts as multipart
from processor.catalog.parts import MIB, LargeFiles, MultipartSubmission, part_size, part_sizes
from processor.catalog.uploads import UploadRequest
from processor.errors import (
    AlreadyUploaded,
    DailyLimitReached,
    ImageDeleted,
    ImageNotFound,
    NoSuchPart,
    ObjectNotFound,
    Unavailable,
    UploadExpired,
    UploadIncomplete,
    WrongUploadMethod,
)
from processor.events import SourceArrived, parse
from processor.jobs import JobStatus, Terms
from processor.ports.objects import MultipartUpload
from processor.stores.memory import MemoryObjectStore
from tests.unit.world import TENANT, World

BODY = b"0123456789"
PARTS: Mapping[int, bytes] = {1: b"0123", 2: b"4567", 3: b"89"}


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "part_size", lambda _: 4)


@pytest.fixture
def world() -> World:
    world = World()
    world.source.queue = world.queue
    return world


@pytest.fixture
def files(world: World) -> LargeFiles:
    return world.large_files()


async def begun(files: LargeFiles, checksum: str | None = None, size: int = len(BODY)) -> MultipartSubmission:
    request = UploadRequest(
        filename="a.png",
        extension="png",
        terms=Terms(content_type="image/png", checksum_sha256=checksum),
        expires_in_seconds=3600,
        metadata={"k": "v"},
    )
    return await files.begin(TENANT, request, size)


def upload_of(submission: MultipartSubmission) -> MultipartUpload:
    terms = submission.job.terms
    assert terms is not None
    assert terms.multipart is not None
    return MultipartUpload(key=submission.job.original_key, upload_id=terms.multipart)


async def send(world: World, submission: MultipartSubmission, *numbers: int) -> None:
    for number in numbers or PARTS:
        await world.source.put_part(upload_of(submission), number, PARTS[number])


async def completed(world: World, files: LargeFiles, checksum: str | None = None) -> MultipartSubmission:
    submission = await begun(files, checksum)
    await send(world, submission)
    await files.complete(TENANT, submission.job.unique_id)
    return submission


async def convert(world: World) -> None:
    """What the worker does with the events of S3."""
    for message in await world.queue.receive(10, wait_seconds=0, visibility_seconds=60):
        for event in parse(message.body):
            assert isinstance(event, SourceArrived)
            await world.converter.convert(event)


async def is_there(world: World, key: str) -> bool:
    return key in [found.key for found in await world.source.list("uploads/")]


# -- parts ------------------------------------------------------------------------------------------------------------


@given(st.integers(min_value=1, max_value=10**12))
def test_parts_cover_the_file_and_are_neither_too_many_nor_too_small(size: int) -> None:
    mebibytes = -(-size // (100 * MIB))
    step = max(8 * MIB, mebibytes * MIB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multipart, "part_size", part_size)
        sizes = part_sizes(size)
    assert part_size(size) == step
    assert sum(sizes.values()) == size
    assert list(sizes) == list(range(1, len(sizes) + 1))
    assert len(sizes) <= 100
    *whole, last = sizes.values()
    assert set(whole) <= {step}
    assert 1 <= last <= step


# -- begin ------------------------------------------------------------------------------------------------------------


async def test_a_begun_upload_is_a_pending_image_with_every_part_signed(world: World, files: LargeFiles) -> None:
    submission = await begun(files)
    assert [(part.number, part.size) for part in submission.parts] == [(1, 4), (2, 4), (3, 2)]
    job = await world.catalog.status(TENANT, submission.job.processing_id)
    assert (job.status, job.metadata, job.terms) == (JobStatus.PENDING, {"k": "v"}, submission.job.terms)
    assert job.terms is not None
    assert job.terms.size == len(BODY)
    assert upload_of(submission).upload_id not in repr(job)
    assert not await is_there(world, job.original_key)


async def test_a_tenant_at_its_limit_begins_nothing(world: World, files: LargeFiles) -> None:
    with pytest.raises(DailyLimitReached):
        await begun(files, size=10_001)
    assert world.source._unfinished == {}


async def test_an_upload_that_could_not_be_recorded_is_empty_and_nobody_was_given_its_urls(
    world: World, files: LargeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise Unavailable

    monkeypatch.setattr(world.jobs, "create", away)
    with pytest.raises(Unavailable):
        await begun(files)
    assert [each.parts for each in world.source._unfinished.values()] == [{}]


# -- complete ---------------------------------------------------------------------------------------------------------


async def test_a_completed_upload_is_converted_like_any_other(world: World, files: LargeFiles) -> None:
    digest = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    submission = await completed(world, files, digest)
    await convert(world)
    job = await world.catalog.status(TENANT, submission.job.processing_id)
    assert job.status is JobStatus.COMPLETED
    assert world.renderer.rendered == [BODY]
    assert len((await world.catalog.processed_images(TENANT, job.unique_id)).variants) == 4


async def test_a_file_that_is_not_the_announced_one_fails_though_its_parts_have_the_right_sizes(
    world: World, files: LargeFiles
) -> None:
    other = base64.b64encode(hashlib.sha256(b"9876543210").digest()).decode()
    submission = await completed(world, files, other)
    await convert(world)
    job = await world.catalog.status(TENANT, submission.job.processing_id)
    assert job.error is not None
    assert job.error.code == "unexpected_file"


async def test_what_is_missing_is_named_and_may_still_be_sent(world: World, files: LargeFiles) -> None:
    submission = await begun(files)
    unique_id = submission.job.unique_id
    with pytest.raises(UploadIncomplete, match="3 of 3 parts have not arrived: 1, 2, 3"):
        await files.complete(TENANT, unique_id)
    await send(world, submission, 1)
    await world.source.put_part(upload_of(submission), 2, b"short")
    with pytest.raises(UploadIncomplete, match="2 of 3 parts have not arrived: 2, 3"):
        await files.complete(TENANT, unique_id)
    assert not await is_there(world, submission.job.original_key)
    await send(world, submission, 2, 3)
    await files.complete(TENANT, unique_id)
    assert await world.source.fetch(submission.job.original_key, max_bytes=100) == BODY


async def test_of_many_missing_parts_only_some_are_named(files: LargeFiles) -> None:
    submission = await begun(files, size=101)
    with pytest.raises(UploadIncomplete, match=r"26 of 26 parts have not arrived: 1, .*, 20, and more\. "):
        await files.complete(TENANT, submission.job.unique_id)


async def test_completing_again_answers_the_same_at_every_later_time(world: World, files: LargeFiles) -> None:
    submission = await completed(world, files)
    unique_id = submission.job.unique_id
    seen = [await files.complete(TENANT, unique_id)]  # before the event is handled
    await convert(world)
    seen.append(await files.complete(TENANT, unique_id))
    again = await world.catalog.reprocess(TENANT, unique_id)
    seen.append(await files.complete(TENANT, unique_id))
    for processing_id in (submission.job.processing_id, again.processing_id):
        del world.jobs._jobs[processing_id]  # expired
    seen.append(await files.complete(TENANT, unique_id))
    assert {(image.key, image.job_ids[0]) for image in seen} == {
        (submission.job.original_key, submission.job.processing_id)
    }
    assert len(await world.source.list("uploads/")) == 1


async def test_a_part_that_is_sent_again_while_the_upload_is_completed_is_a_conflict_and_nothing_is_lost(
    world: World, files: LargeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = await begun(files)
    await send(world, submission)
    complete = MemoryObjectStore.complete_multipart

    async def racing(store: MemoryObjectStore, upload: MultipartUpload, parts: object) -> None:
        await store.put_part(upload, 1, b"3210")
        await complete(store, upload, parts)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(MemoryObjectStore, "complete_multipart", racing)
        with pytest.raises(UploadIncomplete, match="complete again"):
            await files.complete(TENANT, submission.job.unique_id)
    await files.complete(TENANT, submission.job.unique_id)
    assert await world.source.fetch(submission.job.original_key, max_bytes=100) == b"3210456789"


async def test_of_two_who_complete_at_once_both_succeed(
    world: World, files: LargeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = await begun(files)
    await send(world, submission)
    complete = MemoryObjectStore.complete_multipart

    async def second(store: MemoryObjectStore, upload: MultipartUpload, parts: object) -> None:
        await complete(store, upload, parts)  # type: ignore[arg-type]
        await complete(store, upload, parts)  # type: ignore[arg-type]

    monkeypatch.setattr(MemoryObjectStore, "complete_multipart", second)
    image = await files.complete(TENANT, submission.job.unique_id)
    assert image.unique_id == submission.job.unique_id


# -- sign again -------------------------------------------------------------------------------------------------------


async def test_parts_are_signed_again_and_the_record_lives_as_long_as_the_new_urls(
    world: World, files: LargeFiles
) -> None:
    first = await begun(files)
    again = await files.sign(TENANT, first.job.unique_id, None, 40_000)
    assert again.parts == tuple(replace(part, expires_in_seconds=40_000) for part in first.parts)
    assert again.job.expires_at > first.job.expires_at + 30_000
    some = await files.sign(TENANT, first.job.unique_id, [3, 1, 3], 60)
    assert [part.number for part in some.parts] == [1, 3]
    assert some.job.expires_at == again.job.expires_at
    for numbers in ([0], [4], [1, 4]):
        with pytest.raises(NoSuchPart, match="has 3 parts"):
            await files.sign(TENANT, first.job.unique_id, numbers, 60)


async def test_what_is_complete_is_not_signed_again_even_before_the_event_is_handled(
    world: World, files: LargeFiles
) -> None:
    submission = await completed(world, files)
    with pytest.raises(AlreadyUploaded):
        await files.sign(TENANT, submission.job.unique_id, None, 60)
    await convert(world)
    with pytest.raises(AlreadyUploaded):
        await files.sign(TENANT, submission.job.unique_id, None, 60)


# -- abort ------------------------------------------------------------------------------------------------------------


async def test_an_aborted_upload_leaves_nothing_and_stays_away(world: World, files: LargeFiles) -> None:
    submission = await begun(files)
    await send(world, submission, 1, 2)
    unique_id = submission.job.unique_id
    await files.abort(TENANT, unique_id)
    assert (world.source._unfinished, await world.source.list("")) == ({}, [])
    for call in (
        files.abort(TENANT, unique_id),
        files.complete(TENANT, unique_id),
        files.sign(TENANT, unique_id, None, 60),
    ):
        with pytest.raises(ImageDeleted):
            await call


async def test_what_has_arrived_cannot_be_aborted(world: World, files: LargeFiles) -> None:
    submission = await completed(world, files)
    with pytest.raises(AlreadyUploaded):
        await files.abort(TENANT, submission.job.unique_id)
    await convert(world)
    with pytest.raises(AlreadyUploaded):
        await files.abort(TENANT, submission.job.unique_id)
    assert await is_there(world, submission.job.original_key)


async def test_an_abort_that_was_cut_short_is_finished_by_the_next(
    world: World, files: LargeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = await begun(files)
    unique_id = submission.job.unique_id

    async def away(*_: object, **__: object) -> None:
        raise Unavailable

    for target, name in ((world.jobs, "tombstone"), (world.processed, "purge"), (world.jobs, "forget_jobs")):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, away)
            with pytest.raises(Unavailable):
                await files.abort(TENANT, unique_id)
    await files.abort(TENANT, unique_id)
    assert (await world.jobs.image_of_any_tenant(unique_id)).erased_at is not None


async def test_of_a_completion_and_an_abort_at_once_the_first_wins(
    world: World, files: LargeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete, abort = MemoryObjectStore.complete_multipart, MemoryObjectStore.abort_multipart

    async def late_abort(store: MemoryObjectStore, upload: MultipartUpload) -> None:
        await complete(store, upload, await store.list_parts(upload))
        await abort(store, upload)

    async def late_complete(store: MemoryObjectStore, upload: MultipartUpload, parts: object) -> None:
        await abort(store, upload)
        await complete(store, upload, parts)  # type: ignore[arg-type]

    first, second = await begun(files), await begun(files)
    await send(world, first)
    await send(world, second)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryObjectStore, "abort_multipart", late_abort)
        with pytest.raises(AlreadyUploaded):
            await files.abort(TENANT, first.job.unique_id)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryObjectStore, "complete_multipart", late_complete)
        with pytest.raises(UploadExpired):
            await files.complete(TENANT, second.job.unique_id)
    assert [found.key for found in await world.source.list("")] == [first.job.original_key]


async def test_deleting_the_image_removes_the_parts_of_its_unfinished_upload(world: World, files: LargeFiles) -> None:
    submission = await begun(files)
    await send(world, submission, 1)
    await world.catalog.delete(TENANT, submission.job.unique_id)
    with pytest.raises(ObjectNotFound):
        await world.source.list_parts(upload_of(submission))
    with pytest.raises(ImageDeleted):
        await files.complete(TENANT, submission.job.unique_id)


async def test_an_upload_that_s3_gave_up_says_so_and_can_be_cleared_away(world: World, files: LargeFiles) -> None:
    submission = await begun(files)
    unique_id = submission.job.unique_id
    await world.source.abort_multipart(upload_of(submission))  # what the lifecycle rule does after a day
    with pytest.raises(UploadExpired):
        await files.complete(TENANT, unique_id)
    with pytest.raises(UploadExpired):
        await files.sign(TENANT, unique_id, [1], 60)
    await files.abort(TENANT, unique_id)
    with pytest.raises(ImageDeleted):
        await files.abort(TENANT, unique_id)


# -- what is not this tenant's, or not in parts -----------------------------------------------------------------------


async def test_another_tenants_upload_is_as_good_as_none(world: World, files: LargeFiles) -> None:
    unique_id = (await begun(files)).job.unique_id
    for call in (
        files.abort("stranger", unique_id),
        files.complete("stranger", unique_id),
        files.sign("stranger", unique_id, None, 60),
    ):
        with pytest.raises(ImageNotFound) as raised:
            await call
        assert raised.type is ImageNotFound
    assert len(world.source._unfinished) == 1


async def test_an_upload_is_continued_in_the_way_in_which_it_was_begun(world: World, files: LargeFiles) -> None:
    whole = (await world.submitted()).job.unique_id
    for call in (files.abort(TENANT, whole), files.complete(TENANT, whole), files.sign(TENANT, whole, None, 60)):
        with pytest.raises(WrongUploadMethod):
            await call
    in_parts = (await begun(files)).job.unique_id
    with pytest.raises(WrongUploadMethod):
        await world.uploads.refresh(TENANT, in_parts, 60)
