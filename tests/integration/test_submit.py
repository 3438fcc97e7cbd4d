"""`truss-image submit` against a service that behaves, and against one that does not."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import json
import os
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.cli import main
from service.client import api
from service.client import submit as submit_module
from tests.integration.scripted_service import EXPIRED, SLOW_DOWN, VARIANTS, Scripted, ScriptedService, busy, problem
from tests.waiting import eventually
from truss_image_client import retrying
from truss_image_client._async import client as asking
from truss_image_client._async import gate, uploads

LARGE = bytes(range(250)) * 42
KEY = "truss_k3v7q2mzt5x6wabn_EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAM"
BROKEN: Scripted = (0, {}, "")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rules with shorter pauses."""
    monkeypatch.setattr(asking, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(retrying, "BACKOFF_SECONDS", (0.001, 0.002))
    monkeypatch.setattr(gate, "PACE_SECONDS", (0.001, 0.002))
    for name in ("TRUSS_IMAGE_API_KEY", "TRUSS_IMAGE_URL", "http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def service() -> AsyncIterator[ScriptedService]:
    scripted = ScriptedService()
    async with TestServer(scripted.app()) as server:
        scripted.url = str(server.make_url("")).rstrip("/")
        yield scripted


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo [1].jpg"
    path.write_bytes(b"x" * 5000)
    return path


def photos_in(folder: Path, count: int) -> list[Path]:
    photos = [folder / f"{number}.jpg" for number in range(count)]
    for number, each in enumerate(photos):
        each.write_bytes(b"x" * (number + 1))
    return photos


async def _run(service: ScriptedService, *arguments: object, command: str = "submit", **environment: str) -> Result:
    """The command, in a thread of its own, because it brings its own event loop."""
    given = [command, "--url", service.url, *map(str, arguments)]
    return await asyncio.to_thread(CliRunner(env=environment).invoke, main, given)


async def _lines(service: ScriptedService, *arguments: object, expect: int = 0) -> tuple[list[Any], Any]:
    """The rows of the JSON output, and its total."""
    result = await _run(service, "--json", *arguments)
    assert result.exit_code == expect, result.output
    *rows, last = map(json.loads, result.stdout.splitlines())
    return rows, last["total"]


async def test_a_photo_is_uploaded_as_agreed_and_its_variants_are_shown(service: ScriptedService, photo: Path) -> None:
    result = await _run(service, photo)
    assert result.exit_code == 0, result.output
    checksum = base64.b64encode(hashlib.sha256(b"x" * 5000).digest()).decode()
    assert service.asked == [
        {
            "filename": "photo [1].jpg",
            "size": 5000,
            "contentType": "image/jpeg",
            "checksumSha256": checksum,
            "dedupe": True,
            "once": True,
        }
    ]
    headers, body = service.uploads[0]
    assert (headers["Content-Type"], headers["X-Extra"], headers["Content-Length"]) == ("image/jpeg", "1", "5000")
    assert body == b"x" * 5000
    assert result.stdout.startswith(f"completed {photo} in ")
    assert "img_1\n" in result.stdout
    assert "http://cdn/thumbnail.webp" in result.stdout
    assert "3000x2000" in result.stdout
    assert result.stderr.startswith("1 completed, 0 already there, 0 failed, 0 interrupted; 5.0 kB sent in ")


async def test_json_has_one_line_a_photo_with_stable_names_and_a_total(service: ScriptedService, photo: Path) -> None:
    (row,), total = await _lines(service, photo)
    assert row.pop("seconds") >= 0
    assert row == {
        "photo": str(photo),
        "status": "completed",
        "alreadyThere": False,
        "bytes": 5000,
        "processingId": "img_1",
        "uniqueId": "u1",
        "processedImages": VARIANTS,
        "error": None,
    }
    assert total.pop("seconds") >= 0
    assert total == {"completed": 1, "alreadyThere": 0, "failed": 0, "interrupted": 0, "bytes": 5000}


# -- one among many


async def test_a_name_that_is_no_photo_is_reported_and_the_others_go_on(service: ScriptedService, photo: Path) -> None:
    folder = photo.parent
    pipe, empty, secret = folder / "pipe", folder / "empty.jpg", folder / "secret.jpg"
    os.mkfifo(pipe)
    empty.touch()
    secret.write_bytes(b"x")
    secret.chmod(0)
    bad = {
        folder / "nowhere.jpg": "No such file",
        folder: "directory",
        pipe: "pipe or a device",
        Path("/dev/zero"): "pipe or a device",
        empty: "is empty",
        folder / ("n" * 300): "File name too long",
    } | ({} if os.geteuid() == 0 else {secret: "Permission denied"})
    rows, total = await _lines(service, *bad, photo, expect=1)
    errors = {row["photo"]: row["error"] for row in rows}
    for path, reason in bad.items():
        assert reason in errors[str(path)]
    assert errors[str(photo)] is None
    assert (total["completed"], total["failed"]) == (1, len(bad))
    assert service.calls["issue"] == 1


async def test_a_file_that_cannot_be_converted_fails_the_command_with_its_code(
    service: ScriptedService, photo: Path
) -> None:
    service.statuses = ["failed"]
    result = await _run(service, photo)
    assert result.exit_code == 1
    assert "corrupt_image: The image is damaged." in result.stdout


async def test_a_job_whose_place_another_took_is_followed_to_that_one(service: ScriptedService, photo: Path) -> None:
    service.superseded = {"img_1": "img_2"}
    result = await _run(service, "--json", photo)
    assert '"img_2"' in result.stdout
    assert result.exit_code == 0


async def test_no_more_photos_are_under_way_than_asked_for(service: ScriptedService, tmp_path: Path) -> None:
    service.statuses = ["completed"]

    async def beside_another() -> None:
        async def two() -> bool:
            return service.most_at_once["upload"] > 1

        await eventually(two, what="two uploads at once")

    service.before["upload"] = beside_another
    _, total = await _lines(service, "--concurrency", 2, *photos_in(tmp_path, 8))
    assert total["completed"] == 8
    assert service.most_at_once["upload"] == 2


# -- told to wait


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("retry_after", ["0", "Thu, 01 Jan 2026 00:00:00 GMT", "soon", ""])
async def test_a_busy_service_is_asked_again(
    service: ScriptedService, photo: Path, status: int, retry_after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "BUSY_SECONDS", 0.001)
    service.script = {"issue": [busy(retry_after, status)] * 2, "status": [busy(retry_after, status)]}
    assert (await _run(service, photo)).exit_code == 0
    assert service.calls["issue"] == 3


@pytest.mark.parametrize(("told", "pause"), [("0", 0), ("7", 7), ("120", 120), ("", 1), ("-1", 1), ("soon", 1)])
async def test_all_calls_wait_as_long_as_one_is_told(
    service: ScriptedService, photo: Path, monkeypatch: pytest.MonkeyPatch, told: str, pause: float
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(gate.AsyncGate, "close", lambda _, seconds, *, entered_at: pauses.append(seconds))
    service.script = {"issue": [busy(told)], "status": [busy(told, 503)]}
    assert (await _run(service, photo)).exit_code == 0
    assert pauses == [pause, pause]


async def test_nobody_waits_for_a_day(service: ScriptedService, photo: Path) -> None:
    service.always = {"issue": busy("86400")}
    rows, _ = await _lines(service, photo, expect=1)
    assert rows[0]["error"] == "too_many_requests: words Try again in 24 h."
    assert service.calls["issue"] == 1


async def test_a_date_to_wait_for_is_read_by_the_clock_of_the_service(
    service: ScriptedService, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PATIENCE_SECONDS", 60)
    dates = {"Date": "Thu, 01 Jan 2026 00:00:00 GMT", "Retry-After": "Thu, 01 Jan 2026 01:00:00 GMT"}
    service.script = {"issue": [problem(429, "daily_limit_reached", "Today's limit is reached.", **dates)]}
    result = await _run(service, photo)
    assert result.exit_code == 1
    assert "daily_limit_reached: Today's limit is reached. Try again in 60 min." in result.stdout


async def test_a_service_that_stays_busy_is_given_up_and_nobody_else_asks(
    service: ScriptedService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PATIENCE_SECONDS", 0.1)
    service.always = {"issue": busy("0", 503)}
    result = await _run(service, *photos_in(tmp_path, 20))
    assert result.exit_code == 3
    assert "is busy (too_many_requests: words)" in result.stderr
    assert "20 not begun" in result.stderr
    assert service.most_at_once["issue"] == 1


async def test_a_service_that_goes_away_ends_the_run_and_what_was_under_way_is_named(
    service: ScriptedService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PATIENCE_SECONDS", 0.2)
    service.always = {"status": (502, {"Content-Type": "text/html"}, "<h1>Bad gateway</h1>")}
    result = await _run(service, "--concurrency", 1, *photos_in(tmp_path, 3))
    assert result.exit_code == 3
    assert "img_1" in result.stdout
    assert f"truss-image status --url {service.url} img_1" in result.stderr
    assert "2 not begun" in result.stderr


async def test_a_connection_that_breaks_is_tried_again_and_makes_no_second_image(
    service: ScriptedService, tmp_path: Path
) -> None:
    async def break_off() -> None:
        if service.calls["issue"] == 2:  # a service that never answered is not waited for
            service.script = {"issue": [BROKEN, (502, {}, "")], "status": [BROKEN, (504, {}, "")]}

    service.before["issue"] = break_off
    _, total = await _lines(service, "--concurrency", 1, *photos_in(tmp_path, 2))
    assert (total["completed"], len(service.images)) == (2, 2)
    assert service.script == {"issue": [], "status": []}


# -- uploads


@pytest.mark.parametrize(
    "answer", [(503, {}, SLOW_DOWN), (500, {}, ""), BROKEN, (400, {}, "<Code>RequestTimeout</Code>")]
)
async def test_an_upload_is_sent_again_while_the_storage_is_busy(
    service: ScriptedService, photo: Path, answer: Scripted
) -> None:
    service.script = {"upload": [answer] * 3}
    _, total = await _lines(service, photo)
    assert total["bytes"] == 5000
    assert service.calls["upload"] == 4


async def test_a_url_that_has_run_out_is_replaced(service: ScriptedService, photo: Path) -> None:
    service.script = {"upload": [(403, {}, EXPIRED)]}
    await _lines(service, photo)
    assert (service.calls["refresh"], service.calls["upload"], len(service.images)) == (1, 2, 1)


async def test_a_url_that_runs_out_again_and_again_is_an_error(service: ScriptedService, photo: Path) -> None:
    service.always = {"upload": (403, {}, EXPIRED)}
    rows, _ = await _lines(service, photo, expect=1)
    assert rows[0]["error"] == "the URL for the upload has run out"
    assert service.calls["upload"] == uploads.REFRESHES + 1


async def test_an_upload_whose_answer_got_lost_is_not_stored_twice(service: ScriptedService, photo: Path) -> None:
    async def arrive() -> None:
        if service.calls["upload"] == 1:
            service.images["u1"]["object"] = True

    service.before["upload"] = arrive
    service.script = {"upload": [BROKEN]}
    _, total = await _lines(service, photo)
    assert (total["completed"], total["bytes"], service.uploads) == (1, 0, [])


async def test_a_refused_upload_is_an_error_with_the_code_of_the_storage_and_without_its_url(
    service: ScriptedService, photo: Path
) -> None:
    service.always = {"upload": (403, {}, "<Code>SignatureDoesNotMatch</Code><StringToSign>secret</StringToSign>")}
    result = await _run(service, photo)
    assert result.exit_code == 1
    assert "the upload was refused (HTTP 403, SignatureDoesNotMatch)" in result.stdout
    assert "secret" not in result.output
    assert service.calls["upload"] == 1


async def test_the_key_goes_to_the_service_and_never_to_the_storage(service: ScriptedService, photo: Path) -> None:
    assert (await _run(service, photo, TRUSS_IMAGE_API_KEY=f" {KEY}\n")).exit_code == 0
    assert service.headers[0]["X-Api-Key"] == KEY
    assert "X-Api-Key" not in service.uploads[0][0]


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that goes up in six parts."""
    monkeypatch.setattr(submit_module, "MULTIPART_BYTES", 9999)
    path = tmp_path / "large.png"
    path.write_bytes(LARGE)
    return path


async def test_a_large_file_goes_up_in_parts_and_only_what_failed_is_sent_again(
    service: ScriptedService, large: Path
) -> None:
    service.script = {
        "part 2": [(503, {}, SLOW_DOWN), BROKEN],
        "part 5": [(403, {}, EXPIRED)],
        "part 6": [(500, {}, "")],
    }
    result = await _run(service, large)
    assert result.exit_code == 0, result.output
    asked = {name: service.asked[0][name] for name in ("filename", "size", "contentType")}
    assert (len(service.asked), asked) == (1, {"filename": "large.png", "size": 10500, "contentType": "image/png"})
    assert [body for _, body in service.uploads] == [LARGE]
    assert sorted(service.parts) == [1, 2, 3, 4, 5, 6]
    assert service.calls["part"] == 6 + 4
    assert service.calls["sign"] == 1
    assert service.most_at_once["part"] <= uploads.PARTS_AT_ONCE


@pytest.mark.parametrize(
    ("answer", "why"), [((403, {}, ""), "HTTP 403"), ((503, {}, ""), "HTTP 503"), (BROKEN, "RemoteProtocolError")]
)
async def test_a_part_that_is_refused_is_an_error(
    service: ScriptedService, large: Path, answer: Scripted, why: str
) -> None:
    service.always = {"part 4": answer}
    result = await _run(service, large)
    assert result.exit_code == 1
    assert "part 4: the upload" in result.stdout
    assert why in result.stdout
    assert service.uploads == []


@pytest.mark.parametrize("told", [True, False])
async def test_a_large_file_goes_on_with_the_parts_that_are_missing(
    service: ScriptedService, large: Path, *, told: bool
) -> None:
    service.tells_missing_parts = told
    service.always = {"part 6": (403, {}, "")}
    await _lines(service, large, expect=1)
    service.always, service.calls = {}, Counter()
    there = len(service.parts)
    _, total = await _lines(service, large)
    assert total["completed"] == 1
    assert service.calls["part"] == (6 - there if told else 6)
    assert [body for _, body in service.uploads] == [LARGE]
    assert len(service.images) == 1


async def test_a_file_that_changes_while_it_is_sent_is_an_error_of_its_own(
    service: ScriptedService, photo: Path
) -> None:
    async def shorten() -> None:
        await asyncio.to_thread(photo.write_bytes, b"x")

    service.before["issue"] = shorten
    rows, _ = await _lines(service, photo, expect=1)
    assert rows[0]["error"] == "the file became shorter while it was read"


# -- once more


async def test_a_run_that_is_repeated_stores_nothing_twice(service: ScriptedService, tmp_path: Path) -> None:
    photos = photos_in(tmp_path, 5)
    await _lines(service, *photos)
    _, total = await _lines(service, *photos)
    assert (total["completed"], total["alreadyThere"], total["bytes"]) == (0, 5, 0)
    assert (len(service.images), len(service.uploads)) == (5, 5)


async def test_the_same_bytes_under_another_name_are_the_same_image(service: ScriptedService, photo: Path) -> None:
    copy, renamed = photo.with_name("copy.jpg"), photo.with_name("renamed.jpg")
    renamed.write_bytes(b"x" * 5000)
    copy.write_bytes(b"x" * 5000)
    rows, total = await _lines(service, photo, copy)
    assert {row["uniqueId"] for row in rows} == {"u1"}
    assert (total["completed"], total["alreadyThere"]) == (1, 1)
    service.answers.clear()  # a day later
    (row,), total = await _lines(service, renamed)
    assert (row["uniqueId"], row["alreadyThere"], len(service.uploads)) == ("u1", True, 1)


@pytest.mark.parametrize("uploaded", [True, False])
async def test_a_run_that_died_between_two_calls_is_gone_on_with(
    service: ScriptedService, photo: Path, *, uploaded: bool
) -> None:
    service.always = {"status" if uploaded else "upload": (403, {}, "<Code>Died</Code>")}
    await _run(service, photo)
    service.always = {}
    (row,), _ = await _lines(service, photo)
    assert (row["processingId"], row["alreadyThere"]) == ("img_1", False)
    assert (len(service.images), len(service.uploads)) == (1, 1)


async def test_an_image_that_was_deleted_since_is_made_anew_and_only_once(
    service: ScriptedService, photo: Path
) -> None:
    await _lines(service, photo)
    service.delete("u1")
    service.always = {"status": problem(404, "job_not_found")}
    service.script = {}
    await _lines(service, photo, expect=1)
    service.always = {}
    service.script = {"status": [problem(404, "job_not_found")]}
    (row,), _ = await _lines(service, photo)
    service.script = {"status": [problem(404, "job_not_found")]}
    (again,), _ = await _lines(service, photo)
    assert row["uniqueId"] == again["uniqueId"] == "u2"
    assert len(service.images) == 1


async def test_an_image_that_was_deleted_long_since_is_made_anew_too(service: ScriptedService, photo: Path) -> None:
    await _lines(service, photo)
    service.delete("u1")
    service.script = {"issue": [problem(404, "image_deleted")]}
    (row,), _ = await _lines(service, photo)
    assert (row["uniqueId"], row["alreadyThere"]) == ("u2", False)


async def test_a_service_that_calls_everything_gone_is_not_asked_for_ever(
    service: ScriptedService, photo: Path
) -> None:
    service.always = {"issue": problem(404, "image_deleted")}
    (row,), _ = await _lines(service, photo, expect=1)
    assert row["error"].startswith("image_deleted")


async def test_a_conversion_that_failed_is_tried_again_without_another_upload(
    service: ScriptedService, photo: Path
) -> None:
    service.statuses = ["failed"]
    service.failure = {"code": "unavailable", "message": "The job was given up."}
    await _lines(service, photo, expect=1)
    service.statuses = ["failed", "completed"]
    service.looks["img_again_u1"] = 1
    service.looks["img_1"] = 0
    for _ in range(2):
        (row,), _ = await _lines(service, photo)
        assert row["processingId"] == "img_again_u1"
        service.looks["img_1"] = 0
    assert len(service.uploads) == 1


async def test_a_request_that_another_run_has_in_progress_is_waited_for(service: ScriptedService, photo: Path) -> None:
    service.script = {"issue": [problem(409, "request_in_progress", **{"Retry-After": "0"})]}
    assert (await _lines(service, photo))[1]["completed"] == 1


# -- many upload URLs in a call


def _problem(code: str, status: int, **more: Any) -> dict[str, Any]:
    return {"code": code, "status": status, "detail": "words", **more}


async def _slow_at_first(service: ScriptedService) -> None:
    """While the first call is under way, all other photos are read."""
    if service.calls["issue"] == 1:
        await asyncio.sleep(0.5)


async def test_urls_that_are_asked_for_while_a_call_is_under_way_go_together(
    service: ScriptedService, tmp_path: Path
) -> None:
    service.before["issue"] = lambda: _slow_at_first(service)
    _, total = await _lines(service, "--concurrency", 20, *photos_in(tmp_path, 20))
    assert (total["completed"], len(service.uploads), len(service.images)) == (20, 20, 20)
    assert service.most_at_once["issue"] == 1
    assert service.calls["issue"] < 20
    assert len(set(service.keys)) == 20


async def test_one_upload_that_is_refused_does_not_stop_those_beside_it(
    service: ScriptedService, tmp_path: Path
) -> None:
    service.script_of_items = [None, _problem("file_too_large", 400), None]
    rows, total = await _lines(service, "--concurrency", 5, *photos_in(tmp_path, 5), expect=1)
    assert [row["error"] for row in rows if row["error"]] == ["file_too_large: words"]
    assert (total["completed"], total["failed"]) == (4, 1)


async def test_an_upload_that_must_wait_is_asked_for_again_under_the_same_key(
    service: ScriptedService, photo: Path
) -> None:
    service.script_of_items = [
        _problem("request_in_progress", 409, retryAfter=0),
        _problem("too_many_requests", 429, retryAfter=0),
        _problem("unavailable", 503, retryAfter=0),
    ]
    assert (await _lines(service, photo))[1]["completed"] == 1
    assert (len(service.keys), len(set(service.keys))) == (4, 1)


async def test_a_limit_of_the_day_for_one_upload_says_when_it_ends(service: ScriptedService, photo: Path) -> None:
    service.script_of_items = [_problem("daily_limit_reached", 429, retryAfter=7200)]
    (row,), _ = await _lines(service, photo, expect=1)
    assert row["error"] == "daily_limit_reached: words Try again in 2 h."


async def test_photos_of_an_interrupted_run_are_stored_once_though_others_are_beside_them(
    service: ScriptedService, tmp_path: Path
) -> None:
    photos = photos_in(tmp_path, 6)
    service.always = {"upload": (403, {}, "<Error><Code>AccessDenied</Code></Error>")}
    await _lines(service, *photos[:4], expect=1)
    service.always = {}
    _, total = await _lines(service, *photos[2:])
    assert total["completed"] == 4
    assert (len(service.images), len(set(service.keys))) == (6, 6)


@pytest.mark.parametrize(
    "body",
    [
        {"results": []},
        {"results": None},
        {"results": [{"problem": None, "answer": {}}]},
        {"results": [{"problem": None, "answer": None}]},
        {"results": ["x"]},
    ],
)
async def test_an_answer_that_is_no_answer_to_a_batch_is_told(
    service: ScriptedService, tmp_path: Path, body: object
) -> None:
    service.always = {"issue": (200, {"Content-Type": "application/json"}, json.dumps(body))}
    result = await _run(service, *photos_in(tmp_path, 3))
    assert (result.exit_code, result.stdout) == (3, "")
    assert "does not speak this API" in result.stderr


async def test_a_service_that_would_not_know_a_repeated_upload_again_gets_none(
    service: ScriptedService, photo: Path
) -> None:
    answer = {"processingId": "img_1", "uniqueId": "u1", "uploadUrl": "http://x", "headers": {}}
    result = {"problem": None, "answer": {**answer, "ignored": ["idempotencyKey"]}}
    service.always = {"issue": (200, {"Content-Type": "application/json"}, json.dumps({"results": [result]}))}
    said = await _run(service, photo)
    assert said.exit_code == 3
    assert "earlier release" in said.stderr
    assert service.uploads == []


async def test_a_call_is_no_larger_than_the_api_takes(service: ScriptedService, tmp_path: Path) -> None:
    names = [f"{'ü' * 100}{number}.jpg" for number in range(64)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(b"x" * (number + 1))
    service.before["issue"] = lambda: _slow_at_first(service)
    _, total = await _lines(service, "--concurrency", 64, *(tmp_path / name for name in names))
    assert total["completed"] == 64
    sizes = [int(each["Content-Length"]) for each in service.headers if each.get("Content-Type") == "application/json"]
    assert max(sizes) <= 64 * 1024


# -- what is said


async def test_a_refused_request_shows_what_the_service_said(service: ScriptedService, photo: Path) -> None:
    service.script = {"issue": [problem(400, "file_too_large", "The file has more bytes than the service accepts.")]}
    other = photo.with_name("other.jpg")
    other.write_bytes(b"y")
    rows, total = await _lines(service, "--concurrency", 1, photo, other, expect=1)
    assert rows[0]["error"] == "file_too_large: The file has more bytes than the service accepts."
    assert (total["completed"], total["failed"]) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (problem(401, "unauthenticated"), "No key was sent: set TRUSS_IMAGE_API_KEY"),
        (problem(403, "forbidden"), "it lacks images:write"),
        (problem(403, "no_tenant", "These credentials belong to no tenant."), "belong to no tenant"),
        (problem(404, "not_found"), "is that the base URL of the service?"),
        ((200, {"Content-Type": "text/html"}, "<h1>hello</h1>"), "does not speak this API (HTTP 200, text/html)"),
        ((403, {"Content-Type": "text/html"}, "<h1>no</h1>"), "does not speak this API (HTTP 403, text/html)"),
        ((200, {"Content-Type": "application/json"}, "{}"), "does not speak this API (HTTP 200, application/json)"),
        ((200, {}, "[]"), "does not speak this API"),
        ((308, {"Location": "https://u:secret@images.example.com/x"}, ""), "redirects to https://images.example.com;"),
    ],
)
async def test_a_service_that_cannot_be_used_is_explained_once_in_a_sentence(
    service: ScriptedService, tmp_path: Path, answer: Scripted, words: str
) -> None:
    service.always = {"issue": answer}
    result = await _run(service, *photos_in(tmp_path, 9))
    assert result.exit_code == 3
    assert result.stderr.count("Error: ") == 1
    assert words in result.stderr
    assert "9 not begun" in result.stderr
    assert "secret" not in result.output
    assert (service.calls["issue"], result.stdout) == (1, "")


async def test_a_key_that_may_not_read_is_told_which_scope_it_lacks(service: ScriptedService, photo: Path) -> None:
    service.always = {"status": problem(403, "forbidden")}
    result = await _run(service, photo, TRUSS_IMAGE_API_KEY=KEY)
    assert result.exit_code == 3
    assert "it lacks images:read" in result.stderr
    assert KEY not in result.output


async def test_a_wrong_key_is_told_where_to_look(service: ScriptedService, photo: Path) -> None:
    service.always = {"issue": problem(401, "unauthenticated")}
    result = await _run(service, photo, TRUSS_IMAGE_API_KEY=KEY)
    assert "Look at TRUSS_IMAGE_API_KEY" in result.stderr
    assert KEY not in result.output


async def test_a_job_that_does_not_end_in_time_is_an_error_and_is_named(service: ScriptedService, photo: Path) -> None:
    service.statuses = ["processing"]
    result = await _run(service, "--timeout", 1, photo)
    assert result.exit_code == 1
    assert "img_1: not done after 1 s" in result.stdout
    assert f"truss-image status --url {service.url} img_1" in result.stderr


async def test_an_address_that_is_in_the_environment_is_not_repeated(service: ScriptedService, photo: Path) -> None:
    service.statuses = ["processing"]
    runner = CliRunner(env={"TRUSS_IMAGE_URL": service.url})
    result = await asyncio.to_thread(runner.invoke, main, ["submit", "--timeout", "1", str(photo)])
    assert "look with: truss-image status img_1\n" in result.stderr


async def test_an_address_where_nobody_answers_is_named_with_a_way_to_start_it(photo: Path) -> None:
    nobody = ScriptedService()
    nobody.url = "127.0.0.1:1/"
    result = await _run(nobody, photo)
    assert result.exit_code == 3
    assert "nothing answers at http://127.0.0.1:1 (Connection refused); start it with `make run`" in result.stderr


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """A server's context whose certificate nobody trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_a_certificate_that_nobody_trusts_and_the_wrong_scheme_are_told_apart(
    service: ScriptedService, photo: Path, self_signed: ssl.SSLContext
) -> None:
    other = ScriptedService()
    secure = TestServer(other.app())
    await secure.start_server(ssl=self_signed)
    try:
        other.url = f"https://localhost:{secure.port}"
        untrusted = await _run(other, photo)
        other.url = f"http://localhost:{secure.port}"
        plain = await _run(other, photo)
    finally:
        await secure.close()
    service.url = service.url.replace("http:", "https:")
    no_tls = await _run(service, photo)
    assert [each.exit_code for each in (untrusted, plain, no_tls)] == [3, 3, 3]
    assert "the certificate of localhost is not trusted: self-signed certificate" in untrusted.stderr
    assert "perhaps it is https://" in plain.stderr
    assert "does not speak TLS; perhaps it is http://" in no_tls.stderr


async def test_a_service_that_never_answers_is_not_waited_for_for_ever(
    service: ScriptedService, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "CALL_TIMEOUT_SECONDS", 0.1)
    service.before["issue"] = lambda: asyncio.sleep(1)
    result = await _run(service, photo)
    assert result.exit_code == 3
    assert f"no answer from {service.url} in time" in result.stderr


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("http://u:secret@127.0.0.1:1", "the proxy that the environment names does not answer"),
        ("socks5://h:1", "http://"),
    ],
)
async def test_a_proxy_of_the_environment_is_used_and_named_when_it_is_at_fault(
    photo: Path, proxy: str, words: str
) -> None:
    far = ScriptedService()
    far.url = "http://images.example"
    result = await _run(far, photo, HTTP_PROXY=proxy, http_proxy=proxy)
    assert result.exit_code == 3
    assert words in result.stderr
    assert "secret" not in result.output


async def test_a_proxy_gets_what_is_for_elsewhere_and_nothing_that_is_for_this_machine(
    service: ScriptedService, photo: Path
) -> None:
    seen: list[str] = []

    async def pass_on(request: web.Request) -> web.Response:
        seen.append(str(request.rel_url))
        return web.Response(text="a proxy")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", pass_on)
    async with TestServer(app) as server:
        proxy = str(server.make_url("/"))
        assert (await _run(service, photo, http_proxy=proxy)).exit_code == 0
        assert seen == []
        far = ScriptedService()
        far.url = "http://images.example"
        assert (await _run(far, photo, http_proxy=proxy)).exit_code == 3
        assert (await _run(far, photo, http_proxy=proxy, no_proxy="example")).exit_code == 3
    assert len(seen) == 1


async def test_a_url_may_have_a_path_and_credentials_which_are_shown_to_nobody(
    service: ScriptedService, photo: Path
) -> None:
    outer = web.Application()
    outer.add_subapp("/prefix/", service.app())
    async with TestServer(outer) as server:
        with_password = ScriptedService()
        with_password.url = f"http://user:secret@{server.host}:{server.port}/prefix/"
        service.url = str(server.make_url("/prefix"))
        result = await _run(with_password, photo)
        assert result.exit_code == 0, result.output
        assert service.headers[0]["Authorization"].startswith("Basic ")
        service.always = {"issue": (200, {}, "")}
        refused = await _run(with_password, photo.parent / "other.jpg", photo)
    assert "does not speak this API" in refused.stderr
    assert "secret" not in refused.output


# -- the standard input, and jobs by their ids


async def test_the_standard_input_is_a_photo_under_a_name(service: ScriptedService) -> None:
    given = ["submit", "--url", service.url, "--name", "a.png", "--json", "-"]
    result = await asyncio.to_thread(CliRunner().invoke, main, given, input=b"y" * 99)
    assert result.exit_code == 0, result.output
    assert (service.asked[0]["filename"], service.uploads[0][1]) == ("a.png", b"y" * 99)
    assert json.loads(result.stdout.splitlines()[0])["photo"] == "-"


async def test_jobs_are_shown_by_their_ids_and_waited_for_when_asked(service: ScriptedService, photo: Path) -> None:
    await _lines(service, photo)
    shown = await _run(service, "img_1", command="status")
    assert (shown.exit_code, shown.stdout.splitlines()[0]) == (0, "completed a.jpg  img_1")
    service.statuses = ["processing", "processing", "completed"]
    looked = await _run(service, "--json", "img_9", command="status")
    assert (looked.exit_code, json.loads(looked.stdout)["status"]) == (0, "processing")
    assert looked.stderr == ""
    waited = await _run(service, "--wait", "img_9", command="status")
    assert (waited.exit_code, waited.stdout.startswith("completed")) == (0, True)
    service.always = {"status": problem(404, "job_not_found")}
    assert (await _run(service, "img_1", command="status")).exit_code == 1


async def test_many_jobs_are_looked_up_in_one_call_and_what_it_does_not_tell_by_itself(
    service: ScriptedService,
) -> None:
    service.statuses = ["completed"]
    service.superseded = {"img_3": "img_4"}
    found = await _run(service, "--json", "img_1", "img_2", "img_3", "nobodys", command="status")
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    assert [row["processingId"] for row in rows] == ["img_1", "img_2", "img_4", "nobodys"]
    assert (service.calls["statuses"], service.calls["status"]) == (1, 3)
    service.always = {"statuses": problem(403, "forbidden")}
    refused = await _run(service, "img_1", "img_2", command="status")
    assert (refused.exit_code, "lacks images:read" in refused.stderr) == (3, True)
    service.always = {"statuses": problem(400, "invalid_request")}
    assert (await _run(service, "img_1", "img_2", command="status")).exit_code == 0
    service.calls.clear()
    service.always, service.superseded = {}, {}
    await _run(service, *(f"img_{number}" for number in range(201)), command="status")
    assert (service.calls["statuses"], service.calls["status"]) == (2, 1)
