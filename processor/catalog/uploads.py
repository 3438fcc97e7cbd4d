"""What a client can do before its file has come: submit it, ask for its URL again, find the same bytes."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from processor import clock
from processor.arrivals import reserved
from processor.catalog.images import living
from processor.catalog.presets import Choice
from processor.errors import AlreadyUploaded, ImageNotFound, RecordChanged, WrongUploadMethod
from processor.images import new_unique_id, source_key
from processor.jobs import Job, JobStatus, Terms, first_image, pending_job, pending_until
from processor.ports.jobs import known_job
from processor.ports.objects import PresignedUpload, UploadTerms
from processor.ports.stores import Stores
from processor.recipes import STANDARD, Recipe
from processor.usage import Quota


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """What a client says of the file it is about to upload."""

    filename: str
    extension: str
    terms: Terms
    expires_in_seconds: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    #: Name of a preset; None: the tenant's default.
    preset: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A recorded upload and the ways to make it."""

    job: Job
    upload: PresignedUpload


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploads:
    """Uploads in one piece. Every call names the tenant; another tenant's image is treated as missing."""

    stores: Stores
    #: Enforces limits; None: there are none.
    quota: Quota | None = None
    #: Largest upload, in bytes.
    max_bytes: int
    #: What is made of an image.
    choice: Choice = field(default_factory=Choice)

    async def submit(self, tenant: str, request: UploadRequest) -> Submission:
        """Record a pending image and sign its upload.

        Raises `PresetNotFound`, `DailyLimitReached`, `ImageLimitReached`, `Unavailable`.
        """
        await check_upload(self.quota, tenant, request.terms.size)
        recipe = await self.choice.of_upload(tenant, request.preset)
        unique_id = new_unique_id()
        job = pending_job(
            tenant,
            unique_id,
            source_key(unique_id, request.extension),
            request.filename,
            recipe=recipe,
            metadata=request.metadata,
            terms=request.terms,
            expires_in_seconds=request.expires_in_seconds,
        )
        upload = await self._sign(job, request.terms, request.expires_in_seconds)
        await record(self.stores, self.quota, job)
        return Submission(job=job, upload=upload)

    async def refresh(self, tenant: str, unique_id: str, expires_in_seconds: int) -> Submission:
        """Sign a pending upload again, on the same terms. Earlier URLs stay valid until their own end.

        Raises `ImageNotFound`; `AlreadyUploaded`; `WrongUploadMethod`; `Unavailable`.
        """
        if self.quota is not None:
            await self.quota.check_open(tenant)
        image = await living(self.stores.jobs, tenant, unique_id)
        job = await known_job(self.stores.jobs, tenant, image.current_job)
        if job is None or job.status is not JobStatus.PENDING or job.terms is None:
            raise AlreadyUploaded
        if job.terms.multipart is not None:
            raise WrongUploadMethod
        upload = await self._sign(job, job.terms, expires_in_seconds)
        expires_at = max(job.expires_at, pending_until(clock.now(), expires_in_seconds))
        try:
            job = await self.stores.jobs.extend(image, job, expires_at)
        except RecordChanged:  # the file has arrived, or the image was deleted
            raise AlreadyUploaded from None
        return Submission(job=job, upload=upload)

    async def repeat(self, tenant: str, unique_id: str, expires_in_seconds: int) -> Submission:
        """The answer of `submit` with new URLs, for a caller who lost it. The file may have arrived meanwhile.

        Raises `ImageNotFound`; `AlreadyUploaded` when nothing can be signed; what `refresh` raises.
        """
        with suppress(AlreadyUploaded):
            return await self.refresh(tenant, unique_id, expires_in_seconds)
        job = await known_job(self.stores.jobs, tenant, (await living(self.stores.jobs, tenant, unique_id)).job_ids[0])
        if job is None or job.terms is None:
            raise AlreadyUploaded
        return Submission(job=job, upload=await self._sign(job, job.terms, expires_in_seconds))

    async def find_duplicate(self, tenant: str, checksum_sha256: str, preset: str | None = None) -> Job | None:
        """A completed job of the tenant over the file with this checksum (base64), if any has the variants of this
        preset.

        Raises `PresetNotFound`, `Unavailable`.
        """
        digest = base64.b64decode(checksum_sha256).hex()
        found = await self.stores.jobs.find_completed(tenant, digest)
        if not found:  # as nearly always: then nobody asks which variants they have
            return None
        recipe = await self.choice.of_upload(tenant, preset)
        for processing_id in found:
            job = await known_job(self.stores.jobs, tenant, processing_id)
            if job is None or job.status is not JobStatus.COMPLETED or not _has_variants_of(job, recipe):
                continue
            if await self._is_shown(job):
                return job
        return None

    async def _is_shown(self, job: Job) -> bool:
        """Whether the image still shows this job. The index lags: the image may be deleted by now, or show another
        file."""
        try:
            image = await living(self.stores.jobs, job.tenant, job.unique_id)
        except ImageNotFound:
            return False
        return image.current_job == job.processing_id

    async def _sign(self, job: Job, terms: Terms, expires_in_seconds: int) -> PresignedUpload:
        return await self.stores.source.presign_upload(
            UploadTerms(
                key=job.original_key,
                content_type=terms.content_type,
                expires_in_seconds=expires_in_seconds,
                max_bytes=self.max_bytes,
                size=terms.size,
                checksum_sha256=terms.checksum_sha256,
                once=terms.once,
            )
        )


def _has_variants_of(job: Job, recipe: Recipe) -> bool:
    """The names of the standard variants never change, so any of its versions will do."""
    made = job.recipe or STANDARD
    alike = bool(made.private) == bool(recipe.private) and made.review == recipe.review
    alike = alike and made.moderation == recipe.moderation
    return made.name == recipe.name and (made.digest == recipe.digest or (alike and recipe.name == STANDARD.name))


async def check_upload(quota: Quota | None, tenant: str, size: int | None) -> None:
    """Check the limits before anything begins. Raises `DailyLimitReached`, `ImageLimitReached`, `Unavailable`."""
    if quota is not None:
        await quota.check_upload(tenant, size)


async def record(stores: Stores, quota: Quota | None, job: Job) -> None:
    """Write a new image with its first job, and reserve what its upload may bring.

    Raises `DailyLimitReached`, `ImageLimitReached`, `Busy`, `Unavailable`.
    """
    if quota is None:
        await stores.jobs.create(first_image(job), job)
        return
    await quota.take(job.tenant, reserved(job))
    async with quota.owing(job.tenant, reserved(job)):
        await stores.jobs.create(first_image(job), job)
