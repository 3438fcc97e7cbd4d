"""`truss-image submit` against a service that behaves, and against one that does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result

from service.cli import main
from service.client import submit as submit_module

VARIANTS = {
    "thumbnail": {"key": "k", "url": "http://cdn/thumbnail.webp", "width": 300, "height": 200, "size": 2048},
    "webp": {"key": "k", "url": "http://cdn/webp.webp", "width": 3000, "height": 2000, "size": 204800},
}
LARGE = bytes(range(250)) * 42


class ScriptedService:
    """The three calls that a submission makes; the script says how each goes."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.uploads: list[tuple[dict[str, str], bytes]] = []
        self.busy = 0
        self.upload_status = 200
        self.issue: dict[str, Any] | None = None
        self.parts: dict[int, bytes] = {}
        self.part_answers: dict[int, list[int]] = {}
        self.parts_at_once = self.most_parts_at_once = 0
        self.looks = 0
        self.statuses = ["pending", "processing", "completed"]
        self.at_once = self.most_at_once = 0
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/images/upload-url", self._issue)
        app.router.add_put("/bucket", self._upload)
        app.router.add_get("/images/status/{id}", self._status)
        app.router.add_post("/images/multipart", self._begin)
        app.router.add_put("/bucket/{part}", self._part)
        app.router.add_post("/images/multipart/u/complete", self._complete)
        return app

    async def _issue(self, request: web.Request) -> web.Response:
        if self.busy:
            self.busy -= 1
            return web.json_response({"code": "unavailable"}, status=503, headers={"Retry-After": "0"})
        self.asked.append(await request.json())
        if self.issue is not None:
            return web.json_response(self.issue, status=400)
        return web.json_response(
            {
                "uploadUrl": f"{self.url}/bucket",
                "headers": {"Content-Type": "image/jpeg", "X-Extra": "1"},
                "processingId": f"img_{len(self.asked)}",
                "uniqueId": "u",
            }
        )

    async def _upload(self, request: web.Request) -> web.Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.uploads.append((dict(request.headers), await request.read()))
        return web.Response(status=self.upload_status)

    async def _begin(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.asked.append(asked)
        starts = range(0, asked["size"], 2000)
        parts = [
            {
                "partNumber": number,
                "size": min(2000, asked["size"] - start),
                "url": f"{self.url}/bucket/{number}",
                "headers": {"Content-Length": str(min(2000, asked["size"] - start))},
            }
            for number, start in enumerate(starts, start=1)
        ]
        issued = {"partSize": 2000, "parts": parts, "processingId": "img_1", "uniqueId": "u"}
        return web.json_response(issued, status=201)

    async def _part(self, request: web.Request) -> web.Response:
        self.parts_at_once += 1
        self.most_parts_at_once = max(self.most_parts_at_once, self.parts_at_once)
        number = int(request.match_info["part"])
        body = await request.read()
        self.parts_at_once -= 1
        status = self.part_answers[number].pop(0) if self.part_answers.get(number) else 200
        if status == 0:
            assert request.transport is not None
            request.transport.abort()
        if status == 200:
            self.parts[number] = body
        return web.Response(status=status or 200)

    async def _complete(self, _: web.Request) -> web.Response:
        self.uploads.append(({}, b"".join(self.parts[number] for number in sorted(self.parts))))
        return web.json_response({})

    async def _status(self, request: web.Request) -> web.Response:
        status = self.statuses[min(self.looks, len(self.statuses) - 1)]
        self.looks += 1
        if status in ("completed", "failed"):
            self.at_once -= 1
        failure = {"code": "corrupt_image", "message": "The image is damaged."} if status == "failed" else None
        return web.json_response(
            {
                "processingId": request.match_info["id"],
                "uniqueId": "u",
                "status": status,
                "processedImages": VARIANTS if status == "completed" else {},
                "error": failure,
            }
        )


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScriptedService]:
    monkeypatch.setattr(submit_module, "POLL_SECONDS", (0.01, 0.02))
    scripted = ScriptedService()
    async with TestServer(scripted.app()) as server:
        scripted.url = str(server.make_url("")).rstrip("/")
        yield scripted


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo [1].jpg"
    path.write_bytes(b"x" * 5000)
    return path


async def _run(service: ScriptedService, *arguments: object) -> Result:
    """The command, in a thread of its own, because it brings its own event loop."""
    given = ["submit", "--url", service.url, *map(str, arguments)]
    return await asyncio.to_thread(CliRunner().invoke, main, given)


async def test_a_photo_is_uploaded_as_agreed_and_its_variants_are_shown(service: ScriptedService, photo: Path) -> None:
    result = await _run(service, photo)
    assert result.exit_code == 0, result.output
    assert service.asked == [{"filename": "photo [1].jpg", "size": 5000, "contentType": "image/jpeg"}]
    headers, body = service.uploads[0]
    assert (headers["Content-Type"], headers["X-Extra"], headers["Content-Length"]) == ("image/jpeg", "1", "5000")
    assert body == b"x" * 5000
    assert "completed" in result.output
    assert "http://cdn/thumbnail.webp" in result.output
    assert "3000x2000" in result.output


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that goes up in six parts."""
    monkeypatch.setattr(submit_module, "MULTIPART_BYTES", 9999)
    monkeypatch.setattr(submit_module, "PART_PAUSE_SECONDS", 0)
    path = tmp_path / "large.png"
    path.write_bytes(LARGE)
    return path


async def test_a_large_file_goes_up_in_parts_and_only_what_failed_is_sent_again(
    service: ScriptedService, large: Path
) -> None:
    service.part_answers = {2: [503, 0, 200], 6: [500]}
    result = await _run(service, large)
    assert result.exit_code == 0, result.output
    assert service.asked == [{"filename": "large.png", "size": 10500, "contentType": "image/png"}]
    assert [body for _, body in service.uploads] == [LARGE]
    assert sorted(service.parts) == [1, 2, 3, 4, 5, 6]
    assert service.most_parts_at_once <= submit_module.PARTS_AT_ONCE


@pytest.mark.parametrize(("answers", "why"), [([403], "HTTP 403"), ([503] * 4, "HTTP 503"), ([0] * 4, "Server")])
async def test_a_part_that_is_refused_is_an_error(
    service: ScriptedService, large: Path, answers: list[int], why: str
) -> None:
    service.part_answers = {4: answers}
    result = await _run(service, large)
    assert result.exit_code == 1
    assert f"part 4 of the upload was refused ({why}" in result.output
    assert service.uploads == []
    assert service.part_answers[4] == []


async def test_a_file_that_cannot_be_converted_fails_the_command_with_its_code(
    service: ScriptedService, photo: Path
) -> None:
    service.statuses = ["failed"]
    result = await _run(service, photo)
    assert result.exit_code == 1
    assert "corrupt_image: The image is damaged." in result.output


async def test_one_failure_among_many_fails_the_command_and_the_others_still_end(
    service: ScriptedService, photo: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.bin"
    empty.touch()
    service.statuses = ["failed", "completed"]
    result = await _run(service, "--concurrency", 1, "--json", empty, photo, photo)
    assert result.exit_code == 1
    outcomes = json.loads(result.stdout)
    assert [outcome["status"] for outcome in outcomes] == ["failed", "completed"]
    assert service.asked[0] == {"filename": "empty.bin"}
    assert outcomes[1]["processedImages"] == VARIANTS


async def test_no_more_photos_are_under_way_than_asked_for(service: ScriptedService, tmp_path: Path) -> None:
    photos = [tmp_path / f"{number}.jpg" for number in range(6)]
    for each in photos:
        each.write_bytes(b"x")
    service.statuses = ["completed"]
    result = await _run(service, "--concurrency", 2, *photos)
    assert result.exit_code == 0, result.output
    assert service.most_at_once <= 2
    assert len(service.uploads) == 6


async def test_a_busy_service_is_asked_again(service: ScriptedService, photo: Path) -> None:
    service.busy = 2
    assert (await _run(service, photo)).exit_code == 0


async def test_a_service_that_stays_busy_is_given_up(service: ScriptedService, photo: Path) -> None:
    service.busy = 100
    result = await _run(service, photo)
    assert result.exit_code == 1
    assert "unavailable" in result.output


@pytest.mark.parametrize(
    ("told", "longest"), [("0", 0), ("7", 7), ("86400", 30), ("", 1), ("Wed, 21 Oct 2026 07:28:00 GMT", 1), ("-1", 1)]
)
async def test_a_client_waits_as_long_as_it_is_told_within_a_bound(told: str, longest: float) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def busy() -> None:
        raise submit_module._Away("busy", told)

    with pytest.raises(submit_module.SubmitError, match="busy"):
        await submit_module._again(1).copy(sleep=sleep)(busy)
    assert len(pauses) == submit_module.TRIES - 1
    assert pauses[0] <= longest
    assert not told.isdecimal() or set(pauses) == {longest}


async def test_a_refused_request_shows_what_the_service_said(service: ScriptedService, photo: Path) -> None:
    service.issue = {"code": "invalid_request", "detail": "filename is too long"}
    result = await _run(service, photo)
    assert result.exit_code == 1
    assert "invalid_request: filename is too long" in result.output


async def test_a_refused_upload_is_an_error(service: ScriptedService, photo: Path) -> None:
    service.upload_status = 403
    result = await _run(service, photo)
    assert result.exit_code == 1
    assert "the upload was refused (HTTP 403)" in result.output


async def test_a_job_that_does_not_end_in_time_is_an_error(service: ScriptedService, photo: Path) -> None:
    service.statuses = ["processing"]
    result = await _run(service, "--timeout", 1, photo)
    assert result.exit_code == 1
    assert "not done after 1 s" in result.output


async def test_an_address_where_nobody_answers_is_named(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit_module, "TRIES", 1)
    nobody = ScriptedService()
    nobody.url = "http://127.0.0.1:1"
    result = await _run(nobody, photo)
    assert result.exit_code == 1
    assert "no answer from http://127.0.0.1:1" in result.output


async def test_something_else_at_the_address_is_told_apart(photo: Path) -> None:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="<h1>hello</h1>")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hello)
    async with TestServer(app) as server:
        other = ScriptedService()
        other.url = str(server.make_url("")).rstrip("/")
        result = await _run(other, photo)
    assert result.exit_code == 1
    assert "does not speak this API" in result.output
