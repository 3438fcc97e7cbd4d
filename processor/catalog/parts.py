"""The use case of large files, which are uploaded in parts: begin, sign again, complete, abort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from processor import clock
from processor.catalog.images import Catalog, living
from processor.catalog.presets import Choice
from processor.catalog.uploads import UploadRequest, check_upload, record
from processor.erasure import Erasure
from processor.errors import (
    AlreadyUploaded,
    ImageDeleted,
    JobNotFound,
    NoSuchPart,
    ObjectChanged,
    ObjectNotFound,
    RecordChanged,
    UploadExpired,
    UploadIncomplete,
    WrongUploadMethod,
)
from processor.images import new_unique_id, source_key
from processor.jobs import Image, Job, JobStatus, pending_job, pending_until
from processor.ports.objects import MultipartUpload, Part, PresignedPart
from processor.ports.stores import Stores
from processor.usage import Quota

MIB = 1024 * 1024
#: Least size of a part, but for the last. S3 asks for 5 MiB (AWS, "Multipart upload limits"); with 8 the largest file
#: of the default limit has 13 parts.
LEAST_PART_BYTES = 8 * MIB
#: Most parts of a file: every one is a signed URL in the answer.
MAX_PARTS = 100
#: How many missing parts the sentence of an error names.
MAX_NAMED_PARTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipartSubmission:
    """A recorded upload in parts of `part_size` bytes (the last one is smaller), and presigned URLs for the parts asked
    for."""

    job: Job
    part_size: int
    parts: tuple[PresignedPart, ...]

    @property
    def expires_in_seconds(self) -> int:
        """How long all of the URLs are valid."""
        return min(part.expires_in_seconds for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsState:
    """The parts of an upload that have arrived completely, and the numbers of the others."""

    job: Job
    size: int
    part_size: int
    arrived: tuple[Part, ...]
    missing: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingUpload:
    """An unfinished upload: its records, its id in S3, and its size in bytes, if that was announced."""

    image: Image
    job: Job
    upload: MultipartUpload
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeFiles:
    """Uploads in parts. Every call names the tenant; another tenant's image is treated as missing."""

    stores: Stores
    #: Enforces limits; None: there are none.
    quota: Quota | None = None
    #: What is made of an image.
    choice: Choice = field(default_factory=Choice)
    #: Removes an image whose upload is aborted.
    catalog: Catalog

    async def begin(self, tenant: str, request: UploadRequest, size: int) -> MultipartSubmission:
        """Begin an upload of `size` bytes, record a pending image, and sign every part.

        The upload begins before its record is written. A record without its upload would be useless; an upload without
        a record stays empty, because nobody has its URLs. Raises `PresetNotFound`, `DailyLimitReached`,
        `ImageLimitReached`, `Unavailable`.
        """
        await check_upload(self.quota, tenant, size)
        job, upload = await self._begin(tenant, request, size)
        parts = await self._sign(upload, part_sizes(size), request.expires_in_seconds)
        await record(self.stores, self.quota, job)
        return MultipartSubmission(job=job, part_size=part_size(size), parts=parts)

    async def sign(
        self, tenant: str, unique_id: str, numbers: Sequence[int] | None, expires_in_seconds: int
    ) -> MultipartSubmission:
        """Sign parts of a pending upload again; all parts if `numbers` is missing. Earlier URLs stay valid.

        Raises `ImageNotFound`; `WrongUploadMethod`; `AlreadyUploaded`; `UploadExpired`; `NoSuchPart`; `Unavailable`.
        """
        pending, size = await self._announced(tenant, unique_id)
        sizes = _chosen(part_sizes(size), numbers)
        await self._arrived(pending)  # or S3 would refuse what is signed
        parts = await self._sign(pending.upload, sizes, expires_in_seconds)
        expires_at = max(pending.job.expires_at, pending_until(clock.now(), expires_in_seconds))
        try:
            job = await self.stores.jobs.extend(pending.image, pending.job, expires_at)
        except RecordChanged:  # the file has arrived, or the image was deleted
            raise AlreadyUploaded from None
        return MultipartSubmission(job=job, part_size=part_size(size), parts=parts)

    async def state(self, tenant: str, unique_id: str) -> PartsState:
        """Which parts have arrived with the announced size.

        Raises `ImageNotFound`; `WrongUploadMethod`; `AlreadyUploaded`; `UploadExpired`; `Unavailable`.
        """
        pending, size = await self._announced(tenant, unique_id)
        whole, missing = await self._whole(pending, size)
        return PartsState(
            job=pending.job, size=size, part_size=part_size(size), arrived=tuple(whole), missing=tuple(missing)
        )

    async def complete(self, tenant: str, unique_id: str) -> Image:
        """Make one file of the parts, once all have arrived. Safe to repeat.

        Raises `ImageNotFound`; `WrongUploadMethod`; `UploadIncomplete`, and nothing is lost; `UploadExpired`;
        `Unavailable`.
        """
        try:
            pending, size = await self._announced(tenant, unique_id)
            whole, missing = await self._whole(pending, size)
            if missing:
                raise incomplete(missing, len(part_sizes(size)))
            await self._complete(pending, whole)
        except AlreadyUploaded:
            return await living(self.stores.jobs, tenant, unique_id)
        return pending.image

    async def abort(self, tenant: str, unique_id: str) -> Erasure:
        """Remove the parts and the records. Returns what was removed. If a call was interrupted, the next one finishes
        it.

        The upload is aborted first. After that nothing can complete it, so no completed file is removed. Raises
        `ImageNotFound`; `ImageDeleted` for an image that is erased already; `WrongUploadMethod`; `AlreadyUploaded`;
        `Unavailable`.
        """
        sent: int | None = None
        with suppress(ImageDeleted):  # a delete that was cut short is the catalog's to finish
            pending = await self._pending(await living(self.stores.jobs, tenant, unique_id))
            with suppress(ObjectNotFound):
                sent = sum(part.size for part in await self.stores.source.list_parts(pending.upload))
            await self.stores.source.abort_multipart(pending.upload)
            if await self._is_there(pending.image.key):
                raise AlreadyUploaded
        return await self.catalog.delete(tenant, unique_id, sent=sent)

    async def _begin(self, tenant: str, request: UploadRequest, size: int | None) -> tuple[Job, MultipartUpload]:
        """The job is not recorded yet. Raises `PresetNotFound`."""
        recipe = await self.choice.of_upload(tenant, request.preset)
        unique_id = new_unique_id()
        key = source_key(unique_id, request.extension)
        upload = await self.stores.source.begin_multipart(key, content_type=request.terms.content_type)
        job = pending_job(
            tenant,
            unique_id,
            key,
            request.filename,
            recipe=recipe,
            metadata=request.metadata,
            terms=replace(request.terms, size=size, multipart=upload.upload_id),
            expires_in_seconds=request.expires_in_seconds,
        )
        return job, upload

    async def _announced(self, tenant: str, unique_id: str) -> tuple[PendingUpload, int]:
        """The upload and its size. Raises `ImageNotFound`; `WrongUploadMethod`; `AlreadyUploaded`."""
        pending = await self._pending(await living(self.stores.jobs, tenant, unique_id))
        if pending.size is None:
            raise WrongUploadMethod
        return pending, pending.size

    async def _pending(self, image: Image) -> PendingUpload:
        """Raises `WrongUploadMethod`; `AlreadyUploaded`."""
        try:
            job = await self.stores.jobs.get_job(image.tenant, image.current_job)
        except JobNotFound:  # expired before its image, as only what was uploaded does
            raise AlreadyUploaded from None
        terms = job.terms
        if terms is None or terms.multipart is None:
            raise WrongUploadMethod
        if job.status is not JobStatus.PENDING:
            raise AlreadyUploaded
        upload = MultipartUpload(key=image.key, upload_id=terms.multipart)
        return PendingUpload(image=image, job=job, upload=upload, size=terms.size)

    async def _arrived(self, pending: PendingUpload) -> tuple[Part, ...]:
        """The parts that have arrived. Raises `AlreadyUploaded` when they were completed to a file, else
        `UploadExpired`."""
        try:
            return await self.stores.source.list_parts(pending.upload)
        except ObjectNotFound:
            raise await self._why_gone(pending) from None

    async def _whole(self, pending: PendingUpload, size: int) -> tuple[list[Part], list[int]]:
        """The parts that have arrived completely, and the numbers of the others."""
        wanted = part_sizes(size)
        whole = [part for part in await self._arrived(pending) if wanted.get(part.number) == part.size]
        return whole, sorted(wanted.keys() - {part.number for part in whole})

    async def _complete(self, pending: PendingUpload, parts: Sequence[Part]) -> None:
        try:
            await self.stores.source.complete_multipart(pending.upload, parts)
        except ObjectChanged:
            raise UploadIncomplete("A part was sent again in the meantime; complete again.") from None
        except ObjectNotFound:
            raise await self._why_gone(pending) from None

    async def _why_gone(self, pending: PendingUpload) -> AlreadyUploaded | UploadExpired:
        """Why the upload is gone. The job stays pending until S3's event is handled, so only the bucket knows."""
        return AlreadyUploaded() if await self._is_there(pending.image.key) else UploadExpired()

    async def _is_there(self, key: str) -> bool:
        try:
            await self.stores.source.head(key)
        except ObjectNotFound:
            return False
        return True

    async def _sign(
        self, upload: MultipartUpload, sizes: Mapping[int, int], expires_in_seconds: int
    ) -> tuple[PresignedPart, ...]:
        return await self.stores.source.sign_parts(upload, sizes, expires_in_seconds=expires_in_seconds)


def part_size(size: int) -> int:
    """Bytes of each part, except the last, of a file of `size` bytes. It is whole MiB, and always the same for the same
    size."""
    mebibytes = -(-size // (MAX_PARTS * MIB))
    return max(LEAST_PART_BYTES, mebibytes * MIB)


def part_sizes(size: int) -> dict[int, int]:
    """Bytes of every part of a file of `size` bytes (at least 1), by number, beginning at 1."""
    step = part_size(size)
    return {number: min(step, size - start) for number, start in enumerate(range(0, size, step), start=1)}


def _chosen(sizes: Mapping[int, int], numbers: Sequence[int] | None) -> Mapping[int, int]:
    if numbers is None:
        return sizes
    for number in numbers:
        if number not in sizes:
            told = f"The upload has {len(sizes)} parts; their numbers begin at 1. There is no part {number}."
            raise NoSuchPart(told, limit=len(sizes), actual=number)
    return {number: sizes[number] for number in sorted(set(numbers))}


def incomplete(missing: Sequence[int], count: int) -> UploadIncomplete:
    """The error for parts (in order, of `count` in all) that have not arrived."""
    named = ", ".join(map(str, missing[:MAX_NAMED_PARTS]))
    more = ", and more" if len(missing) > MAX_NAMED_PARTS else ""
    return UploadIncomplete(
        f"{len(missing)} of {count} parts have not arrived: {named}{more}. Send them and complete again.", missing
    )
