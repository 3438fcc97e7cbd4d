"""From an event to an outcome: accept the source, claim its job, fetch, render, store, record."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import random
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from functools import partial
from weakref import WeakValueDictionary

import structlog

from processor import clock, manifest
from processor.arrivals import reserved, uncounted
from processor.erasure import Eraser
from processor.errors import (
    Busy,
    Conflict,
    DailyLimitReached,
    ImageNotFound,
    ImageRejected,
    JobNotFound,
    LeaseLost,
    ObjectChanged,
    ObjectNotFound,
    RecordChanged,
    TooManyJobs,
    Unavailable,
    UnexpectedFile,
)
from processor.events import Event, JobRequested, SourceArrived
from processor.formats.info import ImageInfo
from processor.images import Rendered, StoredVariant, Variant, job_prefix, unique_id_of, variant_key
from processor.jobs import (
    MAX_JOBS,
    SOURCE_MISSING,
    UNAVAILABLE,
    Failure,
    Image,
    Job,
    JobStatus,
    Lease,
    Maker,
    Manifest,
    Source,
    Timings,
    failure_of,
    next_job,
)
from processor.pace import pause_before_job
from processor.ports.jobs import AllJobs, known_job
from processor.ports.objects import Download, ObjectInfo, ObjectStore
from processor.ports.renderer import Renderer, Ticket
from processor.races import races
from processor.recipes import STANDARD, Recipe
from processor.usage import Quota, Usage, today

#: A variant's key names the job that made it, so its bytes never change and caches may keep it for ever.
CACHE_CONTROL = "public, max-age=31536000, immutable"

#: When to look again after others were faster, again and again: somewhere between the two, in seconds.
BUSY_SECONDS = (1, 5)
#: Images whose tenant is remembered at once: it never changes, and of one image come many events in a storm.
MAX_TENANTS_KNOWN = 10_000
#: How long a job is at work, in seconds, before its record tells what is stored of it, and from then on between two
#: times: most jobs have ended by then, and cost no call more.
NOTE_SECONDS = 1.0
#: S3 tells the time of an upload to the second.
LAST_MODIFIED_PRECISION = timedelta(seconds=1)

log = structlog.get_logger(__name__)


class OutcomeKind(StrEnum):
    """How an event ended."""

    COMPLETED = "completed"  # every variant is stored and the record says so
    FAILED = "failed"  # the record says why
    DUPLICATE = "duplicate"  # the job had ended already
    STALE = "stale"  # the bucket holds another upload than the event speaks of, and that one is known or on its way
    MISSING = "missing"  # there is no such object: the event came before its upload, or after its removal
    SUPERSEDED = "superseded"  # another job, or a delete, overtook this one while it ran
    DELETED = "deleted"  # the image is deleted: what came for it is removed
    UNKNOWN = "unknown"  # nobody asked for this upload
    FOREIGN = "foreign"  # another bucket, or a key that this service never issues
    REFUSED = "refused"  # the image has had as many jobs as it may
    BUSY = "busy"  # another worker holds the job, or others change the image just now: look again in a while


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a conversion returned. Everything but `busy` settles its message."""

    kind: OutcomeKind
    unique_id: str | None = None
    processing_id: str | None = None
    code: str | None = None
    timings: Timings | None = None
    #: From the end of the upload until its variants could be shown; None for a job that was asked for again.
    servable_seconds: float | None = None
    retry_after_seconds: int = 0

    @property
    def settles(self) -> bool:
        """Whether the message has done its duty."""
        return self.kind is not OutcomeKind.BUSY


@dataclass(frozen=True, slots=True, kw_only=True)
class _Accepted:
    """The job that is to do the work, and its source, where it has been looked at already."""

    processing_id: str
    download: Download | None = None


@dataclass(slots=True, kw_only=True)
class _Held:
    """A job in work, and its render while that runs."""

    processing_id: str
    lease: Lease
    render: asyncio.Task[Rendered] | None = None
    lost: bool = False

    def call_off(self) -> None:
        self.lost = True
        if self.render is not None:
            self.render.cancel()

    async def rendered(self, render: Coroutine[None, None, Rendered]) -> Rendered:
        """Raises `LeaseLost` when it is called off."""
        self.render = asyncio.create_task(render)
        if self.lost:
            self.render.cancel()
        try:
            return await self.render
        except asyncio.CancelledError:
            if self.lost and not _is_cancelled():
                raise LeaseLost from None
            raise


class _Replaced(Exception):
    """Another job is to do the work, as `event` says: over another source, or by another release."""

    def __init__(self, event: Event) -> None:
        super().__init__("the source was replaced")
        self.event = event


@dataclass(slots=True)
class _Stopwatch:
    """Milliseconds since the last lap, and since the start."""

    started: float = field(default_factory=time.monotonic)
    last: float = field(default_factory=time.monotonic)

    def lap(self) -> int:
        now = time.monotonic()
        elapsed, self.last = now - self.last, now
        return round(elapsed * 1000)

    def total(self) -> int:
        return round((time.monotonic() - self.started) * 1000)


@dataclass(slots=True, kw_only=True)
class _Run:
    """What there is of a job in work."""

    job: Job
    recipe: Recipe
    lease: Lease
    watch: _Stopwatch = field(default_factory=_Stopwatch)
    #: Milliseconds that the render took.
    process: int = 0
    stored: dict[str, StoredVariant] = field(default_factory=dict)
    noted: float = field(default_factory=time.monotonic)

    @property
    def variants(self) -> tuple[StoredVariant, ...]:
        """Those that are stored, in the order of the recipe."""
        return tuple(self.stored[spec.name] for spec in self.recipe.specs if spec.name in self.stored)

    def is_worth_a_note(self) -> bool:
        """Whether its record is to tell of what is stored; the end of the job is not far when all of it is."""
        now = time.monotonic()
        if len(self.stored) == len(self.recipe.specs) or now - self.noted < NOTE_SECONDS:
            return False
        self.noted = now
        return True


@dataclass(slots=True, kw_only=True)
class Converter:
    """Runs events to their end. One per process; keeps the leases of the jobs that it works on."""

    jobs: AllJobs
    source: ObjectStore
    processed: ObjectStore
    renderer: Renderer
    #: Takes what a worker vanished over: there, the image can bring down no more than itself.
    suspect_renderer: Renderer
    eraser: Eraser
    source_bucket: str
    #: Largest source, in bytes.
    max_bytes: int
    #: How long job records are kept.
    retention: timedelta
    lease_seconds: int
    #: What tenants may use, and where it is noted what they have used; None: nobody asks.
    quota: Quota | None = None
    maker: Maker
    #: For jobs of which no record says what was asked: those of the release before.
    recipe: Recipe = STANDARD
    #: Who holds a lease, for people who read records.
    owner: str = field(default_factory=lambda: f"{socket.gethostname()}/{os.getpid()}")
    _held: dict[str, _Held] = field(default_factory=dict)
    _looks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    _tenants: OrderedDict[str, str] = field(default_factory=OrderedDict)

    async def convert(self, event: Event, *, last_try: bool = False) -> Outcome:
        """Bring one event to its end. Safe to call twice, late, out of order, and in two processes at once.

        `last_try` says that the queue will not deliver the message again: the job is then recorded as failed before
        the error goes on. Raises `Unavailable`, `Busy`, or whatever a defect raises; the job is then free to be claimed
        again.
        """
        async for _ in races():
            try:
                return await self._attempt(event, last_try=last_try)
            except RecordChanged:
                continue
            except _Replaced as newer:
                event = newer.event
        unique_id = event.unique_id if isinstance(event, JobRequested) else unique_id_of(event.key)
        pause = random.randint(*BUSY_SECONDS)  # noqa: S311 - spreads load, protects nothing
        return Outcome(kind=OutcomeKind.BUSY, unique_id=unique_id, retry_after_seconds=pause)

    async def _attempt(self, event: Event, *, last_try: bool) -> Outcome:
        """Raises `RecordChanged` when others were faster, `_Replaced` when the source is not the job's any more."""
        async with contextlib.AsyncExitStack() as opened:
            if isinstance(event, JobRequested):
                accepted: Outcome | _Accepted = _Accepted(processing_id=event.processing_id)
            else:
                async with self._looking_at(event.key):
                    accepted = await self._accept(event, opened, last_try=last_try)
            if isinstance(accepted, Outcome):
                return accepted
            return await self._run(accepted, last_try=last_try)

    async def tenant_of(self, event: Event) -> str:
        """Whose image an event is about; empty for nobody's. Raises `Unavailable`, `Busy`."""
        unique_id = event.unique_id if isinstance(event, JobRequested) else unique_id_of(event.key)
        if unique_id is None:
            return ""
        if unique_id not in self._tenants:
            try:
                self._remember(await self.jobs.image_of_any_tenant(unique_id))
            except ImageNotFound:
                return ""
        return self._tenants[unique_id]

    def _remember(self, found: Image | Job) -> None:
        self._tenants[found.unique_id] = found.tenant
        while len(self._tenants) > MAX_TENANTS_KNOWN:
            self._tenants.popitem(last=False)

    async def renew_leases(self) -> None:
        """Extend the lease of every job in work, each for itself. Where it is lost nobody wants the job any more: its
        render is called off, and whatever else it is at, the fence in `finish` meets it.

        Raises `Unavailable` when any could not be extended, after all were tried.
        """
        expires_at = time.time() + self.lease_seconds
        held = tuple(self._held.values())
        renewals = (self.jobs.renew(each.processing_id, replace(each.lease, expires_at=expires_at)) for each in held)
        results = await asyncio.gather(*renewals, return_exceptions=True)
        for each, error in zip(held, results, strict=True):
            if isinstance(error, LeaseLost):
                each.call_off()
        for error in results:
            if error is not None and not isinstance(error, LeaseLost):
                raise error

    async def ping(self) -> None:
        """Raises `Unavailable` while records or objects cannot be reached."""
        await self.jobs.ping()
        await self.source.ping()
        await self.processed.ping()

    def _looking_at(self, key: str) -> asyncio.Lock:
        """Events of one image look one after the other: at once they would only race each other."""
        return self._looks.setdefault(key, asyncio.Lock())

    # -- from an event to a job ----------------------------------------------------------------------------------

    async def _accept(
        self, event: SourceArrived, opened: contextlib.AsyncExitStack, *, last_try: bool
    ) -> Outcome | _Accepted:
        """The job that is to do the work of this event, or why there is none. Raises `RecordChanged` on a lost race.

        An event only says where to look: it may be late or forged. What decides is the record and the bucket.
        """
        image = await self._image(event)
        if isinstance(image, Outcome):
            return image
        current = await known_job(self.jobs, image.tenant, image.current_job)
        if current is not None and _is_known(event, image, current):
            return _Accepted(processing_id=current.processing_id)
        try:
            if current is not None and current.status is JobStatus.PENDING:
                return await self._first(image, current, event, opened)
            return await self._further(image, current, event, last_try=last_try)
        except ObjectNotFound:
            return Outcome(kind=OutcomeKind.MISSING, unique_id=image.unique_id)

    async def _image(self, event: SourceArrived) -> Image | Outcome:
        """The living image that an event is about, or why there is none."""
        unique_id = unique_id_of(event.key)
        if event.bucket != self.source_bucket or unique_id is None:
            return Outcome(kind=OutcomeKind.FOREIGN)
        try:
            image = await self.jobs.image_of_any_tenant(unique_id)
        except ImageNotFound:
            return Outcome(kind=OutcomeKind.UNKNOWN, unique_id=unique_id)
        self._remember(image)
        if image.key != event.key:
            return Outcome(kind=OutcomeKind.FOREIGN, unique_id=unique_id)
        if image.deleted_at is not None:
            await self.eraser.erase(image)
            return Outcome(kind=OutcomeKind.DELETED, unique_id=unique_id)
        return image

    async def _first(
        self, image: Image, pending: Job, event: SourceArrived, opened: contextlib.AsyncExitStack
    ) -> Outcome | _Accepted:
        """The call that asks what is there brings it along: whatever it is, it is this job's source."""
        download = await opened.enter_async_context(self.source.open(image.key))
        source, promised = _source(download.info, event), reserved(pending)
        came = Usage(day=today(), bytes=max(0, source.size - promised.bytes), images=int(pending.uncounted))
        async with self._counting(image, came, promised) as refusal:
            job = await self.jobs.accept(
                image,
                pending,
                source,
                self._expiry(),
                counted=refusal is None,
                refusal=refusal,
                version=download.info.version,
            )
        # Whoever has changed the record, and nobody else, gives back what it had reserved.
        await self._give_back_usage(image, replace(promised, bytes=max(0, promised.bytes - source.size)))
        if event.version and event.version != download.info.version:  # it was overwritten before anybody looked
            image = replace(image, first_version=download.info.version)
            versions = await self.source.versions(image.key)
            await self.eraser.arrivals.count(image, uncounted(versions, image, job))
        if refusal is not None:
            return await self._refused(image, job)
        return _Accepted(processing_id=pending.processing_id, download=download)

    async def _further(
        self, image: Image, current: Job | None, event: SourceArrived, *, last_try: bool
    ) -> Outcome | _Accepted:
        """What an event means for an image that has a source already.

        The record was read before the bucket, and is changed on the condition that nobody has changed it since. The new
        job fetches its source anew: an upload in between may have been taken for what the record said until then. What
        was overwritten before anybody looked counts with what took its place.
        """
        versions = await self.source.versions(image.key)
        if not versions or not versions[0].latest:
            raise ObjectNotFound
        found, fresh = versions[0], uncounted(versions, image, current)
        refused = current is not None and current.was_refused
        if current is not None and refused and not fresh:  # whoever refused it did not come to remove it
            return await self._refused(image, current)
        if current is not None and not refused:
            if current.is_over(found.etag):
                await self.eraser.arrivals.count(image, fresh)
                stale = bool(event.etag) and event.etag != found.etag
                known = _Accepted(processing_id=current.processing_id)
                return Outcome(kind=OutcomeKind.STALE, unique_id=image.unique_id) if stale else known
            if await self._is_over(current, found):
                await self.eraser.arrivals.count(image, fresh)
                return Outcome(
                    kind=OutcomeKind.DUPLICATE, unique_id=image.unique_id, processing_id=current.processing_id
                )
        pause = 0 if last_try else pause_before_job(image.job_ids, clock.now())
        if pause and event.etag not in ("", found.etag):  # that of the newest upload is on its way, or waits already
            return Outcome(kind=OutcomeKind.STALE, unique_id=image.unique_id)
        if pause:
            return Outcome(kind=OutcomeKind.BUSY, unique_id=image.unique_id, retry_after_seconds=pause)
        return await self._replaced(image, current, fresh, _source(found, event))

    async def _replaced(
        self, image: Image, current: Job | None, fresh: tuple[ObjectInfo, ...], source: Source
    ) -> Outcome | _Accepted:
        """A new job becomes current, over the newest of what is `fresh`."""
        if len(image.job_ids) >= MAX_JOBS:
            await self.eraser.purge_source(image)
            return Outcome(kind=OutcomeKind.REFUSED, unique_id=image.unique_id, code=TooManyJobs.code)
        size = sum(each.size for each in fresh)
        came = Usage(day=today(), bytes=size, images=int(current is not None and current.uncounted))
        new = next_job(image, current, source, self.retention, recipe=self.recipe)
        async with self._counting(image, came, Usage()) as refusal:
            if refusal is not None:
                new = replace(new, status=JobStatus.FAILED, error=refusal, source=None, uncounted=bool(came.images))
            await self.jobs.replace(image, current, new, counted_through=fresh[0].version if fresh else "")
        if refusal is not None:
            return await self._refused(image, new)
        return _Accepted(processing_id=new.processing_id)

    @contextlib.asynccontextmanager
    async def _counting(self, image: Image, came: Usage, promised: Usage) -> AsyncIterator[Failure | None]:
        """Count an upload before it is recorded, and take that back when the record was changed by others; why it may
        not stay, if it may not. Its bytes have come in any case."""
        if self.quota is None:
            yield None
            return
        refusal = await self.quota.arrive(image.tenant, came, promised)
        counted = came if refusal is None else replace(came, images=0)
        async with self.quota.owing(image.tenant, counted):
            yield None if refusal is None else failure_of(refusal)

    async def _refused(self, image: Image, job: Job) -> Outcome:
        """The record says why, and what may not be stored is removed."""
        with contextlib.suppress(ImageNotFound):
            await self.eraser.purge_source(await self.jobs.get_image(image.tenant, image.unique_id))
        code = job.error.code if job.error else None
        return Outcome(kind=OutcomeKind.FAILED, unique_id=job.unique_id, processing_id=job.processing_id, code=code)

    async def _give_back_usage(self, image: Image, used: Usage) -> None:
        if self.quota is not None:
            await self.quota.give_back(image.tenant, used)

    async def _is_over(self, current: Job, found: ObjectInfo) -> bool:
        """Whether a job has completed over these bytes, though S3 calls them by another ETag: what is copied in parts,
        or encrypted under a key of KMS, has one of its own each time. Raises `ObjectNotFound`, `RecordChanged`."""
        made = current.manifest
        if made is None or made.size != found.size or made.size > self.max_bytes:
            return False
        try:
            data = await self.source.fetch(found.key, max_bytes=self.max_bytes, etag=found.etag)
        except ObjectChanged:
            raise RecordChanged from None
        return await asyncio.to_thread(_sha256, data) == made.sha256

    # -- from a job to an outcome --------------------------------------------------------------------------------

    async def _run(self, accepted: _Accepted, *, last_try: bool) -> Outcome:
        processing_id = accepted.processing_id
        lease = Lease(token=secrets.token_hex(8), owner=self.owner, expires_at=time.time() + self.lease_seconds)
        try:
            job = await self.jobs.claim(processing_id, lease, clock.now(), str(self.maker))
        except Busy:  # nobody knows yet
            raise
        except Conflict:
            return await self._unclaimable(processing_id)
        self._remember(job)
        structlog.contextvars.bind_contextvars(uniqueId=job.unique_id, processingId=job.processing_id)
        with self._holding(processing_id, lease) as held:
            try:
                await self._begin(job)
                return await self._work(job, held, accepted.download)
            except asyncio.CancelledError:  # this process is told to stop: nothing is wrong with the job
                await asyncio.shield(self._give_back(job, lease, last_try=False))
                raise
            except _Replaced:
                raise
            except ObjectChanged:
                await asyncio.shield(self._give_back(job, lease, last_try=False))
                raise _Replaced(SourceArrived(bucket=self.source_bucket, key=job.original_key)) from None
            except Exception:
                await asyncio.shield(self._give_back(job, lease, last_try=last_try))
                raise

    async def _begin(self, job: Job) -> None:
        """Unless another release has begun it: there may be variants of it, under keys that caches keep for ever, and
        this one may make other bytes. Then a new job takes its place.

        Raises `_Replaced` with that one, `RecordChanged` when others were faster.
        """
        if job.maker == str(self.maker) and (job.recipe is not None or job.attempts <= 1):
            return
        image = await self.jobs.get_image(job.tenant, job.unique_id)
        if job.source is None or image.current_job != job.processing_id:
            raise RecordChanged
        new = next_job(image, job, job.source, self.retention, recipe=job.recipe or self.recipe)
        new = replace(new, attempts=job.attempts, previous_job=job.previous_job, uncounted=job.uncounted)
        await self.jobs.replace(image, job, new)
        await self.processed.purge(job_prefix(job.unique_id, job.processing_id))
        raise _Replaced(JobRequested(unique_id=new.unique_id, processing_id=new.processing_id))

    @contextlib.contextmanager
    def _holding(self, processing_id: str, lease: Lease) -> Iterator[_Held]:
        held = self._held[processing_id] = _Held(processing_id=processing_id, lease=lease)
        try:
            yield held
        finally:
            if self._held.get(processing_id) is held:
                del self._held[processing_id]

    async def _unclaimable(self, processing_id: str) -> Outcome:
        try:
            job = await self.jobs.job_of_any_tenant(processing_id)
        except JobNotFound:
            return Outcome(kind=OutcomeKind.DELETED, processing_id=processing_id)
        known = Outcome(kind=OutcomeKind.DUPLICATE, unique_id=job.unique_id, processing_id=processing_id)
        if job.ended:
            await self._follow(job)
            return known
        if job.status is JobStatus.PENDING:  # nobody of ours asks for a job that has no source
            return replace(known, kind=OutcomeKind.MISSING)
        left = job.lease.expires_at - time.time() if job.lease else 0
        return replace(known, kind=OutcomeKind.BUSY, retry_after_seconds=max(1, round(left) + 1))

    async def _follow(self, job: Job) -> None:
        """Raises `_Replaced` when a job took the place of this one, as `_begin` has it, and nobody works on it: whoever
        made it may have died, and then no other message tells of it."""
        if job.superseded_by is None:
            return
        with contextlib.suppress(ImageNotFound, JobNotFound):
            image = await self.jobs.get_image(job.tenant, job.unique_id)
            current = await self.jobs.get_job(image.tenant, image.current_job)
            held = current.lease is not None and current.lease.expires_at >= time.time()
            if image.deleted_at is None and current.attempts and not current.ended and not held:
                raise _Replaced(JobRequested(unique_id=image.unique_id, processing_id=current.processing_id))

    async def _work(self, job: Job, held: _Held, download: Download | None) -> Outcome:
        run = _Run(job=job, recipe=job.recipe or self.recipe, lease=held.lease)
        try:
            if self.quota is not None and (job.uncounted or job.uncounted_bytes):  # `finish` takes the marks away
                used = Usage(day=today(), bytes=job.uncounted_bytes, images=int(job.uncounted))
                await self.quota.count(job.tenant, used)
            if self.quota is not None:
                await self.quota.check_work(job.tenant)
            data = await self._fetch(job, download)
            downloaded = run.watch.lap()
            digest = await asyncio.to_thread(hashlib.sha256, data)
            _check_announced(job, len(data), digest.digest())
            rendered = await held.rendered(self._render_and_store(run, data))
            made = self._manifest(run, digest.hexdigest(), len(data), rendered.source)
            completed = replace(job, status=JobStatus.COMPLETED, variants=run.variants, manifest=made)
            await self._store_manifest(completed)
            timings = Timings(download=downloaded, process=run.process, upload=run.watch.lap(), total=run.watch.total())
        except ImageRejected as error:
            outcome = await self._fail(job, run.lease, failure_of(error))
            await self._take_back(run)
            return outcome
        except DailyLimitReached as error:
            return await self._fail(job, run.lease, failure_of(error))
        except ObjectNotFound:
            return await self._fail(
                job, run.lease, Failure(code=SOURCE_MISSING, message="The uploaded file is not there any more.")
            )
        except LeaseLost:
            return await self._overtaken(job)
        return await self._finish(replace(completed, timings=timings), run.lease, OutcomeKind.COMPLETED)

    async def _fetch(self, job: Job, download: Download | None) -> bytes:
        if download is not None:
            return await download.read(max_bytes=self.max_bytes)
        etag = job.source.etag if job.source and job.source.etag else None
        return await self.source.fetch(job.original_key, max_bytes=self.max_bytes, etag=etag)

    async def _render_and_store(self, run: _Run, data: bytes) -> Rendered:
        """Every variant is stored as soon as it is there, while the next is encoded."""
        storing: list[asyncio.Task[None]] = []
        renderer = self.suspect_renderer if run.job.attempts > 1 else self.renderer
        ticket = Ticket(
            tenant=run.job.tenant,
            begin=partial(self._count_work, run.job.tenant),
            ready=lambda variant: storing.append(asyncio.create_task(self._store(run, variant))),
        )
        try:
            rendered = await renderer.render(data, run.recipe, ticket)
            run.process = run.watch.lap()
            await asyncio.gather(*storing)
        finally:
            for task in storing:
                task.cancel()
            await asyncio.gather(*storing, return_exceptions=True)
        return rendered

    async def _count_work(self, tenant: str, info: ImageInfo) -> None:
        """Before the work, so that it counts whoever ends it and however. Raises `DailyLimitReached`, `Busy`,
        `Unavailable`."""
        if self.quota is not None:
            await self.quota.take(tenant, Usage(day=today(), pixels=info.pixels))

    async def _store(self, run: _Run, variant: Variant) -> None:
        job, spec = run.job, variant.spec
        key = variant_key(job.unique_id, job.processing_id, spec.file_name)
        sha256 = await asyncio.to_thread(_sha256, variant.data)
        await self.processed.store(
            key,
            variant.data,
            content_type=spec.content_type,
            cache_control=CACHE_CONTROL,
            metadata={
                "unique-id": job.unique_id,
                "processing-id": job.processing_id,
                "width": str(variant.width),
                "height": str(variant.height),
            },
            sha256=sha256,
        )
        run.stored[spec.name] = StoredVariant(
            **variant.known(),
            name=spec.name,
            key=key,
            size=len(variant.data),
            content_type=spec.content_type,
            quality=spec.quality,
            sha256=sha256,
            stored_at=clock.now(),
        )
        if run.is_worth_a_note():
            await self.jobs.note(job.processing_id, run.lease, run.variants)

    async def _take_back(self, run: _Run) -> None:
        """What was stored before the image was refused: some variants of a picture are not its variants."""
        if run.stored:
            try:
                await self.processed.purge(job_prefix(run.job.unique_id, run.job.processing_id))
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

    async def _store_manifest(self, job: Job) -> None:
        """Last, so that where a manifest is, everything that it names is too."""
        await self.processed.store(
            manifest.manifest_key(job.unique_id, job.processing_id),
            manifest.document(job),
            content_type=manifest.CONTENT_TYPE,
            cache_control=CACHE_CONTROL,
            metadata={"unique-id": job.unique_id, "processing-id": job.processing_id},
        )

    async def _fail(self, job: Job, lease: Lease, why: Failure) -> Outcome:
        failed = replace(job, status=JobStatus.FAILED, error=why)
        return await self._finish(failed, lease, OutcomeKind.FAILED)

    async def _finish(self, job: Job, lease: Lease, kind: OutcomeKind) -> Outcome:
        """Write the outcome under the fence of the lease; a cancelled task still writes it."""
        ended = replace(job, updated_at=clock.now(), expires_at=self._expiry())
        outcome = Outcome(
            kind=kind,
            unique_id=job.unique_id,
            processing_id=job.processing_id,
            code=job.error.code if job.error else None,
            timings=job.timings,
            servable_seconds=_servable_seconds(ended),
        )
        try:
            await asyncio.shield(self.jobs.finish(ended, lease))
        except LeaseLost:
            return await self._overtaken(job)
        return outcome

    async def _overtaken(self, job: Job) -> Outcome:
        await self._clean_up(job)
        return Outcome(kind=OutcomeKind.SUPERSEDED, unique_id=job.unique_id, processing_id=job.processing_id)

    async def _clean_up(self, job: Job) -> None:
        """Remove what a job that lost its lease has stored, unless another worker now does the same job.

        That worker writes the same keys, so only a job that is over for good, superseded or deleted, is cleaned up.
        """
        try:
            now = await self.jobs.get_job(job.tenant, job.processing_id)
        except JobNotFound:
            over = True
        else:
            over = now.status is JobStatus.FAILED
        if over:
            await self.processed.purge(job_prefix(job.unique_id, job.processing_id))

    async def _give_back(self, job: Job, lease: Lease, *, last_try: bool) -> None:
        """Let go of a job that could not be brought to its end, so that the next delivery can claim it at once.

        The records may be what is unavailable; the lease then runs out by itself.
        """
        with contextlib.suppress(LeaseLost, Unavailable, Busy):
            if last_try:
                message = "The job was given up after several tries; it can be redriven."
                await self._fail(job, lease, Failure(code=UNAVAILABLE, message=message))
            else:
                await self.jobs.release(job.processing_id, lease)

    def _expiry(self) -> int:
        return int((clock.now() + self.retention).timestamp())


def _is_known(event: SourceArrived, image: Image, current: Job) -> bool:
    """Whether an event tells of what the record knows and a count has. What it says may be wrong, and then it is one
    look more, or none that anybody else would miss."""
    known = (image.first_version, image.counted_through)
    counted = not event.version or event.version in known or not any(known)
    return counted and current.is_over(event.etag) and not current.was_refused


def _is_cancelled() -> bool:
    """Whether this task is, and not only what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _source(found: ObjectInfo, event: SourceArrived) -> Source:
    """What S3 says. When the upload ended it tells to the second, and its event, if that can be true, more exactly."""
    uploaded_at = found.last_modified
    with contextlib.suppress(ValueError, OverflowError):
        said = clock.from_iso(event.event_time)
        if found.last_modified - LAST_MODIFIED_PRECISION <= said <= clock.now() + LAST_MODIFIED_PRECISION:
            uploaded_at = said
    return Source(etag=found.etag, size=found.size, event_time=clock.to_iso(uploaded_at))


def _check_announced(job: Job, size: int, digest: bytes) -> None:
    """S3 has checked it, where the way of the upload let it; the record of what was promised is here."""
    terms = job.terms
    if terms is None:
        return
    other_size = terms.size is not None and terms.size != size
    other_bytes = terms.checksum_sha256 is not None and base64.b64decode(terms.checksum_sha256) != digest
    if other_size or other_bytes:
        raise UnexpectedFile


def _servable_seconds(job: Job) -> float | None:
    if job.status is not JobStatus.COMPLETED or job.source is None or not job.source.event_time:
        return None
    try:
        uploaded_at = clock.from_iso(job.source.event_time)
    except (ValueError, OverflowError):  # whoever sent the event wrote it
        return None
    return max(0.0, (job.updated_at - uploaded_at).total_seconds())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
