"""Connections that send nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from service.http.connections import ConnectionTimeouts


@dataclass(eq=False)
class Socket:
    closed: bool = False

    def force_close(self) -> None:
        self.closed = True


@dataclass
class Asked:
    protocol: Any


class Watch:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def answer(_: Any) -> web.StreamResponse:
    return web.Response()


def test_a_connection_that_never_asks_is_closed_and_others_are_not() -> None:
    watch = Watch()
    timeouts = ConnectionTimeouts(10, 60, watch)
    old, new = Socket(), Socket()
    timeouts.look([old])
    watch.now = 5
    timeouts.look([old, new])
    watch.now = 10
    timeouts.look([old, new])
    assert (old.closed, new.closed) == (True, False)


async def test_a_connection_that_has_asked_may_be_silent_for_longer() -> None:
    watch = Watch()
    timeouts = ConnectionTimeouts(10, 60, watch)
    socket = Socket()
    timeouts.look([socket])
    await timeouts.middleware(Asked(socket), answer)  # type: ignore[arg-type]
    watch.now = 59
    timeouts.look([socket])
    assert not socket.closed
    watch.now = 60
    timeouts.look([socket])
    assert socket.closed


async def test_a_request_in_work_is_never_cut_off() -> None:
    watch = Watch()
    timeouts = ConnectionTimeouts(10, 60, watch)
    socket = Socket()
    timeouts.look([socket])

    async def slowly(request: Any) -> web.StreamResponse:
        watch.now = 1000
        timeouts.look([socket])
        return await answer(request)

    await timeouts.middleware(Asked(socket), slowly)  # type: ignore[arg-type]
    assert not socket.closed


def test_what_is_gone_is_forgotten() -> None:
    timeouts = ConnectionTimeouts(10, 60, Watch())
    timeouts.look([Socket() for _ in range(5)])
    timeouts.look([])
    assert timeouts._deadlines == {}
