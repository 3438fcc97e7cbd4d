"""Measures the resident memory of the shipped pipeline after a burst of photos, by allocator.

    python -m benchmarks.memory_burst [--photos 60] [--idle 5] [--preload libjemalloc.so.2]
    python -m benchmarks.memory_burst --small 10000

With `--small`, this process converts so many small pictures of every kind, also broken ones, and prints its memory ten
times meanwhile. Otherwise a new process for each allocator converts the same photos, and then waits. The ratios are to
the untuned malloc of glibc in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.memory import JEMALLOC
from processor.errors import ImageRejected
from processor.pipeline.engine import Engine, EngineConfig
from processor.recipes import STANDARD
from tests import corpus

#: Sides of the photos, as from phones and cameras.
PHOTOS = ((4000, 3000), (3000, 2000), (5000, 3500), (640, 480), (2048, 1536))
#: Simultaneous photos: one more than threads, as in the service.
THREADS, AT_ONCE = 2, 3
#: Has no effect on glibc's malloc. But it is one of its variables, so the pipeline does not tune the malloc.
AS_IT_COMES = {"MALLOC_PERTURB_": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory of one process in megabytes, and its CPU time."""

    before: float
    highest: float
    idle: float
    cpu_seconds: float


async def burst(files: Sequence[bytes], photos: int, idle_seconds: float) -> Memory:
    """Convert the photos, wait, and print the figures."""
    engine = Engine(EngineConfig(threads=THREADS, memory_budget_bytes=768 * 2**20))
    slots = asyncio.Semaphore(AT_ONCE)
    before, cpu = resident_megabytes(), time.process_time()

    async def one(number: int) -> None:
        async with slots:
            await engine.render(bytes(bytearray(files[number % len(files)])), STANDARD)  # a copy, like a download

    await asyncio.gather(*map(one, range(photos)))
    cpu_seconds = time.process_time() - cpu
    await asyncio.sleep(idle_seconds)
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return Memory(before=before, highest=highest, idle=resident_megabytes(), cpu_seconds=cpu_seconds)


async def drain(count: int) -> None:
    """Print the memory of the process after each tenth of so many small pictures."""
    photo = corpus.photo(200, 150)
    files = (
        *(corpus.jpeg(photo), corpus.png(corpus.with_alpha(photo)), corpus.webp(photo), corpus.gif(photo)),
        *(corpus.animation(".gif"), corpus.jpeg(photo)[:900]),
    )
    engine = Engine(EngineConfig(threads=THREADS, memory_budget_bytes=768 * 2**20))
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with slots:
            with contextlib.suppress(ImageRejected):
                await engine.render(bytes(bytearray(files[number % len(files)])), STANDARD)

    print("| pictures | MB |\n| --- | --- |")
    for tenth in range(10):
        await asyncio.gather(*map(one, range(tenth * count // 10, (tenth + 1) * count // 10)))
        print(f"| {(tenth + 1) * count // 10} | {resident_megabytes():.1f} |", flush=True)
    await engine.close()


def resident_megabytes() -> float:
    """RSS of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measured(folder: Path, options: argparse.Namespace, environment: dict[str, str]) -> Memory:
    """The same burst in a new process."""
    command = (sys.executable, "-m", "benchmarks.memory_burst", "--folder", str(folder))
    told = subprocess.run(
        [*command, "--photos", str(options.photos), "--idle", str(options.idle)],
        env=os.environ | environment,
        capture_output=True,
        check=True,
    )
    return TypeAdapter(Memory).validate_json(told.stdout)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=60, help="photos of a burst")
    parser.add_argument("--idle", type=float, default=5, help="seconds of rest before the memory is looked at")
    parser.add_argument("--small", type=int, metavar="COUNT", help="small pictures in one process instead")
    parser.add_argument("--preload", help="another allocator, as the loader finds it")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.small:
        asyncio.run(drain(options.small))
        return
    if options.folder:
        files = [file.read_bytes() for file in sorted(options.folder.iterdir())]
        print(TypeAdapter(Memory).dump_json(asyncio.run(burst(files, options.photos, options.idle))).decode())
        return
    ways = {"glibc as it comes": AS_IT_COMES, "glibc as shipped": {}}
    if options.preload:
        ways[options.preload] = {"LD_PRELOAD": options.preload, **JEMALLOC}
    with tempfile.TemporaryDirectory() as name:
        for width, height in PHOTOS:
            (Path(name) / f"{width}.jpg").write_bytes(corpus.jpeg(corpus.photo(width, height)))
        found = {way: measured(Path(name), options, environment) for way, environment in ways.items()}
    first = asdict(found["glibc as it comes"])
    print("| allocator | MB before | highest | idle | CPU s | idle, ratio | CPU, ratio |\n| --- |" + " --- |" * 6)
    for way, memory in found.items():
        ratios = (memory.idle / first["idle"], memory.cpu_seconds / first["cpu_seconds"])
        figures = (*map("{:.0f}".format, asdict(memory).values()), *map("{:.2f}".format, ratios))
        print(f"| {way} | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()
