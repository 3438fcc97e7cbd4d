"""Live events over real processes: one is killed, one is stopped, and who listens misses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import corpus
from tests.fleet import ServiceProcess, metrics_with, run_service, run_stage
from tests.ports import held_port
from tests.sse import Message, Reader
from tests.waiting import eventually

#: What is told of an image that is converted at the first try, at the least.
WHOLE = {"image.uploaded", "image.processing", "image.variant", "image.completed"}
#: Between two tries to connect, in seconds, as a browser pauses.
RETRY_SECONDS = 0.1


@dataclass
class Follower:
    """A client that listens to whichever process answers, and comes back with the last id that it has."""

    services: Sequence[ServiceProcess]
    last_id: str = ""
    #: Messages by their ids, in the order in which each was heard first.
    heard: dict[str, Message] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    connections: int = 0

    async def follow(self) -> None:
        while True:
            for service in self.services:
                with suppress(aiohttp.ClientError, AssertionError):
                    await self._listen(service)
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self, service: ServiceProcess) -> None:
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        async with service.session.get(f"{service.url}/images/events", headers=headers) as response:
            assert response.status == 200
            self.connections += 1
            reader = Reader(response, last_id=self.last_id)
            while (message := await reader.message()) is not None:
                self.last_id = reader.last_id
                if message.event == "closed":
                    self.reasons.append(message.data["reason"])
                else:
                    self.heard.setdefault(message.data["id"], message)

    def of(self, processing_id: str) -> list[Message]:
        return [each for each in self.heard.values() if each.data["data"]["processingId"] == processing_id]

    async def hears_of(self, uploads: Sequence[Any]) -> None:
        """Everything of each."""

        async def all_of_them() -> bool:
            return all({each.event for each in self.of(issued["processingId"])} >= WHOLE for issued in uploads)

        await eventually(all_of_them, what="every event of every image")

    async def is_connected(self, times: int) -> None:
        async def enough() -> bool:
            return self.connections >= times

        await eventually(enough, what="a stream")


@pytest.mark.slow  # a fleet that loses its processes
async def test_nothing_is_missed_while_one_process_is_killed_and_one_is_stopped(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    photo = corpus.jpeg(corpus.photo(400, 300))
    async with (
        run_stage(tmp_path / "aws") as stage,
        run_service(stage, session, tmp_path / "one.log", VISIBILITY_SECONDS="6") as one,
        run_service(stage, session, tmp_path / "two.log", VISIBILITY_SECONDS="6") as two,
    ):
        follower = Follower([one, two])
        following = asyncio.create_task(follower.follow())
        await follower.is_connected(1)
        uploads = [await two.put(photo + bytes([number]), "a.jpg") for number in range(2)]
        await follower.hears_of(uploads[:1])

        uploads += [await one.put(photo + b"-killed", "a.jpg")]
        await one.kill()
        uploads += [await two.put(photo + b"-without", "a.jpg")]
        await follower.hears_of(uploads)

        await one.start()
        uploads += [await one.put(photo + b"-stopped", "a.jpg")]
        assert await two.stop() == 0
        uploads += [await one.put(photo + b"-after", "a.jpg")]
        await follower.hears_of(uploads)
        assert "stopping" in follower.reasons
        assert follower.connections >= 3

        await one.call("DELETE", f"/images/image/{uploads[0]['uniqueId']}")

        async def deleted() -> bool:
            return any(each.event == "image.deleted" for each in follower.of(uploads[0]["processingId"]))

        await eventually(deleted, what="the delete")
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    for issued in uploads:
        ids = [each.data["id"] for each in follower.of(issued["processingId"])]
        assert ids == sorted(ids)


async def test_who_waits_at_a_process_that_is_stopped_is_answered(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    metrics = held_port()
    async with (
        run_stage(tmp_path / "aws") as stage,
        run_service(stage, session, tmp_path / "one.log", METRICS_PORT=str(metrics)) as one,
    ):
        issued = await one.call("POST", "/images/upload-url", json={"filename": "a.jpg"})
        path = f"/images/status/{issued['processingId']}"
        tag = await _tag(one, path)
        waits = asyncio.create_task(_tag(one, f"{path}?wait=30", tag))
        await metrics_with(session, metrics, r'^truss_open_calls\{kind="waiting"\} 1.0$')
        assert await one.stop() == 0
        assert await waits == tag


async def _tag(service: ServiceProcess, path: str, known: str = "") -> str:
    headers = {"If-None-Match": known} if known else {}
    async with service.session.get(service.url + path, headers=headers) as response:
        assert response.status == (304 if known else 200)
        return response.headers["ETag"]
