"""A file is read from S3 into memory once."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime

import pytest

from processor.errors import FileTooLarge
from processor.ports.objects import ObjectInfo
from processor.stores.s3 import S3Download

SIZE = 32 * 1024 * 1024


class Body:
    """What S3 sends, in pieces of a size that it chooses."""

    def __init__(self, size: int) -> None:
        self.left = size

    async def read(self, amount: int) -> bytes:
        sent = min(amount, self.left, 777_777)
        self.left -= sent
        return bytes(sent)


def download(announced: int, size: int) -> S3Download:
    info = ObjectInfo(key="k", size=announced, etag="e", last_modified=datetime.now(UTC))
    return S3Download(info=info, body=Body(size), transfer_timeout_seconds=60)


async def test_a_file_is_in_memory_once_while_it_comes() -> None:
    tracemalloc.start()
    try:
        data = await download(SIZE, SIZE).read(max_bytes=SIZE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(data) == SIZE
    assert peak < 1.25 * SIZE


@pytest.mark.parametrize("announced", [SIZE, 1])
async def test_a_body_that_is_longer_than_allowed_is_not_read_to_its_end(announced: int) -> None:
    found = download(announced, SIZE)

    with pytest.raises(FileTooLarge):
        await found.read(max_bytes=1_000_000)

    assert found.body.left > SIZE // 2
