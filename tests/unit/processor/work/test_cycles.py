"""However the work on a picture ends, nothing of the picture waits for a garbage collection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import pyvips

from processor.catalog.joined import Joined
from processor.errors import LeaseLost, Unavailable
from processor.events import Event
from processor.pipeline import encode
from processor.pipeline.engine import Engine, EngineConfig
from processor.pipeline.limits import FileLimits
from processor.recent import Recent
from processor.recipes import VariantSpec
from processor.stores.memory import MemoryJobStore, MemoryObjectStore
from processor.work.conversion import Converter
from tests import corpus
from tests.garbage import left_by
from tests.mutants.seeds import seeds
from tests.unit.world import World
from tests.waiting import PATIENCE_SECONDS

#: Wide enough for two phases: the small variants, and beside them the large ones.
WIDE = (2200, 1500)
Attempt = Callable[[Converter, Event], Awaitable[object]]


async def converted(data: bytes, attempt: Attempt = Converter.convert, **limits: Any) -> list[str]:
    """What a conversion leaves in cycles. `attempt` stands for whoever calls the converter."""
    world = World()
    _, event = await world.uploaded(data)

    async def work() -> None:
        engine = Engine(EngineConfig(threads=2, memory_budget_bytes=1_000_000_000, limits=FileLimits(**limits)))
        converter = replace(world.converter, renderer=engine, max_bytes=len(data), quota=None)
        with suppress(Exception, asyncio.CancelledError):
            await attempt(converter, event)
        await engine.close()  # its threads may still hold the last piece of their work

    return await left_by(work)


async def test_no_kind_of_picture_leaves_anything() -> None:
    kinds = {name: data for name, data in seeds().items() if not name.startswith("heic")}  # never in this process
    for data in (kinds["jpeg-profile"], kinds["png-profile"]):
        await converted(data)  # what a profile says is remembered
    left = {name: await converted(data) for name, data in kinds.items()}

    assert {name: what for name, what in left.items() if what} == {}


REFUSED: dict[str, Callable[[], bytes]] = {
    "no picture": lambda: bytes(4000),
    "a picture of too many pixels": lambda: corpus.containers.png_of_zeros(12_000, 12_000),
    "half a JPEG": lambda: _half(corpus.jpeg(corpus.photo(*WIDE))),
    "half a progressive JPEG": lambda: _half(corpus.jpeg(corpus.photo(*WIDE), interlace=True)),
    "half a PNG": lambda: _half(corpus.png(corpus.photo(300, 200))),
    "half a WebP": lambda: _half(corpus.webp(corpus.photo(300, 200))),
    "half a GIF": lambda: _half(corpus.animation(".gif")),
    "half an AVIF": lambda: _half(seeds()["avif"]),
    "half a TIFF": lambda: _half(corpus.tiff(corpus.photo(300, 200))),
}


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    "name", ["half a JPEG", *(pytest.param(name, marks=pytest.mark.slow) for name in REFUSED if name != "half a JPEG")]
)
async def test_a_refused_file_is_not_kept(name: str) -> None:
    assert await converted(REFUSED[name]()) == []


async def test_a_file_that_takes_too_long_is_not_kept() -> None:
    assert await converted(corpus.jpeg(corpus.photo(*WIDE)), timeout_seconds=0.0) == []


@pytest.mark.parametrize("width", [300, WIDE[0]])
@pytest.mark.parametrize(
    "error",
    [
        partial(pyvips.Error, "no"),
        *(pytest.param(each, marks=pytest.mark.slow) for each in (MemoryError, RuntimeError)),
    ],
    ids=["file", "memory", "defect"],
)
async def test_a_file_is_not_kept_whichever_variant_cannot_be_encoded(
    width: int, error: Callable[[], Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = encode.write

    def broken(image: pyvips.Image, spec: VariantSpec, keep: Any) -> bytes:
        if image.width == width:
            raise error()
        return write(image, spec, keep)

    monkeypatch.setattr(encode, "write", broken)
    assert await converted(corpus.jpeg(corpus.photo(*WIDE))) == []


@pytest.mark.parametrize("error", [Unavailable, RuntimeError])
async def test_a_file_is_not_kept_when_its_variants_cannot_be_stored(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def store(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(MemoryObjectStore, "store", store)
    assert await converted(corpus.jpeg(corpus.photo(*WIDE))) == []


@pytest.fixture
def encoding(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when the first variant is encoded."""
    begun, write = threading.Event(), encode.write

    def noted(*given: Any) -> bytes:
        begun.set()
        return write(*given)

    monkeypatch.setattr(encode, "write", noted)
    return begun


async def test_a_file_is_not_kept_when_its_lease_is_lost(
    encoding: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def renew(*_: object, **__: object) -> None:
        raise LeaseLost

    async def attempt(converter: Converter, event: Event) -> None:
        working = asyncio.create_task(converter.convert(event))
        assert await asyncio.to_thread(encoding.wait, PATIENCE_SECONDS)
        await converter.renew_leases()
        await asyncio.wait([working])

    monkeypatch.setattr(MemoryJobStore, "renew", renew)
    assert await converted(corpus.jpeg(corpus.photo(*WIDE)), attempt) == []


async def test_a_file_is_not_kept_when_this_process_stops(encoding: threading.Event) -> None:
    async def attempt(converter: Converter, event: Event) -> None:
        working = asyncio.create_task(converter.convert(event))
        assert await asyncio.to_thread(encoding.wait, PATIENCE_SECONDS)
        working.cancel()
        await asyncio.wait([working])

    assert await converted(corpus.jpeg(corpus.photo(*WIDE)), attempt) == []


async def test_an_error_that_callers_share_keeps_nothing_of_theirs() -> None:
    async def failing(*_: object) -> str:
        raise Unavailable

    async def called(file: bytes, call: Awaitable[str]) -> None:
        assert file
        await call

    async def work() -> None:
        recent, joined = Recent(read=failing), Joined[str]()
        calls = (recent.of("one"), recent.of("one"), joined.run("one", failing), joined.run("one", failing))
        await asyncio.gather(*(called(bytes(4000), call) for call in calls), return_exceptions=True)

    assert await left_by(work) == []
