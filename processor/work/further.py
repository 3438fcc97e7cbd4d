"""Makes the further formats that completed jobs owe, with spare capacity."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from dataclasses import dataclass, replace

import structlog

from processor import clock
from processor.costs import NOTHING, Cost
from processor.endings import Endings
from processor.errors import (
    AssetMissing,
    Busy,
    Conflict,
    ImageRejected,
    JobNotFound,
    LeaseLost,
    ObjectNotFound,
    Unavailable,
)
from processor.exposed import take_back
from processor.formats import encoding_of
from processor.formats.info import ImageInfo
from processor.hiding import hidden_by
from processor.images import Rendered
from processor.jobs import SOURCE_MISSING, Failure, FormatSet, Job, Maker, failure_of
from processor.manifest import key_of
from processor.overlays import Overlays
from processor.ports.jobs import AllJobs, known_job
from processor.ports.objects import ObjectStore
from processor.ports.renderer import Renderer, Ticket
from processor.ports.room import Room
from processor.ports.stores import Stores
from processor.probe import NO_PROBES, Probes
from processor.recipes import Recipe
from processor.storing import Shelf
from processor.work.leases import Held, Leases
from processor.work.outcomes import Outcome, OutcomeKind, job_span, of_formats, of_job
from processor.work.space import space_for

#: How long to wait, in seconds, after others wanted the machine.
ASIDE_SECONDS = 15
#: Why there are no variants in a format.
STILLS_ONLY = Failure(code="stills_only", message="This format is made of pictures that stand still.")
GONE = Failure(code=SOURCE_MISSING, message="The uploaded file is not there any more.")

log = structlog.get_logger(__name__)


def owing(job: Job, recipe: Recipe) -> Job:
    """The job with the formats that it will owe when it completes."""
    moves = job.manifest is not None and job.manifest.frames > 1
    never = {name for name in recipe.further_formats if moves and not encoding_of(name).animates}
    owed = tuple(name for name in recipe.further_formats if name not in never)
    further = tuple(FormatSet(format=name, error=STILLS_ONLY) for name in recipe.further_formats if name in never)
    return replace(job, owed=owed, further=further)


@dataclass(slots=True, kw_only=True)
class Further:
    """One per process."""

    jobs: AllJobs
    source: ObjectStore
    stores: Stores
    shelf: Shelf
    overlays: Overlays
    renderer: Renderer
    room: Room | None
    leases: Leases
    #: Largest source, in bytes.
    max_bytes: int
    maker: Maker
    probes: Probes = NO_PROBES

    async def make(self, processing_id: str, endings: Endings) -> Outcome:
        """Make what is owed, under a lease. The job stays completed, whatever happens. Its end is told again after each
        format: the record has more variants then.

        Raises `Unavailable`, or whatever a defect raises; the job can then be claimed again.
        """
        lease = self.leases.new()
        try:
            job = await self.jobs.take_up(processing_id, lease, clock.now())
        except Busy:  # nobody knows yet
            raise
        except Conflict:
            return await self._not_taken(processing_id)
        structlog.contextvars.bind_contextvars(uniqueId=job.unique_id, processingId=job.processing_id)
        with job_span(self.probes, job), self.leases.holding(processing_id, lease) as held:
            try:
                return await self._all(job, held, endings)
            except LeaseLost:
                return await self._overtaken(job)
            except Busy:  # somebody wants the machine
                await self._give_back(held)
                return replace(of_job(OutcomeKind.BUSY, job), retry_after_seconds=ASIDE_SECONDS)
            except BaseException:  # also when this process is told to stop
                await asyncio.shield(self._give_back(held))
                raise

    async def _all(self, job: Job, held: Held, endings: Endings) -> Outcome:
        sets = []
        for format_ in job.owed:
            made, cpu_ms = await self._made(job, format_, held)
            sets.append(made)
            left = tuple(other for other in job.owed if other != format_)
            spent = Cost(cpu_ms=cpu_ms, bytes_out=sum(variant.size for variant in made.variants))
            job = replace(job, owed=left, further=(*job.further, made), updated_at=clock.now())
            job = replace(job, cost=(job.cost or NOTHING) + spent)
            with self.probes.span("record", status=job.status.value):
                await asyncio.shield(self.jobs.amend(job, held.lease, spent))
            await endings.tell(job)
        return of_formats(job, sets)

    async def _made(self, job: Job, format_: str, held: Held) -> tuple[FormatSet, int]:
        """Stored, with its manifest; and its CPU in milliseconds. Raises `LeaseLost`, `Busy`, `Unavailable`."""
        empty = FormatSet(format=format_, maker=self.maker)
        try:
            with self.probes.span("render", format=format_):
                rendered = await held.rendered(self._rendered(job, format_))
        except (ImageRejected, AssetMissing) as error:
            made = replace(empty, error=failure_of(error))
        except ObjectNotFound:
            made = replace(empty, error=GONE)
        else:
            stored = await asyncio.gather(*(self.shelf.store(job, variant) for variant in rendered.variants))
            made = replace(empty, variants=tuple(stored))
            await self.shelf.store_manifest(job, made)
            return made, rendered.cpu_ms
        log.warning("Format not made", format=format_, code=made.error.code if made.error else None)
        await self._take_back(job, format_)  # whoever was at it before may have stored some
        return made, 0

    async def _rendered(self, job: Job, format_: str) -> Rendered:
        recipe = _recipe(job).in_format(format_)
        recipe = recipe.within({variant.name: variant.pixels for variant in job.variants})
        size = job.source.size if job.source else self.max_bytes
        async with space_for(size, job.tenant, self.room) as space:
            data = await self._fetch(job)

            async def begin(_: ImageInfo) -> None:
                space.leave()

            assets = await self.overlays.of(job.tenant, recipe.assets)
            ticket = Ticket(tenant=job.tenant, assets=assets, hidden=hidden_by(recipe, job.facts), begin=begin)
            return await self.renderer.render(data, recipe, ticket)

    async def _fetch(self, job: Job) -> bytes:
        """The source that the job completed with, whatever its ETag is now. Raises `ObjectNotFound` for another one."""
        with self.probes.span("download") as span:
            data = await self.source.fetch(job.original_key, max_bytes=self.max_bytes)
            span.facts["bytes"] = len(data)
        digest = await asyncio.to_thread(hashlib.sha256, data)
        if job.manifest is None or digest.hexdigest() != job.manifest.sha256:
            raise ObjectNotFound
        return data

    async def _not_taken(self, processing_id: str) -> Outcome:
        try:
            job = await self.jobs.job_of_any_tenant(processing_id)
        except JobNotFound:
            return Outcome(kind=OutcomeKind.DELETED, processing_id=processing_id)
        if job.superseded_by is not None:  # whoever was at it may have died before it took back what it had stored
            await self._forget_unmade(job)
        if job.owed and job.lease is not None and job.is_held(clock.now()):
            left = job.lease.expires_at - time.time()
            return replace(of_job(OutcomeKind.BUSY, job), retry_after_seconds=max(1, round(left) + 1))
        return of_job(OutcomeKind.DUPLICATE, job)

    async def _overtaken(self, job: Job) -> Outcome:
        """Remove what was stored for a job that was deleted or replaced, unless a worker that claimed it since writes
        the same keys."""
        now = await known_job(self.jobs, job.tenant, job.processing_id)
        if now is None:
            await take_back(self.stores, job.prefix)
        elif now.superseded_by is not None:
            await self._forget_unmade(now)
        return of_job(OutcomeKind.SUPERSEDED, job)

    async def _forget_unmade(self, job: Job) -> None:
        """Remove the formats that a replaced job has not recorded: nobody will, and the image may hide its faces by
        now. Raises `Busy`, `Unavailable`."""
        there = {made.format for made in job.further if made.variants or made.error}
        for format_ in job.recipe.further_formats if job.recipe else ():
            if format_ not in there:
                await self._remove(job, format_)

    async def _take_back(self, job: Job, format_: str) -> None:
        """Everything of a format. What is not removed now goes with the image."""
        try:
            await self._remove(job, format_)
        except (Unavailable, Busy) as error:
            log.warning("Variants of a further format not removed", code=error.code)

    async def _remove(self, job: Job, format_: str) -> None:
        specs = _recipe(job).in_format(format_).specs
        manifest = key_of(job, format_).removeprefix(job.prefix)
        await take_back(self.stores, job.prefix, (*(spec.file_name for spec in specs), manifest))

    async def _give_back(self, held: Held) -> None:
        """The records may be what is unavailable; the lease then runs out by itself."""
        with contextlib.suppress(LeaseLost, Unavailable, Busy):
            await self.jobs.release(held.processing_id, held.lease)


def _recipe(job: Job) -> Recipe:
    """A job without one owes nothing."""
    if job.recipe is None:
        raise ValueError(f"{job.processing_id} has no recipe")
    return job.recipe
