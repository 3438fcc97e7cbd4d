"""Compares the resident memory of the real service with its budget, for a random mix of uploads.

    python -m benchmarks.mix [--budget 356 --budget 1024] [--uploads 200] [--clients 12] [--idle 60] [--preload FILE]
    python -m benchmarks.mix --tiny --uploads 10000

For each budget, there are one process of the service, its children, and a local AWS. Clients upload at random and at
the same time: photographs of up to 24 megapixels, every format, depth and alpha, animations, files that are refused by
their header, and damaged files. With `--tiny`, all pictures are small.

It prints the memory before, the peak, and the memory after some time without work. They are for the process and its
children together; shared pages count once. Exits with 1 if the peak exceeds the budget by more than 150 MB, or the
memory at the end that at the beginning by more than 50 MB. Without a terminal, a line tells of the progress every half
minute. Linux only.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import aiohttp
import click
from rich.console import Console
from rich.progress import Progress

from benchmarks.memory import JEMALLOC, cases
from benchmarks.soak import all_ended, stop, upload_all
from benchmarks.soak_client import Clients, File, deck
from processor.ports.queue import MessageQueue
from processor.ports.stores import AllStores
from tests import corpus
from tests.fleet import ServiceProcess, run_stage
from tests.mutants.mutate import Nursery
from tests.mutants.seeds import seeds

MB, MIB = 1_000_000, 1024 * 1024
#: Allowed memory beyond the budget at the peak, and beyond the start some time after the work.
BESIDE_BUDGET_MB, BESIDE_BEGINNING_MB = 150, 50
#: Time between two looks at the memory.
LOOK_SECONDS = 0.05
#: While so many messages wait, no client uploads.
MOST_WAITING = 100
#: Time between two lines about the progress, where no bar is shown.
TOLD_SECONDS = 30
#: Images before the first look, so that the process has loaded all libraries.
WARM_UPLOADS = 6
#: Fraction of the uploads that are refused.
HOSTILE = 0.15
#: Cases of `memory.cases`, by megapixels: those that need most for each way of decoding and encoding.
LARGE = {
    24.0: ("jpeg", "jpeg-progressive-444"),
    6.0: (
        *(
            "jpeg-noise",
            "jpeg-cmyk",
            "png",
            "png-16-interlaced",
            "png-alpha-noise",
            "png-alpha-mask",
            "png-alpha-solid",
        ),
        *("webp", "webp-alpha-mask", "gif", "gif-mask", "avif", "avif-10-444", "tiff", "tiff-alpha-mask"),
        *("gif-of-three-photos", "gif-of-patches-restored", "apng-of-three-alpha", "apng-of-many-cleared"),
        *("webp-of-three-alpha", "webp-of-many-photos", "webp-of-many-masks"),
    ),
    2.0: ("heic", "heic-alpha-mask", "png-alpha-of-noise", "gif-of-many", "webp-of-many-noisy-alpha", "tiff-samples"),
}
#: Files for random changes.
MUTANTS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Memory in megabytes: before, at the peak, after a pause, and in each tenth of the time."""

    budget: float
    before: float
    highest: float
    after: float
    tenths: tuple[float, ...]
    seconds: float
    images: int

    @property
    def is_bounded(self) -> bool:
        return self.highest <= self.budget + BESIDE_BUDGET_MB and self.after <= self.before + BESIDE_BEGINNING_MB


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, help=__doc__)
@click.option("--budget", "budgets", type=click.IntRange(164), multiple=True, default=(356, 1024), show_default=True)
@click.option("--uploads", type=click.IntRange(1), default=200, show_default=True, help="Images for each budget.")
@click.option("--clients", type=click.IntRange(1), default=12, show_default=True, help="Clients at once.")
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="`WORKER_THREADS`.")
@click.option("--idle", type=click.FloatRange(0), default=60.0, show_default=True, help="Seconds of rest.")
@click.option("--seed", type=int, default=1, show_default=True, help="Makes the same clients again.")
@click.option("--preload", help="Another allocator, as the loader finds it, set up as in the image.")
@click.option("--tiny", is_flag=True, help="Small pictures alone.")
def main(budgets: Sequence[int], *, seed: int, preload: str | None, tiny: bool, **given: float) -> None:
    files = tiny_files() if tiny else mixed_files(seed)
    plan = Plan(allocator=_allocator(preload), files=files, seed=seed, **given)  # type: ignore[arg-type]
    console, bounded = Console(width=160), True
    console.print("| budget MB | images | seconds | MB before | most | most, of the budget | after | in tenths |")
    console.print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for budget in budgets:
        held = asyncio.run(soaked(plan, budget * MIB))
        console.print(_row(held))
        bounded = bounded and held.is_bounded
    sys.exit(0 if bounded else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The uploads, and the settings of the service."""

    uploads: int
    clients: int
    threads: int
    idle: float
    seed: int
    allocator: dict[str, str]
    files: dict[str, list[File]] = field(repr=False)


def mixed_files(seed: int) -> dict[str, list[File]]:
    """Uploads like those of `soak_client.deck`. The result of a mutant does not matter."""
    files = deck()
    made = [case() for megapixels, names in LARGE.items() for name, case in cases(megapixels).items() if name in names]
    nursery = Nursery(seeds=seeds())
    mutants = [nursery.mutant(seed, number).data for number in range(MUTANTS)]
    refused = [corpus.containers.png_of_zeros(12_000, 12_000), corpus.containers.gif_of_frames(1, 12_000, 9_000)]
    photos = [File(data=data, end="completed") for data in made]
    return {
        "photo": [*photos, *files["photo"]],
        "small": [*files["small"], *(File(data=data, end="") for data in mutants)],
        "hostile": [*files["hostile"], *(File(data=data, end="") for data in refused)],
    }


def tiny_files() -> dict[str, list[File]]:
    """Files of every format that the process decodes itself. One in six is damaged."""
    photo = corpus.photo(200, 150)
    made = (
        *(corpus.jpeg(photo), corpus.png(corpus.with_alpha(photo)), corpus.webp(photo), corpus.gif(photo)),
        *(corpus.animation(".gif"), corpus.animation(".webp"), corpus.tiff(photo), corpus.jpeg(photo)[:900]),
    )
    files = [File(data=data, end="") for data in made]
    return {"photo": files, "small": files, "hostile": files}


async def soaked(plan: Plan, budget_bytes: int) -> Held:
    """Measure one budget, with a new process of the service."""
    seen, timeout = Seen(), aiohttp.ClientTimeout(total=300)
    more = {"MEMORY_BUDGET_BYTES": str(budget_bytes), "WORKER_THREADS": str(plan.threads), **plan.allocator}
    with tempfile.TemporaryDirectory() as name, Progress(console=Console(stderr=True)) as progress:
        folder = Path(name)
        async with run_stage(folder / "aws", "mix") as stage, aiohttp.ClientSession(timeout=timeout) as session:
            service = ServiceProcess(stage.environment(**more), session, folder / "service.log")
            async with running(service), stage.stores() as stores:
                assert service.process is not None
                pid, chance = service.process.pid, random.Random(plan.seed)
                clients = partial(Clients, services=[service], session=session, files=plan.files, chance=chance)
                await uploaded(clients(hostile=0.0), stores, WARM_UPLOADS, 1, progress)
                before, started = held_bytes(pid), time.monotonic()
                watching = [asyncio.create_task(seen.watch(pid)), asyncio.create_task(told(progress, seen))]
                await uploaded(clients(hostile=HOSTILE), stores, plan.uploads, plan.clients, progress)
                seconds = time.monotonic() - started
                await stop(watching)
                await asyncio.sleep(plan.idle)
                after = held_bytes(pid)
    return Held(
        budget=budget_bytes / MB,
        before=before / MB,
        highest=max(seen.samples) / MB,
        after=after / MB,
        tenths=tuple(seen.tenths()),
        seconds=seconds,
        images=plan.uploads,
    )


@asynccontextmanager
async def running(service: ServiceProcess) -> AsyncIterator[None]:
    """A service that is stopped at the end, or killed if something fails."""
    try:
        await service.start()
        yield
        await service.stop()
    finally:
        await service.kill()


async def uploaded(clients: Clients, stores: AllStores, count: int, at_once: int, progress: Progress) -> None:
    """Upload so many images, and wait for the end of each job."""
    may_go_on = asyncio.Event()
    watching = asyncio.create_task(_kept_short(stores.queue, may_go_on))
    await upload_all(clients, count, at_once, progress, may_go_on)
    await stop([watching])
    await all_ended(stores, clients, progress)


async def _kept_short(queue: MessageQueue, may_go_on: asyncio.Event) -> None:
    """Let clients go on while few messages wait, until cancelled.

    The emulator takes uploads faster than two threads convert images, and neither would get on with the other.
    """
    while True:
        if (await queue.depth()).waiting < MOST_WAITING:
            may_go_on.set()
        else:
            may_go_on.clear()
        await asyncio.sleep(1)


async def told(progress: Progress, seen: Seen) -> None:
    """Tell how far it is, and how long it will take, until cancelled. With a terminal, the bar tells it."""
    while not progress.console.is_terminal:
        await asyncio.sleep(TOLD_SECONDS)
        task = progress.tasks[-1]
        pace = task.completed / (task.elapsed or 1.0)
        left = (task.remaining or 0) / pace / 60 if pace else float("inf")
        memory = f"{seen.samples[-1] / MB:.0f} MB, at most {max(seen.samples) / MB:.0f}"
        line = f"{task.description}: {task.completed:,.0f} of {task.total:,.0f}, {pace:.1f} a second"
        print(f"{line}, {left:.0f} minutes left; {memory}", file=sys.stderr, flush=True)


@dataclass(slots=True)
class Seen:
    """The memory in bytes, over time."""

    samples: list[int] = field(default_factory=list)

    async def watch(self, pid: int) -> None:
        """Look at the memory until cancelled."""
        while True:
            self.samples.append(held_bytes(pid))
            await asyncio.sleep(LOOK_SECONDS)

    def tenths(self) -> Iterator[float]:
        """The median of each tenth of the time, in megabytes."""
        length = max(1, len(self.samples) // 10)
        for start in range(0, len(self.samples) - length + 1, length):
            yield median(self.samples[start : start + length]) / MB


def held_bytes(pid: int) -> int:
    """Resident memory of a process, and the unshared memory of its children."""
    total = _resident(pid, with_shared=True)
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            total += _resident(int(child), with_shared=False)
    return total


def _resident(pid: int, *, with_shared: bool) -> int:
    """Memory of one process; 0 if it has just ended."""
    with contextlib.suppress(OSError):
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
        return (resident if with_shared else resident - shared) * resource.getpagesize()
    return 0


def _allocator(preload: str | None) -> dict[str, str]:
    return {} if preload is None else {"LD_PRELOAD": preload, **JEMALLOC}


def _row(held: Held) -> str:
    tenths = " ".join(f"{value:.0f}" for value in held.tenths)
    told = (held.budget, held.images, held.seconds, held.before, held.highest)
    figures = (*map("{:.0f}".format, told), f"{held.highest / held.budget:.2f}", f"{held.after:.0f}", tenths)
    return f"| {' | '.join(figures)} |"


if __name__ == "__main__":
    main()
