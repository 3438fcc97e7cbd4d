"""Measures how much one tenant's flood slows another tenant in the same process, as ratios of the victim's times.

Everything is real except AWS, which is the local emulator. Unlike AWS, it answers one call after the other, on the
processors of this machine. So a flood also slows the victim there, which says nothing about the service. Therefore the
victim is measured three times: alone; during the same flood on another process with the same emulator; and during the
flood on its own process. In the last two cases, emulator, client and processors have the same work. They differ only in
whether both tenants are in one process. The ratio is between these two.
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
from typing import Any, NamedTuple

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
from tests.waiting import eventually

#: Time between two looks at a job of the victim, and between two of its other calls, in seconds: within its limits.
POLL_SECONDS, CALL_SECONDS = 0.05, 0.1
#: Time limits for one job and for one answer, in seconds. A longer time counts as this.
PATIENCE_SECONDS = 20.0
#: Pause between the end of a flood's work and the next measurement, and the time limit for that work, in seconds.
CALM_SECONDS, MOST_CALM_SECONDS = 0.5, 60.0
#: Images in the attacker's listing: as many as in a long page.
STOCK = 100
#: The most simultaneous requests of the attacker. Further ones are skipped.
MOST_AT_ONCE = 200
#: Time limit for everything, in seconds.
MOST_SECONDS = 1800
#: The fewest images of the victim in a measurement, so that a percentile makes sense.
LEAST = 5
#: The most metadata that an image may have.
METADATA = {f"key-{number:02}": "x" * 198 for number in range(20)}
SMALL = corpus.jpeg(corpus.flat(64, 64, (1, 2, 3)))
PHOTO = corpus.jpeg(corpus.flat(1600, 1200, (90, 60, 30)))
SETTINGS: dict[str, Any] = {"LOG_LEVEL": "error", "AUTH_MODES": "api_key"}
#: The kinds of the victim's requests that are measured.
KINDS = ("call", "thumbnail", "completed")
#: The preset of a backfill, and how its versions differ.
PRESET, QUALITIES = "backfilled", range(60, 90)

Times = Mapping[str, list[float]]


class Found(NamedTuple):
    """The victim's p95 of one kind in one round, in milliseconds."""

    alone: float
    #: During the flood on another process.
    without: float
    #: During the flood on its own process.
    beside: float

    @property
    def ratio(self) -> float:
        """The slowdown because both tenants are in one process."""
        return self.beside / self.without


#: Results by flood and kind, one for each round.
Figures = dict[str, dict[str, list[Found]]]


@dataclass(slots=True, kw_only=True)
class Tenant:
    """A tenant with its key, and counts of the answers that it got."""

    service: ServiceProcess
    key: str = field(repr=False)
    #: Counts of its answers: in all, and during the last flood.
    statuses: Counter[int] = field(default_factory=Counter)
    during: Counter[int] = field(default_factory=Counter)

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        """The body of the answer."""
        url, headers = self.service.url + path, {"X-Api-Key": self.key}
        async with self.service.session.request(method, url, headers=headers, **options) as answer:
            self.statuses[answer.status] += 1
            return await answer.json(content_type=None)

    async def issue(self, **asked: Any) -> Any:
        """A URL for a photo."""
        return await self.ask("POST", "/images/upload-url", json={"filename": "a.jpg", **asked})

    async def put(self, issued: Any, data: bytes) -> None:
        """Upload to an issued URL, if there is one."""
        if "uploadUrl" not in issued:
            return
        async with self.service.session.put(issued["uploadUrl"], data=data, headers=issued["headers"]) as answer:
            await answer.read()

    async def upload(self, data: bytes, **asked: Any) -> Any:
        """Get a URL and upload to it. Returns the answer with the URL."""
        issued = await self.issue(**asked)
        await self.put(issued, data)
        return issued

    async def completed(self, issued: Any, poll_seconds: float = POLL_SECONDS) -> float | None:
        """Wait for the end of the job, up to the time limit. Returns when its thumbnail was seen."""
        seen = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    job = await self.ask("GET", f"/images/status/{issued['processingId']}")
                    if seen is None and "thumbnail" in (job.get("processedImages") or {}):
                        seen = time.monotonic()
                    if job.get("status") in ("completed", "failed"):
                        break
                    await asyncio.sleep(poll_seconds)
        return seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenants:
    """The victim and the attacker on one process, and the attacker on another."""

    attacker: Tenant
    victim: Tenant
    elsewhere: Tenant

    @property
    def itself(self) -> Tenant:
        """The attacker as its own victim."""
        return Tenant(service=self.attacker.service, key=self.attacker.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """The requests of a flood, and their rate per second. `target` is the image that they concern."""

    pace: float
    deed: Callable[[Tenant, Any, int], Awaitable[Any]]
    #: Images that the attacker has before the flood, and what they are made of, with a preset.
    stock: int = 0
    picture: bytes = field(default=SMALL, repr=False)
    preset: str | None = None
    #: Whether it is the attacker itself that is measured.
    own: bool = False


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


async def _bulk(attacker: Tenant, _: Any, __: int) -> None:
    """Refused while one runs, so there always is one."""
    await attacker.ask("POST", "/images/batch/process", json={"filter": {"all": True}})


async def _backfill(attacker: Tenant, _: Any, number: int) -> None:
    """A backfill with a new version, unless one runs."""
    jobs = (await attacker.ask("GET", "/images/batch")).get("batches", ())
    if all(job["endedAt"] for job in jobs):
        await _write_preset(attacker, QUALITIES[number % len(QUALITIES)])
        await attacker.ask("POST", f"/images/presets/{PRESET}/backfill")


async def _write_preset(attacker: Tenant, quality: int) -> None:
    """Variants that take as long as those of the built-in preset."""
    sizes: dict[str, dict[str, int]] = {
        "thumbnail": {"width": 150},
        "medium": {"width": 600},
        "large": {"width": 1920},
        "webp": {},
    }
    variants = [{"name": name, "quality": quality, **size} for name, size in sizes.items()]
    await attacker.ask("PUT", f"/images/presets/{PRESET}", json={"variants": variants})


FLOODS = {
    "races": Flood(pace=17, deed=_race),
    "lists": Flood(pace=18, deed=_list, stock=STOCK),
    "uploads": Flood(pace=8, deed=_upload),
    "reprocessing": Flood(pace=13, deed=_again),
    "bulk": Flood(pace=1, deed=_bulk, stock=STOCK),
    "backfill": Flood(pace=1, deed=_backfill, stock=STOCK, picture=PHOTO, preset=PRESET),
    "own-backfill": Flood(pace=1, deed=_backfill, stock=STOCK, picture=PHOTO, preset=PRESET, own=True),
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seconds", type=click.FloatRange(1, 60), default=10, show_default=True, help="Of each measurement.")
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True, help="Each of three measurements.")
@click.option("--flood", "names", type=click.Choice(list(FLOODS)), multiple=True, help="Only these; may be repeated.")
@click.option("--most", type=click.FloatRange(1), default=1.5, show_default=True, help="Ratio above which it fails.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def main(seconds: float, rounds: int, names: tuple[str, ...], most: float, json_file: Path | None) -> None:
    """Measure a tenant's times with and without another tenant's floods.

    Floods: races (13 `process` and 4 uploads a second on one image), lists (18 pages of 100 with full metadata a
    second), uploads (8 small images a second), reprocessing (13 `process` a second on one image), bulk (a bulk job that
    converts 100 images again, over and over), backfill (100 photos get another version of a preset, over and over),
    own-backfill (the same; it is the tenant itself that uploads meanwhile). Ends with 1 when a ratio is above --most,
    and with 2 when time ran out.
    """
    figures: Figures = {}
    ended = asyncio.run(measure(figures, names or tuple(FLOODS), seconds, rounds))
    show(figures)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")
    if not ended:
        click.echo(f"Not everything was measured within {MOST_SECONDS} s.", err=True)
        sys.exit(2)
    sys.exit(any(ratio(found) > most for kinds in figures.values() for found in kinds.values()))


async def measure(figures: Figures, names: Iterable[str], seconds: float, rounds: int) -> bool:
    """Fill in the figures, round by round. Returns whether the time was enough for all."""
    try:
        async with asyncio.timeout(MOST_SECONDS):
            for name in names:
                figures[name] = {kind: [] for kind in KINDS}
                for _ in range(rounds):
                    # A new emulator each time, because every record makes it slower.
                    async with two_services() as tenants:
                        await prepare(tenants, FLOODS[name])
                        await one_round(figures[name], name, tenants, seconds)
    except TimeoutError:
        return False
    return True


async def prepare(tenants: Tenants, flood: Flood) -> None:
    """Upload the images for listings, and make the first call of each kind, which is slow."""
    attackers = tenants.attacker, tenants.elsewhere
    await asyncio.gather(*(stock(attacker, flood) for attacker in attackers))
    for tenant in (*attackers, tenants.victim):
        await visit(tenant, 1)


async def one_round(found: dict[str, list[Found]], name: str, tenants: Tenants, seconds: float) -> None:
    """Measure the victim alone, during the flood on another process, and during the flood on its own."""
    victim = tenants.itself if FLOODS[name].own else tenants.victim
    alone = await visit(victim, seconds)
    without = await visit_beside(tenants.elsewhere, FLOODS[name], victim, seconds)
    beside = await visit_beside(tenants.attacker, FLOODS[name], victim, seconds)
    for kind in KINDS:
        found[kind].append(Found(*(_p95(times[kind]) for times in (alone, without, beside))))
    shown = "; ".join(f"{kind} {' -> '.join(f'{ms:.0f}' for ms in found[kind][-1])} ms" for kind in KINDS)
    asked = " and ".join(_answers(attacker) for attacker in (tenants.elsewhere, tenants.attacker))
    click.echo(f"{name}: {shown}; the attackers were answered {asked}; load {os.getloadavg()[0]:.1f}", err=True)


async def visit_beside(attacker: Tenant, flood: Flood, victim: Tenant, seconds: float) -> Times:
    """The victim's times during a flood. Afterwards, all work of the flood is done."""
    attacker.statuses.clear()
    async with flooding(attacker, flood):
        times = await visit(victim, seconds)
    await calm(attacker)
    return times


def _answers(attacker: Tenant) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(attacker.during.items()))


async def calm(attacker: Tenant) -> None:
    """Wait until a new request is answered, and a new image converted, at once."""

    async def listed() -> bool:
        return "images" in await attacker.ask("GET", f"/images/list?limit={STOCK}")

    async def issued() -> Any:
        answer = await attacker.issue()
        return answer if "uploadUrl" in answer else None

    await eventually(listed, within=MOST_CALM_SECONDS)
    last = await eventually(issued, within=MOST_CALM_SECONDS)
    await attacker.put(last, SMALL)
    await attacker.completed(last)
    await asyncio.sleep(CALM_SECONDS)


@asynccontextmanager
async def two_services() -> AsyncIterator[Tenants]:
    """A pod with default settings and two tenants, and another one with a stage of its own."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        async with (
            run_stage(Path(folder, "aws"), "neighbours") as stage,
            aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session,
            run_service(stage, session, Path(folder, "service.log"), **SETTINGS) as service,
        ):
            made, credentials = await stage.aws.provision("elsewhere")
            other_stage = Stage(aws=stage.aws, made=made, credentials=credentials)
            other_log = Path(folder, "elsewhere.log")
            async with run_service(other_stage, session, other_log, **SETTINGS) as other:
                yield Tenants(
                    attacker=await _tenant(stage, service, "attacker"),
                    victim=await _tenant(stage, service, "victim"),
                    elsewhere=await _tenant(other_stage, other, "attacker"),
                )


async def _tenant(stage: Stage, service: ServiceProcess, name: str) -> Tenant:
    scopes = [Scope.READ, Scope.WRITE, Scope.DELETE, *((Scope.ADMIN,) if name == "attacker" else ())]
    async with open_clients(stage.aws.config(stage.credentials)) as clients:
        store = DynamoKeyStore(DynamoTable(clients, stage.made.names.table))
        minted = await create(store, tenant=name, name="benchmark", scopes=scopes)
    return Tenant(service=service, key=minted.token)


async def stock(attacker: Tenant, flood: Flood) -> None:
    """Upload the images that the attacker lists, or converts again."""
    asked: dict[str, Any] = {"metadata": METADATA}
    if flood.preset is not None:
        await _write_preset(attacker, QUALITIES[-1])
        asked["preset"] = flood.preset
    for _ in range(0, flood.stock, 10):
        some = await asyncio.gather(*(attacker.upload(flood.picture, **asked) for _ in range(10)))
        await asyncio.gather(*(attacker.completed(issued, poll_seconds=0.5) for issued in some))


@asynccontextmanager
async def flooding(attacker: Tenant, flood: Flood) -> AsyncIterator[None]:
    """Run the flood in the background at its rate, even if answers are slow."""
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
        attacker.during = attacker.statuses.copy()
        await _cancel_bulk_jobs(attacker)
        await attacker.ask("DELETE", f"/images/image/{target['uniqueId']}")  # otherwise its next job would follow later


async def _cancel_bulk_jobs(attacker: Tenant) -> None:
    for job in (await attacker.ask("GET", "/images/batch")).get("batches", ()):
        if job["endedAt"] is None:
            await attacker.ask("DELETE", f"/images/batch/{job['batchId']}")


async def _ignoring(deed: Awaitable[Any]) -> None:
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        await deed


async def visit(victim: Tenant, seconds: float) -> Times:
    """Times of uploads, one after the other, and of calls meanwhile, in milliseconds."""
    times: dict[str, list[float]] = defaultdict(list)
    end = time.monotonic() + seconds
    calling = asyncio.create_task(_call(victim, times))
    try:
        while time.monotonic() < end or len(times["completed"]) < LEAST:
            issued = await victim.upload(PHOTO)
            began = time.monotonic()
            seen = await victim.completed(issued)
            times["completed"].append(1000 * (time.monotonic() - began))
            times["thumbnail"].append(1000 * ((seen or began + PATIENCE_SECONDS) - began))
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
    """A table of p95 in milliseconds and of ratios; both are medians of the rounds."""
    table = Table(title="p95 of a tenant in ms: alone, beside a flood on another process, and on its own; medians")
    table.add_column("flood")
    for kind in KINDS:
        for heading in (f"{kind}, alone", "another", "own", "ratio"):
            table.add_column(heading, justify="right")
    for name, kinds in figures.items():
        cells = [name]
        for rounds in kinds.values():
            cells += [f"{median(times):.0f}" for times in zip(*rounds, strict=True)] or ["-", "-", "-"]
            cells.append(f"{ratio(rounds):.2f}" if rounds else "-")
        table.add_row(*cells)
    Console(width=160).print(table)


def ratio(rounds: Iterable[Found]) -> float:
    """The median over the rounds."""
    return median(found.ratio for found in rounds)


def _p95(times: list[float]) -> float:
    return round(quantiles(times, n=20, method="inclusive")[-1], 1)


if __name__ == "__main__":
    main()
