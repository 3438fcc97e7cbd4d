"""What an object store promises."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from processor.errors import FileTooLarge, ObjectChanged, ObjectNotFound, Unavailable
from processor.ports.objects import ObjectStore
from processor.stores.s3 import S3ObjectStore
from tests.contract.conftest import Backend

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def prefix() -> str:
    return f"processed/{uuid.uuid4()}/"


async def store(objects: ObjectStore, key: str, body: bytes = b"bytes") -> None:
    await objects.store(
        key, body, content_type="image/webp", cache_control="public, max-age=5", metadata={"width": "4", "job": "img_1"}
    )


async def test_an_object_is_read_as_it_was_stored(objects: ObjectStore, prefix: str) -> None:
    body = bytes(range(256)) * 5000
    await store(objects, f"{prefix}a.webp", body)
    assert await objects.fetch(f"{prefix}a.webp", max_bytes=len(body)) == body


async def test_the_head_says_what_was_stored(objects: ObjectStore, prefix: str) -> None:
    await store(objects, f"{prefix}a.webp", b"12345")
    info = await objects.head(f"{prefix}a.webp")
    assert (info.key, info.size, info.content_type) == (f"{prefix}a.webp", 5, "image/webp")
    assert info.metadata == {"width": "4", "job": "img_1"}
    assert info.etag == info.etag.strip('"') != ""
    assert abs(datetime.now(UTC) - info.last_modified) < timedelta(minutes=1)


async def test_an_object_that_is_not_there_is_not_found(objects: ObjectStore, prefix: str) -> None:
    with pytest.raises(ObjectNotFound):
        await objects.head(f"{prefix}missing")
    with pytest.raises(ObjectNotFound):
        await objects.fetch(f"{prefix}missing", max_bytes=10)
    with pytest.raises(ObjectNotFound):
        await objects.fetch(f"{prefix}missing", max_bytes=10, etag="0" * 32)


async def test_an_object_of_another_etag_has_changed(objects: ObjectStore, prefix: str) -> None:
    await store(objects, f"{prefix}a", b"old")
    etag = (await objects.head(f"{prefix}a")).etag
    assert await objects.fetch(f"{prefix}a", max_bytes=10, etag=etag) == b"old"
    await store(objects, f"{prefix}a", b"new")
    with pytest.raises(ObjectChanged):
        await objects.fetch(f"{prefix}a", max_bytes=10, etag=etag)


async def test_a_body_over_the_limit_is_refused_and_one_at_the_limit_is_not(objects: ObjectStore, prefix: str) -> None:
    await store(objects, f"{prefix}a", b"x" * 3_000_000)
    with pytest.raises(FileTooLarge):
        await objects.fetch(f"{prefix}a", max_bytes=2_999_999)
    assert len(await objects.fetch(f"{prefix}a", max_bytes=3_000_000)) == 3_000_000


async def test_a_copy_has_the_same_bytes_and_a_description_of_its_own(objects: ObjectStore, prefix: str) -> None:
    body = bytes(range(256)) * 500
    await store(objects, f"{prefix}a b", body)
    described = {"width": "9"}
    for _ in range(2):  # a repetition changes nothing
        await objects.copy(
            f"{prefix}a b", f"{prefix}c", content_type="image/avif", cache_control="no-store", metadata=described
        )
    info = await objects.head(f"{prefix}c")
    assert (info.size, info.content_type, info.metadata) == (len(body), "image/avif", described)
    assert await objects.fetch(f"{prefix}c", max_bytes=len(body)) == body
    assert await objects.fetch(f"{prefix}a b", max_bytes=len(body)) == body
    with pytest.raises(ObjectNotFound):
        await objects.copy(f"{prefix}missing", f"{prefix}d", content_type="", cache_control="", metadata={})


async def test_a_presigned_download_names_the_object_and_its_end(objects: ObjectStore, prefix: str) -> None:
    signed = await objects.presign_download(f"{prefix}a.webp", expires_in_seconds=60)
    assert f"{prefix}a.webp" in signed.url
    assert signed.expires_in_seconds == 60


async def test_an_empty_object_is_an_object(objects: ObjectStore, prefix: str) -> None:
    await store(objects, f"{prefix}a", b"")
    assert await objects.fetch(f"{prefix}a", max_bytes=10) == b""


async def test_a_purged_prefix_is_empty_and_may_be_purged_again(objects: ObjectStore, prefix: str) -> None:
    for name in ("a", "b", "b/c"):
        await store(objects, prefix + name)
    assert await objects.purge(f"{prefix}b") == (f"{prefix}b", f"{prefix}b/c")
    with pytest.raises(ObjectNotFound):
        await objects.head(f"{prefix}b")
    assert await objects.purge(f"{prefix}b") == ()
    await objects.head(f"{prefix}a")


async def test_a_purge_leaves_no_version_behind(backend: Backend) -> None:
    if backend.administrator is None:
        pytest.skip("memory: it keeps no versions")
    s3, bucket = backend.administrator.s3, f"versioned-{uuid.uuid4().hex[:8]}"
    await s3.create_bucket(Bucket=bucket)
    await s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    versioned = S3ObjectStore(backend.administrator, bucket)
    for body in (b"one", b"two"):
        await store(versioned, "a", body)
    await s3.delete_object(Bucket=bucket, Key="a")  # hidden behind a marker, and all there still

    assert await versioned.purge("a") == ("a",)

    left = await s3.list_object_versions(Bucket=bucket)
    assert left.get("Versions", []) == left.get("DeleteMarkers", []) == []


async def test_objects_are_listed_by_prefix_in_key_order(objects: ObjectStore, prefix: str) -> None:
    for name in ("b", "a/2", "a/1", "ä ö+"):
        await store(objects, prefix + name, name.encode())
    await store(objects, f"{prefix.rstrip('/')}-other")
    listed = await objects.list(prefix)
    assert [info.key.removeprefix(prefix) for info in listed] == ["a/1", "a/2", "b", "ä ö+"]
    assert listed[0].size == 3
    assert listed[0].etag == (await objects.head(f"{prefix}a/1")).etag
    assert (listed[0].content_type, listed[0].metadata) == ("", {})


@pytest.mark.slow
async def test_more_objects_than_a_page_holds_are_listed(objects: ObjectStore, prefix: str, backend: Backend) -> None:
    backend.skip_on("moto", because="it takes long to store a thousand objects, and pages as the emulator does")
    for start in range(0, 1004, 16):
        await asyncio.gather(*(store(objects, f"{prefix}{start + n:05}") for n in range(16)))
    listed = [info.key for info in await objects.list(prefix)]
    assert len(listed) == 1008
    assert listed == sorted(set(listed))
    assert await objects.purge(prefix) == tuple(listed)
    assert await objects.list(prefix) == []


async def test_a_prefix_under_which_nothing_lies_is_an_empty_list(objects: ObjectStore, prefix: str) -> None:
    assert await objects.list(prefix) == []


async def test_a_bucket_that_is_there_answers(objects: ObjectStore) -> None:
    await objects.ping()


async def test_a_bucket_that_is_not_there_is_unavailable(backend: Backend) -> None:
    backend.skip_on("memory", because="it is always there")
    assert backend.service
    missing = S3ObjectStore(backend.service, "no-such-bucket-of-ours")
    with pytest.raises(Unavailable):
        await missing.ping()
    with pytest.raises(Unavailable):
        await missing.list("uploads/")
    with pytest.raises(Unavailable):
        await missing.fetch("uploads/a", max_bytes=1)
    with pytest.raises(Unavailable):
        await store(missing, "uploads/a")
