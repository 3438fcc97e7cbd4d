"""The process that is watched: it brings files to their verdict as the worker does, one after the other.

    python -m tests.mutants.subject

It is asked over its standard input and answers on its standard output, in the packets of `processor.sandbox.messages`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from processor.catalog.presets import Choice
from processor.catalog.uploads import UploadRequest, Uploads
from processor.erasure import Eraser
from processor.errors import ImageRejected, TrussError
from processor.jobs import Job, Maker, Terms
from processor.pipeline.budget import MemoryBudget
from processor.pipeline.engine import Engine, EngineConfig, libvips_version
from processor.pipeline.estimate import working_bytes
from processor.pipeline.lanes import Lanes
from processor.pipeline.limits import FileLimits
from processor.pipeline.render import inspect
from processor.ports.renderer import Renderer
from processor.ports.stores import AllStores
from processor.recipes import STANDARD, Recipe, VariantSpec
from processor.sandbox.messages import receive, send
from processor.sandbox.renderer import ChildRenderer
from processor.stores.memory import MemoryEdge, MemoryJobStore, MemoryObjectStore, MemoryQueue
from processor.work.conversion import Converter

TENANT, SOURCE = "default", "source"
#: Small variants alone: decoders may shrink even the small pictures that are changed.
SMALL = Recipe(
    name="small",
    version=1,
    specs=tuple(VariantSpec(name=f"in-{side}", format="webp", quality=80, box=(side, side)) for side in (4, 12)),
)
#: Parameter of `mallopt` (glibc, malloc.h): the byte that memory is filled with when it is given out, its complement.
_M_PERTURB = -6
#: What is given out is filled with this in a second run: whoever reads what nobody wrote sees something else.
FILLED_WITH = 0x5A


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the subject is to keep to."""

    max_pixels: int = 4_000_000
    max_bytes: int = 8 * 1024 * 1024
    timeout_seconds: float = 20.0
    memory_budget_bytes: int = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a file. `verdict`: a code, or the variants in a line; sizes in bytes, times in seconds."""

    verdict: str
    #: What was raised that is no verdict.
    trace: str = ""
    seconds: float = 0.0
    #: What the file is to take by its header; 0: it was refused before, or takes nothing.
    estimate: int = 0
    #: What was reserved for it, and the most that this process held above what it held before.
    reserved: int = 0
    peak: int = 0


class NotingBudget(MemoryBudget):
    """Remembers the most that was reserved at once."""

    highest = 0

    def _take(self, weight: int, tenant: str) -> None:
        super()._take(weight, tenant)
        self.highest = max(self.highest, self.budget_bytes - self.free_bytes)


class Subject:
    """The worker's way from an object to the end of its job, over stores in memory. Made within an event loop."""

    def __init__(self, rules: Rules) -> None:
        limits = FileLimits(
            max_bytes=rules.max_bytes, max_pixels=rules.max_pixels, timeout_seconds=rules.timeout_seconds
        )
        config = EngineConfig(threads=1, memory_budget_bytes=rules.memory_budget_bytes, limits=limits)
        lanes = Lanes(config.threads)
        self.limits = limits
        self.budget = NotingBudget.of_threads(config.threads, config.memory_budget_bytes)
        self.children = ChildRenderer(config, budget=self.budget, lane=lanes.long)
        self.engine = Engine(config, budget=self.budget, lanes=lanes, outside=self.children)

    async def close(self) -> None:
        await self.children.close()
        await self.engine.close()

    async def judged(self, data: bytes, *, as_suspect: bool, recipe: Recipe = STANDARD) -> Answer:
        """The end of a job with this file."""
        self.budget.highest = 0
        before = _begin_peak()
        started = time.monotonic()
        try:
            job = await self._ended(data, self.children if as_suspect else self.engine, recipe)
        except TrussError as error:
            return Answer(verdict=f"raised {error.code}", trace=traceback.format_exc())
        except Exception as error:
            return Answer(verdict=f"raised {type(error).__name__}", trace=traceback.format_exc())
        return Answer(
            verdict=_verdict(job),
            seconds=time.monotonic() - started,
            estimate=self._estimate(data, recipe),
            reserved=self.budget.highest,
            peak=max(0, _status("VmHWM") - before),
        )

    async def _ended(self, data: bytes, renderer: Renderer, recipe: Recipe) -> Job:
        source, jobs = MemoryObjectStore(SOURCE), MemoryJobStore()
        stores = AllStores(
            jobs=jobs,
            source=source,
            processed=MemoryObjectStore("processed"),
            queue=MemoryQueue(),
            edge=MemoryEdge(),
            listeners=(),
        )
        request = UploadRequest(
            filename="a.jpg", extension="jpg", terms=Terms(content_type="image/jpeg"), expires_in_seconds=3600
        )
        uploads = Uploads(stores=stores, max_bytes=self.limits.max_bytes, choice=Choice(standard=recipe))
        job = (await uploads.submit(TENANT, request)).job
        event = await source.put(job.original_key, data)
        outcome = await self._converter(stores, renderer).convert(event)
        return await jobs.job_of_any_tenant(outcome.processing_id or job.processing_id)

    def _converter(self, stores: AllStores, renderer: Renderer) -> Converter:
        return Converter(
            jobs=stores.jobs,
            source=stores.source,
            processed=stores.processed,
            renderer=renderer,
            suspect_renderer=renderer,
            eraser=Eraser(stores=stores),
            source_bucket=SOURCE,
            max_bytes=self.limits.max_bytes,
            retention=timedelta(days=1),
            lease_seconds=600,
            maker=Maker(encoder=libvips_version(), service="0"),
        )

    def _estimate(self, data: bytes, recipe: Recipe) -> int:
        try:
            return working_bytes(inspect(data, self.limits), len(data), recipe)
        except ImageRejected:
            return 0


def _verdict(job: Job) -> str:
    """A code, or every variant with what it is."""
    if job.error is not None:
        return job.error.code
    if not job.ended:
        return f"left {job.status.value}"
    made = (f"{each.name} {each.width}x{each.height} {each.instead or ''} {each.sha256}" for each in job.variants)
    return "; ".join((*made, job.facts.to_text()))


def _begin_peak() -> int:
    """What this process holds; the peak begins anew."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    """0 where there is no such file."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def _fill_memory(byte: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_PERTURB, byte)


async def answer_all(questions: BinaryIO, answers: BinaryIO) -> None:
    """Until nobody asks any more."""
    rules = Rules(**receive(questions).header)
    subject = Subject(rules)
    send(answers, {})
    try:
        while True:
            question = await asyncio.to_thread(receive, questions)
            asked = question.header
            _fill_memory(FILLED_WITH if asked["again"] else 0)
            recipe = SMALL if asked["small"] else STANDARD
            answer = await subject.judged(question.body, as_suspect=asked["suspect"], recipe=recipe)
            send(answers, asdict(answer))
    except EOFError:
        await subject.close()


def main() -> None:
    """Answer on what was standard output; what a library prints goes where its complaints go."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(BrokenPipeError, EOFError):
        asyncio.run(answer_all(sys.stdin.buffer, answers))


if __name__ == "__main__":
    main()
