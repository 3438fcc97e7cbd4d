"""Uploads in parts of a size that nobody announced, over the in-memory stores, with parts of at least four bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest

from processor.catalog import unsized
from processor.catalog.unsized import UnsizedFiles
from processor.catalog.uploads import UploadRequest
from processor.errors import (
    AlreadyUploaded,
    DailyLimitReached,
    FileTooLarge,
    ImageDeleted,
    ImageNotFound,
    NoSuchPart,
    PartTooSmall,
    UploadExpired,
    UploadIncomplete,
    WrongUploadMethod,
)
from processor.jobs import Job, JobStatus, Terms
from processor.ports.objects import MultipartUpload
from processor.usage import Usage, today
from tests.unit.world import TENANT, World

PARTS: Mapping[int, bytes] = {1: b"0123", 2: b"45678", 3: b"9"}
BODY = b"".join(PARTS.values())


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsized, "S3_LEAST_PART_BYTES", 4)


@pytest.fixture
def world() -> World:
    world = World()
    world.source.queue = world.queue
    return world


@pytest.fixture
def files(world: World) -> UnsizedFiles:
    return world.unsized_files()


def asked() -> UploadRequest:
    return UploadRequest(
        filename="a.png", extension="png", terms=Terms(content_type="image/png"), expires_in_seconds=3600
    )


@pytest.fixture
async def job(files: UnsizedFiles) -> Job:
    return await files.start(TENANT, asked())


def upload_of(job: Job) -> MultipartUpload:
    assert job.terms is not None
    assert job.terms.multipart is not None
    return MultipartUpload(key=job.original_key, upload_id=job.terms.multipart)


async def send(world: World, job: Job, parts: Mapping[int, bytes] = PARTS) -> None:
    for number, body in parts.items():
        await world.source.put_part(upload_of(job), number, body)


def etags(parts: Mapping[int, bytes] = PARTS) -> dict[int, str]:
    return {number: hashlib.md5(body, usedforsecurity=False).hexdigest() for number, body in parts.items()}


async def finish(files: UnsizedFiles, job: Job, parts: Mapping[int, bytes] = PARTS) -> None:
    await files.finish(TENANT, job.processing_id, job.original_key, etags(parts))


async def sign(files: UnsizedFiles, job: Job, number: int) -> str:
    signed = await files.sign_part(TENANT, job.processing_id, job.original_key, number, expires_in_seconds=60)
    return signed.url


async def test_the_parts_that_the_sender_names_become_one_file(world: World, files: UnsizedFiles, job: Job) -> None:
    assert job.status is JobStatus.PENDING
    assert [await sign(files, job, number) for number in (1, 2)]
    await send(world, job)
    listed = await files.parts(TENANT, job.processing_id, job.original_key)
    assert [(part.number, part.size) for part in listed] == [(1, 4), (2, 5), (3, 1)]
    await finish(files, job)
    assert await world.source.fetch(job.original_key, max_bytes=100) == BODY


async def test_finishing_again_answers_the_same(world: World, files: UnsizedFiles, job: Job) -> None:
    await send(world, job)
    images = [await files.finish(TENANT, job.processing_id, job.original_key, etags()) for _ in range(2)]
    assert images[0] == images[1]
    with pytest.raises(AlreadyUploaded):
        await sign(files, job, 4)
    with pytest.raises(AlreadyUploaded):
        await files.give_up(TENANT, job.processing_id, job.original_key)
    assert await world.source.fetch(job.original_key, max_bytes=100) == BODY


@pytest.mark.parametrize(
    ("named", "missing"),
    [
        ({**PARTS, 2: b"other"}, "1 of 3 parts have not arrived: 2"),
        ({1: PARTS[1], 3: PARTS[3]}, "1 of 3 parts have not arrived: 2"),
        ({**PARTS, 5: b"more"}, "2 of 5 parts have not arrived: 4, 5"),
    ],
    ids=["another etag", "a gap", "more than there are"],
)
async def test_what_is_not_there_as_named_is_complained_about_and_nothing_is_lost(
    world: World, files: UnsizedFiles, job: Job, named: Mapping[int, bytes], missing: str
) -> None:
    await send(world, job)
    with pytest.raises(UploadIncomplete, match=missing):
        await finish(files, job, named)
    await finish(files, job)


async def test_a_part_that_is_too_small_in_the_middle_is_refused(world: World, files: UnsizedFiles, job: Job) -> None:
    parts = {1: b"0123", 2: b"456", 3: b"789"}
    await send(world, job, parts)
    with pytest.raises(PartTooSmall):
        await finish(files, job, parts)


async def test_no_part_is_signed_once_the_others_leave_nothing_for_it(
    world: World, files: UnsizedFiles, job: Job
) -> None:
    limit = world.uploads.max_bytes
    assert await sign(files, job, limit // 4)
    with pytest.raises(FileTooLarge):  # those before it have four bytes at least
        await sign(files, job, limit // 4 + 1)
    await send(world, job, {1: b"x" * limit})
    assert await sign(files, job, 1)
    with pytest.raises(FileTooLarge):
        await sign(files, job, 2)


async def test_a_file_that_grew_too_large_all_the_same_is_not_made(world: World, files: UnsizedFiles, job: Job) -> None:
    parts = {1: b"x" * world.uploads.max_bytes, 2: b"y"}
    await send(world, job, parts)
    with pytest.raises(FileTooLarge):
        await finish(files, job, parts)
    assert [found.key for found in await world.source.list("")] == []


@pytest.mark.parametrize("number", [0, -1, 10_001])
async def test_parts_are_numbered_as_s3_does(files: UnsizedFiles, job: Job, number: int) -> None:
    with pytest.raises(NoSuchPart):
        await sign(files, job, number)


async def test_the_limit_of_the_day_holds_for_what_has_arrived(world: World, files: UnsizedFiles, job: Job) -> None:
    quota = world.catalog.quota
    assert quota is not None
    await send(world, job)
    await quota.store.add(TENANT, Usage(day=today(), bytes=quota.defaults.bytes_per_day - len(BODY) + 1))
    quota._known.clear()
    with pytest.raises(DailyLimitReached):
        await finish(files, job)


async def test_names_that_do_not_belong_together_are_as_good_as_none(
    world: World, files: UnsizedFiles, job: Job
) -> None:
    other = await files.start(TENANT, asked())
    never = "uploads/6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e.png"
    wrong = [
        ("stranger", job.processing_id, job.original_key),
        (TENANT, other.processing_id, job.original_key),
        (TENANT, job.processing_id, other.original_key),
        (TENANT, job.processing_id, job.original_key.replace("png", "jpg")),
        (TENANT, job.processing_id, never),
        (TENANT, job.processing_id, "somewhere/else"),
    ]
    complaints = set()
    for names in wrong:
        for call in (
            files.sign_part(*names, 1, expires_in_seconds=60),
            files.parts(*names),
            files.finish(*names, {1: "e"}),
            files.give_up(*names),
        ):
            with pytest.raises(ImageNotFound) as raised:
                await call
            complaints.add((raised.type, raised.value.message))
    assert complaints == {(ImageNotFound, "There is no upload with this uploadId and key.")}
    assert len(world.source._unfinished) == 2


async def test_what_is_given_up_leaves_nothing(world: World, files: UnsizedFiles, job: Job) -> None:
    await send(world, job)
    names = (TENANT, job.processing_id, job.original_key)
    await files.give_up(*names)
    assert (world.source._unfinished, await world.source.list("")) == ({}, [])
    for call in (files.give_up(*names), files.parts(*names), files.finish(*names, etags())):
        with pytest.raises(ImageDeleted):
            await call


async def test_what_s3_gave_up_after_a_day_says_so(world: World, files: UnsizedFiles, job: Job) -> None:
    await world.source.abort_multipart(upload_of(job))
    with pytest.raises(UploadExpired):
        await files.parts(TENANT, job.processing_id, job.original_key)
    with pytest.raises(UploadExpired):
        await sign(files, job, 1)


async def test_an_upload_is_continued_in_the_way_in_which_it_was_begun(
    world: World, files: UnsizedFiles, job: Job
) -> None:
    sized = world.large_files()
    for call in (sized.complete(TENANT, job.unique_id), sized.sign(TENANT, job.unique_id, None, 60)):
        with pytest.raises(WrongUploadMethod):
            await call
    announced = (await sized.begin(TENANT, asked(), 8)).job
    whole = (await world.submitted()).job
    for other in (announced, whole):
        with pytest.raises(WrongUploadMethod):
            await sign(files, other, 1)
    await sized.abort(TENANT, job.unique_id)
    with pytest.raises(ImageDeleted):
        await sign(files, job, 1)
