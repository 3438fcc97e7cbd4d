"""How far a job has come."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from aiohttp import web
from pydantic import Field
from structlog.contextvars import bind_contextvars

from processor.errors import ImageNotFound, JobNotFound
from processor.jobs import Failure, FormatSet, Job, JobStatus, Timings
from service.auth.middleware import tenant_of
from service.calls import groups, samples
from service.calls.names import (
    PROCESSING_ID,
    ProcessingId,
    SourceKey,
    UniqueId,
    is_unique_id,
    processing_id_of,
    unique_id_of,
)
from service.calls.use_cases import CATALOG
from service.calls.variants import VariantAnswer, named
from service.http.call import call, reply
from service.http.rendering import render
from service.http.wire import Answer, Time, is_empty, is_none


class FailureAnswer(Answer):
    """Why a job failed."""

    code: str = Field(description="Stable, for programs.", examples=["corrupt_image"])
    message: str = Field(description="For people.", examples=["The image is damaged or incomplete."])
    limit: int | None = Field(
        default=None,
        exclude_if=is_none,
        description="What the service accepts, where the file has more: bytes, frames, pixels of the longer side or of "
        "all frames together, by the code.",
        examples=[500],
    )
    actual: int | None = Field(
        default=None, exclude_if=is_none, description="What the file has; beside `limit`.", examples=[600]
    )

    @classmethod
    def of(cls, failure: Failure) -> Self:
        return cls(code=failure.code, message=failure.message, limit=failure.limit, actual=failure.actual)


class TimingsAnswer(Answer):
    """How long the steps took, in milliseconds."""

    download: int
    process: int
    upload: int
    total: int

    @classmethod
    def of(cls, timings: Timings) -> Self:
        return cls(download=timings.download, process=timings.process, upload=timings.upload, total=timings.total)


class JobVariantAnswer(VariantAnswer):
    """A variant of a job, which may have others still to come."""

    stored_at: Time = Field(description="Since when its URL works.")


class FormatStatus(StrEnum):
    """How far a further format has come."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"


class FormatAnswer(Answer):
    """How far the variants in a further format have come."""

    status: FormatStatus = Field(
        description="`pending`: they follow. `completed`: each is in `formats` of its variant, but what is too large "
        "for the format. `failed`: there are none, and the job is completed all the same."
    )
    error: FailureAnswer | None = Field(description="Only of what failed: `stills_only` of an animation.")

    @classmethod
    def of(cls, made: FormatSet) -> Self:
        status = FormatStatus.COMPLETED if made.error is None else FormatStatus.FAILED
        return cls(status=status, error=None if made.error is None else FailureAnswer.of(made.error))


class JobAnswer(Answer):
    """How far a job has come, and what came out of it."""

    processing_id: ProcessingId
    unique_id: UniqueId
    original_key: SourceKey
    filename: str = Field(examples=["photo.jpg"])
    metadata: dict[str, str] = Field(description="As given with the upload.", examples=[{"album": "summer"}])
    status: JobStatus = Field(
        description="`pending`: nothing is uploaded yet. `uploaded`: queued. `completed` and `failed` are final; only "
        "a job that failed for want of its file, a dependency or a limit is taken up again when the file comes again."
    )
    timestamp: Time = Field(description="When the job was made.")
    listed_at: Time = Field(
        description="When the image was made. Lists are sorted by this, and `from` and `to` choose by it. It stays the "
        "same when the image is processed or uploaded again."
    )
    updated_at: Time
    processed_images: dict[str, JobVariantAnswer] = Field(
        description="The variants by name: those that are stored so far, and all of them once it is completed.",
        json_schema_extra=named,
    )
    other_formats: dict[str, FormatAnswer] = Field(
        default={},
        exclude_if=is_empty,
        description="Of a completed job, the formats that follow its variants, by name: `avif`. Not there when none "
        "was asked for.",
    )
    error: FailureAnswer | None = Field(description="Only of a failed job.")
    timings: TimingsAnswer | None = Field(description="Once the job has run.")
    superseded_by: ProcessingId | None = Field(
        description="The image's current job, if it replaced this one: other bytes were uploaded under the same key, "
        "or the image was processed again. Null for the current job."
    )

    @classmethod
    def of(cls, job: Job) -> Self:
        """Everything but what concerns the worker alone."""
        return cls(
            processing_id=job.processing_id,
            unique_id=job.unique_id,
            original_key=job.original_key,
            filename=job.filename,
            metadata=dict(job.metadata),
            status=job.status,
            timestamp=job.created_at,
            listed_at=job.listed_at,
            updated_at=job.updated_at,
            processed_images={
                variant.name: JobVariantAnswer.with_formats(variant, job.further, stored_at=variant.stored_at)
                for variant in job.variants
            },
            other_formats={
                **{made.format: FormatAnswer.of(made) for made in job.further},
                **{name: FormatAnswer(status=FormatStatus.PENDING, error=None) for name in job.owed},
            },
            error=None if job.error is None else FailureAnswer.of(job.error),
            timings=None if job.timings is None else TimingsAnswer.of(job.timings),
            superseded_by=job.superseded_by,
        )


JOBS = {
    "pending": JobAnswer.of(samples.PENDING),
    "completed": JobAnswer.of(samples.COMPLETED),
    "completed, in two formats": JobAnswer.of(samples.IN_TWO_FORMATS),
    "failed": JobAnswer.of(samples.FAILED),
    "superseded": JobAnswer.of(samples.SUPERSEDED),
}


@call("getStatus", groups.IMAGES, reply("The job", JOBS), path=(PROCESSING_ID,), problems=(JobNotFound, ImageNotFound))
async def status(request: web.Request) -> web.Response:
    """See how far a job has come."""
    processing_id = await named_job(request.app, tenant_of(request), request.match_info[PROCESSING_ID.name])
    bind_contextvars(processingId=processing_id)
    job = await request.app[CATALOG].status(tenant_of(request), processing_id)
    bind_contextvars(uniqueId=job.unique_id)
    return render(request, JobAnswer.of(job))


async def named_job(app: web.Application, tenant: str, name: str) -> str:
    """The id of the job that is named, or that an image which is named shows. Raises `JobNotFound`, `ImageNotFound`."""
    if not is_unique_id(name):
        return processing_id_of(name)
    return await app[CATALOG].current_job(tenant, unique_id_of(name))
