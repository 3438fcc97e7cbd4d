"""The jobs of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

from aiohttp import web
from pydantic import Field

from processor.errors import ImageNotFound
from processor.jobs import Job
from service.auth.middleware import tenant_of
from service.calls import groups, samples
from service.calls.jobs import JobAnswer
from service.calls.listing import CURSOR_WORDS
from service.calls.names import UNIQUE_ID, UniqueId, unique_id_in
from service.calls.use_cases import CATALOG
from service.http.call import call, reply
from service.http.cursor import CURSORS
from service.http.problems import InvalidCursor
from service.http.rendering import render_rows
from service.http.wire import Heard, Question, WholeNumber, read_query
from service.limits.long_pages import page_turn


class HistoryQuery(Question):
    """How many jobs of an image to list."""

    other_words: ClassVar[Mapping[str, str]] = CURSOR_WORDS

    limit: WholeNumber = Field(default=20, ge=1, le=50, description="Most jobs on a page.")
    last_key: str | None = Field(
        default=None, description="`lastEvaluatedKey` of the page before; it holds for the same image alone."
    )


class HistoryAnswer(Heard):
    """A page of the jobs of an image, the newest first."""

    unique_id: UniqueId
    jobs: list[JobAnswer]
    count: int = Field(description="How many there are on this page.")
    last_evaluated_key: str | None = Field(description="`lastKey` of the next page; null at the end.")

    @classmethod
    def of(cls, unique_id: str, jobs: Sequence[Job], last_evaluated_key: str | None) -> Self:
        told = [JobAnswer.of(job) for job in jobs]
        return cls(unique_id=unique_id, jobs=told, count=len(told), last_evaluated_key=last_evaluated_key)


HISTORY = HistoryAnswer.of(samples.COMPLETED.unique_id, [samples.COMPLETED], None)


@call(
    "listJobs",
    groups.IMAGES,
    reply("A page", HISTORY),
    path=(UNIQUE_ID,),
    query=HistoryQuery,
    problems=(ImageNotFound, InvalidCursor),
)
async def history(request: web.Request) -> web.Response:
    """List the jobs of an image, the newest first.

    The first one is the current job. The record of a job expires, so a page may be short, or empty, while
    `lastEvaluatedKey` is not null.
    """
    query = read_query(HistoryQuery, request.query)
    tenant, unique_id = tenant_of(request), unique_id_in(request)
    asked, cursors = ("jobs", tenant, unique_id), request.app[CURSORS]
    after = None if query.last_key is None else await cursors.open(query.last_key, asked)
    async with page_turn(request, query.limit):
        jobs, last = await request.app[CATALOG].history(tenant, unique_id, limit=query.limit, after=after)
        next_key = None if last is None else await cursors.seal(asked, last)
        return await render_rows(
            request,
            lambda: HistoryAnswer.of(unique_id, jobs, next_key).ignoring(query.ignored),
            rows=len(jobs),
            tenant=tenant,
        )
