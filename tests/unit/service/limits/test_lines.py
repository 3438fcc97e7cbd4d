"""Who stands in a line, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from service.http.problems import RequestTimeout, TooManyRequests
from service.limits.lines import Lines


class Crowd:
    """Requests that hold their turn until they are told to leave."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.inside: list[str] = []
        self.end = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def comes(self, *names: str) -> None:
        """A name begins with that of its tenant."""
        self.tasks += [asyncio.create_task(self._stand(name)) for name in names]
        await settled()

    async def _stand(self, name: str) -> None:
        async with self.lines.turn(request(), name[0]):
            self.inside.append(name)
            await self.end.wait()
            self.inside.remove(name)

    async def leaves(self) -> None:
        self.end.set()
        await asyncio.gather(*self.tasks)


async def settled() -> None:
    """Let everybody go as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


def request(*, there: bool = True) -> web.Request:
    asked = make_mocked_request("GET", "/")
    if not there:
        asked.protocol.transport = None
    return asked


async def test_a_tenant_has_so_many_in_work_and_others_do_not_wait_behind_it() -> None:
    crowd = Crowd(Lines(2))
    await crowd.comes("a1", "a2", "a3", "a4")
    assert crowd.inside == ["a1", "a2"]
    assert crowd.lines.waiting_of("a") == 2
    await crowd.comes("b1")
    assert crowd.inside == ["a1", "a2", "b1"]
    await crowd.leaves()
    assert crowd.lines == Lines(2)  # nothing is remembered


async def test_who_waits_for_something_else_keeps_nobody_of_its_tenant_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[tuple[float, Callable[[], None]]] = []

    def call_later(seconds: float, leave: Callable[[], None]) -> FakeTimer:
        timers.append((seconds, leave))
        return FakeTimer()

    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", call_later)
    crowd = Crowd(Lines(1, hold_seconds=0.25))
    await crowd.comes("a1", "a2", "a3")
    assert crowd.inside == ["a1"]
    seconds, leave = timers[0]
    assert seconds == 0.25
    leave()
    leave()  # it gives back one turn, and not two
    await settled()
    assert crowd.inside == ["a1", "a2"]
    await crowd.leaves()
    assert crowd.lines == Lines(1, hold_seconds=0.25)


class FakeTimer:
    """Has been called already."""

    def cancel(self) -> None:
        """Too late."""


async def test_a_line_that_is_full_takes_nobody() -> None:
    crowd = Crowd(Lines(1, most_waiting=2))
    await crowd.comes("a1", "a2", "a3")
    with pytest.raises(TooManyRequests) as refused:
        async with crowd.lines.turn(request(), "a"):
            pytest.fail("it was let in")
    assert refused.value.limit == 3
    await crowd.comes("b1")
    await crowd.leaves()


async def test_who_has_hung_up_is_not_served_and_keeps_nobody_waiting() -> None:
    crowd = Crowd(Lines(1))
    await crowd.comes("a1")
    gone = asyncio.create_task(_serve(crowd.lines, request(there=False)))
    await settled()
    await crowd.comes("a2")
    crowd.end.set()
    with pytest.raises(RequestTimeout):
        await gone
    await crowd.leaves()
    assert crowd.lines == Lines(1)


async def test_who_is_cancelled_in_the_line_leaves_it() -> None:
    crowd = Crowd(Lines(1))
    await crowd.comes("a1")
    waiting = asyncio.create_task(_serve(crowd.lines, request()))
    await settled()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert crowd.lines.waiting_of("a") == 0
    await crowd.leaves()
    assert crowd.lines == Lines(1)


async def _serve(lines: Lines, asked: web.Request) -> None:
    async with lines.turn(asked, "a"):
        return
