"""What uploads in parts promise: nothing is there before they are completed, and nothing is left when they are not."""

from __future__ import annotations

import io
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import aiohttp
import pytest
import pytest_asyncio

from processor.errors import ObjectChanged, ObjectNotFound, Unavailable
from processor.events import SourceArrived, parse
from processor.ports.objects import MultipartUpload, ObjectStore, Part
from processor.stores.memory import MemoryObjectStore
from processor.stores.s3 import S3ObjectStore
from processor.stores.sqs import SqsMessageQueue
from tests.contract.conftest import Backend
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: The least that S3 takes for a part which is not the last.
LEAST = 5 * 1024 * 1024
FIRST, LAST = b"first " * (LEAST // 6 + 1), b"and last"

Send = Callable[..., Awaitable[int]]


@pytest_asyncio.fixture(loop_scope="session")
async def send(source: ObjectStore) -> AsyncIterator[Send]:
    """Uploads a part as a client does; the status of the answer."""
    async with aiohttp.ClientSession() as http:

        async def one(upload: MultipartUpload, number: int, body: bytes, *, signed_size: int | None = None) -> int:
            size = len(body) if signed_size is None else signed_size
            [part] = await source.sign_parts(upload, {number: size}, expires_in_seconds=600)
            assert (part.number, part.size, part.headers) == (number, size, {"Content-Length": str(size)})
            if isinstance(source, MemoryObjectStore):
                await source.put_part(upload, number, body)
                return 200
            headers = {**part.headers, "Content-Length": str(len(body))}
            async with http.put(part.url, data=io.BytesIO(body), headers=headers) as answer:
                return answer.status

        yield one


@pytest.fixture
def key() -> str:
    return f"uploads/{uuid.uuid4()}.png"


async def is_missing(objects: ObjectStore, key: str) -> bool:
    try:
        await objects.head(key)
    except ObjectNotFound:
        return True
    return False


async def is_gone(source: ObjectStore, upload: MultipartUpload) -> bool:
    try:
        await source.list_parts(upload)
    except ObjectNotFound:
        return True
    return False


async def test_parts_become_one_object_when_they_are_completed_and_not_before(
    source: ObjectStore, send: Send, key: str
) -> None:
    upload = await source.begin_multipart(key, content_type="image/png")
    assert await source.list_parts(upload) == ()
    assert await send(upload, 2, LAST) == 200
    assert await send(upload, 1, FIRST) == 200
    parts = await source.list_parts(upload)
    assert [(part.number, part.size) for part in parts] == [(1, len(FIRST)), (2, len(LAST))]
    assert all(part.etag == part.etag.strip('"') != "" for part in parts)
    assert await is_missing(source, key)

    await source.complete_multipart(upload, parts)

    info = await source.head(key)
    assert (info.size, info.content_type) == (len(FIRST) + len(LAST), "image/png")
    assert await source.fetch(key, max_bytes=info.size, etag=info.etag) == FIRST + LAST
    assert await is_gone(source, upload)


async def test_parts_are_asked_for_piece_by_piece(
    source: ObjectStore, send: Send, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processor.stores.parts.LIST_PAGE", 2)
    upload = await source.begin_multipart(key, content_type="image/png")
    for number in range(1, 6):
        assert await send(upload, number, LAST) == 200
    assert [part.number for part in await source.list_parts(upload)] == [1, 2, 3, 4, 5]
    await source.abort_multipart(upload)


async def test_the_queue_is_told_of_the_whole_file_once(
    backend: Backend, source: ObjectStore, send: Send, key: str
) -> None:
    backend.skip_on("moto", because="it tells of a multipart upload twice")
    queue = source.queue if isinstance(source, MemoryObjectStore) else None
    if backend.service and backend.made:
        queue = SqsMessageQueue(backend.service, backend.made.queue_url)  # type: ignore[assignment]
    assert queue is not None
    upload = await source.begin_multipart(key, content_type="image/png")
    await send(upload, 1, LAST)
    await source.complete_multipart(upload, await source.list_parts(upload))
    found: list[SourceArrived] = []

    async def told() -> bool:
        messages = await queue.receive(10, wait_seconds=1, visibility_seconds=30)
        await queue.settle([message.receipt for message in messages])
        events = [event for message in messages for event in parse(message.body)]
        found.extend(event for event in events if isinstance(event, SourceArrived) and event.key == key)
        return bool(found)

    await eventually(told, what=f"an event about {key}")
    info = await source.head(key)
    assert [event.etag for event in found] == [info.etag]
    assert info.size == len(LAST)


async def test_a_part_that_is_sent_again_takes_the_place_of_the_one_before(
    source: ObjectStore, send: Send, key: str
) -> None:
    upload = await source.begin_multipart(key, content_type="image/png")
    await send(upload, 1, b"old")
    stale = await source.list_parts(upload)
    await send(upload, 1, b"newer")
    with pytest.raises(ObjectChanged):
        await source.complete_multipart(upload, stale)
    await source.complete_multipart(upload, await source.list_parts(upload))
    assert await source.fetch(key, max_bytes=100) == b"newer"


async def test_a_part_that_never_came_is_not_there_to_be_completed(source: ObjectStore, send: Send, key: str) -> None:
    upload = await source.begin_multipart(key, content_type="image/png")
    await send(upload, 1, LAST)
    with pytest.raises(ObjectChanged):
        await source.complete_multipart(upload, [Part(number=2, size=1, etag="0" * 32)])
    assert len(await source.list_parts(upload)) == 1


async def test_what_was_completed_is_not_harmed_by_completing_or_aborting_it(
    source: ObjectStore, send: Send, key: str
) -> None:
    upload = await source.begin_multipart(key, content_type="image/png")
    await send(upload, 1, LAST)
    parts = await source.list_parts(upload)
    await source.complete_multipart(upload, parts)
    with suppress(ObjectNotFound):  # a store may remember what it completed, or not
        await source.complete_multipart(upload, parts)
    await source.abort_multipart(upload)
    assert await source.fetch(key, max_bytes=100) == LAST


async def test_an_aborted_upload_has_no_parts_and_may_be_aborted_again(
    source: ObjectStore, send: Send, key: str
) -> None:
    upload = await source.begin_multipart(key, content_type="image/png")
    await send(upload, 1, LAST)
    await source.abort_multipart(upload)
    await source.abort_multipart(upload)
    assert await is_gone(source, upload)
    assert await is_missing(source, key)


async def test_an_aborted_upload_takes_no_parts_and_cannot_be_completed(
    backend: Backend, source: ObjectStore, send: Send, key: str
) -> None:
    backend.skip_on("moto", because="it breaks when an upload is not there")
    upload = await source.begin_multipart(key, content_type="image/png")
    await send(upload, 1, LAST)
    parts = await source.list_parts(upload)
    await source.abort_multipart(upload)
    with pytest.raises(ObjectNotFound):
        await source.complete_multipart(upload, parts)
    if isinstance(source, MemoryObjectStore):
        with pytest.raises(ObjectNotFound):
            await send(upload, 2, LAST)
    else:
        assert await send(upload, 2, LAST) == 404
    assert await is_missing(source, key)


async def test_a_purge_leaves_no_unfinished_upload_behind(source: ObjectStore, send: Send) -> None:
    prefix = f"uploads/{uuid.uuid4()}."
    uploads = [await source.begin_multipart(f"{prefix}{name}", content_type="image/png") for name in ("png", "png")]
    await send(uploads[0], 1, LAST)
    await source.store(f"{prefix}jpg", b"x", content_type="image/jpeg", cache_control="", metadata={})
    assert await source.purge(prefix) == (f"{prefix}jpg",)
    assert [await is_gone(source, upload) for upload in uploads] == [True, True]
    assert await source.purge(prefix) == ()


async def test_a_purge_leaves_the_uploads_of_others_alone(backend: Backend, source: ObjectStore, key: str) -> None:
    backend.skip_on("moto", because="it lists unfinished uploads of every prefix")
    upload = await source.begin_multipart(key, content_type="image/png")
    await source.purge(f"uploads/{uuid.uuid4()}.")
    assert not await is_gone(source, upload)


async def test_a_part_of_another_length_than_the_signed_one_is_refused(
    backend: Backend, source: ObjectStore, send: Send, key: str
) -> None:
    backend.skip_on("memory", "moto", because="it takes any upload, signed or not")
    upload = await source.begin_multipart(key, content_type="image/png")
    assert await send(upload, 1, LAST, signed_size=len(LAST) + 1) == 403
    assert await source.list_parts(upload) == ()


async def test_parts_are_signed_in_order_and_their_upload_is_in_no_text_but_their_urls(
    source: ObjectStore, key: str
) -> None:
    upload = await source.begin_multipart(key, content_type="image/png")
    parts = await source.sign_parts(upload, {3: 7, 5: 9}, expires_in_seconds=60)
    assert [(part.number, part.size) for part in parts] == [(3, 7), (5, 9)]
    assert len({part.url for part in parts}) == 2
    assert upload.upload_id not in repr(upload)


async def test_a_part_may_be_signed_without_a_size(source: ObjectStore, key: str) -> None:
    upload = await source.begin_multipart(key, content_type="image/png")
    urls = [(await source.sign_part(upload, number, expires_in_seconds=600)).url for number in (1, 2)]
    assert len(set(urls)) == 2
    if isinstance(source, MemoryObjectStore):
        await source.put_part(upload, 2, LAST)
    else:
        async with aiohttp.ClientSession() as http, http.put(urls[1], data=LAST) as answer:
            assert answer.status == 200
    assert [(part.number, part.size) for part in await source.list_parts(upload)] == [(2, len(LAST))]


async def test_a_bucket_that_is_not_there_is_unavailable(backend: Backend, key: str) -> None:
    backend.skip_on("memory", because="it is always there")
    assert backend.service
    missing = S3ObjectStore(backend.service, "no-such-bucket-of-ours")
    with pytest.raises(Unavailable):
        await missing.begin_multipart(key, content_type="image/png")
    with pytest.raises(Unavailable):
        await missing.list_parts(MultipartUpload(key=key, upload_id="u"))
