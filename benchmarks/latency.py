"""Measures how soon a picture is ready, and how fast the API answers: idle, and with every thread busy, as ratios.

Everything is real except AWS, which is the local emulator. It shares the processors with the service and this client,
so the figures are upper bounds. How late its queue hands out a message is measured, too, and beside status calls their
parts: the one read, at the emulator itself, and a call that asks AWS nothing. The ratios are from one run.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import random
import re
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from unittest.mock import patch

import aiohttp
import click
from rich.console import Console
from rich.table import Table

from benchmarks.cpu_per_megapixel import sides
from processor import clock
from processor.pipeline import passes
from processor.pipeline.engine import set_up_libvips
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.ports.queue import MessageQueue
from processor.ports.stores import AllStores
from processor.recipes import STANDARD
from tests import corpus
from tests.fleet import ServiceProcess, run_service, run_stage
from tests.ports import held_port

#: Time between two looks at a job, and between two measured calls, in seconds.
LOOK_SECONDS, CALL_SECONDS = 0.1, 0.01
#: Messages that go through the queue alone.
QUEUED = 20
#: Time limit for one job or one answer, in seconds.
PATIENCE_SECONDS = 120.0
#: Time limit for everything, in seconds.
MOST_SECONDS = 900
#: Uploads for warming up, because the first ones are slow.
WARM_UP = 2
#: The variant that is ready first.
FIRST = STANDARD.specs[0].name
#: A bucket of the histogram of the event loop's lag.
LAG = re.compile(r'truss_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)')
#: Options for the JPEG. With `subsample_mode`, chroma has half the samples in both directions.
KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"interlace": True},
    "progressive-420": {"interlace": True, "subsample_mode": "on"},
}


@dataclass(slots=True, kw_only=True)
class Figures:
    """The figures, in seconds; those of answers are in milliseconds."""

    machine: str
    kind: str
    megapixels: float
    file_bytes: int
    #: CPU seconds of one thread in this process: for the whole file, and for the same if every file were read once.
    pipeline: list[float] = field(default_factory=list)
    one_pass: list[float] = field(default_factory=list)
    #: How long the emulator's queue keeps a message that is waited for.
    queue: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    completed: list[float] = field(default_factory=list)
    first_busy: list[float] = field(default_factory=list)
    completed_busy: list[float] = field(default_factory=list)
    #: Of a status call, and of its parts alone, by name.
    answers: dict[str, list[float]] = field(default_factory=dict)
    answers_busy: dict[str, list[float]] = field(default_factory=dict)
    #: Number of lags of the event loop, by their upper bound in seconds; see `truss_event_loop_lag_seconds`.
    lag: dict[str, float] = field(default_factory=dict)
    lag_busy: dict[str, float] = field(default_factory=dict)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--megapixels", type=click.FloatRange(0.1, 100), default=24, show_default=True, help="Of the picture.")
@click.option("--kind", type=click.Choice(list(KINDS)), default="baseline", show_default=True, help="Of the JPEG.")
@click.option("--rounds", type=click.IntRange(1, 50), default=5, show_default=True, help="Uploads, idle and busy each.")
@click.option("--seconds", type=click.FloatRange(1, 120), default=10, show_default=True, help="Of calls, each.")
@click.option("--threads", type=click.IntRange(1, 64), help="WORKER_THREADS; by default as the service has it.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def main(  # noqa: PLR0917 - one for each option
    megapixels: float, kind: str, rounds: int, seconds: float, threads: int | None, json_file: Path | None
) -> None:
    """Time from the end of an upload to the first variant and to `completed`, and the times of calls.

    Busy means that as many other images are in work as there are threads, all the time.
    """
    set_up_libvips()
    picture = corpus.photo(*sides(megapixels))
    data = corpus.jpeg(picture, **KINDS[kind])
    machine = f"{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}"
    figures = Figures(machine=machine, kind=kind, megapixels=megapixels, file_bytes=len(data))
    for _ in range(min(5, rounds)):  # in turn, because the speed of the machine may change
        figures.pipeline.append(alone(data))
        with patch.object(passes, "SHRINKS", ()), patch.object(passes, "is_from_means", lambda *_: False):
            figures.one_pass.append(alone(data))
    asyncio.run(measure(figures, data, rounds, seconds, threads))
    show(figures)
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(figures), indent=2) + "\n")


def alone(data: bytes) -> float:
    """CPU seconds of the pipeline for one file on one thread."""
    before = time.process_time()
    render(data, inspect(data, FileLimits()), STANDARD, Deadline(PATIENCE_SECONDS))
    return time.process_time() - before


async def measure(figures: Figures, data: bytes, rounds: int, seconds: float, threads: int | None) -> None:
    """Measure a service, and fill in the figures."""
    at_once = threads or len(os.sched_getaffinity(0))
    async with asyncio.timeout(MOST_SECONDS), one_service(at_once) as (service, stores):
        assert stores.dead_letters is not None
        figures.queue = [await through(stores.dead_letters) for _ in range(QUEUED)]
        for number in range(WARM_UP):
            await upload(service, data, number)
        started = await lags(service)
        known = (await service.call("POST", "/images/upload-url", json={"filename": "a.jpg"}))["processingId"]
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "status call": lambda: service.call("GET", f"/images/status/{known}"),
            "call without AWS": lambda: service.call("GET", "/images/live"),
            "read of the emulator": lambda: stores.jobs.job_of_any_tenant(known),
        }
        figures.answers = await answer_times(calls, seconds)
        await times(figures.first, figures.completed, service, data, rounds)
        figures.lag = {bound: count - started[bound] for bound, count in (await lags(service)).items()}
        async with busy(service, data, at_once):
            before = await lags(service)
            figures.answers_busy = await answer_times(calls, seconds)
            await times(figures.first_busy, figures.completed_busy, service, data, rounds)
            figures.lag_busy = {bound: count - before[bound] for bound, count in (await lags(service)).items()}


@asynccontextmanager
async def one_service(threads: int) -> AsyncIterator[tuple[ServiceProcess, AllStores]]:
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        data, log = Path(folder, "aws"), Path(folder, "service.log")
        async with (
            run_stage(data, "latency") as stage,
            aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session,
            run_service(
                *(stage, session, log),
                LOG_LEVEL="error",
                WORKER_THREADS=str(threads),
                METRICS_PORT=str(held_port()),
            ) as service,
            stage.stores() as stores,
        ):
            yield service, stores


async def through(queue: MessageQueue) -> float:
    """Seconds from when a message is sent until a long poll has it that waits already."""
    waiting = asyncio.create_task(queue.receive(1, wait_seconds=20, visibility_seconds=60))
    await asyncio.sleep(random.uniform(0.05, 0.25))
    await queue.send("{}")
    sent = time.monotonic()
    (message,) = await waiting
    took = time.monotonic() - sent
    await queue.settle([message.receipt])
    return took


async def times(first: list[float], completed: list[float], service: ServiceProcess, data: bytes, rounds: int) -> None:
    """Time uploads, one after the other."""
    for number in range(rounds):
        shown, over = await upload(service, data, number)
        first.append(shown)
        completed.append(over)


async def upload(service: ServiceProcess, data: bytes, number: int) -> tuple[float, float]:
    """Seconds from the end of the upload until the first variant is stored, and until the job has completed, as the
    job tells: whoever asked all the time would take CPU from it."""
    # Each upload is different, so that no earlier result can be used.
    issued = await service.put(data + number.to_bytes(4, "big"))
    uploaded = clock.now()
    job = await ended(service, issued)
    moments = job["processedImages"][FIRST]["storedAt"], job["updatedAt"]
    stored, completed = ((clock.from_iso(moment) - uploaded).total_seconds() for moment in moments)
    return stored, completed


async def answer_times(calls: Mapping[str, Callable[[], Awaitable[object]]], seconds: float) -> dict[str, list[float]]:
    """Milliseconds of calls, one after the other, in turns."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, call in calls.items():
            began = time.monotonic()
            await call()
            found[name].append(1000 * (time.monotonic() - began))
            await asyncio.sleep(CALL_SECONDS)
    return found


async def lags(service: ServiceProcess) -> dict[str, float]:
    """The lags of the event loop so far, by their upper bound in seconds."""
    url = f"http://127.0.0.1:{service.environment['METRICS_PORT']}/metrics"
    async with service.session.get(url) as answer:
        return {bound: float(count) for bound, count in LAG.findall(await answer.text())}


@asynccontextmanager
async def busy(service: ServiceProcess, data: bytes, at_once: int) -> AsyncIterator[None]:
    """Keep so many images in work: upload a new one as soon as one has ended."""

    async def keep_up(number: int) -> None:
        while True:
            issued = await service.put(data + number.to_bytes(8, "big"))
            await ended(service, issued)

    tasks = [asyncio.create_task(keep_up(number)) for number in range(at_once)]
    try:
        await asyncio.sleep(LOOK_SECONDS)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ended(service: ServiceProcess, issued: Mapping[str, Any]) -> Mapping[str, Any]:
    """The job, once it has ended."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        job: Mapping[str, Any] = await service.call("GET", f"/images/status/{issued['processingId']}")
        if job["status"] in ("completed", "failed"):
            return job


def show(figures: Figures) -> None:
    """Medians of seconds; percentiles of milliseconds."""
    pipeline = median(figures.pipeline)
    table = Table(title=f"{figures.kind} JPEG, {figures.megapixels:g} megapixels, {figures.file_bytes / 1e6:.1f} MB")
    for heading in ("", "idle", "busy", "busy / idle"):
        table.add_column(heading, justify="left" if not heading else "right")
    seconds = {
        "s to the first variant, median": (median(figures.first), median(figures.first_busy)),
        "s to the first variant, most": (max(figures.first), max(figures.first_busy)),
        "s to completed, median": (median(figures.completed), median(figures.completed_busy)),
    }
    for name, (idle, under_load) in seconds.items():
        table.add_row(name, f"{idle:.2f}", f"{under_load:.2f}", f"{under_load / idle:.2f}")
    for call, times_idle in figures.answers.items():
        for name, share in (("p50", 50), ("p99", 99), ("most", 100)):
            idle, under_load = percentile(times_idle, share), percentile(figures.answers_busy[call], share)
            table.add_row(f"ms of a {call}, {name}", f"{idle:.1f}", f"{under_load:.1f}", f"{under_load / idle:.2f}")
    console = Console()
    console.print(table)
    for name, lag in (("idle", figures.lag), ("busy", figures.lag_busy)):
        late = {bound: lag["+Inf"] - lag[bound] for bound in ("0.01", "0.02", "0.05", "0.1")}
        told = ", ".join(f"{count:.0f} over {bound} s" for bound, count in late.items())
        console.print(f"Looks at the event loop, {name}: {lag['+Inf']:.0f}; late: {told}")
    console.print(
        f"The emulator's queue keeps a message: {median(figures.queue):.3f} s, median; {max(figures.queue):.3f} at most"
    )
    console.print(f"CPU of one pass: {median(figures.one_pass):.2f} s; as it is / that: {of_one_pass(figures):.3f}")
    console.print(
        f"One thread takes {pipeline:.2f} s of CPU for it; completed / that, idle: "
        f"{median(figures.completed) / pipeline:.2f}"
    )
    console.print(f"{figures.machine}; load {os.getloadavg()[0]:.1f}")


def of_one_pass(figures: Figures) -> float:
    """CPU time of reading the file twice, divided by that of reading it once."""
    return sum(figures.pipeline) / sum(figures.one_pass)


def percentile(values: Sequence[float], share: int) -> float:
    """A percentile of at least two values; 100 is the largest."""
    return [*quantiles(values, n=100, method="inclusive"), max(values)][share - 1]


if __name__ == "__main__":
    main()
