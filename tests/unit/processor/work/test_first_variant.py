"""What stands between an upload and its first variant: each call is a round trip that a client waits for."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any

import pytest

from processor.work.outcomes import OutcomeKind
from tests.unit.world import TENANT, World
from tests.waiting import PATIENCE_SECONDS

#: Longest wait for what has to come, in seconds.
#: Whether a call of a store is on its way: what that calls of itself is no round trip more.
_within: ContextVar[bool] = ContextVar("_within", default=False)


def told(method: Callable[..., Any], name: str, calls: list[str]) -> Callable[..., Any]:
    """The same, and a line in `calls`."""

    @wraps(method)
    async def call(*given: Any, **named: Any) -> Any:
        if _within.get():
            return await method(*given, **named)
        calls.append(name)
        mark = _within.set(True)
        try:
            return await method(*given, **named)
        finally:
            _within.reset(mark)

    return call


async def test_seven_calls_stand_before_the_first_variant_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two reads, the source, the count of the upload, its acceptance with the claim, the count of the work, and the
    variant itself. What the upload had reserved is given back beside them."""
    world, calls = World(), list[str]()
    stores = {"jobs": world.jobs, "source": world.source, "processed": world.processed, "usage": world.quota.store}
    world.quota.monotonic = lambda: 0.0  # what the count of the upload told is still believed at the claim
    _, event = await world.uploaded()
    for place, store in stores.items():
        for name, method in inspect.getmembers(store, inspect.iscoroutinefunction):
            if not name.startswith("_"):
                monkeypatch.setattr(store, name, told(method, f"{place}.{name}", calls))
    opened = world.source.open

    def noted(*given: Any, **named: Any) -> Any:
        calls.append("source.open")
        return opened(*given, **named)

    monkeypatch.setattr(world.source, "open", noted)

    await world.converter.convert(event)

    assert calls.count("usage.give_back") == 1
    one_by_one = [call for call in calls if call != "usage.give_back"]
    assert one_by_one[: one_by_one.index("processed.store") + 1] == [
        "jobs.image_of_any_tenant",
        "jobs.get_job",
        "source.open",
        "usage.add",
        "jobs.accept",
        "usage.add",
        "processed.store",
    ]


async def test_the_work_does_not_wait_until_what_was_reserved_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    world, shown = World(), asyncio.Event()
    give_back, store = world.quota.store.give_back, world.processed.store
    _, event = await world.uploaded()

    async def when_something_is_shown(*given: Any) -> Any:
        await asyncio.wait_for(shown.wait(), PATIENCE_SECONDS)
        return await give_back(*given)

    async def show(*given: Any, **named: Any) -> None:
        await store(*given, **named)
        shown.set()

    monkeypatch.setattr(world.quota.store, "give_back", when_something_is_shown)
    monkeypatch.setattr(world.processed, "store", show)

    outcome = await world.converter.convert(event)

    assert outcome.kind is OutcomeKind.COMPLETED
    assert (await world.quota.state(TENANT))[0].open == 0
