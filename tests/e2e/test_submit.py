"""`truss-image submit` against the real service: within its limits, killed and repeated, with large files."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from service.client.submit import MULTIPART_BYTES
from tests import corpus
from tests.e2e.conftest import COMMAND
from tests.fleet import ServiceProcess, Stage, run_service, run_stage, untraced
from tests.waiting import eventually


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with run_stage(tmp_path / "aws") as stage:
        yield stage


@pytest.fixture
async def service(stage: Stage, session: aiohttp.ClientSession, tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    async with run_service(stage, session, tmp_path / "service.log") as service:
        yield service


def photos_in(folder: Path, count: int, first: int = 0) -> list[Path]:
    folder.mkdir()
    made = [folder / f"{number}.png" for number in range(first, first + count)]
    for number, each in enumerate(made, first):
        each.write_bytes(corpus.png(corpus.photo(40 + number, 30)))
    return made


async def start(url: str, *arguments: object, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(str(COMMAND), "submit", "--json", "--url", url, *map(str, arguments)),
        env={**untraced(), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process, within: float = 180) -> tuple[int | None, list[Any], Any]:
    """The exit code, the rows and the total."""
    stdout, _ = await asyncio.wait_for(process.communicate(), within)
    *rows, last = map(json.loads, stdout.decode().splitlines())
    return process.returncode, rows, last["total"]


async def images(service: ServiceProcess) -> list[Any]:
    return list((await service.call("GET", "/images/list?limit=100"))["images"])


@pytest.mark.slow
@pytest.mark.timeout(600)  # its requests alone take half a minute at the rate that is allowed
async def test_three_hundred_photos_are_completed_within_the_limits_of_a_new_installation(
    stage: Stage, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    log_file = tmp_path / "service.log"
    made = await asyncio.create_subprocess_exec(
        *(str(COMMAND), "keys", "create", "--name", "n", "--scope", "images:read", "--scope", "images:write"),
        env={**untraced(), **stage.environment()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    key, _ = await asyncio.wait_for(made.communicate(), 180)
    photos = photos_in(tmp_path / "photos", 300)
    async with run_service(stage, session, log_file, AUTH_MODES="api_key") as service:
        process = await start(service.url, "--concurrency", 64, *photos, TRUSS_IMAGE_API_KEY=key.decode())
        code, rows, total = await ended(process, within=500)
    assert [row for row in rows if row["status"] != "completed"] == []
    assert (code, total["completed"], len({row["uniqueId"] for row in rows})) == (0, 300, 300)


@pytest.mark.slow  # dozens of photos, four times
async def test_a_run_that_is_killed_and_repeated_stores_every_photo_once(
    service: ServiceProcess, tmp_path: Path
) -> None:
    photos: list[Path] = []
    for number, end in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        code: int | None = 0
        while code == 0:  # it was done before the signal came
            photos += photos_in(tmp_path / f"photos-{len(photos)}", 12, first=len(photos))
            code = await _interrupted(service, photos, number)
        assert code == end

    code, rows, _ = await ended(await start(service.url, *photos))
    renamed = [photo.rename(photo.with_name(f"renamed-{photo.name}")) for photo in photos]
    again_code, again, total = await ended(await start(service.url, *renamed))

    assert (code, again_code) == (0, 0)
    assert (total["alreadyThere"], total["bytes"]) == (len(photos), 0)
    assert {row["uniqueId"] for row in rows} == {row["uniqueId"] for row in again}
    assert len(await images(service)) == len(photos)


async def _interrupted(service: ServiceProcess, photos: list[Path], number: signal.Signals) -> int | None:
    """The exit code of a run that gets the signal when some photos are under way, unless it has ended before."""
    before = len(await images(service))
    process = await start(service.url, *photos)

    async def under_way() -> bool:
        return len(await images(service)) > before + 3

    await eventually(under_way, what="some photos under way")
    with suppress(ProcessLookupError):
        process.send_signal(number)
    await process.communicate()
    return process.returncode


@pytest.mark.slow
async def test_what_was_deleted_is_submitted_anew(service: ServiceProcess, tmp_path: Path) -> None:
    (photo,) = photos_in(tmp_path / "photos", 1)
    seen = []
    for _ in range(3):
        code, (row,), total = await ended(await start(service.url, photo))
        assert (code, total["completed"]) == (0, 1)
        seen.append(row["uniqueId"])
        await service.call("DELETE", f"/images/image/{row['uniqueId']}")
    assert len(set(seen)) == 3


@pytest.mark.slow  # 11 megapixels; a part is no smaller
async def test_a_large_file_goes_up_in_parts_and_is_not_stored_twice(service: ServiceProcess, tmp_path: Path) -> None:
    photo = tmp_path / "large.png"
    picture = corpus.large(3500, 3300).colourspace("rgb16")  # twice as many bytes for a pixel
    photo.write_bytes(corpus.png(picture, compression=0))
    assert photo.stat().st_size > MULTIPART_BYTES
    code, (row,), total = await ended(await start(service.url, photo))
    assert (code, row["status"], total["bytes"]) == (0, "completed", photo.stat().st_size)
    assert row["processedImages"]["webp"]["width"] == 3500
    code, (again,), total = await ended(await start(service.url, photo))
    assert (code, again["uniqueId"], again["alreadyThere"], total["bytes"]) == (0, row["uniqueId"], True, 0)
    assert len(await images(service)) == 1
