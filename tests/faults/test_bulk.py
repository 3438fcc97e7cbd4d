"""A bulk job outlives the process that works on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.faults.conftest import VISIBILITY_SECONDS, new_stage
from tests.fleet import ServiceProcess, assert_nothing_is_amiss, run_service
from tests.local_aws import LocalAws
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

IMAGES = 12
SETTINGS: dict[str, Any] = {"VISIBILITY_SECONDS": str(VISIBILITY_SECONDS), "BULK_PER_SECOND": "3"}


@pytest.mark.slow
async def test_a_process_that_is_killed_in_a_bulk_delete_leaves_it_to_the_next_one(
    emulator: LocalAws, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    stage = await new_stage(emulator)
    first = ServiceProcess(stage.environment(**SETTINGS), session, tmp_path / "first.log")
    try:
        await first.start()
        asked = {"uploads": [{"filename": "a.jpg"}] * IMAGES}
        made = await first.call("POST", "/images/batch/upload-urls", json=asked)
        ids = [result["answer"]["processingId"] for result in made["results"]]
        job = await first.call("POST", "/images/batch/delete", json={"filter": {"all": True}}, expect=202)

        async def gone(service: ServiceProcess) -> int:
            told = await service.call("POST", "/images/batch/status", json={"processingIds": ids})
            return int(told["failed"])

        assert await eventually(lambda: gone(first), what="the first image deleted") < IMAGES
    finally:
        await first.kill()
    async with run_service(stage, session, tmp_path / "second.log", **SETTINGS) as second:
        path = f"/images/batch/{job['batchId']}"

        async def ended() -> Any:
            present = await second.call("GET", path)
            return present if present["state"] not in ("queued", "running") else None

        ended_job = await eventually(ended, what="the end of the bulk job")
        assert (ended_job["state"], ended_job["done"], ended_job["failed"]) == ("completed", IMAGES, 0)
        assert await gone(second) == IMAGES
        results = (await second.call("GET", f"{path}/results"))["results"]
        assert sorted(row["processingId"] for row in results) == sorted(ids)
    async with stage.stores() as stores:
        await assert_nothing_is_amiss(stores, stage.made.names.source_bucket)
