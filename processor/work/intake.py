"""Finds or makes the job of an event."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from weakref import WeakValueDictionary

from processor import clock
from processor.arrivals import reserved, uncounted
from processor.endings import Endings
from processor.erasure import Eraser
from processor.errors import ImageNotFound, ObjectChanged, ObjectNotFound, RecordChanged, TooManyJobs
from processor.events import Event, JobRequested, SourceArrived
from processor.jobs import (
    MAX_JOBS,
    Failure,
    Image,
    Job,
    JobStatus,
    Lease,
    Maker,
    Source,
    epoch,
    failure_of,
    next_job,
    not_let_in,
)
from processor.pace import pause_before_job
from processor.ports.jobs import AllJobs, known_job
from processor.ports.objects import Download, ObjectInfo, ObjectStore
from processor.recipes import Recipe, recipe_after
from processor.usage import Quota, Usage, today
from processor.work.leases import Leases
from processor.work.outcomes import Outcome, OutcomeKind, Settled, of_end, of_job
from processor.work.tenants import Tenants

#: The precision with which S3 gives the time of an upload.
LAST_MODIFIED_PRECISION = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The job of an event, and its source, if that was opened already."""

    processing_id: str
    download: Download | None = None
    #: The job and its lease, if it was claimed when it was accepted.
    begun: tuple[Job, Lease] | None = None
    #: The image, if the event names its job without looking it up.
    unique_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrival:
    """An event about an image that is not deleted, and the image's current job, if there is a record of it."""

    event: SourceArrived
    image: Image
    current: Job | None
    endings: Endings
    last_try: bool

    def settled(self, kind: OutcomeKind, code: str | None = None) -> Settled:
        """The outcome when there is nothing to do."""
        return Settled(Outcome(kind=kind, unique_id=self.image.unique_id, code=code))


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Finds or makes the job of an event.

    An event only says where to look: it may be late or forged. The record and the bucket decide.
    """

    jobs: AllJobs
    tenants: Tenants
    source: ObjectStore
    eraser: Eraser
    #: Of the jobs that are claimed when they are accepted.
    leases: Leases
    maker: Maker
    source_bucket: str
    #: Largest source, in bytes.
    max_bytes: int
    #: How long job records are kept.
    retention: timedelta
    #: Counts usage and enforces limits; None: there are no limits.
    quota: Quota | None
    #: The standard recipe. A job that an upload starts has the recipe of the job before, or this one.
    recipe: Recipe
    _looks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    @contextlib.asynccontextmanager
    async def accepted(self, event: Event, endings: Endings, *, last_try: bool) -> AsyncIterator[Accepted]:
        """The job of an event. Its source, if it was opened, stays open in the block.

        Events of one image are handled one after the other: together they would only race. Raises `Settled` when there
        is no job, `RecordChanged` on a lost race.
        """
        if isinstance(event, JobRequested):
            yield Accepted(processing_id=event.processing_id, unique_id=event.unique_id)
            return
        async with contextlib.AsyncExitStack() as opened:
            async with self._looks.setdefault(event.key, asyncio.Lock()):
                accepted = await self._accept(event, endings, opened, last_try=last_try)
            yield accepted

    async def _accept(
        self, event: SourceArrived, endings: Endings, opened: contextlib.AsyncExitStack, *, last_try: bool
    ) -> Accepted:
        image = await self._image(event, endings)
        current = await known_job(self.jobs, image.tenant, image.current_job)
        arrival = _Arrival(event=event, image=image, current=current, endings=endings, last_try=last_try)
        if current is not None and _is_known(event, image, current):
            return Accepted(processing_id=current.processing_id)
        try:
            if current is not None and current.status is JobStatus.PENDING:
                return await self._first(arrival, current, opened)
            return await self._further(arrival)
        except ObjectNotFound:
            if current is not None:  # what was refused is removed
                await endings.again(current)
            raise arrival.settled(OutcomeKind.MISSING) from None

    async def _image(self, event: SourceArrived, endings: Endings) -> Image:
        """The image of an event, if it is not deleted. Raises `Settled` when there is none."""
        unique_id = event.unique_id
        if event.bucket != self.source_bucket or unique_id is None:
            raise Settled(Outcome(kind=OutcomeKind.FOREIGN))
        try:
            image = await self.jobs.image_of_any_tenant(unique_id)
        except ImageNotFound:
            raise Settled(Outcome(kind=OutcomeKind.UNKNOWN, unique_id=unique_id)) from None
        self.tenants.remember(image)
        if image.key != event.key:
            raise Settled(Outcome(kind=OutcomeKind.FOREIGN, unique_id=unique_id))
        if image.deleted_at is not None:
            await endings.deleted(image)
            await self.eraser.erase(image)
            raise Settled(Outcome(kind=OutcomeKind.DELETED, unique_id=unique_id))
        return image

    async def _first(self, arrival: _Arrival, pending: Job, opened: contextlib.AsyncExitStack) -> Accepted:
        """Handle the first upload of an image: whatever is in the bucket becomes the source of the pending job.

        One GET describes the object and can read it. The write that accepts it claims the job as well, unless
        something is to be done between the two.
        """
        event, image = arrival.event, arrival.image
        download = await opened.enter_async_context(self.source.open(image.key))
        source, promised = _source(download.info, event), reserved(pending)
        came = Usage(day=today(), bytes=max(0, source.size - promised.bytes), images=int(pending.uncounted))
        overwritten = bool(event.version) and event.version != download.info.version
        lease = None if overwritten else self.leases.new()
        async with self._counting(image, came, promised) as refusal:
            job = await arrival.endings.accept(
                image,
                pending,
                source,
                epoch(clock.now() + self.retention),
                counted=refusal is None,
                refusal=refusal,
                version=download.info.version,
                lease=lease,
                maker=str(self.maker),
            )
        # Whoever has changed the record, and nobody else, gives back what it had reserved: the count of the work does.
        if self.quota is not None:
            self.quota.owe(image.tenant, replace(promised, bytes=max(0, promised.bytes - source.size)))
            opened.push_async_callback(self.quota.settle, image.tenant)
        if overwritten:  # before anybody looked
            image = replace(image, first_version=download.info.version)
            versions = await self.source.versions(image.key)
            await self.eraser.arrivals.count(image, uncounted(versions, image, job))
        if refusal is not None:
            raise await self._refused(image, job)
        return Accepted(processing_id=pending.processing_id, download=download, begun=(job, lease) if lease else None)

    async def _further(self, arrival: _Arrival) -> Accepted:
        """Handle an event of an image that has a source already.

        The record is read before the bucket, and changed only if nobody has changed it since. The new job fetches its
        source again, because another upload may have come in between. Uploads that were overwritten before any worker
        looked are counted together with the one that replaced them.
        """
        image, current = arrival.image, arrival.current
        versions = await self.source.versions(image.key)
        if not versions or not versions[0].latest:
            raise ObjectNotFound
        found, fresh = versions[0], uncounted(versions, image, current)
        if current is not None and current.was_refused:
            if not fresh:  # whoever refused it did not come to remove it
                await arrival.endings.again(current)
                raise await self._refused(image, current)
        elif current is not None:
            if current.is_over(found.etag):
                return await self._same(arrival, current, found, fresh)
            if await self._is_over(current, found):
                await self.eraser.arrivals.count(image, fresh)
                await arrival.endings.again(current)
                raise Settled(of_job(OutcomeKind.DUPLICATE, current))
        _check_pace(arrival, found)
        return await self._another(arrival, fresh, _source(found, arrival.event))

    async def _same(
        self, arrival: _Arrival, current: Job, found: ObjectInfo, fresh: tuple[ObjectInfo, ...]
    ) -> Accepted:
        """The current job has this source, so the event belongs to it, unless it names another upload."""
        await self.eraser.arrivals.count(arrival.image, fresh)
        if arrival.event.etag and arrival.event.etag != found.etag:
            raise arrival.settled(OutcomeKind.STALE)
        return Accepted(processing_id=current.processing_id)

    async def _another(self, arrival: _Arrival, fresh: tuple[ObjectInfo, ...], source: Source) -> Accepted:
        """Make a new job current, for the newest of the `fresh` uploads."""
        image, current = arrival.image, arrival.current
        if len(image.job_ids) >= MAX_JOBS:
            await self.eraser.purge_source(image)
            raise arrival.settled(OutcomeKind.REFUSED, TooManyJobs.code)
        size = sum(each.size for each in fresh)
        came = Usage(day=today(), bytes=size, images=int(current is not None and current.uncounted))
        recipe = recipe_after(current.recipe if current else None, self.recipe)
        new = next_job(image, current, source, self.retention, recipe=recipe)
        async with self._counting(image, came, Usage()) as refusal:
            if refusal is not None:
                new = not_let_in(new, refusal, uncounted=bool(came.images))
            through = fresh[0].version if fresh else ""
            await arrival.endings.replace(image, current, new, counted_through=through)
        if refusal is not None:
            raise await self._refused(image, new)
        return Accepted(processing_id=new.processing_id)

    @contextlib.asynccontextmanager
    async def _counting(self, image: Image, came: Usage, promised: Usage) -> AsyncIterator[Failure | None]:
        """Count an upload before it is recorded, and give that back if others changed the record. Yields why it must be
        removed, or None. Its bytes count in any case."""
        if self.quota is None:
            yield None
            return
        refusal = await self.quota.arrive(image.tenant, came, promised)
        counted = came if refusal is None else replace(came, images=0)
        async with self.quota.owing(image.tenant, counted):
            yield None if refusal is None else failure_of(refusal)

    async def _refused(self, image: Image, job: Job) -> Settled:
        """Remove an upload that was refused; the record says why."""
        with contextlib.suppress(ImageNotFound):
            await self.eraser.purge_source(await self.jobs.get_image(image.tenant, image.unique_id))
        return Settled(of_end(job))

    async def _is_over(self, current: Job, found: ObjectInfo) -> bool:
        """Whether a job has completed with the same bytes under another ETag. A multipart copy and a KMS key give a new
        ETag each time.

        Raises `ObjectNotFound`, `RecordChanged`.
        """
        made = current.manifest
        if made is None or made.size != found.size or made.size > self.max_bytes:
            return False
        try:
            data = await self.source.fetch(found.key, max_bytes=self.max_bytes, etag=found.etag)
        except ObjectChanged:
            raise RecordChanged from None
        digest = await asyncio.to_thread(hashlib.sha256, data)
        return digest.hexdigest() == made.sha256


def _is_known(event: SourceArrived, image: Image, current: Job) -> bool:
    """Whether the record knows the event's upload already, and has counted it.

    The event may be wrong. Then the worker looks once more, or misses a look that changes nothing.
    """
    known = (image.first_version, image.counted_through)
    counted = not event.version or event.version in known or not any(known)
    return counted and current.is_over(event.etag) and not current.was_refused


def _check_pace(arrival: _Arrival, found: ObjectInfo) -> None:
    """Raises `Settled` while the image has had so many recent jobs that another one must wait."""
    pause = 0 if arrival.last_try else pause_before_job(arrival.image.job_ids, clock.now())
    if not pause:
        return
    if arrival.event.etag not in ("", found.etag):  # that of the newest upload is on its way, or waits already
        raise arrival.settled(OutcomeKind.STALE)
    busy = Outcome(kind=OutcomeKind.BUSY, unique_id=arrival.image.unique_id, retry_after_seconds=pause)
    raise Settled(busy)


def _source(found: ObjectInfo, event: SourceArrived) -> Source:
    """The source as S3 describes it. S3 gives the time of the upload in seconds; a plausible time of the event is more
    exact."""
    uploaded_at = found.last_modified
    with contextlib.suppress(ValueError, OverflowError):
        said = clock.from_iso(event.event_time)
        if found.last_modified - LAST_MODIFIED_PRECISION <= said <= clock.now() + LAST_MODIFIED_PRECISION:
            uploaded_at = said
    return Source(etag=found.etag, size=found.size, event_time=clock.to_iso(uploaded_at))
