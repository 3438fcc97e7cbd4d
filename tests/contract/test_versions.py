"""What a bucket that keeps versions tells of them; the counts of uploads rest on it."""

from __future__ import annotations

import uuid

import pytest
import pytest_asyncio

from processor.ports.objects import ObjectInfo, ObjectStore
from processor.stores.memory import MemoryObjectStore
from processor.stores.s3 import S3ObjectStore
from tests.contract.conftest import Backend

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(params=[True, False], ids=["versions", "no-versions"], loop_scope="session")
async def bucket(request: pytest.FixtureRequest, backend: Backend) -> ObjectStore:
    """A fresh one."""
    if backend.administrator is None:
        return MemoryObjectStore(versioned=request.param)
    name = f"versions-{uuid.uuid4().hex[:8]}"
    await backend.administrator.s3.create_bucket(Bucket=name)
    if request.param:
        await backend.administrator.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return S3ObjectStore(backend.administrator, name)


@pytest.fixture
def keeps(request: pytest.FixtureRequest) -> bool:
    return bool(request.node.callspec.params["bucket"])


async def put(bucket: ObjectStore, key: str, *bodies: bytes) -> None:
    for body in bodies:
        await bucket.store(key, body, content_type="image/jpeg", cache_control="", metadata={})


async def test_every_version_is_told_newest_first_and_once(bucket: ObjectStore, keeps: bool) -> None:
    await put(bucket, "uploads/a.jpg", b"1", b"22", b"22", b"333")
    await put(bucket, "uploads/a.jpg.b", b"other")
    found = await bucket.versions("uploads/a.jpg")
    assert [each.size for each in found] == ([3, 2, 2, 1] if keeps else [3])
    assert [each.latest for each in found] == [True, False, False, False][: len(found)]
    assert len({each.version for each in found}) == len(found)
    assert {each.key for each in found} == {"uploads/a.jpg"}


async def test_versions_are_asked_for_piece_by_piece(
    bucket: ObjectStore, keeps: bool, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.skip_on("moto", because="it tells of the key that a page begins after once more")
    monkeypatch.setattr("processor.stores.parts.LIST_PAGE", 2)
    await put(bucket, "uploads/a.jpg", b"1", b"22", b"333", b"4444", b"55555")
    await put(bucket, "uploads/b.jpg", b"1", b"22")
    found = await bucket.versions("uploads/a.jpg")
    assert [each.size for each in found] == ([5, 4, 3, 2, 1] if keeps else [5])
    assert await bucket.purge("uploads/") == ("uploads/a.jpg", "uploads/b.jpg")
    assert await bucket.versions("uploads/a.jpg") == ()


async def test_a_version_is_called_the_same_by_every_call(bucket: ObjectStore, keeps: bool) -> None:
    await put(bucket, "uploads/a.jpg", b"1", b"22")
    newest = (await bucket.versions("uploads/a.jpg"))[0]
    async with bucket.open("uploads/a.jpg") as download:
        opened = download.info
    head = await bucket.head("uploads/a.jpg")
    assert newest.version == opened.version == head.version
    assert bool(newest.version) is keeps
    assert newest.etag == head.etag


async def test_what_is_known_ends_the_list(bucket: ObjectStore, keeps: bool) -> None:
    await put(bucket, "uploads/a.jpg", b"1", b"22")
    known = (await bucket.versions("uploads/a.jpg"))[0].version
    assert await bucket.versions("uploads/b.jpg") == ()
    assert len(await bucket.versions("uploads/a.jpg", until=known)) == (0 if keeps else 1)
    await put(bucket, "uploads/a.jpg", b"333")
    assert [each.size for each in await bucket.versions("uploads/a.jpg", until=known)] == [3]


async def test_what_is_going_to_be_removed_is_told_before(bucket: ObjectStore, keeps: bool) -> None:
    await put(bucket, "uploads/a.jpg", b"1", b"22")
    await put(bucket, "uploads/b.jpg", b"333")
    told: list[tuple[ObjectInfo, ...]] = []

    async def before(found: tuple[ObjectInfo, ...]) -> None:
        told.append(found)
        assert await bucket.list("uploads/a") != [] or len(told) > 1
        if len(told) == 1:
            await put(bucket, "uploads/a.jpg", b"4444")  # and that one is told, too, before it goes

    assert await bucket.purge("uploads/a", before=before) == ("uploads/a.jpg",)
    sizes = [[each.size for each in found] for found in told]
    assert sizes == ([[2, 1], [4]] if keeps else [[2]]) or (not keeps and sizes == [[2], [4]])
    assert await bucket.versions("uploads/a.jpg") == ()
    assert len(await bucket.list("uploads/")) == 1
