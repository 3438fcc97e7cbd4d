"""Failed images: list them, and convert them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Self

from aiohttp import web
from pydantic import ConfigDict, Field
from structlog.contextvars import bind_contextvars

from processor.catalog.redrive import Redrive, RedrivenJob, RedrivePlan, list_failed, redrive
from processor.errors import NotUploaded
from processor.jobs import UNAVAILABLE, Job, JobStatus
from processor.ports.jobs import JobQuery
from processor.ports.queue import QueueDepth
from service.auth.middleware import is_administrator, tenant_of
from service.calls import groups, samples
from service.calls.jobs import JobAnswer
from service.calls.listing import CURSOR_WORDS, ListAnswer, PageQuery
from service.calls.names import ProcessingId, UniqueId
from service.calls.use_cases import CATALOG, STORES
from service.http.body import json_body
from service.http.call import call, reply
from service.http.cursor import CURSORS
from service.http.problems import InvalidCursor
from service.http.rendering import render, render_rows
from service.http.wire import Answer, Heard, Question, read_query
from service.limits.long_bodies import asked_by
from service.limits.long_pages import page_turn
from service.limits.middleware import count_work

FailureCode = Annotated[str, Field(pattern=r"^[a-z_]{1,64}$", json_schema_extra={"examples": [UNAVAILABLE]})]


class FailedQuery(PageQuery):
    """Which failed images to list."""

    code: FailureCode | None = Field(
        default=None,
        description="Only images that failed with this code. A page is filtered after it is read: it may be short, or "
        "empty, while `lastEvaluatedKey` is not null.",
    )

    def to_query(self, tenant: str) -> JobQuery:
        """The query for the catalog, without the position and the code. Raises `InvalidRequest`."""
        return self.job_query(tenant, JobStatus.FAILED)


class RedriveRequest(Question):
    """Which failures to process again. Nothing happens unless `dryRun` is false."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"code": "unavailable", "limit": 20, "dryRun": True},
                {"code": "unavailable", "limit": 100, "perSecond": 10, "dryRun": False},
            ]
        }
    )
    other_words: ClassVar[Mapping[str, str]] = CURSOR_WORDS

    code: FailureCode | None = Field(
        default=None, description="Only images that failed with this code, and no dead letters."
    )
    limit: int = Field(
        default=20, ge=1, le=100, description="Most failed images to look at, and most dead letters to move."
    )
    per_second: int = Field(
        default=10, ge=1, le=100, description="How many of them the workers get to see in a second."
    )
    dry_run: bool = Field(default=True, description="Say what would be done, and do nothing.")
    last_key: str | None = Field(default=None, description="`lastEvaluatedKey` of the call before.")

    def to_plan(self, tenant: str) -> RedrivePlan:
        """The query for failed images to redrive, without the position."""
        return RedrivePlan(
            tenant=tenant, limit=self.limit, per_second=self.per_second, code=self.code, dry_run=self.dry_run
        )


class DepthAnswer(Answer):
    """The approximate number of messages in a queue."""

    waiting: int = Field(description="Not being handled now.", examples=[3])
    in_flight: int = Field(description="Being handled or moved now.", examples=[0])

    @classmethod
    def of(cls, depth: QueueDepth) -> Self:
        return cls(waiting=depth.waiting, in_flight=depth.in_flight)


class FailedAnswer(ListAnswer):
    """A page of images whose current job failed."""

    dead_letters: DepthAnswer | None = Field(
        description="What is in the dead-letter queue of all tenants, for administrators; else null, and also "
        "where the service does not know that queue."
    )

    @classmethod
    def of(
        cls,
        jobs: Sequence[Job],
        last_evaluated_key: str | None,
        dead_letters: QueueDepth | None = None,
    ) -> Self:
        images = [JobAnswer.of(job) for job in jobs]
        return cls(
            images=images,
            count=len(images),
            last_evaluated_key=last_evaluated_key,
            dead_letters=None if dead_letters is None else DepthAnswer.of(dead_letters),
        )


class RedrivenImage(Answer):
    """The result for one failed image."""

    unique_id: UniqueId
    processing_id: ProcessingId = Field(description="The failed job.")
    code: str | None = Field(description="Why it failed.", examples=["unavailable"])
    new_processing_id: str | None = Field(description="The new job; null in a dry run, and when there is none.")
    refused: str | None = Field(
        description="Code of the problem that stood against a new job: `not_uploaded` when the file is gone, "
        "`image_not_found` when the image was deleted, `record_changed` when something else took the job up first."
    )

    @classmethod
    def of(cls, each: RedrivenJob) -> Self:
        return cls(
            unique_id=each.job.unique_id,
            processing_id=each.job.processing_id,
            code=None if each.job.error is None else each.job.error.code,
            new_processing_id=each.new_processing_id,
            refused=each.refused,
        )


class RedriveAnswer(Heard):
    """The images that were redriven; in a dry run, those that would be."""

    dry_run: bool
    matched: int = Field(description="How many failed images were found.", examples=[2])
    redriven: int = Field(description="How many of them have a new job.", examples=[1])
    images: list[RedrivenImage]
    messages: int = Field(
        description="How many dead letters were moved back to the queue; in a dry run, how many at most would be.",
        examples=[3],
    )
    last_evaluated_key: str | None = Field(description="`lastKey` of the next call; null at the end.")

    @classmethod
    def of(cls, redrive: Redrive, last_evaluated_key: str | None, *, dry_run: bool) -> Self:
        return cls(
            dry_run=dry_run,
            matched=len(redrive.jobs),
            redriven=redrive.redriven,
            images=[RedrivenImage.of(each) for each in redrive.jobs],
            messages=redrive.messages,
            last_evaluated_key=last_evaluated_key,
        )


FAILED = FailedAnswer.of([samples.FAILED], None, QueueDepth(waiting=3, in_flight=0))
REDRIVES = {
    "dryRun": RedriveAnswer.of(
        Redrive(jobs=(RedrivenJob(job=samples.GIVEN_UP),), messages=3, next_after=None), None, dry_run=True
    ),
    "redriven": RedriveAnswer.of(
        Redrive(
            jobs=(RedrivenJob(job=samples.GIVEN_UP, new_processing_id=samples.NEW_ID),), messages=3, next_after=None
        ),
        None,
        dry_run=False,
    ),
    "refused": RedriveAnswer.of(
        Redrive(jobs=(RedrivenJob(job=samples.GIVEN_UP, refused=NotUploaded.code),), messages=0, next_after=None),
        None,
        dry_run=False,
    ),
}


@call("listFailedImages", groups.FAILURES, reply("A page", FAILED), query=FailedQuery, problems=(InvalidCursor,))
async def list_failed_images(request: web.Request) -> web.Response:
    """List images whose conversion failed, newest first.

    The order is that of `listedAt`, which never changes. A client that reads page after page, until `lastEvaluatedKey`
    is null, sees every image exactly once, if it matched all the time. A list lags a moment behind other calls. An
    image whose job was replaced at this very moment may be missing from a page.
    """
    asked = read_query(FailedQuery, request.query)
    query = asked.to_query(tenant_of(request))
    stores = request.app[STORES]
    after = await _opened(request, query, asked.last_key)
    # All tenants share the queue, so its depth says something about others.
    dead_letters = stores.dead_letters if is_administrator(request) else None
    depth = None if dead_letters is None else await dead_letters.depth()
    async with page_turn(request, query.limit):
        page = await list_failed(stores.jobs, replace(query, after=after), asked.code)
        count_work(request, read_bytes=page.read_bytes)
        last_key = await _sealed(request, query, page.next_after)
        return await render_rows(
            request,
            lambda: FailedAnswer.of(page.jobs, last_key, depth).ignoring(asked.ignored),
            rows=len(page.jobs),
            tenant=query.tenant,
        )


@call(
    "redriveFailedImages",
    groups.FAILURES,
    reply("What was done, or would be", REDRIVES),
    body=RedriveRequest,
    problems=(InvalidCursor,),
)
async def redrive_failed_images(request: web.Request) -> web.Response:
    """Convert failed images again.

    Makes a new job for each failed one, newest first, and moves messages from the dead-letter queue back to the queue.
    With a `code`, it does not move messages. `perSecond` of them become visible to the workers each second. A dry run,
    which is the default, changes nothing. A call may be repeated, also after a 503: an image that was redriven is not
    failed any more. While `lastEvaluatedKey` is not null there is more; pass it as `lastKey`.
    """
    asked = await asked_by(request, RedriveRequest, await json_body(request))
    plan = asked.to_plan(tenant_of(request))
    after = await _opened(request, plan.query, asked.last_key)
    async with page_turn(request, plan.limit):
        done = await redrive(request.app[STORES], request.app[CATALOG], replace(plan, after=after))
    count_work(request, read_bytes=done.read_bytes, changes=done.redriven)
    bind_contextvars(dryRun=plan.dry_run, redriven=done.redriven, messages=done.messages)
    last_key = await _sealed(request, plan.query, done.next_after)
    return render(request, RedriveAnswer.of(done, last_key, dry_run=plan.dry_run).ignoring(asked.ignored))


async def _opened(request: web.Request, query: JobQuery, last_key: str | None) -> str | None:
    return None if last_key is None else await request.app[CURSORS].open(last_key, query)


async def _sealed(request: web.Request, query: JobQuery, position: str | None) -> str | None:
    return None if position is None else await request.app[CURSORS].seal(query, position)
