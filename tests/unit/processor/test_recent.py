"""Values that are asked for all the time."""

from __future__ import annotations

from processor import recent
from processor.recent import Recent


async def test_a_value_is_read_again_after_a_few_seconds_or_when_it_was_changed_here() -> None:
    reads, now = list[str](), [0.0]

    async def read(name: str) -> int:
        reads.append(name)
        return len(reads)

    values: Recent[int] = Recent(read=read, monotonic=lambda: now[0])
    assert [await values.of("a"), await values.of("a"), await values.of("b")] == [1, 1, 2]
    now[0] = recent.FRESH_SECONDS
    assert await values.of("a") == 3
    values.forget("a")
    assert await values.of("a") == 4


async def test_only_so_many_are_remembered() -> None:
    reads = list[str]()

    async def read(name: str) -> str:
        reads.append(name)
        return name

    values: Recent[str] = Recent(read=read, monotonic=lambda: 0.0)
    for number in range(recent.REMEMBERED + 1):
        await values.of(str(number))
    await values.of(str(recent.REMEMBERED))
    assert len(reads) == recent.REMEMBERED + 1
    await values.of("0")
    assert reads[-1] == "0"
