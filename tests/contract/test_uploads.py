"""What a presigned upload lets through and what it does not, and what S3 tells the queue of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import aiohttp
import pytest
import pytest_asyncio

from processor.errors import ObjectNotFound
from processor.events import SourceArrived, parse
from processor.ports.objects import ObjectStore, PresignedUpload, UploadTerms
from processor.ports.queue import MessageQueue
from processor.stores.memory import MemoryObjectStore, MemoryQueue
from processor.stores.sqs import SqsMessageQueue
from tests.contract.conftest import Backend
from tests.local_aws import ORIGIN
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

BODY = b"the bytes of a picture"
ENFORCES_NOTHING = "it takes any upload, signed or not"


def checksum(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def terms(**how: object) -> UploadTerms:
    given = {
        "key": f"uploads/{uuid.uuid4()}.jpg",
        "content_type": "image/jpeg",
        "expires_in_seconds": 600,
        "max_bytes": 1000,
        **how,
    }
    return UploadTerms(**given)  # type: ignore[arg-type]


@pytest_asyncio.fixture(loop_scope="session")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def s3(backend: Backend, source: ObjectStore) -> ObjectStore:
    """A bucket that can be uploaded to."""
    backend.skip_on("memory", because="nothing listens at its URLs")
    return source


@pytest.fixture
def strict_s3(backend: Backend, s3: ObjectStore) -> ObjectStore:
    """A bucket that refuses what it should."""
    backend.skip_on("moto", because=ENFORCES_NOTHING)
    return s3


async def put(
    http: aiohttp.ClientSession, upload: PresignedUpload, body: bytes = BODY, headers: Mapping[str, str] | None = None
) -> int:
    async with http.put(upload.url, data=body, headers=upload.headers if headers is None else headers) as answer:
        return answer.status


async def post(
    http: aiohttp.ClientSession, upload: PresignedUpload, body: bytes = BODY, changed: Mapping[str, str] | None = None
) -> int:
    assert upload.post is not None
    form = aiohttp.FormData()
    for name, value in {**upload.post.fields, **(changed or {})}.items():
        form.add_field(name, value)
    form.add_field("file", body, filename="photo.jpg")
    async with http.post(upload.post.url, data=form) as answer:
        return answer.status


async def is_missing(objects: ObjectStore, key: str) -> bool:
    try:
        await objects.head(key)
    except ObjectNotFound:
        return True
    return False


# -- what a client is given -------------------------------------------------------------------------------------------


async def test_the_headers_are_those_that_the_terms_bind(source: ObjectStore) -> None:
    upload = await source.presign_upload(terms())
    assert upload.headers == {"Content-Type": "image/jpeg"}
    upload = await source.presign_upload(terms(size=22, checksum_sha256="c2Vjcg=="))
    assert upload.headers == {
        "Content-Type": "image/jpeg",
        "Content-Length": "22",
        "x-amz-checksum-sha256": "c2Vjcg==",
    }


async def test_the_form_names_the_key_the_type_and_the_checksum(source: ObjectStore) -> None:
    asked = terms(size=22, checksum_sha256="c2Vjcg==")
    form = (await source.presign_upload(asked)).post
    assert form is not None
    fields = form.fields
    assert fields["key"] == asked.key
    assert fields["Content-Type"] == "image/jpeg"
    assert fields["x-amz-checksum-sha256"] == "c2Vjcg=="


# -- PUT --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bound",
    [{}, {"size": len(BODY)}, {"checksum_sha256": checksum(BODY)}, {"size": 22, "checksum_sha256": checksum(BODY)}],
)
async def test_what_the_terms_ask_for_is_taken(
    s3: ObjectStore, http: aiohttp.ClientSession, bound: dict[str, object]
) -> None:
    asked = terms(**bound)
    upload = await s3.presign_upload(asked)
    assert await put(http, upload) == 200
    info = await s3.head(asked.key)
    assert (info.size, info.content_type) == (len(BODY), "image/jpeg")
    assert await s3.fetch(asked.key, max_bytes=100, etag=info.etag) == BODY
    assert await post(http, await s3.presign_upload(terms(**bound))) in (200, 204)


async def test_a_url_that_is_good_for_one_object_overwrites_nothing_and_has_no_form(
    s3: ObjectStore, http: aiohttp.ClientSession
) -> None:
    asked = terms(once=True)
    upload = await s3.presign_upload(asked)
    assert upload.post is None
    assert upload.headers["If-None-Match"] == "*"
    assert [await put(http, upload), await put(http, upload, b"another")] == [200, 412]
    assert await s3.fetch(asked.key, max_bytes=100) == BODY


async def test_a_url_that_is_good_for_one_object_is_good_for_nothing_without_its_condition(
    strict_s3: ObjectStore, http: aiohttp.ClientSession
) -> None:
    upload = await strict_s3.presign_upload(terms(once=True))
    assert await put(http, upload, headers={"Content-Type": "image/jpeg"}) == 403


async def test_a_put_of_another_type_is_refused(strict_s3: ObjectStore, http: aiohttp.ClientSession) -> None:
    asked = terms()
    upload = await strict_s3.presign_upload(asked)
    assert await put(http, upload, headers={"Content-Type": "text/html"}) == 403
    assert await is_missing(strict_s3, asked.key)


async def test_a_put_of_another_length_is_refused(strict_s3: ObjectStore, http: aiohttp.ClientSession) -> None:
    asked = terms(size=len(BODY))
    upload = await strict_s3.presign_upload(asked)
    assert await put(http, upload, BODY + b"!", headers={"Content-Type": "image/jpeg"}) == 403
    assert await is_missing(strict_s3, asked.key)


async def test_a_put_of_other_bytes_is_refused(strict_s3: ObjectStore, http: aiohttp.ClientSession) -> None:
    asked = terms(size=len(BODY), checksum_sha256=checksum(BODY))
    upload = await strict_s3.presign_upload(asked)
    other = BODY[::-1]
    assert await put(http, upload, other) == 400
    assert await put(http, upload, other, {**upload.headers, "x-amz-checksum-sha256": checksum(other)}) == 403
    assert await put(http, upload, other, {"Content-Type": "image/jpeg"}) == 403
    assert await is_missing(strict_s3, asked.key)


async def test_a_put_to_another_key_is_refused(strict_s3: ObjectStore, http: aiohttp.ClientSession) -> None:
    asked, other = terms(), terms()
    upload = await strict_s3.presign_upload(asked)
    assert await put(http, replace(upload, url=upload.url.replace(asked.key, other.key))) == 403
    assert await is_missing(strict_s3, other.key)


async def test_an_upload_that_comes_too_late_is_refused(strict_s3: ObjectStore, http: aiohttp.ClientSession) -> None:
    upload = await strict_s3.presign_upload(terms(expires_in_seconds=1))

    async def refused() -> bool:
        return await put(http, upload) == 403 and await post(http, upload) == 403

    await eventually(refused, what="the end of the upload's time")


# -- POST -------------------------------------------------------------------------------------------------------------


async def test_a_form_with_too_many_bytes_or_none_is_refused(
    strict_s3: ObjectStore, http: aiohttp.ClientSession
) -> None:
    asked = terms(max_bytes=50)
    upload = await strict_s3.presign_upload(asked)
    assert await post(http, upload, b"x" * 51) == 400
    assert await post(http, upload, b"") == 400
    assert await is_missing(strict_s3, asked.key)
    assert await post(http, upload, b"x" * 50) in (200, 204)


async def test_a_form_of_another_size_is_refused(strict_s3: ObjectStore, http: aiohttp.ClientSession) -> None:
    asked = terms(size=len(BODY))
    upload = await strict_s3.presign_upload(asked)
    assert await post(http, upload, BODY[:-1]) == 400
    assert await post(http, upload, BODY + b"!") == 400
    assert await is_missing(strict_s3, asked.key)


@pytest.mark.parametrize(
    "changed",
    [
        {"key": "uploads/another.jpg"},
        {"Content-Type": "text/html"},
        {"x-amz-checksum-sha256": checksum(b"other")},
        {"x-amz-signature": "0" * 64},
        {"policy": base64.b64encode(b'{"expiration": "2099-01-01T00:00:00Z", "conditions": []}').decode()},
    ],
    ids=lambda changed: next(iter(changed)),
)
async def test_a_form_that_was_changed_is_refused(
    strict_s3: ObjectStore, http: aiohttp.ClientSession, changed: dict[str, str]
) -> None:
    asked = terms(size=len(BODY), checksum_sha256=checksum(BODY))
    upload = await strict_s3.presign_upload(asked)
    assert await post(http, upload, changed=changed) == 403
    assert await is_missing(strict_s3, changed.get("key", asked.key))


# -- browsers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("origin", "status"), [(ORIGIN, 200), ("https://elsewhere.example", 403)])
async def test_pages_of_the_configured_origins_may_upload_and_others_may_not(
    strict_s3: ObjectStore, http: aiohttp.ClientSession, origin: str, status: int
) -> None:
    upload = await strict_s3.presign_upload(terms())
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type,x-amz-checksum-sha256",
    }
    async with http.options(upload.url, headers=headers) as answer:
        assert answer.status == status


# -- what the queue hears ---------------------------------------------------------------------------------------------


@pytest.fixture
def notified(backend: Backend, source: ObjectStore) -> tuple[ObjectStore, MessageQueue]:
    """A source bucket and the queue that it tells."""
    if isinstance(source, MemoryObjectStore):
        assert source.queue
        return source, source.queue
    assert backend.service
    assert backend.made
    return source, SqsMessageQueue(backend.service, backend.made.queue_url)


async def arrivals(queue: MessageQueue, keys: list[str]) -> list[SourceArrived]:
    """The events about these keys, settled. Other tests write to the bucket, too."""
    found: list[SourceArrived] = []

    async def all_there() -> bool:
        messages = await queue.receive(10, wait_seconds=1, visibility_seconds=30)
        await queue.settle([message.receipt for message in messages])
        events = [event for message in messages for event in parse(message.body)]
        found.extend(event for event in events if isinstance(event, SourceArrived) and event.key in keys)
        return len(found) >= len(keys)

    await eventually(all_there, what=f"events about {keys}")
    return found


async def store(objects: ObjectStore, key: str, body: bytes = BODY) -> None:
    await objects.store(key, body, content_type="image/jpeg", cache_control="", metadata={})


async def test_every_upload_is_told_to_the_queue(notified: tuple[ObjectStore, MessageQueue]) -> None:
    objects, queue = notified
    key = f"uploads/{uuid.uuid4()}.jpg"
    await store(objects, key)
    [event] = await arrivals(queue, [key])
    info = await objects.head(key)
    assert (event.key, event.etag, info.size) == (key, info.etag, len(BODY))
    assert event.bucket == getattr(objects, "bucket", event.bucket)
    assert event.event_time


@pytest.mark.parametrize("name", ["a b+c.jpg", "größe & ü%20.jpg", "100%.jpg"])
async def test_a_key_comes_through_as_it_is(notified: tuple[ObjectStore, MessageQueue], name: str) -> None:
    objects, queue = notified
    key = f"uploads/{uuid.uuid4()}/{name}"
    await store(objects, key)
    [event] = await arrivals(queue, [key])
    assert event.key == key


async def test_every_upload_to_a_key_is_told_by_its_own_etag(notified: tuple[ObjectStore, MessageQueue]) -> None:
    objects, queue = notified
    key = f"uploads/{uuid.uuid4()}.jpg"
    bodies = [b"1", b"22", b"333"]
    for body in bodies:
        await store(objects, key, body)
    events = await arrivals(queue, [key, key, key])
    assert len({event.etag for event in events}) == 3
    assert (await objects.head(key)).etag in {event.etag for event in events}


async def test_an_object_outside_of_the_uploads_is_not_told(backend: Backend) -> None:
    backend.skip_on("moto", "emulator", because="the service may not write elsewhere in its source bucket")
    queue = MemoryQueue()
    await store(MemoryObjectStore("source", queue=queue), "processed/a.webp")
    assert await queue.receive(10, wait_seconds=0, visibility_seconds=1) == []


async def test_uploads_at_once_are_all_told(notified: tuple[ObjectStore, MessageQueue]) -> None:
    objects, queue = notified
    keys = [f"uploads/{uuid.uuid4()}.jpg" for _ in range(15)]
    await asyncio.gather(*(store(objects, key) for key in keys))
    assert {event.key for event in await arrivals(queue, keys)} == set(keys)
