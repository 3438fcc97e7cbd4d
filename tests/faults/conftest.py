"""Real processes of the service over a real emulator, with a proxy in between that fails on demand."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from processor.stores.schema import MAX_RECEIVE_COUNT as PRODUCTION_RECEIVE_COUNT
from tests.faults.proxy import FaultyAws, run_proxy
from tests.fleet import ServiceProcess, Stage, assert_nothing_is_amiss, run_service
from tests.local_aws import LocalAws, run_local_emulator
from tests.waiting import eventually

#: A lease and a message that nobody holds any more come back after so long, the shortest time there is.
VISIBILITY_SECONDS = 6
#: Of a lane. Where a message is hidden for so short a time, each pause of a busy machine costs all in work a delivery.
MAX_RECEIVE_COUNT = 50
#: What the log says of a delivery that failed for a fault, and not for a pause.
FAILED_DELIVERIES = frozenset({"Dependency unavailable", "Dependency busy"})
#: So many lines of a log are shown when a test fails.
LOG_LINES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A service that reaches AWS through a proxy; its clients, and whoever checks on it, go past it."""

    stage: Stage
    aws: FaultyAws
    service: ServiceProcess

    async def ended(self, *processing_ids: str, within: float = 180) -> dict[str, str]:
        """What became of jobs, once all of them have ended: `completed`, or the code of the failure."""
        async with self.stage.stores() as stores:

            async def look() -> dict[str, str]:
                jobs = [await stores.jobs.job_of_any_tenant(each) for each in processing_ids]
                if not all(job.ended for job in jobs):
                    return {}
                return {job.processing_id: job.error.code if job.error else job.status.value for job in jobs}

            return await eventually(look, within=within, what="the end of every job")

    async def assert_nothing_is_amiss(self) -> None:
        """What must hold once every upload has ended and no fault is armed.

        No fault cost a message as many deliveries as it has in production.
        """
        failed = await asyncio.to_thread(_failed_deliveries, self.service.log_file)
        assert max(failed.values(), default=0) < PRODUCTION_RECEIVE_COUNT, failed
        async with self.stage.stores() as stores:
            await assert_nothing_is_amiss(stores, self.stage.made.names.source_bucket)


async def new_stage(aws: LocalAws, **options: int) -> Stage:
    """A stage of its own on an emulator that others use too."""
    made, credentials = await aws.provision(f"t{uuid.uuid4().hex[:8]}", **options)
    return Stage(aws=aws, made=made, credentials=credentials)


def through(stage: Stage, aws: FaultyAws) -> dict[str, str]:
    """The variables of a service that reaches AWS through the proxy, and gives out URLs that go past it."""
    dead_letters = stage.made.dead_letter_queue_url
    return {
        "AWS_ENDPOINT_URL": aws.endpoint_url,
        "S3_PUBLIC_ENDPOINT_URL": stage.aws.endpoint_url,
        "QUEUE_URL": aws.behind(stage.made.queue_url),
        "DEAD_LETTER_QUEUE_URL": aws.behind(dead_letters),
        "VISIBILITY_SECONDS": str(VISIBILITY_SECONDS),
    }


@asynccontextmanager
async def run_lane(
    stage: Stage,
    session: aiohttp.ClientSession,
    log_file: Path,
    command: tuple[str, ...] = (sys.executable, "-m", "service"),
    **environment: str,
) -> AsyncIterator[Lane]:
    """A proxy of a stage, and a service behind it."""
    async with run_proxy(stage.aws.endpoint_url) as aws:
        variables = {**through(stage, aws), **environment}
        running = run_service(stage, session, log_file, command=command, traced=False, **variables)
        async with running as service:
            yield Lane(stage=stage, aws=aws, service=service)
            aws.lift()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=180)) as session:
        yield session


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def emulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalAws]:
    """One for all tests of a process; each makes a stage of its own on it."""
    async with run_local_emulator(tmp_path_factory.mktemp("aws")) as aws:
        yield aws


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def lane(
    emulator: LocalAws, session: aiohttp.ClientSession, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Lane]:
    """One service for all faults that it must live through."""
    log_file = tmp_path_factory.mktemp("lane") / "service.log"
    stage = await new_stage(emulator, max_receive_count=MAX_RECEIVE_COUNT)
    async with run_lane(stage, session, log_file, WORKER_SLOTS="8") as lane:
        yield lane


Play = Callable[[Lane], Awaitable[None]]
RunLanes = Callable[[Mapping[str, Play]], Awaitable[None]]


@pytest.fixture
def run_lanes(emulator: LocalAws, session: aiohttp.ClientSession, tmp_path: Path) -> RunLanes:
    """Runs plays side by side, each on a stage and a service of its own. Raises what `side_by_side` does."""

    async def one(log_file: Path, play: Play) -> None:
        stage = await new_stage(emulator, max_receive_count=MAX_RECEIVE_COUNT)
        async with run_lane(stage, session, log_file, WORKER_SLOTS="8") as lane:
            await play(lane)

    async def run(plays: Mapping[str, Play]) -> None:
        logs = {name: tmp_path / f"service-{number}.log" for number, name in enumerate(plays)}
        await side_by_side({name: one(logs[name], play) for name, play in plays.items()}, logs)

    return run


async def side_by_side(plays: Mapping[str, Awaitable[None]], logs: Mapping[str, Path]) -> None:
    """Play all of them to their ends.

    Raises a `BaseExceptionGroup` of what went wrong, each with the name of the play and the end of its log.
    """
    ends = await asyncio.gather(*plays.values(), return_exceptions=True)
    failures = {name: end for name, end in zip(plays, ends, strict=True) if end is not None}
    for name, failure in failures.items():
        failure.add_note(f"{name}\n{await asyncio.to_thread(_end_of, logs[name])}")
    if failures:
        raise BaseExceptionGroup("some plays went wrong", list(failures.values()))


def _failed_deliveries(log_file: Path) -> Counter[str]:
    """How many deliveries of each message failed."""
    told = (json.loads(line) for line in log_file.read_text().splitlines() if line.startswith("{"))
    return Counter(line["messageId"] for line in told if line.get("event") in FAILED_DELIVERIES)


def _end_of(log_file: Path) -> str:
    lines = log_file.read_text().splitlines() if log_file.exists() else []
    return "\n".join(lines[-LOG_LINES:])
