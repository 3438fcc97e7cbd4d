"""A pod is replaced while clients with kept connections go on asking: not one request fails."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.fleet import ServiceProcess, run_service, run_stage
from tests.waiting import eventually

#: Clients, each with a connection of its own that it keeps as long as it is let.
CLIENTS = 8
#: Between two requests of a client.
PAUSE_SECONDS = 0.1
#: Longer than the balancer takes to see that a process is not ready, also on a busy machine.
STOP_DELAY_SECONDS = 10


@dataclass
class Balancer:
    """Asks for readiness, as a load balancer does, and sends requests to whoever is ready; it repeats none."""

    ports: tuple[int, ...]
    ready: tuple[int, ...] = ()
    stopped: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        while not self.stopped.is_set():
            self.ready = tuple(port for port in self.ports if _is_ready(port))
            self.stopped.wait(0.1)


@dataclass
class Client:
    """Asks one request after the other, as many in a second as leaves the processors to other tests."""

    balancer: Balancer
    number: int
    answers: dict[int, int] = field(default_factory=dict)
    asked_to_close: int = 0
    failures: list[str] = field(default_factory=list)
    _kept: dict[int, http.client.HTTPConnection] = field(default_factory=dict)

    def run(self) -> None:
        while not self.balancer.stopped.is_set():
            ready = self.balancer.ready
            for port in [port for port in self._kept if port not in ready]:
                self._kept.pop(port).close()
            if not ready:
                self.balancer.stopped.wait(0.1)
            else:
                self._ask(ready[(self.number + sum(self.answers.values())) % len(ready)])
                self.balancer.stopped.wait(PAUSE_SECONDS)

        for connection in self._kept.values():
            connection.close()

    def _ask(self, port: int) -> None:
        connection = self._kept.setdefault(port, http.client.HTTPConnection("127.0.0.1", port, timeout=60))
        body = json.dumps({"filename": "a.jpg"}) if self.number % 3 == 0 else None
        method, path = ("POST", "/images/upload-url") if body else ("GET", "/images/limits")
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(repr(error))
            connection.close()
            return
        self.answers[port] = self.answers.get(port, 0) + 1
        if answer.status != http.HTTPStatus.OK:
            self.failures.append(f"{method} {path}: {answer.status}")
        if answer.getheader("Connection") == "close":
            self.asked_to_close += 1


def _is_ready(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        try:
            connection.request("GET", "/images/ready")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False


@pytest.mark.slow
async def test_no_request_fails_while_a_pod_is_replaced(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    limits = {"LIMIT_REQUESTS_PER_SECOND": "100000", "LIMIT_REQUEST_BURST": "1000000"}
    limits |= {f"LIMIT_TENANT_{name.removeprefix('LIMIT_')}": value for name, value in limits.items()}
    delay = {"STOP_DELAY_SECONDS": str(STOP_DELAY_SECONDS)}
    async with (
        run_stage(tmp_path / "aws") as stage,
        run_service(stage, session, tmp_path / "old.log", **limits, **delay) as old,  # type: ignore[arg-type]
        run_service(stage, session, tmp_path / "new.log", **limits) as new,  # type: ignore[arg-type]
    ):
        balancer = Balancer((old.port, new.port))
        clients = [Client(balancer, number) for number in range(CLIENTS)]
        running = [threading.Thread(target=each) for each in (balancer.watch, *(client.run for client in clients))]
        for each in running:
            each.start()
        try:
            await _all_have_asked(clients, old, new)
            old.signal(signal.SIGTERM)
            told_at = time.monotonic()
            await eventually(lambda: _that(old.port not in balancer.ready), what="a balancer that has seen it")
            # Whoever has not heard of it is answered still, also on a new connection, and a process that drains lives.
            async with session.get(f"{old.url}/images/live") as answer:
                assert (answer.status, answer.headers["Connection"]) == (200, "close")
            assert await old.ended() == 0
            assert time.monotonic() - told_at >= STOP_DELAY_SECONDS
            before = sum(client.answers.get(new.port, 0) for client in clients)
            await eventually(lambda: _that(sum(c.answers.get(new.port, 0) for c in clients) > before + CLIENTS))
        finally:
            balancer.stopped.set()
            for each in running:
                await asyncio.to_thread(each.join)

    assert [failure for client in clients for failure in client.failures] == []
    assert sum(client.asked_to_close for client in clients) > 0


async def _all_have_asked(clients: list[Client], *pods: ServiceProcess) -> None:
    for pod in pods:
        await eventually(
            lambda port=pod.port: _that(all(client.answers.get(port) for client in clients)),  # type: ignore[misc]
            what="an answer for every client",
        )


async def _that(condition: bool) -> bool:
    return condition
