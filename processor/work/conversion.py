"""From a job to an outcome: claim it, fetch its source, render, store, record."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

import structlog

from processor import clock, reviews
from processor.costs import NOTHING, Cost
from processor.endings import Endings, nothing_to_record
from processor.erasure import Eraser
from processor.errors import (
    AssetMissing,
    Busy,
    Conflict,
    DailyLimitReached,
    ImageNotFound,
    ImageRejected,
    JobNotFound,
    LeaseLost,
    NotInReview,
    ObjectChanged,
    ObjectNotFound,
    RecordChanged,
    Unavailable,
    UnexpectedFile,
)
from processor.events import Event, JobRequested, SourceArrived
from processor.exposed import forget_exposed, take_back
from processor.formats.info import ImageInfo
from processor.images import Rendered, StoredVariant, Variant
from processor.jobs import (
    REVIEW_RETENTION,
    SOURCE_MISSING,
    UNAVAILABLE,
    Failure,
    Job,
    JobStatus,
    Lease,
    Maker,
    Manifest,
    Timings,
    epoch,
    failure_of,
    next_job,
    withheld,
)
from processor.overlays import Overlays
from processor.ports.jobs import AllJobs, known_job
from processor.ports.listener import Listener
from processor.ports.objects import Download, ObjectStore
from processor.ports.renderer import Renderer, Ticket, nobody_waits
from processor.ports.room import Room
from processor.probe import NO_PROBES, Probes, Span
from processor.races import races
from processor.recipes import STANDARD, Recipe
from processor.reviews import Check, PresetReview, Reviews, forget_replaced, verdict
from processor.storing import Shelf
from processor.usage import Quota, Usage, today
from processor.work.further import Further, owing
from processor.work.hidden import FacesHidden
from processor.work.intake import Accepted, Intake
from processor.work.leases import Held, Leases
from processor.work.moderated import Moderated
from processor.work.outcomes import Outcome, OutcomeKind, Replaced, Settled, job_span, of_end, of_job
from processor.work.progress import Progress
from processor.work.space import space_for
from processor.work.tenants import Tenants

#: When to try again after several lost races: a random time between the two, in seconds.
BUSY_SECONDS = (1, 5)

#: Failures without a fault of the file.
VANISHED = Failure(code=SOURCE_MISSING, message="The uploaded file is not there any more.")
GIVEN_UP = Failure(code=UNAVAILABLE, message="The job was given up after several tries; it can be redriven.")

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class _Run:
    """A job in work."""

    job: Job
    recipe: Recipe
    held: Held
    endings: Endings
    #: When all variants were encoded, in milliseconds since the work began.
    rendered: int = 0
    progress: Progress = field(init=False)
    #: Why nobody but a reviewer may see the variants; and those, which `progress` never hears of.
    held_back: reviews.Held | None = None
    kept: tuple[StoredVariant, ...] = ()
    #: One note at a time: an older one must not come last.
    noting: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        """Nothing is stored yet."""
        self.progress = Progress(recipe=self.recipe)

    @property
    def stored(self) -> tuple[StoredVariant, ...]:
        """In the order of the recipe, wherever they are."""
        return self.kept or self.progress.variants


@dataclass(slots=True, kw_only=True)
class Converter:
    """Handles events. One per process."""

    jobs: AllJobs
    source: ObjectStore
    processed: ObjectStore
    renderer: Renderer
    #: Renders suspects, in a child process: there an image can crash only itself.
    suspect_renderer: Renderer
    eraser: Eraser
    #: Memory for files that wait for their turn; None: it is not limited.
    room: Room | None = None
    source_bucket: str
    #: Largest source, in bytes.
    max_bytes: int
    #: How long job records are kept.
    retention: timedelta
    lease_seconds: int
    #: Counts usage and enforces limits; None: there are no limits.
    quota: Quota | None = None
    maker: Maker
    #: The recipe of jobs whose record has none: those of earlier releases.
    recipe: Recipe = STANDARD
    #: Renders further formats with spare capacity, and the memory for their waiting files. Without them, further
    #: formats are rendered like suspects.
    spare_renderer: Renderer | None = None
    spare_room: Room | None = None
    #: Called at every end of a job.
    listeners: Sequence[Listener] = ()
    #: Look at what was made before it is stored. What needs a review by its preset comes last: others know more.
    checks: Sequence[Check] = (Moderated(), FacesHidden(), PresetReview())
    #: Called at every step of the work.
    probes: Probes = NO_PROBES
    leases: Leases = field(init=False)
    further: Further = field(init=False)
    _shelf: Shelf = field(init=False)
    _overlays: Overlays = field(init=False)
    _reviews: Reviews = field(init=False)
    _tenants: Tenants = field(init=False)
    _intake: Intake = field(init=False)

    def __post_init__(self) -> None:
        """Build the helpers that this converter shares its stores with."""
        self.leases = Leases(jobs=self.jobs, seconds=self.lease_seconds)
        self._overlays = Overlays(source=self.source)
        self._shelf = Shelf(processed=self.processed, probes=self.probes)
        self.further = Further(
            jobs=self.jobs,
            source=self.source,
            stores=self.eraser.stores,
            shelf=self._shelf,
            overlays=self._overlays,
            renderer=self.spare_renderer or self.suspect_renderer,
            room=self.spare_room,
            leases=self.leases,
            max_bytes=self.max_bytes,
            maker=self.maker,
            probes=self.probes,
        )
        self._reviews = Reviews(stores=self.eraser.stores, shelf=self._shelf, retention=self.retention)
        self._tenants = Tenants(jobs=self.jobs)
        self._intake = Intake(
            jobs=self.jobs,
            tenants=self._tenants,
            source=self.source,
            eraser=self.eraser,
            leases=self.leases,
            maker=self.maker,
            source_bucket=self.source_bucket,
            max_bytes=self.max_bytes,
            retention=self.retention,
            quota=self.quota,
            recipe=self.recipe,
        )

    async def convert(self, event: Event, *, last_try: bool = False) -> Outcome:
        """Handle one event. Safe to call twice, late, out of order, and in two processes at once.

        `last_try` says that the queue will not deliver the message again. Then a failing job is recorded as failed
        before the error is raised, and no listener is told again. Raises `Unavailable`, `Busy`, or whatever a defect
        raises; the job can then be claimed again.
        """
        endings = Endings(jobs=self.jobs, listeners=self.listeners)
        outcome = await self._brought_to_an_end(event, endings, last_try=last_try)
        return replace(outcome, told=endings.all_told or last_try)

    async def _brought_to_an_end(self, event: Event, endings: Endings, *, last_try: bool) -> Outcome:
        async for _ in races():
            try:
                async with self._intake.accepted(event, endings, last_try=last_try) as accepted:
                    return await self._claimed(accepted, endings, last_try=last_try)
            except Settled as settled:
                return settled.outcome
            except RecordChanged:
                continue
            except Replaced as newer:
                event = newer.event
        pause = random.randint(*BUSY_SECONDS)  # noqa: S311 - spreads load, protects nothing
        return Outcome(kind=OutcomeKind.BUSY, unique_id=event.unique_id, retry_after_seconds=pause)

    async def tenant_of(self, event: Event) -> str:
        """The tenant of an event's image; empty if it has none. Raises `Unavailable`, `Busy`."""
        return await self._tenants.of(event)

    async def make_further(self, event: JobRequested) -> Outcome:
        """Make the formats that a completed job owes. Safe to call twice, late, and in two processes at once. Raises
        what `convert` raises; the job can then be claimed again."""
        endings = Endings(jobs=self.jobs, listeners=self.listeners)
        outcome = await self.further.make(event.processing_id, endings)
        if outcome.kind is OutcomeKind.DELETED:
            await self._erase_again(event.unique_id)
        return replace(outcome, told=endings.all_told)

    async def renew_leases(self) -> None:
        """Extend the leases of all jobs in work. Raises what `Leases.renew` raises."""
        await self.leases.renew()

    async def ping(self) -> None:
        """Raises `Unavailable` while records or objects cannot be reached."""
        await self.jobs.ping()
        await self.source.ping()
        await self.processed.ping()

    # -- from a job to an outcome --------------------------------------------------------------------------------

    async def _claimed(self, accepted: Accepted, endings: Endings, *, last_try: bool) -> Outcome:
        """Raises `RecordChanged` when others were faster, `Replaced` when the source is not the job's any more."""
        try:
            job, lease = accepted.begun or await self._claim(accepted.processing_id)
        except Busy:  # nobody knows yet
            raise
        except Conflict:
            return await self._unclaimable(accepted, endings)
        self._tenants.remember(job)
        structlog.contextvars.bind_contextvars(uniqueId=job.unique_id, processingId=job.processing_id)
        with job_span(self.probes, job), self.leases.holding(job.processing_id, lease) as held:
            run = _Run(job=job, recipe=job.recipe or self.recipe, held=held, endings=endings)
            try:
                await endings.before(job)
                await forget_replaced(self.eraser.stores, job)
                await self._begin(run)
                async with self._telling(run):
                    return await self._work(run, accepted.download)
            except asyncio.CancelledError:  # this process is told to stop: nothing is wrong with the job
                await asyncio.shield(self._give_back(run, last_try=False))
                raise
            except Replaced:
                raise
            except ObjectChanged:
                await asyncio.shield(self._give_back(run, last_try=False))
                raise Replaced(SourceArrived(bucket=self.source_bucket, key=job.original_key)) from None
            except Exception:
                await asyncio.shield(self._give_back(run, last_try=last_try))
                raise

    async def _claim(self, processing_id: str) -> tuple[Job, Lease]:
        """Raises `Conflict`, `Busy`, `Unavailable`."""
        lease = self.leases.new()
        return await self.jobs.claim(processing_id, lease, clock.now(), str(self.maker)), lease

    async def _begin(self, run: _Run) -> None:
        """Begin the work, unless another release has begun it. That release may have stored variants, which caches keep
        for ever, and this one may make other bytes. Then a new job replaces this one.

        Raises `Replaced` with the new job, `RecordChanged` when others were faster.
        """
        job = run.job
        if job.maker == str(self.maker) and (job.recipe is not None or job.attempts <= 1):
            return
        image = await self.jobs.get_image(job.tenant, job.unique_id)
        if job.source is None or image.current_job != job.processing_id:
            raise RecordChanged
        new = next_job(image, job, job.source, self.retention, recipe=run.recipe)
        new = replace(new, attempts=job.attempts, previous_job=job.previous_job, uncounted=job.uncounted)
        await run.endings.replace(image, job, new)
        await self._purge(run)
        raise Replaced(JobRequested(unique_id=new.unique_id, processing_id=new.processing_id))

    async def _unclaimable(self, accepted: Accepted, endings: Endings) -> Outcome:
        processing_id = accepted.processing_id
        try:
            job = await self.jobs.job_of_any_tenant(processing_id)
        except JobNotFound:
            await self._erase_again(accepted.unique_id)
            return Outcome(kind=OutcomeKind.DELETED, processing_id=processing_id)
        if job.is_decided:
            with contextlib.suppress(NotInReview):
                job = await self._reviews.settle(job, endings)
        if job.is_at_rest:
            await forget_exposed(self.eraser.stores, job)
            await endings.again(job)
            await self._follow(job)
            return replace(of_job(OutcomeKind.DUPLICATE, job), owes=bool(job.owed))
        if job.status is JobStatus.PENDING:  # nobody of ours asks for a job that has no source
            return of_job(OutcomeKind.MISSING, job)
        left = job.lease.expires_at - time.time() if job.lease else 0
        return replace(of_job(OutcomeKind.BUSY, job), retry_after_seconds=max(1, round(left) + 1))

    async def _erase_again(self, unique_id: str | None) -> None:
        """Remove what was stored for a deleted image after its erasure: whoever did that may have died over it."""
        if unique_id is not None:
            with contextlib.suppress(ImageNotFound):
                image = await self.jobs.image_of_any_tenant(unique_id)
                if image.deleted_at is not None:
                    await self.eraser.erase(image)

    async def _follow(self, job: Job) -> None:
        """Raises `Replaced` when `_begin` has replaced this job and nobody works on the new one. Whoever made it may
        have died, and no other message leads to it."""
        if job.superseded_by is None:
            return
        with contextlib.suppress(ImageNotFound, JobNotFound):
            image = await self.jobs.get_image(job.tenant, job.unique_id)
            current = await self.jobs.get_job(image.tenant, image.current_job)
            held = current.lease is not None and current.lease.expires_at >= time.time()
            if image.deleted_at is None and current.attempts and not current.ended and not held:
                raise Replaced(JobRequested(unique_id=image.unique_id, processing_id=current.processing_id))

    async def _work(self, run: _Run, download: Download | None) -> Outcome:
        try:
            await self._check_quota(run.job)
            async with space_for(self._size(run.job, download), run.job.tenant, self.room, self.probes) as space:
                completed = await self._completed(run, download if space.at_once else None, space.leave)
        except ImageRejected as error:
            size = run.job.source.size if run.job.source else 0
            outcome = await self._fail(run, failure_of(error), Cost(bytes_in=size, pixels=run.progress.pixels))
            await self._take_back(run)
            return outcome
        except DailyLimitReached as error:
            return await self._fail(run, failure_of(error))
        except ObjectNotFound:
            return await self._fail(run, VANISHED)
        except AssetMissing as error:
            return await self._fail(run, failure_of(error))
        except LeaseLost:
            return await self._overtaken(run)
        return await self._finish(run, completed)

    async def _check_quota(self, job: Job) -> None:
        """Raises `DailyLimitReached`, `Busy`, `Unavailable`."""
        if self.quota is None:
            return
        if job.uncounted or job.uncounted_bytes:  # `finish` takes the marks away
            await self.quota.count(job.tenant, Usage(day=today(), bytes=job.uncounted_bytes, images=int(job.uncounted)))
        await self.quota.check_work(job.tenant)

    def _size(self, job: Job, download: Download | None) -> int:
        """Bytes of the source, or what they may be."""
        if download is not None:
            return download.info.size
        return job.source.size if job.source else self.max_bytes

    async def _completed(self, run: _Run, download: Download | None, leave: Callable[[], None]) -> Job:
        """Do the work of a job: fetch, render, store. Returns the completed job.

        `leave` is called when its turn to render has come. Raises everything that can go wrong on the way.
        """
        job = run.job
        with self.probes.span("conversion") as work:
            with self.probes.span("download") as span:
                data = await self._fetch(job, download)
                span.facts["bytes"] = len(data)
            downloaded = work.milliseconds
            digest = await asyncio.to_thread(hashlib.sha256, data)
            _check_announced(job, len(data), digest.digest())
            rendered = await run.held.rendered(self._render_and_store(run, data, work, leave))
            made = self._manifest(run, digest.hexdigest(), len(data), rendered.source)
            variants = run.stored
            completed = replace(job, status=JobStatus.COMPLETED, variants=variants, manifest=made, facts=rendered.facts)
            completed = replace(completed, cost=_cost(run, len(data), rendered))
            completed = owing(completed, run.recipe)
            if run.held_back is None:
                completed = replace(completed, facts=rendered.facts.once_shown)
                await self._shelf.store_manifest(completed)
            else:
                completed = withheld(completed, run.held_back.reason, clock.now())
        return replace(completed, timings=_timings(downloaded, run.rendered, work.milliseconds))

    async def _fetch(self, job: Job, download: Download | None) -> bytes:
        if download is not None:
            return await download.read(max_bytes=self.max_bytes)
        etag = job.source.etag if job.source and job.source.etag else None
        return await self.source.fetch(job.original_key, max_bytes=self.max_bytes, etag=etag)

    async def _render_and_store(self, run: _Run, data: bytes, work: Span, leave: Callable[[], None]) -> Rendered:
        """Store every variant as soon as it is encoded, while the next one is encoded.

        If anybody checks what is made, nothing is stored before that, and then all of it in one place.
        """
        assets = await self._overlays.of(run.job.tenant, replace(run.recipe, further=()).assets)
        storing: list[asyncio.Task[None]] = []
        checks = [check for check in self.checks if check.concerns(run.recipe)]
        noting = asyncio.create_task(self._keep_noting(run))
        suspect = run.job.attempts > 1
        renderer = self.suspect_renderer if suspect else self.renderer

        async def begin(info: ImageInfo) -> None:
            leave()
            run.progress.pixels = info.pixels
            await self._count_work(run.job.tenant, info)

        ticket = Ticket(
            tenant=run.job.tenant,
            assets=assets,
            begin=begin,
            ready=nobody_waits
            if checks
            else lambda variant: storing.append(asyncio.create_task(self._store(run, variant))),
        )
        try:
            with self.probes.span("render", suspect=suspect):
                rendered = await renderer.render(data, run.recipe, ticket)
            run.rendered = work.milliseconds
            if checks:
                await self._store_checked(run, rendered, checks)
            await asyncio.gather(*storing)
            if noting.done():
                noting.result()
        finally:
            tasks = (noting, *storing)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # The error of a task has this frame, so the two would keep each other, and the file.
            storing.clear()
            del noting, task, tasks
        return rendered

    async def _store_checked(self, run: _Run, rendered: Rendered, checks: Sequence[Check]) -> None:
        """Store what was checked: where viewers read it, or where it is held. A worker that died over this job may have
        come to another verdict, so the other place is emptied."""
        with self.probes.span("check") as span:
            run.held_back = await verdict(checks, run.job, rendered)
            span.facts["held"] = run.held_back.reason if run.held_back else None
        if run.held_back is None:
            await self.processed.purge(run.job.held_prefix)
            await asyncio.gather(*(self._store(run, variant) for variant in rendered.variants))
            return
        await take_back(self.eraser.stores, run.job.prefix)
        kept = (self._shelf.store(run.job, variant, held=True) for variant in rendered.variants)
        run.kept = tuple(await asyncio.gather(*kept))

    async def _purge(self, run: _Run) -> None:
        """Remove whatever the job has stored."""
        await take_back(self.eraser.stores, run.job.prefix)
        if any(check.concerns(run.recipe) for check in self.checks):
            await self.processed.purge(run.job.held_prefix)

    async def _keep_noting(self, run: _Run) -> None:
        """Note the stored variants in the record, for as long as more will come."""
        while True:
            await run.progress.worth_a_note()
            await self._note(run, run.progress.noted + 1)

    async def _note(self, run: _Run, number: int) -> None:
        """Have the record show so many variants or more. Raises `LeaseLost`, `Unavailable`."""
        async with run.noting:
            if run.progress.noted >= number:
                return
            variants = run.progress.variants
            with self.probes.span("note", variants=len(variants)):
                await self.jobs.note(run.job.processing_id, run.held.lease, variants)
            run.progress.note(variants)

    @contextlib.asynccontextmanager
    async def _telling(self, run: _Run) -> AsyncIterator[None]:
        """Tell those who follow jobs, beside the work. What they have not heard by then they hear at the end."""
        telling = asyncio.create_task(self._keep_telling(run))
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _keep_telling(self, run: _Run) -> None:
        """That the work has begun, and of each variant."""
        await run.endings.moved(run.job, nothing_to_record)
        told = 0
        while True:
            variants = await run.progress.more_than(told)
            told = len(variants)
            await run.endings.moved(replace(run.job, variants=variants), partial(self._note, run, told))

    async def _count_work(self, tenant: str, info: ImageInfo) -> None:
        """Count the pixels before the work, so that they count however it ends. Raises `DailyLimitReached`, `Busy`,
        `Unavailable`."""
        if self.quota is not None:
            await self.quota.take(tenant, Usage(day=today(), pixels=info.pixels))

    async def _store(self, run: _Run, variant: Variant) -> None:
        run.progress.add(await self._shelf.store(run.job, variant))

    async def _take_back(self, run: _Run) -> None:
        """Remove what was stored before the image was refused: a few of its variants are of no use."""
        if run.progress.variants:
            try:
                await self._purge(run)
            except (Unavailable, Busy) as error:  # the record says that it failed, and a delete removes them
                log.warning("Variants of a failed job not removed", code=error.code)

    def _manifest(self, run: _Run, sha256: str, size: int, source: ImageInfo) -> Manifest:
        return Manifest(
            etag=run.job.source.etag if run.job.source else "",
            sha256=sha256,
            size=size,
            format=source.format,
            width=source.width,
            height=source.height,
            frames=source.frames,
            encoder=self.maker.encoder,
            effort=run.recipe.full_size.effort,
            service=self.maker.service,
        )

    async def _fail(self, run: _Run, why: Failure, cost: Cost = NOTHING) -> Outcome:
        return await self._finish(run, replace(run.job, status=JobStatus.FAILED, error=why, cost=cost))

    async def _finish(self, run: _Run, job: Job) -> Outcome:
        """Write the end of the job, fenced by its lease."""
        kept = REVIEW_RETENTION if job.status is JobStatus.NEEDS_REVIEW else self.retention
        ended = replace(job, updated_at=clock.now(), expires_at=epoch(clock.now() + kept))
        try:
            with self.probes.span("record", status=ended.status.value):
                await run.endings.finish(ended, run.held.lease)
        except LeaseLost:
            return await self._overtaken(run)
        await forget_exposed(self.eraser.stores, ended)  # should this fail, the message comes again
        return of_end(ended)

    async def _overtaken(self, run: _Run) -> Outcome:
        """Remove what a job has stored that lost its lease, unless another worker now does the same job.

        That worker writes the same keys. So only a job that is over for good (superseded or deleted) is cleaned up.
        """
        job = run.job
        now = await known_job(self.jobs, job.tenant, job.processing_id)
        if now is None or now.status is JobStatus.FAILED:
            await self._purge(run)
        elif now.is_withheld:  # whoever took over has come to another verdict
            await take_back(self.eraser.stores, job.prefix)
        if now is not None:
            await run.endings.tell(now)
        return of_job(OutcomeKind.SUPERSEDED, job)

    async def _give_back(self, run: _Run, *, last_try: bool) -> None:
        """Release a job that could not be finished, so that the next delivery can claim it at once.

        If the records are unavailable, the lease expires by itself.
        """
        with contextlib.suppress(LeaseLost, Unavailable, Busy):
            if last_try:
                await self._fail(run, GIVEN_UP)
            else:
                await self.jobs.release(run.job.processing_id, run.held.lease)


def _cost(run: _Run, size: int, rendered: Rendered) -> Cost:
    stored = run.stored
    whole = next(variant.size for variant in stored if variant.name == run.recipe.full_size.name)
    return Cost(
        cpu_ms=rendered.cpu_ms,
        pixels=rendered.source.pixels,
        bytes_in=size,
        bytes_out=sum(variant.size for variant in stored),
        bytes_saved=max(0, size - whole),
    )


def _timings(downloaded: int, rendered: int, total: int) -> Timings:
    """The timings, from the milliseconds at which each step ended. The source's digest belongs to the second step."""
    return Timings(download=downloaded, process=rendered - downloaded, upload=total - rendered, total=total)


def _check_announced(job: Job, size: int, digest: bytes) -> None:
    """Compare the file with its terms. S3 has checked them already, if the kind of upload allowed it."""
    terms = job.terms
    if terms is None:
        return
    other_size = terms.size is not None and terms.size != size
    other_bytes = terms.checksum_sha256 is not None and base64.b64decode(terms.checksum_sha256) != digest
    if other_size or other_bytes:
        raise UnexpectedFile
