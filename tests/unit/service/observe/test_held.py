"""How many images wait for a review, and for how long: read off what lies where nothing else does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from processor import clock
from processor.errors import Unavailable
from processor.stores.memory import MemoryObjectStore
from service.observe import held as module
from service.observe.held import STALE_SECONDS, HeldWatch
from tests.waiting import eventually

IMAGES, AGE = "truss_held_images", "truss_held_oldest_age_seconds"


@dataclass
class Time:
    """What time it is."""

    passed: float = 0.0

    def now(self) -> float:
        return clock.now().timestamp() + self.passed

    def monotonic(self) -> float:
        return self.passed


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def processed() -> MemoryObjectStore:
    return MemoryObjectStore("processed")


@pytest.fixture
def watch(processed: MemoryObjectStore, time: Time) -> HeldWatch:
    return HeldWatch(processed=processed, now=time.now, monotonic=time.monotonic)


def told(watch: HeldWatch) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(watch)
    return {name: value for name in (IMAGES, AGE) if (value := registry.get_sample_value(name)) is not None}


async def store(processed: MemoryObjectStore, *keys: str) -> None:
    for key in keys:
        await processed.put(key, b"webp", content_type="image/webp")


async def test_jobs_are_counted_and_not_their_variants_and_nothing_but_what_is_held(
    watch: HeldWatch, processed: MemoryObjectStore, time: Time
) -> None:
    await store(processed, "held/a/img_1/small.webp", "held/a/img_1/large.webp", "held/b/img_2/small.webp")
    await store(processed, "processed/c/img_3/small.webp", "private/d/img_4/small.webp")
    await watch.look()
    time.passed = 600
    assert told(watch)[IMAGES] == 2
    assert 600 <= told(watch)[AGE] < 700


async def test_nothing_is_told_before_the_first_look_and_none_waits_in_an_empty_place(watch: HeldWatch) -> None:
    assert told(watch) == {}
    await watch.look()
    assert told(watch) == {IMAGES: 0, AGE: 0}


async def test_what_is_old_is_not_told(watch: HeldWatch, time: Time) -> None:
    await watch.look()
    time.passed = STALE_SECONDS + 1
    assert told(watch) == {}


async def test_a_look_has_an_end(
    watch: HeldWatch, processed: MemoryObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_OBJECTS", 3)
    await store(processed, *(f"held/{number}/img_1/a.webp" for number in range(5)))
    await watch.look()
    assert told(watch)[IMAGES] == 3


@pytest.mark.parametrize(
    ("error", "line"), [(Unavailable(), "Held images not looked at"), (ValueError(), "Looking at held images broke")]
)
async def test_a_look_that_fails_is_logged_and_followed_by_others(
    watch: HeldWatch, monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    looks: list[int] = []

    async def look() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise error

    monkeypatch.setattr(module, "LOOK_SECONDS", 0)
    monkeypatch.setattr(HeldWatch, "look", lambda _: look())

    async def again() -> Any:
        return len(looks) > 1

    with capture_logs() as lines:
        running = asyncio.create_task(watch.run())
        await eventually(again, what="another look")
        running.cancel()
    assert [each["event"] for each in lines] == [line]
