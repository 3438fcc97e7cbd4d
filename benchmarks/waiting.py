"""Measures the cost of callers that wait for jobs: CPU and memory of the process with their calls, over real sockets.

    python -m benchmarks.waiting
    python -m benchmarks.waiting --callers 2000 --seconds 30

Each caller waits for another job. This costs most: callers that wait for the same job share one look at it. AWS is the
local emulator, and its work is not counted.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
import click

from tests.fleet import ServiceProcess, run_service, run_stage
from tests.ports import held_port
from tests.waiting import eventually

#: The longest wait, in seconds.
WAIT_SECONDS = 30
#: Calls that start at the same time.
AT_ONCE = 20
#: Rounds of ordinary calls before the measurement. The memory that the first calls need is not counted.
WARM_UP_ROUNDS = 2
#: Time limit for everything, in seconds.
MOST_SECONDS = 600.0

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """CPU in per cent of one processor; memory in MB."""

    callers: int
    idle_cpu: float
    waiting_cpu: float
    memory: float

    @property
    def cpu(self) -> float:
        """CPU for the callers."""
        return self.waiting_cpu - self.idle_cpu


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--callers", type=click.IntRange(1, 2000), default=1000, show_default=True, help="Who wait at once.")
@click.option("--seconds", type=click.FloatRange(5, 25), default=15, show_default=True, help="Of each measurement.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def main(callers: int, seconds: float, json_file: Path | None) -> None:
    """Measure a process without callers, then the same process while so many callers wait."""
    found = asyncio.run(measured(callers, seconds))
    click.echo(f"{found.callers} callers: {found.cpu:.1f} % of a processor, {found.memory:.1f} MB")
    click.echo(f"(idle {found.idle_cpu:.1f} %, with them {found.waiting_cpu:.1f} %)")
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(found), indent=2) + "\n")


async def measured(callers: int, seconds: float) -> Figures:
    async with asyncio.timeout(MOST_SECONDS), one_service() as service:
        jobs = await _jobs(service, callers)
        for _ in range(WARM_UP_ROUNDS):
            await _in_turns([f"/images/status/{job}" for job in jobs], service)
        idle = await _cpu(service, seconds)
        before = memory(service)
        waiting: list[asyncio.Task[None]] = []
        for start in range(0, callers, AT_ONCE):  # a crowd that arrives at once would cost more than waiting does
            waiting += [asyncio.create_task(_wait(service, job)) for job in jobs[start : start + AT_ONCE]]
            await _held(service, len(waiting))
        with_them = await _cpu(service, seconds)
        after = memory(service)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    return Figures(callers=callers, idle_cpu=idle, waiting_cpu=with_them, memory=(after - before) / 1e6)


@asynccontextmanager
async def one_service() -> AsyncIterator[ServiceProcess]:
    """A process that only answers the API."""
    with tempfile.TemporaryDirectory() as folder:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=2 * WAIT_SECONDS)
        async with (
            run_stage(Path(folder, "aws"), "waiting") as stage,
            aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
            run_service(
                *(stage, session, Path(folder, "service.log")),
                LOG_LEVEL="error",
                ROLES="api",
                METRICS_PORT=str(held_port()),
            ) as service,
        ):
            yield service


async def _jobs(service: ServiceProcess, number: int) -> list[str]:
    """Ids of so many jobs that wait for their uploads."""
    line = asyncio.Semaphore(AT_ONCE)

    async def one() -> str:
        async with line:
            issued = await service.call("POST", "/images/upload-url", json={"filename": "a.jpg"})
            return str(issued["processingId"])

    return await asyncio.gather(*(one() for _ in range(number)))


async def _in_turns(paths: list[str], service: ServiceProcess) -> None:
    line = asyncio.Semaphore(AT_ONCE)

    async def one(path: str) -> None:
        async with line:
            await service.call("GET", path)

    await asyncio.gather(*map(one, paths))


async def _wait(service: ServiceProcess, job: str) -> None:
    while True:
        await service.call("GET", f"/images/status/{job}?wait={WAIT_SECONDS}")


async def _held(service: ServiceProcess, callers: int) -> None:
    """Return when all of them wait."""
    url = f"http://127.0.0.1:{service.environment['METRICS_PORT']}/metrics"

    async def all_wait() -> bool:
        async with service.session.get(url) as answer:
            return f'truss_open_calls{{kind="waiting"}} {callers}.0' in await answer.text()

    await eventually(all_wait)


async def _cpu(service: ServiceProcess, seconds: float) -> float:
    before = _ticks(service)
    await asyncio.sleep(seconds)
    return 100 * (_ticks(service) - before) / _TICKS / seconds


def _pid(service: ServiceProcess) -> int:
    assert service.process is not None
    return service.process.pid


def _ticks(service: ServiceProcess) -> int:
    fields = Path(f"/proc/{_pid(service)}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def memory(service: ServiceProcess) -> int:
    """Resident memory in bytes."""
    return int(Path(f"/proc/{_pid(service)}/statm").read_text().split()[1]) * _PAGE


if __name__ == "__main__":
    main()
