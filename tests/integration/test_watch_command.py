"""`truss-image watch` as a real process: over the real API, and over one that breaks off and repeats itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.auth.principal import Scope
from tests.integration.http.conftest import World, make_application
from tests.integration.http.test_access import key_of

COMMAND = Path(sys.executable).with_name("truss-image")
TENANT = "acme"
IMAGE = "6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e"
JOB = "img_1767323045678_9f86d081884c7d65"


async def start(
    url: str, *arguments: str, key: str = "", stdout: int = asyncio.subprocess.PIPE
) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if name not in ("TERM", "COLUMNS")}
    environment |= {"TRUSS_IMAGE_URL": url, "TZ": "UTC"} | ({"TRUSS_IMAGE_API_KEY": key} if key else {})
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        COMMAND, "watch", *arguments, env=environment, stdin=pipe, stdout=stdout, stderr=pipe
    )


async def run(url: str, *arguments: str, key: str = "") -> tuple[int | None, list[str], str]:
    """The exit code, the lines, and what is beside them."""
    process = await start(url, *arguments, key=key)
    out, err = await asyncio.wait_for(process.communicate(), 180)
    return process.returncode, out.decode().splitlines(), err.decode()


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 180)).decode().rstrip("\n")


async def interrupted(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 180)
    return process.returncode, err.decode()


def event(number: int, kind: str = "uploaded", **data: Any) -> str:
    """As the API tells it."""
    id_ = f"17673230550{number:02}-{JOB}-{number:04}"
    told = {
        "id": id_,
        "type": f"image.{kind}",
        "time": f"2026-01-02T03:04:{number:02}.678Z",
        "subject": IMAGE,
        "data": {"uniqueId": IMAGE, "processingId": JOB, **data},
    }
    return f"id: {id_}\nevent: image.{kind}\ndata: {json.dumps(told)}\n\n"


@dataclass
class Streams:
    """Answers each connection with the next text, and the last one without an end; `asked` tells what came."""

    texts: list[str | int] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    status: dict[str, Any] | None = None
    url: str = ""
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def live(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.query_string, request.headers.get("Last-Event-ID")))
        text = self.texts.pop(0)
        if isinstance(text, int):
            codes = {429: "too_many_streams", 401: "unauthorized", 400: "invalid_request"}
            problem = {"code": codes[text], "detail": "words"}
            return web.json_response(problem, status=text, headers={"Retry-After": "0"} if text == 429 else {})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(text.encode())
        if not self.texts:
            await self.released.wait()
        return response

    async def show(self, _: web.Request) -> web.Response:
        if self.status is None:
            return web.json_response({"code": "job_not_found", "detail": "There is none."}, status=404)
        return web.json_response(self.status)


@pytest.fixture
async def streams() -> AsyncIterator[Streams]:
    found, app = Streams(), web.Application()
    app.router.add_get("/images/events", found.live)
    app.router.add_get("/images/status/{id}", found.show)
    async with TestServer(app) as server:
        found.url = str(server.make_url("")).rstrip("/")
        yield found
        found.released.set()


VARIANT = {"name": "thumbnail", "format": "webp", "width": 300, "height": 200, "size": 2048, "url": "http://cdn/t.webp"}


async def test_each_event_is_one_line_that_says_what_a_person_wants_to_know(streams: Streams) -> None:
    streams.texts = [
        event(1)
        + event(2, "processing")
        + event(3, "variant", variant=VARIANT)
        + event(4, "completed", processedImages={"a": VARIANT, "b": VARIANT})
        + event(5, "failed", error={"code": "corrupt_image"})
        + event(6, "superseded", supersededBy="img_2")
        + event(7, "deleted")
    ]
    process = await start(streams.url)
    assert [await line_of(process) for _ in range(7)] == [
        f"03:04:01.678  uploaded    {IMAGE}",
        f"03:04:02.678  processing  {IMAGE}",
        f"03:04:03.678  variant     {IMAGE}  thumbnail 300x200 2.0 kB  http://cdn/t.webp",
        f"03:04:04.678  completed   {IMAGE}  2 variants, 4.1 kB",
        f"03:04:05.678  failed      {IMAGE}  corrupt_image",
        f"03:04:06.678  superseded  {IMAGE}  by img_2",
        f"03:04:07.678  deleted     {IMAGE}",
    ]
    code, err = await interrupted(process)
    assert code == 130
    assert err == f"Go on behind the last event with: truss-image watch --after 1767323055007-{JOB}-0007\n"


async def test_a_connection_that_breaks_costs_no_event_and_none_comes_twice(streams: Streams) -> None:
    closed = 'event: closed\ndata: {"reason": "time"}\n\n'
    cut = "id: 9\nevent: image.failed\ndata: {"
    streams.texts = [
        "retry: 2000\nid: 1767323050000-0\n\n",
        event(1) + event(2) + cut,
        429,
        event(2) + ": keep-alive\nid: 1767323060000-0\n\n" + closed,
        'event: gap\ndata: {"since": "2026-01-02T03:00:00.000Z"}\n\n' + event(1) + event(3).replace("\n", "\r\n"),
    ]
    process = await start(streams.url, "--json")
    lines = [json.loads(await line_of(process)) for _ in range(3)]
    assert [line["id"][-4:] for line in lines] == ["0001", "0002", "0003"]
    last = f"1767323055002-{JOB}-0002"
    assert [id_ for _, id_ in streams.asked] == [None, "1767323050000-0", last, last, "1767323060000-0"]
    code, err = await interrupted(process)
    assert code == 130
    assert err.startswith("What happened before 2026-01-02T03:00:00.000Z is not told.\n")
    assert f"watch --json --after 1767323055003-{JOB}-0003" in err


async def test_what_is_wanted_is_asked_of_the_service_and_begins_behind_an_event(streams: Streams) -> None:
    streams.texts = [event(1, "failed", error={"code": "x"})]
    process = await start(streams.url, "--type", "failed", "--type", "deleted", "--image", IMAGE, "--after", "5-0")
    await line_of(process)
    assert streams.asked == [(f"types=image.deleted,image.failed&uniqueId={IMAGE}", "5-0")]
    code, err = await interrupted(process)
    assert (code, f"--type failed --type deleted --image {IMAGE} --after" in err) == (130, True)


UNDER_WAY = {"status": "processing", "uniqueId": IMAGE, "updatedAt": "2026-01-02T03:04:05.678Z", "error": None}


@pytest.mark.parametrize(("end", "expected"), [("completed", 0), ("failed", 1), ("superseded", 1), ("deleted", 1)])
async def test_a_watch_of_a_job_tells_it_from_its_beginning_and_ends_as_it_does(
    streams: Streams, end: str, expected: int
) -> None:
    streams.status = UNDER_WAY
    told = {"processedImages": {}, "error": {"code": "corrupt_image"}, "supersededBy": "img_2"}
    streams.texts = [event(1), event(2, "processing") + event(3, end, **told), "never asked for"]
    code, lines, err = await run(streams.url, "--job", JOB, "--type", "processing")
    assert (code, len(lines), err) == (expected, 1, "")
    assert streams.asked[0][1] == "1767323045678-0"
    assert "image.completed,image.deleted,image.failed,image.processing" in streams.asked[0][0]


@pytest.mark.parametrize(
    ("status", "error", "expected", "shown"),
    [
        ("completed", None, 0, "completed"),
        ("failed", {"code": "corrupt_image", "message": "m"}, 1, "failed"),
        ("failed", {"code": "superseded", "message": "m"}, 1, "superseded"),
    ],
)
async def test_a_job_that_is_over_is_told_from_its_status(
    streams: Streams, status: str, error: object, expected: int, shown: str
) -> None:
    streams.status = {**UNDER_WAY, "status": status, "error": error, "processedImages": {}, "supersededBy": "img_2"}
    code, (line,), _ = await run(streams.url, "--job", JOB)
    assert (code, line.split()[:3]) == (expected, ["03:04:05.678", shown, IMAGE])
    assert streams.asked == []


async def test_a_call_that_is_refused_and_a_service_that_is_of_no_use_are_told_apart(streams: Streams) -> None:
    assert await run(streams.url, "--job", JOB) == (1, [], "Error: job_not_found: There is none.\n")
    streams.texts = [400]
    assert await run(streams.url, "--after", "x") == (1, [], "Error: invalid_request: words\n")
    streams.texts = [event(1), 401]
    code, lines, err = await run(streams.url)
    assert (code, len(lines)) == (3, 1)
    assert "No key was sent" in err
    code, lines, err = await run(f"{streams.url}/elsewhere")
    assert (code, lines) == (3, [])
    assert "does not speak this API" in err


async def test_whoever_reads_no_more_ends_it(streams: Streams) -> None:
    streams.texts = [event(1), event(2)]
    reading, writing = os.pipe()
    process = await start(streams.url, stdout=writing)
    os.close(writing)
    assert (await asyncio.to_thread(os.read, reading, 1024)).startswith(b"03:04:01.678")
    os.close(reading)
    _, err = await asyncio.wait_for(process.communicate(), 180)
    assert (process.returncode, err) == (141, b"")


async def test_it_watches_the_real_api_with_a_key_of_its_tenant() -> None:
    world = World()
    key = (await key_of(world, Scope.READ, tenant=TENANT))["X-Api-Key"]
    async with TestServer(make_application(world, locked=True)) as server:
        url = str(server.make_url("")).rstrip("/")
        process = await start(url, "--json", key=key)
        job = await world.submit(TENANT)
        watched = await start(url, "--job", job.processing_id, "--type", "completed", key=key)
        await world.complete(job.processing_id)
        other = await world.submit("another")
        await world.complete(other.processing_id)
        line = await line_of(watched)
        assert line.split()[1:3] == ["completed", job.unique_id]
        assert await asyncio.wait_for(watched.wait(), 180) == 0
        code, lines, _ = await run(url, "--job", other.processing_id, key=key)
        assert (code, lines) == (1, [])
        assert (await interrupted(process))[0] == 130
