"""What a client can do with images that it has submitted: look up, list, ask again, delete."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from processor import clock
from processor.arrivals import counted_through, reserved, uncounted
from processor.catalog.finding import EVERYTHING, Wanted, find
from processor.catalog.joined import Joined
from processor.catalog.presets import Choice
from processor.endings import Endings, nothing_to_record
from processor.erasure import Eraser, Erasure
from processor.errors import (
    Busy,
    FilterMismatch,
    ImageDeleted,
    ImageNotFound,
    NeedsReview,
    NotUploaded,
    ObjectNotFound,
    RecordChanged,
    Rejected,
    ReviewRejected,
    TooManyJobs,
    Unavailable,
)
from processor.events import JobRequested
from processor.exposed import hides_by_now, shows_more
from processor.facts import Facts
from processor.images import is_private, prefix_of
from processor.jobs import MAX_JOBS, UNAVAILABLE, Failure, Image, Job, JobStatus, Shown, Source, epoch, next_job
from processor.manifest import hiding_of, stored_variants
from processor.pace import pause_before_job
from processor.ports.jobs import JobPage, JobQuery, JobStore, known_job
from processor.ports.objects import MultipartUpload
from processor.ports.stores import Stores
from processor.races import races
from processor.recipes import Recipe, hiding_faces
from processor.usage import Quota, Usage, today

#: How old a job must be to be queued again when a client asks for it again. A younger one has a message on its way;
#: another message for every request would only delay others.
MESSAGE_GRACE = timedelta(minutes=1)
#: How long requests for one image are collected, in seconds, while the image has to wait.
STORM_SECONDS = 0.5
#: Whether an image's current job is one that is meant. None: its record has expired.
Matches = Callable[[Job | None], bool]
#: The failure of a job without a message.
NOT_QUEUED = Failure(code=UNAVAILABLE, message="The job could not be queued; ask again.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Images that have been submitted. Every call names the tenant; another tenant's image is treated as missing."""

    stores: Stores
    #: Enforces limits; None: there are none.
    quota: Quota | None = None
    #: How long job records and tombstones are kept.
    retention: timedelta
    #: What is made of an image.
    choice: Choice = field(default_factory=Choice)
    #: Merges simultaneous requests to process an image again, which would only race each other.
    _requests: Joined[Job] = field(default_factory=Joined, compare=False)
    #: Looks at a job that many wait for.
    _looks: Joined[Job] = field(default_factory=Joined, compare=False)

    @property
    def endings(self) -> Endings:
        """Ends jobs. A request succeeds even if a listener fails."""
        return Endings(jobs=self.stores.jobs, listeners=self.stores.listeners)

    @property
    def eraser(self) -> Eraser:
        return Eraser(stores=self.stores, quota=self.quota)

    async def current_job(self, tenant: str, unique_id: str) -> str:
        """The id of an image's current job. Raises `ImageNotFound`."""
        return (await living(self.stores.jobs, tenant, unique_id)).current_job

    async def status(self, tenant: str, processing_id: str) -> Job:
        """The job. A job that was replaced names its image's current job, however many came in between. It has nothing
        to show if that one shows less: its variants are removed.

        Raises `JobNotFound`.
        """
        job = await self.stores.jobs.get_job(tenant, processing_id)
        if job.superseded_by is None:
            return job
        with suppress(ImageNotFound):
            image = await self.stores.jobs.get_image(tenant, job.unique_id)
            job = replace(job, superseded_by=image.current_job)
        current = await known_job(self.stores.jobs, tenant, job.superseded_by or "") if _says_something(job) else None
        return job if current is None else _as_shown_now(job, current)

    async def status_for_all(self, tenant: str, processing_id: str) -> Job:
        """The same, read once for all who ask at once."""
        return await self._looks.run(f"{tenant}/{processing_id}", partial(self.status, tenant, processing_id))

    async def list(self, query: JobQuery, wanted: Wanted = EVERYTHING) -> JobPage:
        """A page of the tenant's images, one row each: its current job. With `wanted` it may be short."""
        return await find(self.stores.jobs.list, query, wanted)

    async def history(
        self, tenant: str, unique_id: str, *, limit: int, after: str | None = None
    ) -> tuple[Sequence[Job], str | None]:
        """The next `limit` jobs of an image, the newest first, less those whose records have expired; and the id to go
        on `after`, None at the end. One has nothing to show if the current job shows less. Raises `ImageNotFound`.
        """
        image = await living(self.stores.jobs, tenant, unique_id)
        ids = image.job_ids[::-1]
        start = 0 if after is None else ids.index(after) + 1 if after in ids else len(ids)
        page = ids[start : start + limit]
        wanted = dict.fromkeys((*page, image.current_job))
        found = await asyncio.gather(*(known_job(self.stores.jobs, tenant, each) for each in wanted))
        jobs = dict(zip(wanted, found, strict=True))
        current, known = jobs[image.current_job], [job for each in page if (job := jobs[each]) is not None]
        is_last = start + limit >= len(ids)
        shown = known if current is None else [_as_shown_now(job, current) for job in known]
        return shown, None if is_last else page[-1]

    async def processed_images(self, tenant: str, unique_id: str) -> Shown:
        """The variants of the newest completed job over the newest source; none while there is no such job.

        Raises `ImageNotFound`; `NeedsReview`, `ReviewRejected` for an image of which nothing may be seen.
        """
        image = await living(self.stores.jobs, tenant, unique_id)
        shown = image.current_job
        job = await known_job(self.stores.jobs, tenant, shown)
        if job is not None and job.status is not JobStatus.COMPLETED:
            if job.previous_job is None or hides_by_now(job):
                check_visible(job)
                return Shown()
            shown = job.previous_job
            job = await known_job(self.stores.jobs, tenant, shown)
        # A job's record expires before its image does; then the bucket tells.
        return job.shown if job is not None else await stored_variants(self.stores.processed, unique_id, shown)

    async def reprocess(
        self,
        tenant: str,
        unique_id: str,
        *,
        preset: str | None = None,
        delay_seconds: int = 0,
        instead_of: str | None = None,
        only: Matches | None = None,
    ) -> Job:
        """Make a new job for the newest source and queue it.

        It has the newest version of the preset that is named, or else of the image's own. An unfinished job for the
        same bytes is returned instead, unless a preset is named and that job has another recipe. It is queued again if
        it is so old that its message may be lost. An unfinished job that is replaced fails as superseded. No worker
        takes the new job before `delay_seconds` (0 to 900) are over, nor before the pace of the image allows it. With
        `instead_of` the new job replaces only that failed job, with `only` only a current job that matches.

        Raises `ImageNotFound`; `NotUploaded` while no source has arrived, or when it is gone; `PresetNotFound`;
        `DailyLimitReached`, `TooManyJobs`; `RecordChanged` when the job of `instead_of` is not current or not failed
        any more; `FilterMismatch`; `Busy`; `Unavailable`.
        """
        if self.quota is not None:
            await self.quota.check_request(tenant)
        if instead_of is not None or only is not None or delay_seconds:
            return await self._again(
                tenant, unique_id, preset=preset, delay_seconds=delay_seconds, instead_of=instead_of, only=only
            )
        again = partial(self._again, tenant, unique_id, preset=preset, collects=True)
        return await self._requests.run(f"{tenant}/{unique_id}/{preset or ''}", again)

    async def _again(
        self,
        tenant: str,
        unique_id: str,
        *,
        preset: str | None = None,
        delay_seconds: int = 0,
        instead_of: str | None = None,
        only: Matches | None = None,
        collects: bool = False,
    ) -> Job:
        async for _ in races():
            image = await living(self.stores.jobs, tenant, unique_id)
            if collects and pause_before_job(image.job_ids, clock.now()):
                collects = False
                await asyncio.sleep(STORM_SECONDS)
                continue
            old = await known_job(self.stores.jobs, tenant, image.current_job)
            _check(old, instead_of, only)
            source, version = await self._newest_source(image, old)
            recipe = await self._recipe(image, old, preset)
            # Another preset is no way around what the image's own one hides.
            recipe = hiding_faces(recipe, await hiding_of(self.stores.processed, image, old))
            if old is not None and old.must_be_reviewed:  # another preset is no way around a review
                recipe = replace(recipe, review=True)
            if old is not None and not old.ended and old.is_over(source.etag) and _will_do(old, preset, recipe):
                if not old.is_at_rest and clock.now() - old.updated_at >= MESSAGE_GRACE:
                    await self._request(old, delay_seconds)
                return old
            if len(image.job_ids) >= MAX_JOBS:
                raise TooManyJobs(limit=MAX_JOBS, actual=len(image.job_ids) + 1)
            new = next_job(image, old, source, self.retention, recipe=recipe, previous_job=_shown_meanwhile(old))
            try:
                await self._replace(image, old, new, version)
            except (RecordChanged, Busy):
                continue
            await self.endings.moved(new, nothing_to_record)  # before a worker does: it would tell the same
            await self._enqueue(new, max(delay_seconds, pause_before_job(image.job_ids, new.created_at)))
            return new
        raise Busy

    async def delete(
        self, tenant: str, unique_id: str, *, sent: int | None = None, only: Matches | None = None
    ) -> Erasure:
        """Remove the source, the variants and the records. Returns what was removed.

        `sent` is the size of the parts that had arrived, if the multipart upload has been aborted already. A tombstone
        stays, so that no late event revives the image. If a delete was interrupted, the next one finishes it. With
        `only`, an image whose current job does not match is not deleted.

        Raises `ImageNotFound`; `ImageDeleted` for an image that is erased already; `FilterMismatch`; `Busy`;
        `Unavailable`.
        """
        async for _ in races():
            image = await self.stores.jobs.get_image(tenant, unique_id)
            if image.erased_at is not None:
                raise ImageDeleted
            if image.deleted_at is None:
                try:
                    image = await self._bury(image, sent, only)
                except (RecordChanged, Busy):
                    continue
            await self.endings.deleted(image)
            return await self.eraser.erase(image)
        raise Busy

    async def _bury(self, image: Image, sent: int | None, only: Matches | None) -> Image:
        """Write the tombstone, and then give back what the image had counted for: only its writer does so.

        Uploads that no worker has looked at were stored, so they are counted. Raises `RecordChanged`, `FilterMismatch`,
        `Busy`, `Unavailable`.
        """
        old = await known_job(self.stores.jobs, image.tenant, image.current_job)
        _check(old, None, only)
        waiting = old if old is not None and old.uncounted else None
        held = Usage(day=today(), images=1) if waiting is None else reserved(waiting)
        parts = 0 if waiting is None else await self._sent(waiting, sent)
        # After the parts: whatever was made of them is there by now, and nothing can be made of them any more.
        versions = await self.stores.source.versions(image.key, until=image.counted_through)
        unseen = sum(each.size for each in uncounted(versions, image, old))
        parts = 0 if unseen else parts
        unseen += max(0, parts - held.bytes)
        # It is the last that happens to the image, also where this clock is behind another.
        deleted_at = max(clock.now(), old.updated_at) if old else clock.now()
        async with self._counted(image, Usage(day=today(), bytes=unseen)):
            image = await self.stores.jobs.tombstone(
                image,
                deleted_at,
                epoch(deleted_at + self.retention),
                uncounted=waiting is not None,
                status=old.status if old is not None and (waiting is not None or only is not None) else None,
                counted_through=counted_through(versions, image),
            )
        if self.quota is not None:
            await self.quota.give_back(image.tenant, replace(held, bytes=max(0, held.bytes - parts)))
        return image

    async def _sent(self, waiting: Job, sent: int | None) -> int:
        """Bytes of the parts that have arrived and are aborted here: they were stored. If that is unknown, the reserved
        bytes.

        Raises `Unavailable`.
        """
        if sent is not None or waiting.terms is None or waiting.terms.multipart is None:
            return sent or 0
        upload = MultipartUpload(key=waiting.original_key, upload_id=waiting.terms.multipart)
        try:
            sent = sum(part.size for part in await self.stores.source.list_parts(upload))
        except ObjectNotFound:
            return reserved(waiting).bytes
        await self.stores.source.abort_multipart(upload)
        return sent

    @asynccontextmanager
    async def _counted(self, image: Image, used: Usage) -> AsyncIterator[None]:
        """Count what cannot be refused any more, while the block changes the record."""
        if self.quota is None or not used.counts:
            yield
            return
        await self.quota.count(image.tenant, used)
        async with self.quota.owing(image.tenant, used):
            yield

    async def _replace(self, image: Image, old: Job | None, new: Job, version: str) -> None:
        """Make a job current. Its source is counted first, because it may be new; so is an image that was refused and
        came again.

        Raises what `take` raises, and `RecordChanged`.
        """
        if version and version not in (image.first_version, image.counted_through):
            versions = await self.stores.source.versions(image.key, until=image.counted_through)
            image = await self.eraser.arrivals.count(image, uncounted(versions, image, old))
        if self.quota is None or old is None or not old.uncounted:
            await self.endings.replace(image, old, new)
            return
        used = Usage(day=today(), images=1)
        await self.quota.take(image.tenant, used)
        async with self.quota.owing(image.tenant, used):
            await self.endings.replace(image, old, new)

    async def _recipe(self, image: Image, old: Job | None, preset: str | None) -> Recipe:
        """The recipe of the next job. If the record of the last one has expired, its manifest names its preset."""
        if old is not None:
            return await self.choice.of_image(image.tenant, old.recipe, preset)
        shown = Shown()
        with suppress(Rejected):
            shown = await stored_variants(self.stores.processed, image.unique_id, image.current_job)
        recipe = await self.choice.of_image(image.tenant, shown.preset, preset)
        was_private = preset is None and any(is_private(variant.key) for variant in shown.variants)
        return replace(recipe, private=True) if was_private else recipe

    async def _newest_source(self, image: Image, old: Job | None) -> tuple[Source, str]:
        """The newest source, and its version id in S3."""
        if old is not None and old.status is JobStatus.PENDING:
            raise NotUploaded
        try:
            found = await self.stores.source.head(image.key)
        except ObjectNotFound:
            raise NotUploaded("The uploaded file is not there any more.") from None
        return Source(etag=found.etag, size=found.size), found.version

    async def _request(self, job: Job, delay_seconds: int) -> None:
        message = JobRequested(unique_id=job.unique_id, processing_id=job.processing_id)
        await self.stores.queue.send(message.to_message(), delay_seconds=delay_seconds)

    async def _enqueue(self, job: Job, delay_seconds: int) -> None:
        try:
            await self._request(job, delay_seconds)
        except Unavailable:
            # The record is there but nobody will come for it: say so, rather than let it wait for ever.
            try:
                await self.endings.fail(job, NOT_QUEUED)
            except RecordChanged:
                return  # a worker has it: the message went through, and its answer was lost
            raise


async def living(jobs: JobStore, tenant: str, unique_id: str) -> Image:
    """An image of the tenant's that is not deleted. Raises `ImageNotFound`, `ImageDeleted`."""
    image = await jobs.get_image(tenant, unique_id)
    if image.deleted_at is not None:
        raise ImageDeleted
    return image


def check_visible(job: Job) -> None:
    """Raises `NeedsReview`, `ReviewRejected` for a job of which nothing may be seen."""
    if job.status is JobStatus.NEEDS_REVIEW:
        raise NeedsReview
    if job.status is JobStatus.REJECTED:
        raise ReviewRejected


def _says_something(job: Job) -> bool:
    return bool(job.variants or job.facts.everything)


def _as_shown_now(job: Job, current: Job) -> Job:
    """A job of an image without what it shows and the image's current job does not: facts show it, too."""
    if job.processing_id == current.processing_id or not shows_more(job, prefix_of(job.recipe), current):
        return job
    return replace(job, variants=(), further=(), facts=Facts())


def _shown_meanwhile(old: Job | None) -> str | None:
    """The job whose variants are shown until a new job, which replaces `old` for the same source, has completed."""
    if old is None:
        return None
    return old.processing_id if old.status is JobStatus.COMPLETED else old.previous_job


def _will_do(unfinished: Job, preset: str | None, recipe: Recipe) -> bool:
    """Whether an unfinished job makes what is wanted."""
    return preset is None or (unfinished.recipe is not None and unfinished.recipe.reference == recipe.reference)


def _check(current: Job | None, instead_of: str | None, only: Matches | None) -> None:
    """Whether a current job is one that is meant. Raises `RecordChanged`, `FilterMismatch`."""
    if instead_of is not None and not _is_failed(current, instead_of):
        raise RecordChanged
    if only is not None and not only(current):
        raise FilterMismatch


def _is_failed(job: Job | None, processing_id: str) -> bool:
    return job is not None and job.processing_id == processing_id and job.status is JobStatus.FAILED
