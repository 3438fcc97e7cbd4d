"""Which uploads have arrived and are not counted yet. The bucket says so; messages are not trusted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from processor.errors import Busy, ImageNotFound, RecordChanged
from processor.jobs import Image, Job, JobStatus
from processor.ports.jobs import JobStore
from processor.ports.objects import ObjectInfo
from processor.usage import Quota, Usage, day_of, today

#: How often an image is looked at anew while others count what came for it.
TRIES = 5

#: Stands for the version before the first: whatever comes is uncounted. No id of S3 is like it.
NOTHING = "-"


def uncounted(versions: Iterable[ObjectInfo], image: Image, current: Job | None) -> tuple[ObjectInfo, ...]:
    """Those of a source's `versions` (newest first) that are not counted yet.

    In a bucket without versions, and in records of earlier releases, the ETag identifies a source. There, all uploads
    before it are taken as counted.
    """
    named = bool(image.first_version or image.counted_through)
    found: list[ObjectInfo] = []
    for each in versions:
        if each.version and each.version == image.counted_through:
            break
        if not (named and each.version) and _is_known(each, current):
            break
        if not each.version or each.version != image.first_version:
            found.append(each)
    return tuple(found)


def counted_through(versions: Sequence[ObjectInfo], image: Image) -> str:
    """The version up to which all uploads are counted after `versions` were; empty if that does not change."""
    if versions:
        return versions[0].version
    return "" if image.first_version or image.counted_through else NOTHING


def reserved(job: Job) -> Usage:
    """What a pending upload has reserved today; nothing if it reserved on another day, or if nobody asked for the
    upload."""
    if job.status is not JobStatus.PENDING or job.terms is None or day_of(job.created_at) != today():
        return Usage(day=today())
    return Usage(day=today(), bytes=job.reserved_bytes or job.terms.size or 0, open=1)


def _is_known(found: ObjectInfo, current: Job | None) -> bool:
    return current is None or (current.is_over(found.etag) and not current.was_refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Counts uploads that do not become jobs: they were overwritten before the worker looked, repeated, or came too
    late."""

    jobs: JobStore
    #: None: nobody counts.
    quota: Quota | None = None

    async def count(self, image: Image, found: Iterable[ObjectInfo]) -> Image:
        """Count uploads (newest first) and note that in the image's record. Returns the image as written.

        Raises `RecordChanged` when others were faster; `Busy`, `Unavailable`.
        """
        uploads = tuple(found)
        if self.quota is None or not uploads or not uploads[0].version:
            return image
        used = Usage(day=today(), bytes=sum(each.size for each in uploads))
        await self.quota.count(image.tenant, used)
        async with self.quota.owing(image.tenant, used):
            return await self.jobs.count_through(image, uploads[0].version)

    async def count_removed(self, image: Image, found: tuple[ObjectInfo, ...]) -> None:
        """Count uploads just before they are removed, because no worker will look at them. Raises `Busy`,
        `Unavailable`."""
        for _ in range(TRIES):
            try:
                await self.count(image, uncounted(found, image, None))
            except RecordChanged:
                with suppress(ImageNotFound):
                    image = await self.jobs.get_image(image.tenant, image.unique_id)
            else:
                return
        raise Busy
