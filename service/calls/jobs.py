"""The call for the state of a job, and its answer."""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import Self

from aiohttp import web
from pydantic import Field
from structlog.contextvars import bind_contextvars

from processor.errors import ImageNotFound, JobNotFound
from processor.jobs import Decision, Failure, FormatSet, Job, JobStatus, Review, Timings
from processor.ports.changes import version_of
from processor.recipes import STANDARD
from service.auth.middleware import tenant_of
from service.calls import groups, samples
from service.calls.facts import FactsAnswer, FactsQuery, shown
from service.calls.names import (
    PROCESSING_ID,
    ProcessingId,
    SourceKey,
    UniqueId,
    is_unique_id,
    processing_id_of,
    unique_id_of,
)
from service.calls.usage import CostAnswer
from service.calls.use_cases import CATALOG, WAITING
from service.calls.variants import VariantAnswer, named
from service.http.call import call, reply, unchanged
from service.http.middleware import held
from service.http.problems import TooManyWaiting
from service.http.rendering import render, revalidated
from service.http.wire import Answer, Time, WholeNumber, is_empty, is_none, read_query
from service.limits.lines import leave_line, stand_in_line
from service.limits.open_calls import WAITS

#: Less than a minute: then load balancers and CDNs close a connection without data.
LONGEST_WAIT_SECONDS = 30


class FailureAnswer(Answer):
    """The reason why a job failed."""

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
    """A variant of a job. Others may follow."""

    stored_at: Time = Field(description="Since when its URL works.")


class FormatStatus(StrEnum):
    """The state of a further format."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"


class FormatAnswer(Answer):
    """The state of the variants in a further format."""

    status: FormatStatus = Field(
        description="`pending`: they follow. `completed`: each is in `formats` of its variant, but what is too large "
        "for the format. `failed`: there are none, and the job is completed all the same."
    )
    error: FailureAnswer | None = Field(description="Only of what failed: `stills_only` of an animation.")

    @classmethod
    def of(cls, made: FormatSet) -> Self:
        status = FormatStatus.COMPLETED if made.error is None else FormatStatus.FAILED
        return cls(status=status, error=None if made.error is None else FailureAnswer.of(made.error))


class JobReview(Answer):
    """Why a job needed a review, and what came of it."""

    reason: str = Field(
        description="`preset`: the preset asks for it. `check_failed`: a check broke. `nsfw`: a score is too high. "
        "Others name what a check found.",
        examples=["preset"],
    )
    asked_at: Time
    decision: Decision | None = Field(description="Null: nobody has decided yet.")
    decided_at: Time | None
    decided_by: str | None = Field(description="The subject of the reviewer.", examples=["key:abcdefghijklmnop"])
    comment: str | None = Field(description="A word of the reviewer.", examples=["A face is seen."])

    @classmethod
    def of(cls, review: Review) -> Self:
        return cls(
            reason=review.reason,
            asked_at=review.asked_at,
            decision=review.decision,
            decided_at=review.decided_at,
            decided_by=review.decided_by or None,
            comment=review.comment or None,
        )


class JobAnswer(Answer):
    """The state of a job, and its results."""

    processing_id: ProcessingId
    unique_id: UniqueId
    original_key: SourceKey
    filename: str = Field(examples=["photo.jpg"])
    metadata: dict[str, str] = Field(description="As given with the upload.", examples=[{"album": "summer"}])
    status: JobStatus = Field(
        description="`pending`: nothing is uploaded yet. `uploaded`: queued. `needs_review`: a reviewer decides "
        "whether its variants are shown. `completed`, `failed` and `rejected` are final; only a job that failed for "
        "want of its file, a dependency or a limit is taken up again when the file comes again."
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
    preset: str = Field(description="The preset of the job.", examples=[STANDARD.name])
    preset_version: int | None = Field(
        description="Its version. Null: the record is of an earlier release, which had no versions.",
        examples=[STANDARD.version],
    )
    facts: FactsAnswer
    error: FailureAnswer | None = Field(description="Only of a failed job.")
    timings: TimingsAnswer | None = Field(description="Once the job has run.")
    cost: CostAnswer | None = Field(
        default=None, exclude_if=is_none, description="What it took, once it has run; not there in early records."
    )
    review: JobReview | None = Field(
        default=None, exclude_if=is_none, description="Of a job that needed a review; what it made is not here before."
    )
    superseded_by: ProcessingId | None = Field(
        description="The image's current job, if it replaced this one: other bytes were uploaded under the same key, "
        "or the image was processed again. Null for the current job."
    )

    @classmethod
    def of(cls, job: Job) -> Self:
        """The answer about a job, without the fields that only the worker needs."""
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
            preset=job.shown.preset or STANDARD.name,
            preset_version=job.shown.preset_version,
            facts=dict(job.facts.for_tenant),
            error=None if job.error is None else FailureAnswer.of(job.error),
            timings=None if job.timings is None else TimingsAnswer.of(job.timings),
            cost=None if job.cost is None else CostAnswer.of(job.cost),
            review=None if job.review is None else JobReview.of(job.review),
            superseded_by=job.superseded_by,
        )


JOBS = {
    "pending": JobAnswer.of(samples.PENDING),
    "completed": JobAnswer.of(samples.COMPLETED),
    "completed, in two formats": JobAnswer.of(samples.IN_TWO_FORMATS),
    "needs a review": JobAnswer.of(samples.HELD),
    "rejected": JobAnswer.of(samples.REJECTED),
    "failed": JobAnswer.of(samples.FAILED),
    "superseded": JobAnswer.of(samples.SUPERSEDED),
}


class StatusQuery(FactsQuery):
    """How long a caller is ready to wait for news, and what it wants to see."""

    wait: WholeNumber | None = Field(
        default=None,
        ge=1,
        le=LONGEST_WAIT_SECONDS,
        description="Answer at the job's next change, or after so many seconds if there is none. What has ended is "
        "answered at once. With `If-None-Match`, the next change is what differs from that answer.",
        examples=[20],
    )


@call(
    "getStatus",
    groups.IMAGES,
    reply("The job", JOBS),
    unchanged("It is as in the answer that `If-None-Match` names"),
    path=(PROCESSING_ID,),
    query=StatusQuery,
    problems=(JobNotFound, ImageNotFound, TooManyWaiting),
)
async def status(request: web.Request) -> web.Response:
    """See how far a job has come.

    The answer has an `ETag`. A request that names it in `If-None-Match` is answered with 304, and no body, while
    nothing has changed. With `wait` the answer comes at the next change, or at once while the service is stopping.
    """
    query = read_query(StatusQuery, request.query)
    seconds = query.wait
    tenant, catalog = tenant_of(request), request.app[CATALOG]
    processing_id = await named_job(request.app, tenant, request.match_info[PROCESSING_ID.name])
    bind_contextvars(processingId=processing_id)
    job = await catalog.status(tenant, processing_id)
    bind_contextvars(uniqueId=job.unique_id)
    answer = _answer(request, job, query)
    if seconds is None or not _has_news_to_come(request, job, answer):
        return answer
    seen = version_of(job)
    del job, answer  # thousands may wait
    await _wait(request, processing_id, seen, seconds)
    return _answer(request, await catalog.status_for_all(tenant, processing_id), query)


def _answer(request: web.Request, job: Job, query: StatusQuery) -> web.Response:
    answer = JobAnswer.of(job).model_copy(update={"facts": dict(shown(request, job.facts, query))})
    return revalidated(request, render(request, answer))


def _has_news_to_come(request: web.Request, job: Job, answer: web.Response) -> bool:
    """Whether to wait for a change before answering."""
    if request.if_none_match is None:
        return not job.is_at_rest
    unchanged = answer.status == HTTPStatus.NOT_MODIFIED
    return unchanged and not (job.ended and not job.owed)


async def _wait(request: web.Request, processing_id: str, seen: str, seconds: int) -> None:
    """Wait outside the line of the tenant. Raises `TooManyWaiting`; `RequestTimeout` if the caller has hung up."""
    tenant = tenant_of(request)
    with request.app[WAITS].place(tenant):
        leave_line(request)
        with held(request):
            await request.app[WAITING].change(processing_id, seen, seconds)
    await stand_in_line(request, tenant)


async def named_job(app: web.Application, tenant: str, name: str) -> str:
    """The id of a job: of the named one, or of a named image's current one. Raises `JobNotFound`, `ImageNotFound`."""
    if not is_unique_id(name):
        return processing_id_of(name)
    return await app[CATALOG].current_job(tenant, unique_id_of(name))
