"""CPU that the whole service spends on an image, so that what it adds to the pipeline's is known."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from processor.ports.stores import AllStores
from tests.fleet import ServiceProcess, run_service, run_stage
from tests.waiting import eventually

#: Uploads under way at once: enough that the worker never waits.
CONCURRENCY = 4
#: Longest that all uploads of one file may take, in seconds.
PATIENCE_SECONDS = 300.0


async def cpu_per_image(files: Sequence[bytes], images: int) -> list[float]:
    """CPU seconds of a service process for each file, over `images` uploads of it.

    In it are the API's part (one URL an image) and the worker's, over plain HTTP to a local AWS: TLS is not in it.
    """
    with tempfile.TemporaryDirectory() as folder:
        async with run_stage(Path(folder) / "aws") as stage, aiohttp.ClientSession() as session:
            log = Path(folder) / "service.log"
            async with run_service(stage, session, log, WORKER_THREADS="1") as service, stage.stores() as stores:
                await _upload(service, stores, files[0], 2)  # what is made once per process is made now
                return [await _measured(service, stores, data, images) for data in files]


async def _measured(service: ServiceProcess, stores: AllStores, data: bytes, images: int) -> float:
    assert service.process is not None
    before = cpu_seconds(service.process.pid)
    await _upload(service, stores, data, images)
    return (cpu_seconds(service.process.pid) - before) / images


async def _upload(service: ServiceProcess, stores: AllStores, data: bytes, images: int) -> None:
    room = asyncio.Semaphore(CONCURRENCY)

    async def one() -> None:
        async with room:
            issued = await service.put(data)
            await _ended(stores, issued["processingId"])

    async with asyncio.TaskGroup() as group:
        for _ in range(images):
            group.create_task(one())


async def _ended(stores: AllStores, processing_id: str) -> None:
    """Asked of the records, past the service, which would else spend CPU on the answers."""

    async def completed() -> bool:
        return (await stores.jobs.job_of_any_tenant(processing_id)).ended

    await eventually(completed, within=PATIENCE_SECONDS, what=f"the end of {processing_id}")


def cpu_seconds(pid: int) -> float:
    """What the kernel says that a process has used, in user and in system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
