"""`truss-image ls`, `process`, `rm` and `bulk` over the real API; one of each kind as a real process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from click.testing import CliRunner
from structlog.testing import capture_logs

from processor.bulk import runner
from processor.bulk.jobs import BulkJobs
from processor.bulk.operations import operations
from processor.bulk.runner import BulkRunner
from processor.images import new_unique_id
from processor.jobs import Job
from processor.ports.bulk import BulkJob
from processor.usage import Overrides
from service.auth.principal import Scope
from service.calls.use_cases import CATALOG
from service.cli import main
from tests.integration.http.conftest import World, make_application
from tests.integration.http.test_access import key_of
from tests.waiting import PATIENCE_SECONDS, next_millisecond

pytestmark = pytest.mark.usefixtures("process_restored")

COMMAND = Path(sys.executable).with_name("truss-image")
TENANT = "acme"


@dataclass
class Running:
    """The API with its worker's bulk jobs, and a key that may do everything."""

    world: World
    url: str
    key: str

    @property
    def environment(self) -> dict[str, str]:
        return {"TRUSS_IMAGE_URL": self.url, "TRUSS_IMAGE_API_KEY": self.key}

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        others = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM", "COLUMNS")}
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            COMMAND, *arguments, env=others | self.environment, stdin=pipe, stdout=pipe, stderr=pipe
        )

    async def run(self, *arguments: str, said: str = "") -> tuple[int | None, list[str], str]:
        """The exit code, the lines of the results, and what is beside them. It takes no process of its own."""
        invoke = partial(CliRunner().invoke, main, arguments, input=said, env=self.environment)
        result = await asyncio.to_thread(invoke)
        return result.exit_code, result.stdout.splitlines(), result.stderr

    async def run_process(self, *arguments: str, said: str = "") -> tuple[int | None, list[str], str]:
        """The same as a real process."""
        process = await self.start(*arguments)
        out, err = await asyncio.wait_for(process.communicate(said.encode()), PATIENCE_SECONDS)
        return process.returncode, out.decode().splitlines(), err.decode()

    async def pending(self, count: int) -> list[Job]:
        return [await self.world.submit(TENANT) for _ in range(count)]

    async def failed(self, count: int) -> list[Job]:
        return [await self.world.fail(job.processing_id) for job in await self.pending(count)]


@pytest.fixture
async def running(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr(runner, "LIST_LAG_SECONDS", 0)
    monkeypatch.setattr(runner, "LOOK_SECONDS", 0.05)
    world = World()
    key = (await key_of(world, *Scope, tenant=TENANT))["X-Api-Key"]
    app = make_application(world, locked=True)
    process = BulkRunner(
        store=world.bulk,
        jobs=world.jobs,
        queue=world.queue,
        operations=operations(app[CATALOG]),
        per_second=1_000_000,
        lease_seconds=60,
    )
    # What the API logs goes to where this process writes, which is the command's output while one runs here.
    with capture_logs():
        async with TestServer(app) as server:
            process.start()
            yield Running(world, str(server.make_url("")).rstrip("/"), key)
            await process.drain(10)


async def test_images_are_listed_by_what_they_are_page_by_page(running: Running) -> None:
    failed, pending = await running.failed(2), await running.pending(110)
    code, rows, _ = await running.run_process("ls", "--limit", "0")
    assert (code, len(rows)) == (0, 112)
    assert {row.split()[0] for row in rows} == {job.unique_id for job in (*failed, *pending)}
    assert len((await running.run("ls"))[1]) == 50
    for asked in (["--status", "failed"], ["--code", "corrupt_image"], ["--code", "corrupt_image", "--limit", "0"]):
        code, rows, _ = await running.run("ls", *asked)
        assert sorted(row.split()[0] for row in rows) == sorted(job.unique_id for job in failed), asked
        assert all(row.endswith("a.jpg  corrupt_image") for row in rows)
    code, rows, _ = await running.run("ls", "--status", "failed", "--json")
    assert {json.loads(row)["processingId"] for row in rows} == {job.processing_id for job in failed}
    code, rows, err = await running.run("ls", "--from", "yesterday")
    assert (code, rows) == (1, [])
    assert "invalid_request" in err


async def test_images_are_deleted_by_their_ids_from_arguments_or_from_lines(running: Running) -> None:
    images, unknown = await running.pending(120), new_unique_id()
    lines = "".join(f"{job.unique_id}  pending  and more\n\n" for job in images[1:])
    code, rows, _ = await running.run_process("rm", images[0].unique_id, unknown, "-", said=lines)
    assert code == 1
    assert len(rows) == 121
    assert rows[:2] == [
        f"deleted {images[0].unique_id}",
        f"failed {unknown}: image_not_found: There is no image with this id.",
    ]
    assert (await running.run("ls"))[1] == []
    code, rows, _ = await running.run("rm", "--json", unknown)
    row = {"uniqueId": unknown, "status": "failed", "processingId": None}
    assert json.loads(rows[0]) == {**row, "error": "image_not_found: There is no image with this id."}


async def test_images_are_converted_again_and_what_is_too_fast_is_asked_for_later(running: Running) -> None:
    await running.world.quota.store.set_overrides(TENANT, Overrides(requests_per_second=5, request_burst=5))
    images = await running.failed(8)
    code, rows, _ = await running.run("process", *(job.unique_id for job in images))
    assert code == 0
    assert sorted(row.split()[1] for row in rows) == sorted(job.unique_id for job in images)
    for row in rows:
        image = await running.world.jobs.image_of_any_tenant(row.split()[1])
        assert row == f"processing {image.unique_id}  {image.current_job}"
        assert len(image.job_ids) == 2


async def test_all_that_match_are_deleted_by_a_bulk_job_which_is_followed_to_its_end(running: Running) -> None:
    failed, pending = await running.failed(3), await running.pending(2)
    await next_millisecond()
    code, rows, err = await running.run("rm", "--status", "failed", "--yes")
    assert (code, rows) == (0, [])
    assert "delete completed: 3 done, 0 failed of 3 found" in err
    assert {row.split()[0] for row in (await running.run("ls"))[1]} == {job.unique_id for job in pending}
    code, rows, err = await running.run("process", "--all", "--yes", "--json")
    *each, total = map(json.loads, rows)
    assert code == 1
    assert {row["error"].partition(":")[0] for row in each} == {"not_uploaded"}
    assert (total["total"]["state"], total["total"]["failed"]) == ("completed", 2)
    code, rows, _ = await running.run("bulk", total["total"]["batchId"])
    assert (code, len(rows)) == (1, 2)
    assert failed


async def test_a_filter_is_asked_about_first(running: Running) -> None:
    images = await running.pending(1)
    await next_millisecond()
    code, _, err = await running.run("rm", "--all", said="n\n")
    assert (code, "rm: all images? [y/N]" in err) == (1, True)
    assert (await running.world.jobs.image_of_any_tenant(images[0].unique_id)).deleted_at is None
    code, _, _ = await running.run_process("rm", "--all", said="y\n")
    assert code == 0
    assert (await running.world.jobs.image_of_any_tenant(images[0].unique_id)).deleted_at is not None


@pytest.mark.parametrize("arguments", [["rm"], ["rm", "--all", "an-id"], ["process", "--limit", "3"], ["bulk"]])
async def test_a_wrong_command_line_does_nothing(running: Running, arguments: list[str]) -> None:
    assert (await running.run(*arguments))[0] == 2


async def test_interrupted_a_bulk_job_goes_on_and_can_be_cancelled(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = asyncio.Event()

    async def until_quiet(*_: object) -> None:
        await quiet.wait()

    monkeypatch.setattr(BulkRunner, "_until_quiet", until_quiet)  # it steps back, for as long as the test looks
    await running.pending(1)
    await next_millisecond()
    looked, get = asyncio.Event(), BulkJobs.get

    async def looking(self: BulkJobs, tenant: str, bulk_id: str) -> BulkJob:
        looked.set()
        return await get(self, tenant, bulk_id)

    monkeypatch.setattr(BulkJobs, "get", looking)
    process = await running.start("rm", "--all", "--yes")
    await asyncio.wait_for(looked.wait(), PATIENCE_SECONDS)
    (job,) = await running.world.bulk.open_jobs()
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert process.returncode == 130
    assert f"Look again with: truss-image bulk {job.bulk_id}" in err.decode()
    quiet.set()
    code, _, err_text = await running.run("bulk", "--cancel", job.bulk_id)
    assert code in (0, 1)
    assert "delete c" in err_text


async def test_a_bulk_job_that_is_not_there_and_a_key_that_may_not_are_explained(running: Running) -> None:
    code, _, err = await running.run("bulk", "batch_1_a")
    assert (code, "batch_not_found" in err) == (1, True)
    running.key = (await key_of(running.world, Scope.READ, tenant=TENANT))["X-Api-Key"]
    code, _, err = await running.run("rm", new_unique_id())
    assert code == 3
    assert "it lacks images:delete" in err
