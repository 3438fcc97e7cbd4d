"""`truss-image submit` as a real process: signals, pipes, encodings, terminals, and what it imports."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from tests.integration.scripted_service import ScriptedService
from tests.waiting import eventually

COMMAND = Path(sys.executable).with_name("truss-image")
NAMES = ("Ferien 🏖.jpg", "new\nline\x1b[31m.jpg", os.fsdecode(b"latin-\xe9.jpg"))


@pytest.fixture
async def service() -> AsyncIterator[ScriptedService]:
    scripted = ScriptedService()
    scripted.statuses = ["completed"]
    async with TestServer(scripted.app()) as server:
        scripted.url = str(server.make_url("")).rstrip("/")
        yield scripted


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    made = [tmp_path / f"{number}.jpg" for number in range(6)]
    for number, each in enumerate(made):
        each.write_bytes(b"x" * (number + 1))
    return made


async def start(service: ScriptedService, *arguments: object, **options: Any) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM", "COLUMNS")}
    given = {"stdin": asyncio.subprocess.DEVNULL, "stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
    return await asyncio.create_subprocess_exec(
        COMMAND,
        "submit",
        *("--url", service.url),
        *map(str, arguments),
        **{**given, **options, "env": environment | options.get("env", {})},
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    stdout, stderr = await asyncio.wait_for(process.communicate(), 180)
    return process.returncode, (stdout or b"").decode(), (stderr or b"").decode()


def hold(service: ScriptedService, call: str, first: int) -> asyncio.Event:
    """Let the first so many calls through, and the others wait for the event."""
    let_go = asyncio.Event()

    async def wait() -> None:
        if service.calls[call] > first:
            await asyncio.wait_for(let_go.wait(), 180)

    service.before[call] = wait
    return let_go


async def test_a_result_appears_when_its_photo_is_done_and_not_at_the_end(
    service: ScriptedService, photos: list[Path]
) -> None:
    let_go = hold(service, "upload", 1)
    process = await start(service, "--json", *photos[:2])
    assert process.stdout is not None
    first = json.loads(await asyncio.wait_for(process.stdout.readline(), 180))
    let_go.set()
    code, rest, _ = await ended(process)
    second, total = map(json.loads, rest.splitlines())
    assert {first["photo"], second["photo"]} == {str(photos[0]), str(photos[1])}
    assert (code, total["total"]["completed"]) == (0, 2)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
async def test_an_interrupted_run_tells_what_is_complete_and_how_to_go_on(
    service: ScriptedService, photos: list[Path], number: signal.Signals
) -> None:
    hold(service, "status", 1)
    process = await start(service, "--json", "--concurrency", 2, *photos)

    async def two_wait() -> bool:
        return service.calls["status"] == 3

    await eventually(two_wait, what="one photo done and two under way")
    process.send_signal(number)
    code, stdout, stderr = await ended(process)
    *rows, total = map(json.loads, stdout.splitlines())
    by_status: dict[str, list[Any]] = {"completed": [], "interrupted": []}
    for row in rows:
        by_status[row["status"]].append(row)
    under_way = [row["processingId"] for row in by_status["interrupted"] if row["processingId"]]
    assert code == 130
    assert [bool(row["processedImages"]) for row in by_status["completed"]] == [True]
    assert len(under_way) == 2
    assert {row["photo"] for row in rows} == set(map(str, photos))
    assert (total["total"]["completed"], total["total"]["interrupted"]) == (1, 5)
    assert "3 not begun" in stderr
    assert "Give the same command again" in stderr
    assert all(processing_id in stderr for processing_id in under_way)

    service.before.clear()
    code, stdout, _ = await ended(await start(service, "--json", *photos))
    assert code == 0
    assert len(service.images) == len(service.uploads) == len(photos)


@pytest.mark.parametrize("json_output", [True, pytest.param(False, marks=pytest.mark.slow)])
async def test_a_reader_that_goes_away_ends_the_run_quietly(
    service: ScriptedService, photos: list[Path], *, json_output: bool
) -> None:
    reading, writing = os.pipe()
    process = await start(service, *(["--json"] if json_output else []), "--concurrency", 1, *photos, stdout=writing)
    os.close(writing)
    assert await asyncio.to_thread(os.read, reading, 10)
    os.close(reading)
    code, _, stderr = await ended(process)
    assert "Traceback" not in stderr
    assert "BrokenPipe" not in stderr
    if code == 141:  # or everything was written before the reader went away
        assert stderr == ""
    else:
        assert code == 0


async def test_nobody_who_reads_from_the_beginning_is_an_exit_code_of_its_own(
    service: ScriptedService, photos: list[Path]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = await start(service, *photos, stdout=writing)
    os.close(writing)
    assert await ended(process) == (141, "", "")


async def test_a_full_disk_is_told_and_a_closed_output_is_no_error(
    service: ScriptedService, photos: list[Path]
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    # One after the other: the run ends at the first result, which must be that of the photo below.
    code, _, stderr = await ended(await start(service, "--concurrency", 1, *photos, stdout=full))
    os.close(full)
    assert code == 141
    assert stderr.splitlines()[0] == "Error: the results cannot be written: No space left on device"
    assert "Traceback" not in stderr
    closed = await asyncio.create_subprocess_shell(
        f"exec {COMMAND} submit --url {service.url} {photos[0]} >&-", stderr=asyncio.subprocess.PIPE
    )
    code, _, stderr = await ended(closed)
    assert (code, stderr.splitlines()[0][:27]) == (0, "0 completed, 1 already ther")


@pytest.mark.parametrize(
    "encoding", ["ascii", *(pytest.param(each, marks=pytest.mark.slow) for each in ("latin-1", "utf-8", "cp1252"))]
)
@pytest.mark.parametrize("json_output", [True, False])
async def test_any_name_is_written_in_any_encoding(
    service: ScriptedService, tmp_path: Path, encoding: str, *, json_output: bool
) -> None:
    photos = [tmp_path / name for name in NAMES]
    for number, each in enumerate(photos):
        each.write_bytes(b"x" * (number + 1))
    arguments = (*(["--json"] if json_output else []), *photos)
    process = await start(service, *arguments, env={"PYTHONIOENCODING": encoding, "LC_ALL": "C"})
    stdout, stderr = await asyncio.wait_for(process.communicate(), 180)
    assert process.returncode == 0, stderr
    assert b"\x1b" not in stdout
    lines = stdout.decode(encoding).splitlines()
    assert len(lines) == (4 if json_output else 9)
    assert {asked["filename"] for asked in service.asked} == {"Ferien 🏖.jpg", "new_line_[31m.jpg", "latin-_.jpg"}


async def test_the_client_imports_no_server_no_sdk_and_no_libvips(service: ScriptedService, photos: list[Path]) -> None:
    script = (
        "import json, sys; from service.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(json.dumps(sorted(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, "submit", "--url", service.url, str(photos[0])),
        stdout=asyncio.subprocess.PIPE,
    )
    _, stdout, _ = await ended(process)
    imported = set(json.loads(stdout.splitlines()[-1]))
    assert "truss_image_client" in imported
    forbidden = {
        "aioboto3",
        "aiohttp",
        "aiobotocore",
        "boto3",
        "botocore",
        "jwt",
        "prometheus_client",
        "pydantic",
        "pyvips",
    }
    forbidden |= {"rich", "structlog", "service.app", "service.config", "service.server", "processor.pipeline"}
    assert imported & forbidden == set()


# -- terminals


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a pseudo-terminal."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)


async def _on(
    terminal: tuple[int, int], service: ScriptedService, *arguments: object, **options: Any
) -> tuple[str, str]:
    """What the terminal was sent, and what went into the pipe beside it."""
    ours, theirs = terminal
    process = await start(service, *arguments, **options)
    os.close(theirs)
    shown = bytearray()
    with suppress(OSError):  # its last writer has ended
        while chunk := await asyncio.wait_for(asyncio.to_thread(os.read, ours, 65536), 180):
            shown += chunk
    code, stdout, _ = await ended(process)
    assert code == 0
    return shown.decode(), stdout


async def test_progress_is_on_the_terminal_and_never_in_the_piped_results(
    service: ScriptedService, photos: list[Path], terminal: tuple[int, int]
) -> None:
    environment = {"TERM": "xterm", "COLUMNS": "100"}
    shown, piped = await _on(terminal, service, *photos, stderr=terminal[1], env=environment)
    assert "/6" in shown
    assert "6 completed" in shown
    assert "\x1b" not in piped
    assert piped.count("completed ") == 6


@pytest.mark.parametrize("term", ["dumb", pytest.param("", marks=pytest.mark.slow)])
async def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(
    service: ScriptedService, photos: list[Path], terminal: tuple[int, int], term: str
) -> None:
    shown, _ = await _on(terminal, service, *photos, stdout=terminal[1], stderr=terminal[1], env={"TERM": term})
    assert "\x1b" not in shown
    assert shown.count("http://cdn/webp.webp") == 6


@pytest.mark.parametrize("columns", ["40", *(pytest.param(each, marks=pytest.mark.slow) for each in ("80", "200"))])
async def test_urls_are_whole_however_narrow_the_terminal_is(
    service: ScriptedService, photos: list[Path], terminal: tuple[int, int], columns: str
) -> None:
    environment = {"TERM": "xterm", "COLUMNS": columns, "NO_COLOR": "1"}
    shown, _ = await _on(terminal, service, *photos, stdout=terminal[1], stderr=terminal[1], env=environment)
    assert shown.count("http://cdn/webp.webp") == 6
    assert "\x1b[31m" not in shown
    assert "\x1b[32m" not in shown
    assert "6 completed, 0 already there" in shown
