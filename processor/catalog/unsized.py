"""The use case of large files whose size nobody announces: begin, sign part by part, list, complete, abort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from processor.arrivals import reserved
from processor.catalog.parts import MIB, LargeFiles, PendingUpload, incomplete
from processor.catalog.uploads import UploadRequest, check_upload, record
from processor.erasure import Erasure
from processor.errors import (
    AlreadyUploaded,
    FileTooLarge,
    ImageDeleted,
    ImageNotFound,
    NoSuchPart,
    PartTooSmall,
    WrongUploadMethod,
)
from processor.images import unique_id_of
from processor.jobs import Image, Job
from processor.ports.objects import Part, SignedUrl

#: Least size of a part, but for the last (AWS, "Multipart upload limits").
S3_LEAST_PART_BYTES = 5 * MIB
#: Highest number of a part (the same).
S3_MAX_PARTS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsizedFiles(LargeFiles):
    """Uploads in parts of any size.

    The sender names an upload by the key of the image and the id of its first job. If they do not belong together, or
    to the tenant, the upload is treated as missing. The arrived parts must fit the largest file before another part is
    signed, and again before the file is made.
    """

    #: Largest upload, in bytes.
    max_bytes: int

    async def start(self, tenant: str, request: UploadRequest) -> Job:
        """Begin an upload and record it. Its size is unknown, so the largest file is reserved.

        Raises `PresetNotFound`, `DailyLimitReached`, `ImageLimitReached`, `Unavailable`.
        """
        await check_upload(self.quota, tenant, self.max_bytes)
        job, _ = await self._begin(tenant, request, None)
        job = replace(job, reserved_bytes=self.max_bytes)
        await record(self.stores, self.quota, job)
        return job

    async def sign_part(
        self, tenant: str, processing_id: str, key: str, number: int, *, expires_in_seconds: int
    ) -> SignedUrl:
        """A presigned URL for a part. A part that is sent again replaces the earlier one.

        Raises `ImageNotFound`; `WrongUploadMethod`; `NoSuchPart`; `FileTooLarge` when the other parts (or the least
        size of the parts before it) leave no room; `DailyLimitReached`, `ImageLimitReached`; `AlreadyUploaded`;
        `UploadExpired`; `Unavailable`.
        """
        pending = await self._unsized(await self._named(tenant, processing_id, key))
        if not 1 <= number <= S3_MAX_PARTS:
            told = f"The numbers of parts are 1 to {S3_MAX_PARTS}; {number} is none."
            raise NoSuchPart(told, limit=S3_MAX_PARTS, actual=number)
        others = sum(part.size for part in await self._arrived(pending) if part.number != number)
        least = max(others, (number - 1) * S3_LEAST_PART_BYTES)
        if least >= self.max_bytes:
            raise _too_large_with_this_part(limit=self.max_bytes, actual=least + 1)
        await self._check_day(pending, others)
        return await self.stores.source.sign_part(pending.upload, number, expires_in_seconds=expires_in_seconds)

    async def parts(self, tenant: str, processing_id: str, key: str) -> tuple[Part, ...]:
        """What has arrived. Raises `ImageNotFound`; `WrongUploadMethod`; `AlreadyUploaded`; `UploadExpired`."""
        return await self._arrived(await self._unsized(await self._named(tenant, processing_id, key)))

    async def finish(self, tenant: str, processing_id: str, key: str, etags: Mapping[int, str]) -> Job:
        """Make one file of the parts that the sender names by number and ETag. Safe to repeat. Returns the first job.

        Raises `ImageNotFound`; `JobNotFound` once its record has expired; `WrongUploadMethod`; `UploadIncomplete`, and
        nothing is lost; `PartTooSmall`; `FileTooLarge`; `DailyLimitReached`, `ImageLimitReached`; `UploadExpired`;
        `Unavailable`.
        """
        image = await self._named(tenant, processing_id, key)
        with suppress(AlreadyUploaded):
            pending = await self._unsized(image)
            whole = _chosen(await self._arrived(pending), etags)
            await self._check(pending, whole)
            await self._complete(pending, whole)
            return pending.job
        return await self.stores.jobs.get_job(tenant, processing_id)

    async def give_up(self, tenant: str, processing_id: str, key: str) -> Erasure:
        """Remove the parts and the records, like `abort`. Returns what was removed."""
        image = await self._named(tenant, processing_id, key)
        return await self.abort(tenant, image.unique_id)

    async def _named(self, tenant: str, processing_id: str, key: str) -> Image:
        """The image and the job. A deleted image is found too: the caller knows both of its names."""
        nothing = ImageNotFound("There is no upload with this uploadId and key.")
        unique_id = unique_id_of(key)
        if unique_id is None:
            raise nothing
        try:
            image = await self.stores.jobs.get_image(tenant, unique_id)
        except ImageNotFound:
            raise nothing from None
        if (image.key, image.job_ids[0]) != (key, processing_id):
            raise nothing
        return image

    async def _unsized(self, image: Image) -> PendingUpload:
        if image.deleted_at is not None:
            raise ImageDeleted
        pending = await self._pending(image)
        if pending.size is not None:
            raise WrongUploadMethod
        return pending

    async def _check(self, pending: PendingUpload, parts: Sequence[Part]) -> None:
        """The checks that other uploads pass before they begin."""
        for part in parts[:-1]:
            if part.size < S3_LEAST_PART_BYTES:
                raise PartTooSmall(part.number, limit=S3_LEAST_PART_BYTES, actual=part.size)
        size = sum(part.size for part in parts)
        if size > self.max_bytes:
            raise FileTooLarge(limit=self.max_bytes, actual=size)
        await self._check_day(pending, size)

    async def _check_day(self, pending: PendingUpload, size: int) -> None:
        """Count the arrived parts against the day's limit, although they were not announced; also those reserved on
        another day."""
        if self.quota is not None:
            more = max(0, size - reserved(pending.job).bytes)
            await self.quota.check_open(pending.image.tenant, more)


def _too_large_with_this_part(*, limit: int, actual: int) -> FileTooLarge:
    """The error for a part that does not fit. The size of the file is unknown; the part has at least one byte."""
    error = FileTooLarge(limit=limit, actual=actual)
    error.message = f"With this part the file has at least {actual:,} bytes; the service accepts {limit:,}."
    return error


def _chosen(arrived: Sequence[Part], etags: Mapping[int, str]) -> list[Part]:
    """Parts 1 to the last one named, in order. Raises `UploadIncomplete`."""
    wanted = range(1, max(etags) + 1)
    whole = [part for part in arrived if etags.get(part.number) == part.etag]
    missing = sorted(set(wanted) - {part.number for part in whole})
    if missing:
        raise incomplete(missing, len(wanted))
    return whole
