"""From an event to an outcome: accept the source, claim its job, fetch, render, store, record."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum

import structlog

from processor import clock, manifest
from processor.catalog import MAX_JOBS, MAX_RACES, next_job
from processor.erasure import Eraser
from processor.errors import (
    Conflict,
    DailyLimitReached,
    ImageLimitReached,
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
from processor.images import STANDARD_VARIANTS, Rendered, StoredVariant, Variant, job_prefix, unique_id_of, variant_key
from processor.jobs import (
    SOURCE_MISSING,
    SUPERSEDED,
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
    is_made_up,
    sequencer_order,
)
from processor.ports import JobStore, ObjectStore, Renderer
from processor.usage import Quota, Usage, today

#: A variant's key names the job that made it, so its bytes never change and caches may keep it for ever.
CACHE_CONTROL = "public, max-age=31536000, immutable"

#: The quality that each variant is asked for.
_QUALITIES = {spec.name: spec.quality for spec in STANDARD_VARIANTS}

log = structlog.get_logger(__name__)


class OutcomeKind(StrEnum):
    """How an event ended."""

    COMPLETED = "completed"  # every variant is stored and the record says so
    FAILED = "failed"  # the record says why
    DUPLICATE = "duplicate"  # the job had ended already
    STALE = "stale"  # a newer source is known
    SUPERSEDED = "superseded"  # another job, or a delete, overtook this one while it ran
    DELETED = "deleted"  # the image is deleted: what came for it is removed
    UNKNOWN = "unknown"  # nobody asked for this upload
    FOREIGN = "foreign"  # another bucket, or a key that this service never issues
    REFUSED = "refused"  # the image has had as many jobs as it may
    BUSY = "busy"  # another worker holds the job: look again when its lease has run out


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
class Converter:
    """Runs events to their end. One per process; keeps the leases of the jobs that it works on."""

    jobs: JobStore
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
    #: Who holds a lease, for people who read records.
    owner: str = field(default_factory=lambda: f"{socket.gethostname()}/{os.getpid()}")
    _leases: dict[str, Lease] = field(default_factory=dict)

    async def convert(self, event: Event, *, last_try: bool = False) -> Outcome:
        """Bring one event to its end. Safe to call twice, late, out of order, and in two processes at once.

        `last_try` says that the queue will not deliver the message again: the job is then recorded as failed before
        the error goes on. Raises `Unavailable`, or whatever a defect raises; the job is then free to be claimed again.
        """
        if isinstance(event, JobRequested):
            accepted: Outcome | str = event.processing_id
        else:
            accepted = await self._accept(event)
        if isinstance(accepted, Outcome):
            return accepted
        return await self._run(accepted, last_try=last_try)

    async def renew_leases(self) -> None:
        """Extend the lease of every job in work, each for itself. A lost one is left to the fence in `finish`.

        Raises `Unavailable` when any could not be extended, after all were tried.
        """
        expires_at = time.time() + self.lease_seconds
        renewals = (
            self.jobs.renew(processing_id, replace(held, expires_at=expires_at))
            for processing_id, held in self._leases.items()
        )
        errors = await asyncio.gather(*renewals, return_exceptions=True)
        for error in errors:
            if error is not None and not isinstance(error, LeaseLost):
                raise error

    async def ping(self) -> None:
        """Raises `Unavailable` while records or objects cannot be reached."""
        await self.jobs.ping()
        await self.source.ping()
        await self.processed.ping()

    # -- from an event to a job ----------------------------------------------------------------------------------

    async def _accept(self, event: SourceArrived) -> Outcome | str:
        """The id of the job that is to do the work of this event, or why there is none."""
        unique_id = unique_id_of(event.key)
        if event.bucket != self.source_bucket or unique_id is None:
            return Outcome(kind=OutcomeKind.FOREIGN)
        for _ in range(MAX_RACES):
            try:
                image = await self.jobs.get_image(unique_id)
            except ImageNotFound:
                return Outcome(kind=OutcomeKind.UNKNOWN, unique_id=unique_id)
            if image.key != event.key:
                return Outcome(kind=OutcomeKind.FOREIGN, unique_id=unique_id)
            with contextlib.suppress(RecordChanged):
                return await self._order(image, event)
        raise Unavailable

    async def _order(self, image: Image, event: SourceArrived) -> Outcome | str:
        """The table of what an event means, by what the image's record says. Raises `RecordChanged` on a lost race."""
        if image.deleted_at is not None:
            await self.eraser.erase(image)
            return Outcome(kind=OutcomeKind.DELETED, unique_id=image.unique_id)
        arrived, newest = sequencer_order(event.sequencer), sequencer_order(image.sequencer)
        if arrived < newest:
            return Outcome(kind=OutcomeKind.STALE, unique_id=image.unique_id)
        current = await self._current_job(image)
        source = Source(etag=event.etag, size=event.size, sequencer=event.sequencer, event_time=event.event_time)
        if current is not None and current.status is JobStatus.PENDING:
            await self.jobs.accept(image, current, source, self._expiry())
        elif arrived > newest and not _is_late_for(current, image, event):
            if len(image.job_ids) >= MAX_JOBS:
                return Outcome(kind=OutcomeKind.REFUSED, unique_id=image.unique_id, code=TooManyJobs.code)
            new = next_job(image, current, source, self.retention)
            await self.jobs.replace(image, current, new)
            return new.processing_id
        return image.current_job

    async def _current_job(self, image: Image) -> Job | None:
        try:
            return await self.jobs.get_job(image.current_job)
        except JobNotFound:
            return None

    # -- from a job to an outcome --------------------------------------------------------------------------------

    async def _run(self, processing_id: str, *, last_try: bool) -> Outcome:
        lease = Lease(token=secrets.token_hex(8), owner=self.owner, expires_at=time.time() + self.lease_seconds)
        try:
            job = await self.jobs.claim(processing_id, lease, clock.now())
        except Conflict:
            return await self._unclaimable(processing_id)
        structlog.contextvars.bind_contextvars(uniqueId=job.unique_id, processingId=job.processing_id)
        with self._holding(processing_id, lease):
            try:
                return await self._work(job, lease)
            except asyncio.CancelledError:  # this process is told to stop: nothing is wrong with the job
                await asyncio.shield(self._give_back(job, lease, last_try=False))
                raise
            except Exception:
                await asyncio.shield(self._give_back(job, lease, last_try=last_try))
                raise

    @contextlib.contextmanager
    def _holding(self, processing_id: str, lease: Lease) -> Iterator[None]:
        self._leases[processing_id] = lease
        try:
            yield
        finally:
            self._leases.pop(processing_id, None)

    async def _unclaimable(self, processing_id: str) -> Outcome:
        try:
            job = await self.jobs.get_job(processing_id)
        except JobNotFound:
            return Outcome(kind=OutcomeKind.DELETED, processing_id=processing_id)
        known = Outcome(kind=OutcomeKind.DUPLICATE, unique_id=job.unique_id, processing_id=processing_id)
        if job.ended:
            return known
        left = job.lease.expires_at - time.time() if job.lease else 0
        return replace(known, kind=OutcomeKind.BUSY, retry_after_seconds=max(1, round(left) + 1))

    async def _work(self, job: Job, lease: Lease) -> Outcome:
        watch = _Stopwatch()
        try:
            if self.quota is not None:
                await self.quota.check_work(job.tenant, new_image=job.uncounted)
            etag = job.source.etag if job.source and job.source.etag else None
            data = await self.source.fetch(job.original_key, max_bytes=self.max_bytes, etag=etag)
            download = watch.lap()
            digest = await asyncio.to_thread(hashlib.sha256, data)
            _check_announced(job, len(data), digest.digest())
            renderer = self.suspect_renderer if job.attempts > 1 else self.renderer
            rendered = await renderer.render(data)
            process = watch.lap()
            variants = await self._store(job, rendered)
            made = self._manifest(etag or "", digest.hexdigest(), len(data), rendered)
            completed = replace(job, status=JobStatus.COMPLETED, variants=variants, manifest=made)
            await self._store_manifest(completed)
            timings = Timings(download=download, process=process, upload=watch.lap(), total=watch.total())
        except ImageRejected as error:
            return await self._fail(job, lease, error.code, error.message, pixels=error.pixels)
        except (DailyLimitReached, ImageLimitReached) as error:
            return await self._fail(job, lease, error.code, error.message)
        except ObjectChanged:
            # A newer source is there, and its own event will come, or has.
            return await self._fail(job, lease, SUPERSEDED, "A newer upload replaced this one.")
        except ObjectNotFound:
            return await self._fail(job, lease, SOURCE_MISSING, "The uploaded file is not there any more.")
        pixels = made.width * made.height * made.frames
        return await self._finish(replace(completed, timings=timings), lease, OutcomeKind.COMPLETED, pixels=pixels)

    async def _store(self, job: Job, rendered: Rendered) -> tuple[StoredVariant, ...]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._store_one(job, variant)) for variant in rendered.variants]
        except* Unavailable as errors:
            raise errors.exceptions[0] from None
        return tuple(task.result() for task in tasks)

    async def _store_one(self, job: Job, variant: Variant) -> StoredVariant:
        key = variant_key(job.unique_id, job.processing_id, variant.name)
        await self.processed.store(
            key,
            variant.data,
            content_type=variant.content_type,
            cache_control=CACHE_CONTROL,
            metadata={
                "unique-id": job.unique_id,
                "processing-id": job.processing_id,
                "width": str(variant.width),
                "height": str(variant.height),
            },
        )
        return StoredVariant(
            name=variant.name,
            key=key,
            width=variant.width,
            height=variant.height,
            size=len(variant.data),
            content_type=variant.content_type,
            quality=_QUALITIES[variant.name],
            sha256=await asyncio.to_thread(_sha256, variant.data),
            stored_at=clock.now(),
        )

    def _manifest(self, etag: str, sha256: str, size: int, rendered: Rendered) -> Manifest:
        return Manifest(
            etag=etag,
            sha256=sha256,
            size=size,
            format=rendered.source.format,
            width=rendered.source.width,
            height=rendered.source.height,
            frames=rendered.source.frames,
            encoder=self.maker.encoder,
            effort=self.maker.effort,
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

    async def _fail(self, job: Job, lease: Lease, code: str, message: str, *, pixels: int = 0) -> Outcome:
        failed = replace(job, status=JobStatus.FAILED, error=Failure(code=code, message=message))
        return await self._finish(failed, lease, OutcomeKind.FAILED, pixels=pixels)

    async def _finish(self, job: Job, lease: Lease, kind: OutcomeKind, *, pixels: int) -> Outcome:
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
            await self._clean_up(job)
            return replace(outcome, kind=OutcomeKind.SUPERSEDED, code=None, timings=None, servable_seconds=None)
        await self._note_use(job, pixels)
        return outcome

    async def _note_use(self, job: Job, pixels: int) -> None:
        """One write, after the outcome: what is lost between the two is a count, and no result."""
        if self.quota is None:
            return
        used = Usage(day=today(), bytes=job.uncounted_bytes, pixels=pixels, images=int(job.uncounted))
        try:
            await asyncio.shield(self.quota.store.add(job.tenant, used))
        except Unavailable as error:
            log.warning("Usage not counted", code=error.code)

    async def _clean_up(self, job: Job) -> None:
        """Remove what a job that lost its lease has stored, unless another worker now does the same job.

        That worker writes the same keys, so only a job that is over for good, superseded or deleted, is cleaned up.
        """
        try:
            now = await self.jobs.get_job(job.processing_id)
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
        with contextlib.suppress(LeaseLost, Unavailable):
            if last_try:
                message = "The job was given up after several tries; it can be redriven."
                await self._fail(job, lease, UNAVAILABLE, message)
            else:
                await self.jobs.release(job.processing_id, lease)

    def _expiry(self) -> int:
        return int((clock.now() + self.retention).timestamp())


def _is_late_for(current: Job | None, image: Image, event: SourceArrived) -> bool:
    """Whether this is the true event of an upload for which a made-up one was queued before it came."""
    if current is None or current.source is None or not is_made_up(image.sequencer):
        return False
    return current.source.etag == event.etag


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
