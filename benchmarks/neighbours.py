"""What one tenant's flood costs another tenant on the same process: times beside the flood, as ratios of those without.

    python -m benchmarks.neighbours [--seconds 15] [--flood lists] [--json FILE]

Everything is real but AWS, which is the local emulator, and has to be shared too: it is slower than AWS, so ratios of
conversions are an upper bound. The flood keeps a pace, within the requests that a key may make by default.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import aiohttp
import click
from rich.console import Console
from rich.table import Table

from tests import corpus
from tests.fleet import ServiceProcess, run_service, run_stage

#: Between two looks at a job of the victim, in seconds.
POLL_SECONDS = 0.02
#: Longest wait for one job, in seconds: what takes longer counts as so long.
PATIENCE_SECONDS = 20.0
#: Images that the attacker begins with; a long page has as many.
STOCK = 100
#: Least images of the victim in a measurement: a percentile needs some.
LEAST = 5
#: As much metadata as an image may have.
METADATA = {f"key-{number:02}": "x" * 198 for number in range(20)}


@dataclass(slots=True, kw_only=True)
class Tenant:
    """Who asks, and what it has."""

    service: ServiceProcess
    name: str
    issued: list[Any] = field(default_factory=list)

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """The status and the body of the answer."""
        url, headers = self.service.url + path, {"X-Tenant": self.name}
        async with self.service.session.request(method, url, headers=headers, **options) as answer:
            return answer.status, await answer.json(content_type=None)

    async def issue(self, metadata: Mapping[str, str] | None = None) -> Any:
        """A URL for a photo."""
        _, issued = await self.ask(
            "POST", "/images/upload-url", json={"filename": "photo.jpg", "metadata": dict(metadata or {})}
        )
        self.issued.append(issued)
        return issued

    async def put(self, issued: Any, data: bytes) -> None:
        """Upload under a URL that was issued."""
        async with self.service.session.put(issued["uploadUrl"], data=data, headers=issued["headers"]) as answer:
            await answer.read()

    async def completed(self, issued: Any) -> None:
        """Wait for the end of the job, or until patience ends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    _, job = await self.ask("GET", f"/images/status/{issued['processingId']}")
                    if job.get("status") in ("completed", "failed"):
                        return
                    await asyncio.sleep(POLL_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """What is asked, and how often a second."""

    pace: float
    deed: Callable[[Tenant, int], Awaitable[Any]]


async def _race(attacker: Tenant, number: int) -> None:
    first = attacker.issued[0]
    if number % 4:
        await attacker.ask("POST", f"/images/process/{first['uniqueId']}")
    else:
        await attacker.put(first, PHOTO + number.to_bytes(4, "big"))


async def _upload(attacker: Tenant, number: int) -> None:
    await attacker.put(await attacker.issue(), SMALL + number.to_bytes(4, "big"))


async def _list(attacker: Tenant, _: int) -> None:
    await attacker.ask("GET", f"/images/list?limit={STOCK}")


async def _again(attacker: Tenant, number: int) -> None:
    await attacker.ask("POST", f"/images/process/{attacker.issued[number % STOCK]['uniqueId']}")


FLOODS = {
    "races": Flood(pace=17, deed=_race),
    "lists": Flood(pace=18, deed=_list),
    "uploads": Flood(pace=4, deed=_upload),
    "reprocessing": Flood(pace=4, deed=_again),
}
SMALL = corpus.jpeg(corpus.flat(64, 64, (1, 2, 3)))
PHOTO = corpus.jpeg(corpus.flat(1600, 1200, (90, 60, 30)))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seconds", type=click.FloatRange(1, 300), default=15, show_default=True, help="Of each measurement.")
@click.option("--flood", "names", type=click.Choice(list(FLOODS)), multiple=True, help="Only these; may be repeated.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def main(seconds: float, names: tuple[str, ...], json_file: Path | None) -> None:
    """Measure a tenant's times beside another tenant's floods."""
    figures = asyncio.run(measure(names or tuple(FLOODS), seconds))
    show(figures)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


async def measure(names: tuple[str, ...], seconds: float) -> dict[str, dict[str, float]]:
    """By flood: the victim's p95 without and with it, in milliseconds."""
    figures = {}
    async with one_service() as service:
        attacker, victim = Tenant(service=service, name="attacker"), Tenant(service=service, name="victim")
        await stock(attacker)
        for name in names:
            alone = await visit(victim, seconds)
            async with flooding(attacker, FLOODS[name]):
                beside = await visit(victim, seconds)
            figures[name] = {
                f"{what} {when}": _p95(times[what])
                for what in ("call", "completed")
                for when, times in (("alone", alone), ("beside", beside))
            }
            await asyncio.sleep(seconds / 3)  # what the flood left in the queue is not the next one's
    return figures


@asynccontextmanager
async def one_service() -> AsyncIterator[ServiceProcess]:
    """A single pod, with the settings that it has by default."""
    with tempfile.TemporaryDirectory() as folder:
        data, log = Path(folder, "aws"), Path(folder, "service.log")
        async with (
            run_stage(data, "neighbours") as stage,
            aiohttp.ClientSession() as session,
            run_service(stage, session, log, LOG_LEVEL="error") as service,
        ):
            yield service


async def stock(attacker: Tenant) -> None:
    """What it lists and has converted again."""
    for _ in range(STOCK):
        await attacker.put(await attacker.issue(METADATA), SMALL)
    for issued in attacker.issued:
        await attacker.completed(issued)


@asynccontextmanager
async def flooding(attacker: Tenant, flood: Flood) -> AsyncIterator[None]:
    """In the background, at its pace, however long the answers take."""
    deeds: set[asyncio.Task[Any]] = set()

    async def run() -> None:
        number = 0
        while True:
            number += 1
            deeds.add(task := asyncio.create_task(_ignoring(flood.deed(attacker, number))))
            task.add_done_callback(deeds.discard)
            await asyncio.sleep(1 / flood.pace)

    runner = asyncio.create_task(run())
    try:
        yield
    finally:
        runner.cancel()
        await asyncio.gather(runner, *deeds, return_exceptions=True)


async def _ignoring(deed: Awaitable[Any]) -> None:
    with contextlib.suppress(aiohttp.ClientError):
        await deed


async def visit(victim: Tenant, seconds: float) -> dict[str, list[float]]:
    """One upload after the other, and calls in between: how long each took, in milliseconds."""
    times: dict[str, list[float]] = {"call": [], "completed": []}
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(times["completed"]) < LEAST:
        for _ in range(4):
            began = time.monotonic()
            await victim.ask("GET", "/images/list?limit=1")
            times["call"].append(1000 * (time.monotonic() - began))
        issued = await victim.issue()
        await victim.put(issued, PHOTO)
        began = time.monotonic()
        await victim.completed(issued)
        times["completed"].append(1000 * (time.monotonic() - began))
    return times


def show(figures: Mapping[str, Mapping[str, float]]) -> None:
    """A table of p95 in milliseconds, and ratios."""
    table = Table(title="p95 of a tenant beside another tenant's flood, ms")
    for heading in ("flood", "call alone", "beside", "ratio", "completed alone", "beside", "ratio"):
        table.add_column(heading, justify="left" if heading == "flood" else "right")
    for name, found in figures.items():
        cells = [name]
        for what in ("call", "completed"):
            alone, beside = found[f"{what} alone"], found[f"{what} beside"]
            cells += [f"{alone:.0f}", f"{beside:.0f}", f"{beside / alone:.2f}"]
        table.add_row(*cells)
    Console().print(table)


def _p95(times: list[float]) -> float:
    return round(quantiles(times, n=20, method="inclusive")[-1], 1)


if __name__ == "__main__":
    main()
