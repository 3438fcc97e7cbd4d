"""What one tenant's flood costs another on the same process: its times beside the flood, as ratios of those without.

Everything is real but AWS, which is the local emulator. Flood and victim share it and its processor too, so that ratios
are an upper bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import aiohttp
import click
from rich.console import Console
from rich.table import Table

from processor.stores.clients import open_clients
from processor.stores.keys import DynamoKeyStore
from processor.stores.table import Table as DynamoTable
from service.auth.api_keys import create
from service.auth.principal import Scope
from tests import corpus
from tests.fleet import ServiceProcess, Stage, run_service, run_stage

#: Between two looks at a job of the victim, and between two of its other calls, in seconds: within its own limits.
POLL_SECONDS, CALL_SECONDS = 0.05, 0.1
#: Longest wait for one job, and for one answer, in seconds: what takes longer counts as so long.
PATIENCE_SECONDS = 20.0
#: Between the end of a flood and the next measurement, in seconds.
PAUSE_SECONDS = 3.0
#: Images that the attacker lists; a long page has as many.
STOCK = 100
#: Requests of the attacker that are under way at once; what would be more is left out.
MOST_AT_ONCE = 200
#: For everything, in seconds.
MOST_SECONDS = 600
#: Least images of the victim in a measurement: a percentile needs some.
LEAST = 5
#: As much metadata as an image may have.
METADATA = {f"key-{number:02}": "x" * 198 for number in range(20)}
SMALL = corpus.jpeg(corpus.flat(64, 64, (1, 2, 3)))
PHOTO = corpus.jpeg(corpus.flat(1600, 1200, (90, 60, 30)))
#: What is measured.
KINDS = ("call", "completed")

Times = Mapping[str, list[float]]
#: By flood and kind: p95 in milliseconds, a pair for each round, without and with the flood.
Figures = dict[str, dict[str, list[tuple[float, float]]]]


@dataclass(slots=True, kw_only=True)
class Tenant:
    """Who asks, with which key, and how it was answered."""

    service: ServiceProcess
    key: str = field(repr=False)
    statuses: Counter[int] = field(default_factory=Counter)

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        """The body of the answer."""
        url, headers = self.service.url + path, {"X-Api-Key": self.key}
        async with self.service.session.request(method, url, headers=headers, **options) as answer:
            self.statuses[answer.status] += 1
            return await answer.json(content_type=None)

    async def issue(self, metadata: Mapping[str, str] | None = None) -> Any:
        """A URL for a photo."""
        return await self.ask("POST", "/images/upload-url", json={"filename": "a.jpg", "metadata": metadata or {}})

    async def put(self, issued: Any, data: bytes) -> None:
        """Upload under a URL that was issued, if one was."""
        if "uploadUrl" not in issued:
            return
        async with self.service.session.put(issued["uploadUrl"], data=data, headers=issued["headers"]) as answer:
            await answer.read()

    async def upload(self, data: bytes, metadata: Mapping[str, str] | None = None) -> Any:
        """What was issued."""
        issued = await self.issue(metadata)
        await self.put(issued, data)
        return issued

    async def completed(self, issued: Any, poll_seconds: float = POLL_SECONDS) -> None:
        """Wait for the end of the job, or until patience ends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    job = await self.ask("GET", f"/images/status/{issued['processingId']}")
                    if job.get("status") in ("completed", "failed"):
                        return
                    await asyncio.sleep(poll_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """What is asked, and how often a second; `target` is an image that it is about."""

    pace: float
    deed: Callable[[Tenant, Any, int], Awaitable[Any]]


async def _race(attacker: Tenant, target: Any, number: int) -> None:
    if number % 4:
        await attacker.ask("POST", f"/images/process/{target['uniqueId']}")
    else:
        await attacker.put(target, PHOTO + number.to_bytes(4, "big"))


async def _list(attacker: Tenant, _: Any, __: int) -> None:
    await attacker.ask("GET", f"/images/list?limit={STOCK}")


async def _upload(attacker: Tenant, _: Any, number: int) -> None:
    await attacker.upload(SMALL + number.to_bytes(4, "big"))


async def _again(attacker: Tenant, target: Any, _: int) -> None:
    await attacker.ask("POST", f"/images/process/{target['uniqueId']}")


FLOODS = {
    "races": Flood(pace=17, deed=_race),
    "lists": Flood(pace=18, deed=_list),
    "uploads": Flood(pace=8, deed=_upload),
    "reprocessing": Flood(pace=13, deed=_again),
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seconds", type=click.FloatRange(1, 60), default=8, show_default=True, help="Of each measurement.")
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True, help="Each without and with.")
@click.option("--flood", "names", type=click.Choice(list(FLOODS)), multiple=True, help="Only these; may be repeated.")
@click.option("--most", type=click.FloatRange(1), default=1.5, show_default=True, help="Ratio above which it fails.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def main(seconds: float, rounds: int, names: tuple[str, ...], most: float, json_file: Path | None) -> None:
    """Measure a tenant's times with and without another tenant's floods.

    Floods: races (13 `process` and 4 uploads a second on one image), lists (18 pages of 100 with full metadata a
    second), uploads (8 small images a second), reprocessing (13 `process` a second on one image). Ends with 1 when a
    ratio is above --most, and with 2 when time ran out.
    """
    figures: Figures = {}
    ended = asyncio.run(measure(figures, names or tuple(FLOODS), seconds, rounds))
    show(figures)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")
    if not ended:
        click.echo(f"Not everything was measured within {MOST_SECONDS} s.", err=True)
        sys.exit(2)
    sys.exit(any(ratio(pairs) > most for kinds in figures.values() for pairs in kinds.values()))


async def measure(figures: Figures, names: Iterable[str], seconds: float, rounds: int) -> bool:
    """Fill in the figures, round by round; whether all could be had in time."""
    try:
        async with asyncio.timeout(MOST_SECONDS), one_service() as (attacker, victim):
            await stock(attacker)
            await visit(victim, 1)  # the first of everything is slow
            for name in names:
                figures[name] = {kind: [] for kind in KINDS}
                for _ in range(rounds):
                    await one_round(figures[name], name, attacker, victim, seconds)
    except TimeoutError:
        return False
    return True


async def one_round(
    found: dict[str, list[tuple[float, float]]], name: str, attacker: Tenant, victim: Tenant, seconds: float
) -> None:
    """Without the flood, and with it."""
    alone = await visit(victim, seconds)
    attacker.statuses.clear()
    async with flooding(attacker, FLOODS[name]):
        beside = await visit(victim, seconds)
    for kind in KINDS:
        found[kind].append((_p95(alone[kind]), _p95(beside[kind])))
    answers = ", ".join(f"{count} x {status}" for status, count in sorted(attacker.statuses.items()))
    shown = ", ".join(f"{kind} {found[kind][-1][0]:.0f} -> {found[kind][-1][1]:.0f} ms" for kind in KINDS)
    click.echo(f"{name}: {shown}; the attacker was answered {answers}; load {os.getloadavg()[0]:.1f}", err=True)
    await asyncio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def one_service() -> AsyncIterator[tuple[Tenant, Tenant]]:
    """A single pod with the settings that it has by default, and two tenants."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        data, log = Path(folder, "aws"), Path(folder, "service.log")
        async with (
            run_stage(data, "neighbours") as stage,
            aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session,
            run_service(stage, session, log, LOG_LEVEL="error", AUTH_MODES="api_key") as service,
        ):
            keys = [await _key(stage, tenant) for tenant in ("attacker", "victim")]
            yield Tenant(service=service, key=keys[0]), Tenant(service=service, key=keys[1])


async def _key(stage: Stage, tenant: str) -> str:
    async with open_clients(stage.aws.config(stage.credentials)) as clients:
        store = DynamoKeyStore(DynamoTable(clients, stage.made.names.table))
        return (await create(store, tenant=tenant, name="benchmark", scopes=[Scope.READ, Scope.WRITE])).token


async def stock(attacker: Tenant) -> None:
    """What it lists."""
    for _ in range(0, STOCK, 10):
        some = await asyncio.gather(*(attacker.upload(SMALL, METADATA) for _ in range(10)))
        await asyncio.gather(*(attacker.completed(issued, poll_seconds=0.5) for issued in some))


@asynccontextmanager
async def flooding(attacker: Tenant, flood: Flood) -> AsyncIterator[None]:
    """In the background, at its pace, however long the answers take."""
    deeds: set[asyncio.Task[None]] = set()
    target = await attacker.upload(PHOTO)

    async def run() -> None:
        number = 0
        while True:
            number += 1
            if len(deeds) < MOST_AT_ONCE:
                deeds.add(task := asyncio.create_task(_ignoring(flood.deed(attacker, target, number))))
                task.add_done_callback(deeds.discard)
            await asyncio.sleep(1 / flood.pace)

    runner = asyncio.create_task(run())
    try:
        yield
    finally:
        runner.cancel()
        for deed in tuple(deeds):
            deed.cancel()
        await asyncio.gather(runner, *deeds, return_exceptions=True)


async def _ignoring(deed: Awaitable[Any]) -> None:
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        await deed


async def visit(victim: Tenant, seconds: float) -> Times:
    """Uploads one after the other, and calls beside them: how long each took, in milliseconds."""
    times: dict[str, list[float]] = defaultdict(list)
    end = time.monotonic() + seconds
    calling = asyncio.create_task(_call(victim, times))
    try:
        while time.monotonic() < end or len(times["completed"]) < LEAST:
            issued = await victim.upload(PHOTO)
            with _timing(times["completed"]):
                await victim.completed(issued)
    finally:
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
    return times


async def _call(victim: Tenant, times: Mapping[str, list[float]]) -> None:
    issued = await victim.issue()
    calls = (
        victim.issue,
        partial(victim.ask, "GET", "/images/list?limit=10"),
        partial(victim.ask, "GET", f"/images/status/{issued['processingId']}"),
    )
    while True:
        for call in calls:
            with _timing(times["call"]):
                await _ignoring(call())
            await asyncio.sleep(CALL_SECONDS)


@contextlib.contextmanager
def _timing(times: list[float]) -> Iterator[None]:
    began = time.monotonic()
    yield
    times.append(1000 * (time.monotonic() - began))


def show(figures: Figures) -> None:
    """A table of p95 in milliseconds, and of ratios: medians over the rounds."""
    table = Table(title="p95 of a tenant without and with another tenant's flood, in ms; medians over the rounds")
    table.add_column("flood")
    for kind in KINDS:
        for heading in (f"{kind}, without", "with", "ratio"):
            table.add_column(heading, justify="right")
    for name, kinds in figures.items():
        cells = [name]
        for pairs in kinds.values():
            alone, beside = zip(*pairs, strict=True) if pairs else ((0.0,), (0.0,))
            cells += [f"{median(alone):.0f}", f"{median(beside):.0f}", f"{ratio(pairs):.2f}" if pairs else "-"]
        table.add_row(*cells)
    Console().print(table)


def ratio(pairs: Iterable[tuple[float, float]]) -> float:
    """The median of what each round gave."""
    return median(beside / alone for alone, beside in pairs)


def _p95(times: list[float]) -> float:
    return round(quantiles(times, n=20, method="inclusive")[-1], 1)


if __name__ == "__main__":
    main()
