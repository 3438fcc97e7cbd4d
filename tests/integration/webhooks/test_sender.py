"""Requests to what a tenant has named: to public addresses alone, by whatever name they go, and never for long."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from processor.ports.webhooks import Answered
from service.webhooks.sender import HttpSender, webhook_session

NOT_ALLOWED = Answered(code="address_not_allowed")
BODY = b'{"id": "a"}'


@dataclass
class Receiver:
    """A server on this machine, and what came to it."""

    came: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    retry_after: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.came.append((request.path, dict(request.headers), await request.read()))
        match request.path:
            case "/elsewhere":
                raise web.HTTPTemporaryRedirect("/")
            case "/slow":
                await self.hold.wait()
            case "/trickle" | "/flood":
                return await self._endless(request)
            case "/cookie":
                response = web.Response()
                response.set_cookie("a", "b")
                return response
        status = request.path.removeprefix("/")
        headers = {"Retry-After": self.retry_after} if self.retry_after else {}
        return web.Response(status=int(status) if status.isdecimal() else 204, headers=headers)

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" " * (1 if request.path == "/trickle" else 65536))
                await asyncio.sleep(0.05 if request.path == "/trickle" else 0)
        except (ConnectionError, asyncio.CancelledError):
            return response

    def url(self, path: str, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.answer)
    async with TestServer(app) as server:
        found.port = int(server.port or 0)
        yield found
        found.hold.set()


async def post(url: str, *, loopback: bool, seconds: float = 10) -> Answered:
    async with webhook_session(seconds=seconds, loopback=loopback) as session:
        return await HttpSender(session).post(url, {"webhook-id": "a"}, BODY)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0"])
async def test_this_machine_is_not_reached_by_any_of_its_names(receiver: Receiver, host: str) -> None:
    assert not (await post(receiver.url("/", host), loopback=False)).delivered
    assert receiver.came == []


Look = Callable[..., Any]


def names(*answers: str) -> Look:
    """A look-up that leads to one address after the other; the last one stays."""
    left = list(answers)

    def look_up(host: str, port: int, *_: object, **__: object) -> Any:
        address = left.pop(0) if len(left) > 1 else left[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        where = (address, port, 0, 0) if ":" in address else (address, port)
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where)]

    return look_up


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fd00:ec2::254"],
)
async def test_a_name_that_leads_to_our_network_is_not_followed(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", names(address))
    assert await post(receiver.url("/", "hooks.example.com"), loopback=False) == NOT_ALLOWED
    assert await post(receiver.url("/", "hooks.example.com", "https"), loopback=False) == NOT_ALLOWED
    assert receiver.came == []


async def test_a_name_that_leads_to_us_once_it_was_trusted_is_not_followed(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", names("127.0.0.1", "10.0.0.1"))
    async with webhook_session(seconds=10, loopback=True) as session:
        sender = HttpSender(session)
        assert (await sender.post(receiver.url("/", "hooks.example.com"), {}, BODY)).delivered
        assert await sender.post(receiver.url("/", "hooks.example.com"), {}, BODY) == NOT_ALLOWED


async def test_a_proxy_of_the_environment_is_not_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, receiver.url(""))
    monkeypatch.setattr(socket, "getaddrinfo", names("10.0.0.1"))
    assert await post("http://hooks.example.com/", loopback=True) == NOT_ALLOWED
    assert receiver.came == []


@pytest.mark.parametrize(
    ("path", "answered"),
    [
        ("/200", Answered(status=200)),
        ("/204", Answered(status=204)),
        ("/elsewhere", Answered(status=307, code="redirected")),
        ("/400", Answered(status=400, code="refused")),
        ("/410", Answered(status=410, code="refused")),
        ("/429", Answered(status=429, code="refused")),
        ("/500", Answered(status=500, code="receiver_failed")),
        ("/flood", Answered(status=200)),
        ("/trickle", Answered(status=200)),
    ],
)
async def test_the_status_of_the_first_answer_decides(receiver: Receiver, path: str, answered: Answered) -> None:
    assert await post(receiver.url(path), loopback=True) == answered
    ((came, headers, body),) = receiver.came
    assert (came, body, headers["webhook-id"]) == (path, BODY, "a")
    assert headers["Content-Type"] == "application/json"


async def test_a_receiver_that_takes_too_long_is_left(receiver: Receiver) -> None:
    assert await post(receiver.url("/slow"), loopback=True, seconds=0.5) == Answered(code="timed_out")


async def test_whoever_is_not_there_or_cannot_be_trusted_has_a_code(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await post(receiver.url("/", scheme="https"), loopback=True) == Answered(code="no_trust")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        assert await post(gone, loopback=True) == Answered(code="no_connection")

    def nobody(*_: object, **__: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    assert await post("https://nowhere.example.com/", loopback=False) == Answered(code="name_not_found")


async def test_nothing_of_an_answer_is_kept(receiver: Receiver) -> None:
    async with webhook_session(seconds=10, loopback=True) as session:
        for _ in range(2):
            assert (await HttpSender(session).post(receiver.url("/cookie"), {}, BODY)).delivered
    assert not any("Cookie" in headers for _, headers, _ in receiver.came)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("120", 120, 120),
        (" 7 ", 7, 7),
        ("0", 0, 0),
        ("9" * 5000, 999_999_999, 999_999_999),
        ("-5", 0, 0),
        ("1e9", 0, 0),
        ("\u0663", 0, 0),
        ("soon", 0, 0),
        ("", 0, 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0, 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400, 10**12),
        ("Fri, 99 Dec 9999 23:59:59 GMT", 0, 0),
    ],
)
async def test_a_receiver_may_say_when_to_come_again(
    receiver: Receiver, status: int, text: str, least: int, most: int
) -> None:
    receiver.retry_after = text
    answered = await post(receiver.url(f"/{status}"), loopback=True)
    assert answered.status == status
    assert least <= answered.retry_after <= most


@pytest.mark.parametrize("status", [200, 301, 400, 410, 500, 502])
async def test_with_another_answer_it_may_not(receiver: Receiver, status: int) -> None:
    receiver.retry_after = "120"
    assert (await post(receiver.url(f"/{status}"), loopback=True)).retry_after == 0
