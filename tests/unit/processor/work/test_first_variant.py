"""What stands between an upload and its first variant: each call is a round trip that a client waits for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any

import pytest

from tests.unit.world import World

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
    """Two reads, the source, the count of the upload, its acceptance with the claim, the count of the work, with which
    goes back what the upload had reserved, and the variant itself."""
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

    assert calls[: calls.index("processed.store") + 1] == [
        "jobs.image_of_any_tenant",
        "jobs.get_job",
        "source.open",
        "usage.add",
        "jobs.accept",
        "usage.trade",
        "processed.store",
    ]
    assert [call for call in calls if call.startswith("usage")] == ["usage.add", "usage.trade"]
