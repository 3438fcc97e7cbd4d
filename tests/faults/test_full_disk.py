"""The disk under the local AWS is full: what was accepted is converted all the same, and afterwards all goes on."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from service.local.emulator import run_emulator
from tests import corpus
from tests.fleet import assert_nothing_is_amiss, run_service, run_stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: Of the folder, in bytes: the records of a stage fit in, a handful of pictures does not.
DISK_BYTES = 4 * 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _make_room(folder: Path) -> None:
    subprocess.run(["mount", "-o", f"remount,size={16 * DISK_BYTES}", str(folder)], check=True)


@pytest.mark.slow
async def test_a_full_disk_under_the_local_aws_takes_nothing_from_a_running_service(
    small_disk: Path, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """The emulator answers 200 to what it cannot write, says so in its log alone, and goes on from memory."""
    picture = corpus.png(corpus.photo(500, 400))
    async with run_stage(small_disk) as stage:
        async with run_service(stage, session, tmp_path / "service.log") as service:
            jobs = [(await service.put(picture, "photo.png"))["processingId"] for _ in range(12)]
            ends = [(await service.settled(job))["status"] for job in jobs]
            assert shutil.disk_usage(small_disk).free < len(picture)
            assert "No space left on device" in (small_disk / "emulator.log").read_text()

            await asyncio.to_thread(_make_room, small_disk)
            later = (await service.put(picture, "photo.png"))["processingId"]
            ends.append((await service.settled(later))["status"])
        async with stage.stores() as stores:
            await assert_nothing_is_amiss(stores, stage.made.names.source_bucket)
    assert ends == ["completed"] * 13


async def test_an_emulator_that_could_not_save_its_records_is_not_intact(small_disk: Path) -> None:
    """Without that the next start mends nothing, and uploads whose records are gone stay where they are, unheard of."""
    async with run_stage(small_disk) as stage, stage.stores() as stores:
        await stores.source.store(
            "uploads/one.jpg", b"bytes", content_type="image/jpeg", cache_control="no-store", metadata={}
        )
        await asyncio.to_thread(_fill, small_disk)
    assert "failed to save" in (small_disk / "emulator.log").read_text()
    await asyncio.to_thread(_make_room, small_disk)
    async with run_emulator(small_disk) as again:
        assert not again.intact


def _fill(folder: Path) -> None:
    """All but what the log needs."""
    (folder / "ballast").write_bytes(b"." * (shutil.disk_usage(folder).free - 8192))
