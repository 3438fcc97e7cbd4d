"""Compares the buckets with the records, and repairs what no message will repair."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial

from processor import clock
from processor.endings import Endings
from processor.erasure import Eraser
from processor.errors import ImageNotFound, ObjectNotFound, RecordChanged
from processor.events import JobRequested, SourceArrived
from processor.exposed import SERVED, forget_variants, shows_more
from processor.images import HELD_PREFIX, PREFIXES, SOURCE_PREFIX, job_of_variant, job_prefix, unique_id_of
from processor.jobs import SUPERSEDED, Image, Job, JobStatus, first_image, pending_job
from processor.manifest import manifest_key
from processor.ports.jobs import known_job
from processor.ports.objects import ObjectInfo
from processor.ports.stores import AllStores
from processor.recipes import STANDARD, Recipe

#: Objects compared at once; each costs up to two reads of the table.
CONCURRENCY = 16


class FindingKind(StrEnum):
    """What can be out of order."""

    UNHEARD = "unheard"  # an upload whose event never came
    UNCLAIMED = "unclaimed"  # a job that waits, for longer than any message is hidden
    ABANDONED = "abandoned"  # a job whose worker's lease has run out
    DECIDED = "decided"  # a review whose decision was not carried out to its end
    OWED = "owed"  # a completed job that owes further formats, and on which nobody works
    UNRECORDED = "unrecorded"  # an upload that there is no record of
    REVENANT = "revenant"  # an object of a deleted image
    ORPHAN = "orphan"  # variants that no record names
    EXPOSED = "exposed"  # variants of an earlier job that show more than the image's newest one
    REPLACED = "replaced"  # variants of an earlier job that newer ones replaced long ago


class Action(StrEnum):
    """What was done about it."""

    QUEUED = "queued"
    REMOVED = "removed"
    REPORTED = "reported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was out of order. `where` is an object's key, or a prefix."""

    kind: FindingKind
    action: Action
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciler:
    """Safe to run at any time, twice, and beside other runs and the workers.

    It decides by consistent reads and ignores whatever changed within `grace`. It repairs by the same events that the
    workers handle; an extra event is a duplicate for them.
    """

    stores: AllStores
    source_bucket: str
    #: Younger uploads are ignored: their messages may still arrive. This is longer than a message can stay hidden.
    grace: timedelta
    #: Report what would be done, and do nothing.
    dry_run: bool = False
    #: What is made of an image that is adopted.
    recipe: Recipe = STANDARD
    #: The tenant that gets uploads without a record; None: they stay as they are.
    adopt_as: str | None = None
    #: How long variants stay when newer ones of their image are there. None: until the image is deleted.
    keep_replaced: timedelta | None = None

    async def findings(self) -> AsyncIterator[Finding]:
        """Everything that is out of order, as it is found and mended. Raises `Unavailable`."""
        async for finding in self._sources():
            yield finding
        async for finding in self._variants():
            yield finding

    # -- uploads -------------------------------------------------------------------------------------------------

    async def _sources(self) -> AsyncIterator[Finding]:
        batch: list[Awaitable[Finding | None]] = []
        async for found in self.stores.source.walk(SOURCE_PREFIX):
            unique_id = unique_id_of(found.key)
            if unique_id is not None and self._settled_since(found.last_modified):
                batch.append(self._source(unique_id, found))
            if len(batch) >= CONCURRENCY:
                for finding in await _all(batch):
                    yield finding
        for finding in await _all(batch):
            yield finding

    async def _source(self, unique_id: str, found: ObjectInfo) -> Finding | None:
        try:
            image = await self.stores.jobs.image_of_any_tenant(unique_id)
        except ImageNotFound:
            return await self._unrecorded(unique_id, found)
        if image.deleted_at is not None:
            return await self._mended(FindingKind.REVENANT, Action.REMOVED, found.key, partial(self._erase, image))
        job = await known_job(self.stores.jobs, image.tenant, image.current_job)
        if job is None or not self._settled_since(job.updated_at):
            return None
        return await self._unfinished(job, found)

    async def _erase(self, image: Image) -> None:
        """Erase, and tell the listeners again: whoever wrote the tombstone may have died before that."""
        await Endings(jobs=self.stores.jobs, listeners=self.stores.listeners).deleted(image)
        await Eraser(stores=self.stores).erase(image)

    async def _unfinished(self, job: Job, found: ObjectInfo) -> Finding | None:
        if job.status is JobStatus.PENDING or _is_of_another_upload(job, found):
            return await self._queued(FindingKind.UNHEARD, found.key, self._arrival(found))
        if job.status is JobStatus.UPLOADED:
            return await self._queued(FindingKind.UNCLAIMED, found.key, _request(job))
        if job.status is JobStatus.PROCESSING and _lease_is_over(job):
            return await self._queued(FindingKind.ABANDONED, found.key, _request(job))
        if job.status is JobStatus.NEEDS_REVIEW and job.is_decided:
            return await self._queued(FindingKind.DECIDED, found.key, _request(job))
        if job.owed and _lease_is_over(job):
            return await self._queued(FindingKind.OWED, found.key, _request(job))
        return None

    async def _unrecorded(self, unique_id: str, found: ObjectInfo) -> Finding:
        if self.adopt_as is None:
            return Finding(kind=FindingKind.UNRECORDED, action=Action.REPORTED, where=found.key)
        name = found.key.removeprefix(SOURCE_PREFIX)
        job = pending_job(self.adopt_as, unique_id, found.key, name, recipe=self.recipe)
        if not self.dry_run:
            with contextlib.suppress(RecordChanged):  # another run was faster
                await self.stores.jobs.create(first_image(job), job)
        return await self._queued(FindingKind.UNRECORDED, found.key, self._arrival(found))

    def _arrival(self, found: ObjectInfo) -> SourceArrived:
        """The event that S3 must have sent."""
        return SourceArrived(
            bucket=self.source_bucket,
            key=found.key,
            etag=found.etag,
            event_time=clock.to_iso(found.last_modified),
        )

    # -- variants ------------------------------------------------------------------------------------------------

    async def _variants(self) -> AsyncIterator[Finding]:
        for under in PREFIXES:
            batch: list[Awaitable[Finding | None]] = []
            async for unique_id, processing_id, newest in self._stored_jobs(under):
                if self._settled_since(newest):
                    batch.append(self._stored_job(unique_id, processing_id, under))
                if len(batch) >= CONCURRENCY:
                    for finding in await _all(batch):
                        yield finding
            for finding in await _all(batch):
                yield finding

    async def _stored_jobs(self, under: str) -> AsyncIterator[tuple[str, str, datetime]]:
        """Every job that has stored variants there, and when it stored the last. Keys come in order."""
        job: tuple[str, str] | None = None
        newest = datetime.min.replace(tzinfo=clock.now().tzinfo)
        async for found in self.stores.processed.walk(under):
            owner = job_of_variant(found.key)
            if owner != job:
                if job is not None:
                    yield (*job, newest)
                job, newest = owner, found.last_modified
            newest = max(newest, found.last_modified)
        if job is not None:
            yield (*job, newest)

    async def _stored_job(self, unique_id: str, processing_id: str, under: str) -> Finding | None:
        kind = await self._surplus(unique_id, processing_id, under)
        if kind is None:
            return None
        prefix = job_prefix(unique_id, processing_id, under)
        remove = partial(forget_variants, self.stores) if kind is FindingKind.EXPOSED else self.stores.processed.purge
        return await self._mended(kind, Action.REMOVED, prefix, lambda: remove(prefix))

    async def _surplus(self, unique_id: str, processing_id: str, under: str) -> FindingKind | None:
        """Why variants must go; None: they stay."""
        try:
            image = await self.stores.jobs.image_of_any_tenant(unique_id)
        except ImageNotFound:
            return FindingKind.ORPHAN
        job = await known_job(self.stores.jobs, image.tenant, processing_id)
        if _is_orphan(image, processing_id, job, under):
            return FindingKind.ORPHAN
        if processing_id == image.current_job or under not in SERVED:
            return None
        current = await known_job(self.stores.jobs, image.tenant, image.current_job)
        if current is not None and shows_more(job, under, current):
            return FindingKind.EXPOSED
        return FindingKind.REPLACED if await self._stands(image) else None

    async def _stands(self, image: Image) -> bool:
        """Whether the variants of the current job have been there for so long that those before them may go.

        The bucket tells, by the manifest, which is written last: the record may have expired, and that of a job that
        failed as well.
        """
        if self.keep_replaced is None:
            return False
        for under in SERVED:
            with contextlib.suppress(ObjectNotFound):
                manifest = manifest_key(image.unique_id, image.current_job, under=under)
                found = await self.stores.processed.head(manifest)
                return clock.now() - found.last_modified >= self.keep_replaced
        return False

    # -- parts ---------------------------------------------------------------------------------------------------

    def _settled_since(self, moment: datetime) -> bool:
        return clock.now() - moment >= self.grace

    async def _queued(self, kind: FindingKind, where: str, event: SourceArrived | JobRequested) -> Finding:
        return await self._mended(kind, Action.QUEUED, where, lambda: self.stores.queue.send(event.to_message()))

    async def _mended(
        self, kind: FindingKind, action: Action, where: str, mend: Callable[[], Awaitable[object]]
    ) -> Finding:
        if not self.dry_run:
            await mend()
        return Finding(kind=kind, action=action, where=where)


async def _all(batch: list[Awaitable[Finding | None]]) -> list[Finding]:
    """The findings of a batch, which is emptied."""
    waiting, batch[:] = list(batch), []
    return [finding for finding in await asyncio.gather(*waiting) if finding is not None]


def _is_orphan(image: Image, processing_id: str, job: Job | None, under: str) -> bool:
    """Whether no job has these variants. An image names its job before the job stores anything, so an unnamed job is
    over. What is held belongs to jobs that have not ended; what viewers read never to one that is held."""
    if image.deleted_at is not None or processing_id not in image.job_ids:
        return True
    if job is None:  # expired, while its image lives and shows these variants; nobody can approve it any more
        return under == HELD_PREFIX
    if under == HELD_PREFIX:
        return job.ended
    return job.is_withheld or (job.error is not None and job.error.code == SUPERSEDED)


def _request(job: Job) -> JobRequested:
    return JobRequested(unique_id=job.unique_id, processing_id=job.processing_id)


def _is_of_another_upload(job: Job, found: ObjectInfo) -> bool:
    return job.source is not None and bool(job.source.etag) and job.source.etag != found.etag


def _lease_is_over(job: Job) -> bool:
    return job.lease is None or job.lease.expires_at < clock.now().timestamp()
