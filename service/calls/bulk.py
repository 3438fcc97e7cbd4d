"""Bulk jobs: an operation on all images that match a filter, in the background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, ClassVar, Self

from aiohttp import web
from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from structlog.contextvars import bind_contextvars

from processor.bulk.jobs import BulkJobs
from processor.bulk.operations import DELETE
from processor.errors import BulkNotFound
from processor.jobs import Failure, JobStatus
from processor.ports.bulk import BulkFilter, BulkJob, BulkResult, BulkState
from service.auth.middleware import subject_of, tenant_of
from service.calls import groups, samples
from service.calls.failed import FailureCode
from service.calls.jobs import FailureAnswer
from service.calls.listing import CURSOR_WORDS, FirstMoment, LastMoment
from service.calls.names import ProcessingId, UniqueId
from service.calls.use_cases import CATALOG
from service.http.body import json_body
from service.http.call import PathPart, call, reply
from service.http.problems import InvalidCursor
from service.http.rendering import render, render_rows
from service.http.wire import Answer, Heard, Question, Time, is_none, read_query
from service.limits.long_bodies import asked_by

BULK = web.AppKey("bulk", BulkJobs)
#: Digits of the number of a page.
_LONGEST_PAGE = 9
BATCH_ID = PathPart("batchId", "As answered when the bulk job was started.", r"^batch_[0-9a-z_]+$")


def _status(value: object) -> object:
    """Converts text to the enumeration: JSON has none."""
    try:
        return JobStatus(value) if isinstance(value, str) else value
    except ValueError:
        known = ", ".join(JobStatus)
        raise PydanticCustomError("status", "must be one of {known}", {"known": known}) from None


class ImageFilter(Question):
    """A filter for the images that exist when the bulk job starts."""

    # Unknown fields are refused: a misspelled filter would match more images than the client meant.
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"status": "failed", "to": "2026-01-31"}, {"all": True}]}
    )

    status: Annotated[JobStatus, BeforeValidator(_status)] | None = Field(
        default=None, description="Only images whose current job has this status."
    )
    code: FailureCode | None = Field(default=None, description="Only images whose current job failed with this code.")
    created_from: FirstMoment | None = Field(
        default=None,
        alias="from",
        description="Only images made at or after this (`listedAt`), as in `GET /images/list`.",
    )
    created_to: LastMoment | None = Field(
        default=None, alias="to", description="Only images made at or before this, as there."
    )
    all: bool = Field(default=False, description="Every image, without any of the others.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        chosen = (self.status, self.code, self.created_from, self.created_to)
        if self.all != all(each is None for each in chosen):
            raise PydanticCustomError("filter", "must have status, code, from or to; or all, which stands alone")
        if self.created_from and self.created_to and self.created_from > self.created_to:
            raise PydanticCustomError("filter", "must have a from that is not later than to")
        if self.code is not None and self.status not in (None, JobStatus.FAILED):
            raise PydanticCustomError("filter", "must not have a code beside another status than failed")
        return self

    @property
    def chosen(self) -> BulkFilter:
        return BulkFilter(
            status=self.status, code=self.code, created_from=self.created_from, created_to=self.created_to
        )


class FilterAnswer(Answer):
    """A filter for images."""

    status: JobStatus | None
    code: str | None
    preset: str | None = Field(
        default=None, exclude_if=is_none, description="Only images with another version of it.", examples=["avatar"]
    )
    created_from: Time | None = Field(alias="from")
    created_to: Time | None = Field(alias="to")

    @classmethod
    def of(cls, chosen: BulkFilter) -> Self:
        return cls(
            status=chosen.status,
            code=chosen.code,
            preset=chosen.preset,
            created_from=chosen.created_from,
            created_to=chosen.created_to,
        )


class BulkJobAnswer(Heard):
    """The state of a bulk job."""

    batch_id: str = Field(examples=["batch_1767323045678_9f86d081884c7d65"])
    operation: str = Field(
        description="`process`, `delete` or `backfill`; there may be more one day.", examples=[DELETE]
    )
    filter: FilterAnswer
    preset: str | None = Field(
        default=None, exclude_if=is_none, description="The preset that was named.", examples=["avatar"]
    )
    state: BulkState = Field(
        description="`queued`: no process has taken it up yet. `cancelling`: what is in work comes to its end. "
        "`completed`, `cancelled` and `failed` are final; a bulk job is `failed` only when it cannot go on at all."
    )
    found: int = Field(description="How many images were found so far; all of them once it is completed.")
    done: int = Field(description="For how many the operation succeeded.")
    failed: int = Field(description="For how many it was refused; the results say why.")
    created_at: Time = Field(description="When it was started: images that are made later are not meant.")
    updated_at: Time
    ended_at: Time | None
    paused_until: Time | None = Field(
        default=None, exclude_if=is_none, description="It rests until then, because of `pausedFor`."
    )
    paused_for: str | None = Field(
        default=None,
        exclude_if=is_none,
        description="The code of what it waits for: `asked` until somebody tells it to go on, `daily_limit_reached`, "
        "or a dependency that is away.",
    )
    started_by: str = Field(description="The subject of whoever started it.", examples=["key:abcdefghijklmnop"])
    cancelled_by: str | None = Field(default=None, exclude_if=is_none, description="Likewise.")

    @classmethod
    def of(cls, job: BulkJob) -> Self:
        return cls(
            batch_id=job.bulk_id,
            operation=job.operation,
            filter=FilterAnswer.of(job.filter),
            preset=job.preset,
            state=job.state,
            found=job.found,
            done=job.done,
            failed=job.failed,
            created_at=job.created_at,
            updated_at=job.updated_at,
            ended_at=job.ended_at,
            paused_until=None if job.rests else job.paused_until,
            paused_for=job.paused_for,
            started_by=job.started_by,
            cancelled_by=job.cancelled_by,
        )


class BulkJobsAnswer(Answer):
    """The bulk jobs of the last week."""

    batches: list[BulkJobAnswer]
    count: int

    @classmethod
    def of(cls, jobs: Sequence[BulkJob]) -> Self:
        return cls(batches=[BulkJobAnswer.of(job) for job in jobs], count=len(jobs))


class BulkResultAnswer(Answer):
    """The result for one image."""

    unique_id: UniqueId
    processing_id: ProcessingId = Field(description="Its current job when it was found.")
    new_processing_id: ProcessingId | None = Field(description="Of `process`, the job that it has now; else null.")
    error: FailureAnswer | None = Field(description="What stood against it; null: it is done.")

    @classmethod
    def of(cls, result: BulkResult) -> Self:
        return cls(
            unique_id=result.unique_id,
            processing_id=result.processing_id,
            new_processing_id=result.new_processing_id,
            error=None if result.error is None else FailureAnswer.of(result.error),
        )


class BulkResultsQuery(Question):
    """The page of results to show."""

    other_words: ClassVar[Mapping[str, str]] = CURSOR_WORDS

    last_key: str | None = Field(
        default=None, description="`lastEvaluatedKey` of the page before; empty or left out for the first one."
    )


class BulkResultsAnswer(Heard):
    """A page of results, in about the order of `listedAt`, oldest first."""

    results: list[BulkResultAnswer]
    count: int = Field(description="How many there are on this page.")
    last_evaluated_key: str | None = Field(
        description="`lastKey` of the next page. While the bulk job is not at its end it is never null: the page that "
        "it leads to may be empty still."
    )

    @classmethod
    def of(cls, results: Sequence[BulkResult], following: int | None) -> Self:
        return cls(
            results=[BulkResultAnswer.of(result) for result in results],
            count=len(results),
            last_evaluated_key=None if following is None else str(following),
        )


RUNNING = BulkJob(
    bulk_id="batch_1767323045678_9f86d081884c7d65",
    tenant="default",
    operation=DELETE,
    filter=BulkFilter(status=JobStatus.FAILED, created_to=samples.MADE_AT),
    started_by="key:abcdefghijklmnop",
    state=BulkState.RUNNING,
    created_at=samples.MADE_AT,
    updated_at=samples.DONE_AT,
    found=75,
    done=52,
    failed=1,
)
BULK_JOB = BulkJobAnswer.of(RUNNING)
BULK_JOBS = BulkJobsAnswer.of([RUNNING])
CANCELLED = BulkJobAnswer.of(
    replace(
        RUNNING,
        state=BulkState.CANCELLED,
        cancelled_by=RUNNING.started_by,
        ended_at=samples.DONE_AT + timedelta(seconds=2),
    )
)
_ONE = BulkResult(unique_id=samples.UNIQUE_ID, processing_id=samples.PENDING.processing_id)
BULK_RESULTS = BulkResultsAnswer.of(
    [_ONE, replace(_ONE, error=Failure(code="busy", message="Others are changing the same thing just now."))], 1
)


async def start(
    request: web.Request, operation: str, chosen: ImageFilter, *, preset: str | None = None
) -> web.Response:
    """Start a bulk job for a call with a filter. Raises `BulkInProgress`, `PresetNotFound`."""
    tenant = tenant_of(request)
    if preset is not None:
        await request.app[CATALOG].choice.newest(tenant, preset)
    job = await request.app[BULK].start(tenant, operation, chosen.chosen, by=subject_of(request), preset=preset)
    bind_contextvars(batchId=job.bulk_id)
    return render(request, BulkJobAnswer.of(job), HTTPStatus.ACCEPTED)


@call("listBatches", groups.BATCHES, reply("The bulk jobs", BULK_JOBS))
async def list_jobs(request: web.Request) -> web.Response:
    """List the bulk jobs of the last week, newest first, a hundred at most."""
    jobs = await request.app[BULK].list(tenant_of(request))
    return await render_rows(request, lambda: BulkJobsAnswer.of(jobs), rows=len(jobs), tenant=tenant_of(request))


@call("getBatch", groups.BATCHES, reply("The bulk job", BULK_JOB), path=(BATCH_ID,), problems=(BulkNotFound,))
async def show(request: web.Request) -> web.Response:
    """See how far a bulk job has come.

    It is kept for a week after its end.
    """
    return render(request, BulkJobAnswer.of(await request.app[BULK].get(tenant_of(request), _named(request))))


@call(
    "listBatchResults",
    groups.BATCHES,
    reply("A page", BULK_RESULTS),
    path=(BATCH_ID,),
    query=BulkResultsQuery,
    problems=(BulkNotFound, InvalidCursor),
)
async def results(request: web.Request) -> web.Response:
    """List what became of each image, 25 at most on a page.

    Each page is kept for a week.
    """
    asked = read_query(BulkResultsQuery, request.query)
    page, following = await request.app[BULK].results(tenant_of(request), _named(request), _page(asked.last_key))
    return render(request, BulkResultsAnswer.of(page, following).ignoring(asked.ignored))


class RestRequest(Question):
    """Whether the bulk job rests."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"paused": True}]})

    paused: bool = Field(description="True: begin no further image. False: go on.")


@call(
    "pauseBatch",
    groups.BATCHES,
    reply("The bulk job", BULK_JOB),
    path=(BATCH_ID,),
    body=RestRequest,
    problems=(BulkNotFound,),
)
async def rest(request: web.Request) -> web.Response:
    """Pause a bulk job, or let it go on.

    While it is paused, `pausedFor` is `asked`; images in work come to their end. One that has ended stays as it is.
    """
    asked = await asked_by(request, RestRequest, await json_body(request))
    job = await request.app[BULK].rest(tenant_of(request), _named(request), resting=asked.paused)
    return render(request, BulkJobAnswer.of(job))


@call("cancelBatch", groups.BATCHES, reply("The bulk job", CANCELLED), path=(BATCH_ID,), problems=(BulkNotFound,))
async def cancel(request: web.Request) -> web.Response:
    """Cancel a bulk job.

    Images in work are finished, and no further one is begun. Finished images stay as they are. A bulk job that has
    ended does not change.
    """
    job = await request.app[BULK].cancel(tenant_of(request), _named(request), by=subject_of(request))
    return render(request, BulkJobAnswer.of(job))


def _named(request: web.Request) -> str:
    name = request.match_info[BATCH_ID.name]
    bind_contextvars(batchId=name)
    return name


def _page(last_key: str | None) -> int:
    if last_key is None:
        return 0
    if not (last_key.isascii() and last_key.isdecimal() and len(last_key) <= _LONGEST_PAGE):
        raise InvalidCursor
    return int(last_key)
