"""Uploads thousands of pictures to two processes with one queue, while processes are killed and started again.

    python -m benchmarks.soak [--uploads 2000] [--concurrency 8] [--hostile 0.01] [--kill-every 20] [--json FILE]

Everything is real except AWS, which is the local emulator. At the end it prints the account. It exits with 1 if an
upload was lost, is stuck or has a wrong end, or if anything is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.soak_account import Account, has_ended, quantiles, take
from benchmarks.soak_client import Clients, deck
from processor.ports.stores import AllStores
from tests.fleet import ServiceProcess, Stage, empty, run_stage

#: A killed worker's messages and leases return after this time: within the run, but long enough for any of its files.
VISIBILITY_SECONDS = "10"
#: If no upload ends for so many seconds, the others are stuck. A message that failed twice is hidden for two minutes.
SETTLE_SECONDS = 600.0
#: Uploads that are looked at together. Looks at all of them would keep the emulator from the service.
LOOKED_AT = 50
#: Rows of the table of memory over time.
SLICES = 10

Memory = dict[int, list[tuple[float, int]]]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--uploads", type=click.IntRange(1), default=2000, show_default=True, help="Images in all.")
@click.option("--concurrency", type=click.IntRange(1), default=8, show_default=True, help="Clients at once.")
@click.option("--hostile", type=click.FloatRange(0, 1), default=0.01, show_default=True, help="Part that is no image.")
@click.option(
    "--kill-every",
    type=click.FloatRange(0),
    default=20.0,
    show_default=True,
    help="Seconds between two kills; every third is a SIGTERM; 0 for none. A message that is killed five times over is "
    "dead, so this must stay well above the time that one image takes.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Makes the same clients again.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the account here.")
def main(seed: int, json_file: Path | None, **given: Any) -> None:
    """Send many uploads to two processes of the service, and account for every one."""
    report, clean = asyncio.run(soak(Soak(**given), random.Random(seed)))
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(0 if clean else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """The number and the kind of uploads, and how often processes are killed. `kill_every` is in seconds; 0: never."""

    uploads: int
    concurrency: int
    hostile: float
    kill_every: float


async def soak(plan: Soak, chance: random.Random) -> tuple[dict[str, Any], bool]:
    """Run the soak. Returns the account as JSON values, and whether it is clean."""
    console = Console(stderr=True)
    memory: Memory = defaultdict(list)
    kills: list[ServiceProcess] = []
    with tempfile.TemporaryDirectory() as folder:
        async with two_services(Path(folder)) as (stage, services, session):
            clients = Clients(services=services, session=session, files=deck(), chance=chance, hostile=plan.hostile)
            upkeep = [asyncio.create_task(watch_memory(services, memory))]
            if plan.kill_every:
                upkeep.append(asyncio.create_task(kill_by_turns(services, plan.kill_every, kills)))
            started = time.monotonic()
            with Progress(console=console) as progress:
                await upload_all(clients, plan.uploads, plan.concurrency, progress)
                async with stage.stores() as stores:
                    await all_ended(stores, clients, progress)
                    seconds = time.monotonic() - started
                    await stop(upkeep)
                    await asyncio.gather(*(service.start() for service in services if not service.alive))
                    await drain(stores)
                    logs = [service.log_file for service in services]
                    account = await take(stores, stage.made.names.source_bucket, clients.uploads, logs)
    report = account.to_json() | {
        "uploads": len(clients.uploads),
        "filesAccepted": sum(upload.files for upload in clients.uploads),
        "kills": len(kills),
        "retriesOfClients": clients.retries,
        "seconds": round(seconds),
        "imagesPerSecond": round(len(clients.uploads) / seconds, 2),
        "rssMiB": {str(pid): quantiles([rss / 2**20 for _, rss in samples]) for pid, samples in memory.items()},
    }
    show(report, account, memory, Console())
    return report, account.clean


@asynccontextmanager
async def two_services(folder: Path) -> AsyncIterator[tuple[Stage, Sequence[ServiceProcess], aiohttp.ClientSession]]:
    """Two pods of one stage, with one emulator."""
    data = folder / "aws"
    timeout = aiohttp.ClientTimeout(total=60)
    async with run_stage(data, "soak") as stage, aiohttp.ClientSession(timeout=timeout) as session:
        environment = stage.environment(VISIBILITY_SECONDS=VISIBILITY_SECONDS, WORKER_THREADS="1")
        services = [ServiceProcess(environment, session, folder / f"service-{number}.log") for number in range(2)]
        try:
            await asyncio.gather(*(service.start() for service in services))
            yield stage, services, session
            await asyncio.gather(*(service.stop() for service in services))
        finally:
            for service in services:
                await service.kill()


async def upload_all(
    clients: Clients, count: int, concurrency: int, progress: Progress, may_go_on: asyncio.Event | None = None
) -> None:
    """Run all clients, so many at once; none begins while `may_go_on` is not set."""
    task = progress.add_task("Uploading", total=count)
    room = asyncio.Semaphore(concurrency)

    async def visit() -> None:
        async with room:
            if may_go_on is not None:
                await may_go_on.wait()
            await clients.one()
        progress.advance(task)

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(visit())


async def all_ended(stores: AllStores, clients: Clients, progress: Progress) -> None:
    """Wait for every upload. When none ends any more, those that are left are stuck, and the account shows it."""
    waiting = deque(clients.uploads)
    task = progress.add_task("Converting", total=len(waiting))
    last_end = time.monotonic()
    while waiting and time.monotonic() - last_end < SETTLE_SECONDS:
        looked_at = [waiting.popleft() for _ in range(min(LOOKED_AT, len(waiting)))]
        ended = await asyncio.gather(*(has_ended(stores, upload) for upload in looked_at))
        left = [upload for upload, is_over in zip(looked_at, ended, strict=True) if not is_over]
        waiting.extend(left)
        progress.update(task, completed=len(clients.uploads) - len(waiting))
        if len(left) < len(looked_at):
            last_end = time.monotonic()
        if left:
            await asyncio.sleep(1)


async def drain(stores: AllStores) -> None:
    """Wait until the queue is empty, because duplicates and messages of killed processes return once."""
    with contextlib.suppress(AssertionError):
        await empty(stores.queue, within=SETTLE_SECONDS)


async def kill_by_turns(services: Sequence[ServiceProcess], every_seconds: float, kills: list[ServiceProcess]) -> None:
    """End and restart the two processes in turn. Two of three times, the process is killed without a warning."""
    while True:
        await asyncio.sleep(every_seconds)
        service = services[len(kills) % len(services)]
        kills.append(service)
        if len(kills) % 3 == 0:
            service.signal(signal.SIGTERM)
            await service.ended()
        else:
            await service.kill()
        await service.start()


async def watch_memory(services: Sequence[ServiceProcess], memory: Memory) -> None:
    """Note the memory of each process once a second, from the kernel."""
    started = time.monotonic()
    while True:
        for service in services:
            process = service.process
            if process is not None and service.alive:
                rss = rss_bytes(process.pid)
                if rss:
                    memory[process.pid].append((time.monotonic() - started, rss))
        await asyncio.sleep(1)


def rss_bytes(pid: int) -> int:
    """Memory of a process; 0 if it has just ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


async def stop(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel them, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def show(report: dict[str, Any], account: Account, memory: Memory, console: Console) -> None:
    """The account, for people."""
    table = Table("", "count", title="Account")
    for name, value in report.items():
        if isinstance(value, int | float):
            table.add_row(name, str(value))
    for end, count in sorted(account.ends.items()):
        table.add_row(f"ended: {end}", str(count))
    for outcome, count in sorted(account.outcomes.items()):
        table.add_row(f"event: {outcome}", str(count))
    for name, value in report["servableSeconds"].items():
        table.add_row(f"seconds to servable, {name}", str(value))
    console.print(table)
    console.print(memory_table(memory))


def memory_table(memory: Memory) -> Table:
    """Highest and median RSS of all processes in each part of the run."""
    samples = [sample for of_one in memory.values() for sample in of_one]
    end = max((moment for moment, _ in samples), default=0.0) + 1
    table = Table("seconds", "median MiB", "highest MiB", title="RSS of a process")
    for number in range(SLICES):
        low, high = end * number / SLICES, end * (number + 1) / SLICES
        values = [rss / 2**20 for moment, rss in samples if low <= moment < high]
        if values:
            table.add_row(f"{low:.0f} to {high:.0f}", f"{median(values):.0f}", f"{max(values):.0f}")
    return table


if __name__ == "__main__":
    main()
