"""Measures what the whole service adds to the pipeline: its CPU compared with the pipeline's, and AWS calls per image.

    python -m benchmarks.end_to_end [--megapixels 2 8 12 24] [--photos N] [--images 10] [--rounds 3] [--json FILE]

The service uses the local AWS. Its CPU is not counted, but it slows the service. The CPU of the service includes the
API (one URL per image), the worker and its children. It uses plain HTTP, so TLS is not included. Service and pipeline
take turns on the same pictures, so that a disturbance affects both: on a drawn photograph, or with `--photos` on real
ones of Debian packages, brought to each size, which take a little more CPU. `inside` is the pipeline within
the service, as jobs tell it: the emulator slows that, too. The ratios are medians of the rounds. The service has one
thread. Long polls of an empty queue are among the calls.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from benchmarks.cpu_per_megapixel import convert, drawn, machine, photograph, sides
from benchmarks.photos import photographs
from benchmarks.scaling.measured import PHOTO
from processor.jobs import Job
from processor.pipeline.engine import set_up_libvips
from processor.ports.stores import AllStores
from processor.recipes import STANDARD
from tests.fleet import ServiceProcess, run_service, run_stage
from tests.waiting import eventually

#: Photographs of phones and cameras.
MEGAPIXELS = (2.0, 8.0, 12.0, 24.0)
#: Simultaneous uploads: enough that the worker never waits.
CONCURRENCY = 4
#: Uploads for warming up, which are not counted.
WARM_UP = 2
#: Makes a process log its calls to AWS.
RECORDING = Path(__file__).parents[1] / "tests" / "recording"
#: Time limit for all uploads of one file, in seconds.
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The results for one size: CPU seconds per image and round; calls per image, by service and operation."""

    megapixels: float
    pipeline: tuple[float, ...]
    service: tuple[float, ...]
    inside: tuple[float, ...]
    calls: Mapping[str, float]

    @property
    def ratio(self) -> float:
        """CPU of the service divided by that of the pipeline alone."""
        return median(whole / alone for whole, alone in zip(self.service, self.pipeline, strict=True))

    @property
    def ratio_inside(self) -> float:
        """The same, with the pipeline within the service."""
        return median(whole / part for whole, part in zip(self.service, self.inside, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """A running service, the means to observe it, and the number of uploads of a size."""

    service: ServiceProcess
    stores: AllStores
    recorded: Path
    images: int

    async def compare(self, megapixels: float, pictures: Sequence[bytes], rounds: int) -> Compared:
        """Send the pictures of this size through both, in turn."""
        before = self.calls()
        pipeline, whole, inside = [], [], []
        for _ in range(rounds):
            pipeline.append(await asyncio.to_thread(_alone, pictures))
            service, told = await self._cpu_per_image(pictures)
            whole.append(service)
            inside.append(told)
        asked = self.calls()
        asked.subtract(before)
        made = {name: count / (rounds * self.images) for name, count in sorted(asked.items()) if count}
        return Compared(
            megapixels=megapixels,
            pipeline=tuple(pipeline),
            service=tuple(whole),
            inside=tuple(inside),
            calls=made,
        )

    async def upload(self, pictures: Sequence[bytes], images: int) -> list[Job]:
        """Upload so many times, one picture after the other, and wait for the end of each job."""
        room = asyncio.Semaphore(CONCURRENCY)

        async def one(data: bytes) -> Job:
            async with room:
                issued = await self.service.put(data)
                return await self._ended(issued["processingId"])

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(data)) for data in islice(cycle(pictures), images)]
        return [task.result() for task in tasks]

    def calls(self) -> Counter[str]:
        """The service's calls to AWS so far."""
        lines = [line for file in self.recorded.glob("*.jsonl") for line in file.read_text().splitlines()]
        return Counter(call["operation"] for call in map(json.loads, lines) if not call["signedOnly"])

    async def _cpu_per_image(self, pictures: Sequence[bytes]) -> tuple[float, float]:
        """CPU seconds of the service, and those that its jobs tell."""
        assert self.service.process is not None
        before = cpu_seconds(self.service.process.pid)
        jobs = await self.upload(pictures, self.images)
        told = sum(job.cost.cpu_ms for job in jobs if job.cost) / 1000
        return (cpu_seconds(self.service.process.pid) - before) / self.images, told / self.images

    async def _ended(self, processing_id: str) -> Job:
        """Read from the records, because the service would spend CPU on answers."""

        async def over() -> Job | None:
            job = await self.stores.jobs.job_of_any_tenant(processing_id)
            return job if job.ended else None

        job = await eventually(over, within=PATIENCE_SECONDS, what=f"the end of {processing_id}")
        assert job is not None
        return job


def made(megapixels: float, photos: int) -> list[bytes]:
    """The pictures of one size."""
    if not photos:
        return [drawn(*sides(megapixels))]
    return [photograph(file, *sides(megapixels)) for file in photographs(photos)]


async def measure(pictures: Mapping[float, Sequence[bytes]], rounds: int, images: int) -> list[Compared]:
    """Measure the pictures of every size, in megapixels."""
    with tempfile.TemporaryDirectory() as folder:
        recorded = Path(folder, "calls")
        await asyncio.to_thread(recorded.mkdir)
        async with run_stage(Path(folder, "aws")) as stage, aiohttp.ClientSession() as session:
            variables: dict[str, Any] = {
                "WORKER_THREADS": "1",
                "LOG_LEVEL": "error",
                "RECORD_AWS_CALLS": str(recorded),
                "PYTHONPATH": str(RECORDING),
            }
            async with (
                run_service(stage, session, Path(folder, "service.log"), **variables) as service,
                stage.stores() as stores,
            ):
                measuring = Measuring(service=service, stores=stores, recorded=recorded, images=images)
                await measuring.upload(next(iter(pictures.values())), WARM_UP)
                return [await measuring.compare(size, files, rounds) for size, files in pictures.items()]


def report(found: Sequence[Compared]) -> str:
    """Two tables: CPU and calls."""
    lines = [f"{'MP':>5} {'pipeline':>9} {'service':>9} {'added':>7} {'ratio':>6} {'inside':>8} {'ratio':>6}"]
    for each in found:
        pipeline, service = median(each.pipeline), median(each.service)
        lines.append(
            f"{each.megapixels:5.1f} {pipeline:9.3f} {service:9.3f} {service - pipeline:+7.3f} {each.ratio:6.2f}"
            f" {median(each.inside):8.3f} {each.ratio_inside:6.2f}"
        )
    lines.append("\nAWS calls an image")
    names = sorted({name for each in found for name in each.calls})
    lines += [f"{name:30}" + "".join(f" {each.calls.get(name, 0):6.2f}" for each in found) for name in names]
    lines.append(f"{'in all':30}" + "".join(f" {sum(each.calls.values()):6.2f}" for each in found))
    return "\n".join(lines)


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process and its ended children, in user and system mode, from the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _alone(pictures: Sequence[bytes]) -> float:
    """CPU seconds of the pipeline for one of them, on the mean."""
    return sum(convert(PHOTO, data, STANDARD).cpu_seconds for data in pictures) / len(pictures)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=MEGAPIXELS)
    parser.add_argument("--images", type=int, default=10, help="uploads of each size in a round")
    parser.add_argument("--photos", type=int, default=0, help="real photographs, which apt downloads; 0: a drawn one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.photos and options.images % options.photos:
        parser.error("--images must be a multiple of --photos: each is uploaded as often as the others")
    set_up_libvips()
    what = f"{options.photos} photographs" if options.photos else "a drawn picture"
    print(f"{machine()}; {what}, {options.rounds} rounds of {options.images} uploads, CPU seconds an image")
    pictures = {size: made(size, options.photos) for size in options.megapixels}
    found = asyncio.run(measure(pictures, options.rounds, options.images))
    print(report(found))
    if options.json:
        document = {"machine": machine(), "photographs": [{**asdict(each), "ratio": each.ratio} for each in found]}
        options.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
