"""The clients of the API guide come to an end, whatever the service and S3 do."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from service.calls import samples
from service.calls.jobs import JOBS
from service.calls.uploads import UPLOAD_URL
from service.http.wire import as_json
from tests.guide import blocks, save_programs
from tests.ports import held_port

PYTHON = (
    sys.executable,
    "-c",
    "import sys, truss_client as c; print(list(c.convert('photo.jpg', float(sys.argv[1]))))",
)
JAVASCRIPT = (
    "node",
    "--input-type=module",
    "-e",
    """
import { convert } from "./truss_client.mjs";
const options = { base: process.env.TRUSS, seconds: Number(process.argv[1]) };
console.log(Object.keys(await convert(new File(["x"], "photo.jpg"), options)));
""",
)
LARGE = (sys.executable, "-c", "import sys, large; print(large.upload('photo.jpg', float(sys.argv[1])))")
#: Whoever waits that long waits for ever, as far as these tests go.
SOON, LATE = 3, 3600
#: Longest that a program may take to end by itself, with its start on a busy machine.
WITHIN = 180

Answer = Callable[[web.Request, int], web.StreamResponse]


def _problem(status: int, **headers: str) -> Answer:
    """`Retry_After="1"` becomes the header."""
    document = {"status": status, "code": "bad", "detail": "no"}
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _, __: web.json_response(document, status=status, headers=sent)


def _job(name: str) -> Answer:
    return lambda _, __: web.Response(body=as_json(JOBS[name], samples.URL), content_type="application/json")


def _broken(request: web.Request, _: int) -> web.StreamResponse:
    """The connection is gone before an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def _first(bad: Answer, then: Answer) -> Answer:
    """Badly once, well from then on."""
    return lambda request, count: (bad if count == 1 else then)(request, count)


def _not_json(_: web.Request, __: int) -> web.StreamResponse:
    return web.Response(text="<html>a proxy says hello", content_type="text/html")


@dataclass
class StandIn:
    """Answers well, but where it is told otherwise, by the name of the call."""

    bad: dict[str, Answer] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/images/upload-url", self._handler("url", self._issued))
        app.router.add_put("/s3", self._handler("upload", lambda _, __: web.Response()))
        app.router.add_post("/s3", self._handler("upload", lambda _, __: web.Response(status=204)))
        app.router.add_get("/images/status/{id}", self._handler("status", _job("completed")))
        app.router.add_post("/images/multipart", self._handler("begin", self._begun))
        app.router.add_put("/part/{number}", self._handler("part", lambda _, __: web.Response()))
        app.router.add_post("/images/multipart/{id}/complete", self._handler("complete", _job("completed")))
        return app

    def _handler(self, name: str, well: Answer) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            await request.read()
            self.asked[name] += 1
            if self.bad.get(name) is silence:
                await asyncio.Event().wait()
            return self.bad.get(name, well)(request, self.asked[name])

        return handle

    @staticmethod
    def _issued(request: web.Request, _: int) -> web.StreamResponse:
        answer = json.loads(as_json(UPLOAD_URL, samples.URL))
        url = str(request.url.origin() / "s3")
        return web.json_response(answer | {"uploadUrl": url, "post": answer["post"] | {"url": url}})

    @staticmethod
    def _begun(request: web.Request, _: int) -> web.StreamResponse:
        parts: list[dict[str, Any]] = [
            {"partNumber": n, "size": 1, "url": str(request.url.origin() / f"part/{n}"), "headers": {}} for n in (1, 2)
        ]
        return web.json_response(
            {"uniqueId": "u", "processingId": "img_1_a", "partSize": 1, "parts": parts}, status=201
        )


def silence(_: web.Request, __: int) -> web.StreamResponse:
    """No answer at all."""
    raise AssertionError


async def _run(command: tuple[str, ...], folder: Path, base: str, seconds: float) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        str(seconds),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "TRUSS": base},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), WITHIN)
    except TimeoutError:
        process.kill()
        raise AssertionError("the client did not end") from None
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photo.jpg").write_bytes(b"xy")
    save_programs(blocks("api.md"), tmp_path)
    return tmp_path


CLIENTS = [
    pytest.param(PYTHON, id="python"),
    pytest.param(
        JAVASCRIPT,
        id="javascript",
        marks=pytest.mark.skipif(shutil.which("node") is None, reason="Node is no requirement of this project"),
    ),
]


def by_turns(cases: Iterable[str]) -> pytest.MarkDecorator:
    """Every case with every client; with one of them in every run, with the other in the slow ones."""
    return pytest.mark.parametrize(
        ("what", "command"),
        [
            pytest.param(
                what,
                *client.values,
                id=f"{what}-{client.id}",
                marks=[*client.marks, *([pytest.mark.slow] if (turn + number) % len(CLIENTS) else [])],
            )
            for turn, what in enumerate(cases)
            for number, client in enumerate(CLIENTS)
        ],
    )


#: What goes wrong; how long the client may take; what it says in the end; how often it asks, where that is certain.
ENDS: dict[str, tuple[dict[str, Answer], float, str, dict[str, int]]] = {
    "the request is refused": ({"url": _problem(400)}, LATE, "400", {"url": 1}),
    "the credentials are refused": ({"url": _problem(401)}, LATE, "401", {"url": 1}),
    "S3 refuses the upload": ({"upload": _problem(403)}, LATE, "403", {"upload": 1}),
    "the image is deleted": ({"status": _first(_job("pending"), _problem(404))}, LATE, "404", {"status": 2}),
    "the job fails": ({"status": _job("failed")}, LATE, "corrupt_image", {"status": 1}),
    "the job never ends": ({"status": _job("pending")}, SOON, "", {}),
    "the service is broken for ever": ({"status": _problem(500)}, SOON, "500", {}),
    "the service is away for ever": ({"url": _problem(503, Retry_After="1")}, SOON, "503", {}),
    "S3 is broken for ever": ({"upload": _problem(503)}, SOON, "503", {}),
    "the limit of the day is reached": ({"url": _problem(429, Retry_After="86400")}, 600, "429", {"url": 1}),
    "nobody answers": ({"status": silence}, SOON, "", {"url": 1}),
    "every connection breaks": ({"status": _broken}, SOON, "", {}),
    "something else answers": ({"status": _not_json}, LATE, "", {"status": 1}),
}
#: What goes wrong for a while.
GOES_ON: dict[str, dict[str, Answer]] = {
    "it is asked too fast": {"status": _first(_problem(429, Retry_After="1"), _job("completed"))},
    "the service is away for a moment": {"status": _first(_problem(503, Retry_After="1"), _job("completed"))},
    "a connection breaks": {"status": _first(_broken, _job("completed"))},
    "S3 is slow": {"upload": _first(_problem(503), lambda _, __: web.Response())},
    "the job takes its time": {"status": _first(_job("pending"), _job("completed"))},
}


@by_turns(ENDS)
async def test_a_client_ends_when(what: str, command: tuple[str, ...], folder: Path, aiohttp_server: Any) -> None:
    bad, seconds, says, times = ENDS[what]
    stand_in = StandIn(bad)
    server = await aiohttp_server(stand_in.application())
    code, output = await _run(command, folder, str(server.make_url("")).rstrip("/"), seconds)
    assert code == 1, output
    assert says in output
    assert {name: stand_in.asked[name] for name in times} == times


@by_turns(GOES_ON)
async def test_a_client_gets_its_variants_although(
    what: str, command: tuple[str, ...], folder: Path, aiohttp_server: Any
) -> None:
    stand_in = StandIn(GOES_ON[what])
    server = await aiohttp_server(stand_in.application())
    code, output = await _run(command, folder, str(server.make_url("")).rstrip("/"), 600)
    assert code == 0, output
    assert all(name in output for name in ("thumbnail", "medium", "large", "webp"))
    assert [stand_in.asked[name] for name in GOES_ON[what]] == [2]


@pytest.mark.parametrize("command", CLIENTS)
async def test_a_client_ends_when_there_is_no_service(command: tuple[str, ...], folder: Path) -> None:
    code, _ = await _run(command, folder, f"http://127.0.0.1:{held_port()}", SOON)
    assert code == 1


@pytest.mark.parametrize(
    ("bad", "seconds", "says"),
    [
        ({"begin": _problem(400)}, LATE, "400"),
        ({"part": _problem(403)}, LATE, "403"),
        ({"part": _problem(500)}, SOON, "500"),
        ({"complete": _problem(409)}, LATE, "409"),
        ({"complete": silence}, SOON, ""),
    ],
)
async def test_the_client_for_large_files_ends_too(
    bad: dict[str, Answer], seconds: float, says: str, folder: Path, aiohttp_server: Any
) -> None:
    server = await aiohttp_server(StandIn(bad).application())
    code, output = await _run(LARGE, folder, str(server.make_url("")).rstrip("/"), seconds)
    assert code == 1
    assert says in output


async def test_no_client_prints_what_signs_an_upload(folder: Path, aiohttp_server: Any) -> None:
    """An error is pasted into tickets; a URL that is still good does not belong there."""
    server = await aiohttp_server(StandIn({"upload": _problem(403)}).application())
    _, output = await _run(PYTHON, folder, str(server.make_url("")).rstrip("/"), LATE)
    assert "/s3" not in output
