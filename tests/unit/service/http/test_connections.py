"""Connections that send nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from service.http.connections import Patience


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
    patience = Patience(10, 60, watch)
    old, new = Socket(), Socket()
    patience.look([old])
    watch.now = 5
    patience.look([old, new])
    watch.now = 10
    patience.look([old, new])
    assert (old.closed, new.closed) == (True, False)


async def test_a_connection_that_has_asked_may_be_silent_for_longer() -> None:
    watch = Watch()
    patience = Patience(10, 60, watch)
    socket = Socket()
    patience.look([socket])
    await patience.middleware(Asked(socket), answer)  # type: ignore[arg-type]
    watch.now = 59
    patience.look([socket])
    assert not socket.closed
    watch.now = 60
    patience.look([socket])
    assert socket.closed


async def test_a_request_in_work_is_never_cut_off() -> None:
    watch = Watch()
    patience = Patience(10, 60, watch)
    socket = Socket()
    patience.look([socket])

    async def slowly(request: Any) -> web.StreamResponse:
        watch.now = 1000
        patience.look([socket])
        return await answer(request)

    await patience.middleware(Asked(socket), slowly)  # type: ignore[arg-type]
    assert not socket.closed


def test_what_is_gone_is_forgotten() -> None:
    patience = Patience(10, 60, Watch())
    patience.look([Socket() for _ in range(5)])
    patience.look([])
    assert patience._deadlines == {}
