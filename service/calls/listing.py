"""The list of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self

from aiohttp import web
from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from processor.catalog.finding import EVERYTHING, MOST_SEARCHED, Wanted
from processor.jobs import Job, JobStatus
from processor.ports.jobs import JobQuery
from service.auth.middleware import tenant_of
from service.calls import groups, samples
from service.calls.jobs import JobAnswer
from service.calls.use_cases import CATALOG
from service.http.call import call, reply
from service.http.cursor import CURSORS
from service.http.moments import NotAMoment, first_moment, last_moment
from service.http.problems import FieldError, InvalidCursor, InvalidRequest
from service.http.rendering import render_rows
from service.http.wire import Answer, Heard, Question, WholeNumber, read_query
from service.limits.long_pages import page_turn
from service.limits.middleware import count_work


def _moment(read: Callable[[str], datetime]) -> BeforeValidator:
    def validate(value: object) -> object:
        try:
            return read(value) if isinstance(value, str) else value
        except NotAMoment as error:
            raise PydanticCustomError("moment", "{complaint}", {"complaint": str(error)}) from None

    return BeforeValidator(validate)


_MOMENT = WithJsonSchema({"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]})
FirstMoment = Annotated[datetime, _moment(first_moment), _MOMENT]
LastMoment = Annotated[datetime, _moment(last_moment), _MOMENT]
#: Other names for the cursor: those of other APIs, and the one in our answer. They are refused: a client that sent one
#: would get the same page for ever.
CURSOR_WORDS = dict.fromkeys(
    (
        "lastEvaluatedKey",
        "exclusiveStartKey",
        "cursor",
        "next",
        "nextKey",
        "nextToken",
        "nextCursor",
        "pageToken",
        "nextPageToken",
        "continuationToken",
        "startAfter",
        "startKey",
        "startingAfter",
        "after",
        "page",
        "pageNumber",
        "offset",
        "skip",
    ),
    "lastKey",
)
#: Other names for filters and sorting. They are refused: a client would take an unfiltered list for a filtered one.
PAGE_WORDS = {
    **CURSOR_WORDS,
    **dict.fromkeys(("pageSize", "perPage", "maxKeys", "maxResults", "maxItems", "count", "size", "take"), "limit"),
    **dict.fromkeys(("since", "start", "startDate", "startTime", "createdFrom", "createdAfter", "dateFrom"), "from"),
    **dict.fromkeys(("until", "before", "end", "endDate", "endTime", "createdTo", "createdBefore", "dateTo"), "to"),
    **dict.fromkeys(("sort", "sortOrder", "sortBy", "orderBy", "direction"), "order"),
}


class PageQuery(Question):
    """Which page of a listing."""

    other_words: ClassVar[Mapping[str, str]] = PAGE_WORDS

    limit: WholeNumber = Field(default=50, ge=1, le=100, description="Most images on a page.")
    last_key: str | None = Field(
        default=None,
        description="`lastEvaluatedKey` of the page before; empty or left out for the first one. It holds for the same "
        "filters and order alone.",
    )
    created_from: FirstMoment | None = Field(
        default=None,
        alias="from",
        description="Only images made at or after this (`listedAt`): a time in RFC 3339 with its zone, like "
        "`2026-01-02T03:04:05Z`, or a date, like `2026-01-02`, which begins at 00:00 in UTC. Write a `+` as `%2B`.",
    )
    created_to: LastMoment | None = Field(
        default=None,
        alias="to",
        description="Only images made at or before this: the same; a date ends at 24:00 in UTC, so that its day is "
        "included.",
    )
    order: Literal["asc", "desc"] = Field(default="desc", description="`desc`: newest first.")

    def job_query(self, tenant: str, status: JobStatus | None) -> JobQuery:
        """The query for the store, without the position. Raises `InvalidRequest`."""
        if self.created_from and self.created_to and self.created_from > self.created_to:
            raise InvalidRequest([FieldError(field="from", message="must not be later than to")])
        return JobQuery(
            tenant=tenant,
            limit=self.limit,
            status=status,
            newest_first=self.order == "desc",
            created_from=self.created_from,
            created_to=self.created_to,
        )


_SEARCHED = (
    f"A page looks at {MOST_SEARCHED} images at most: it may be short, or empty, while `lastEvaluatedKey` is not null."
)


class ListQuery(PageQuery):
    """Which images to list."""

    other_words: ClassVar[Mapping[str, str]] = PAGE_WORDS | {
        **dict.fromkeys(("statuses", "state"), "status"),
        **dict.fromkeys(("filename", "search", "query", "q"), "name"),
        **dict.fromkeys(("tags", "keyword", "keywords"), "tag"),
    }

    status: JobStatus | None = Field(default=None, description="Only images whose current job has this status.")
    name: str | None = Field(
        default=None,
        max_length=200,
        description=f"Only images with this in their file name, in capitals or not. {_SEARCHED}",
        examples=["holiday"],
    )
    tag: str | None = Field(
        default=None,
        max_length=100,
        description=f"Only images with this among their `tags`, or among the keywords of their metadata. {_SEARCHED}",
        examples=["lakeside"],
    )

    @property
    def wanted(self) -> Wanted:
        return Wanted(name=self.name or None, tag=self.tag or None)

    def to_query(self, tenant: str) -> JobQuery:
        """The query for the catalog, without the position. Raises `InvalidRequest`."""
        return self.job_query(tenant, self.status)


class ListAnswer(Heard):
    """A page of images, each as its current job."""

    images: list[JobAnswer]
    count: int = Field(description="How many there are on this page.")
    last_evaluated_key: str | None = Field(description="`lastKey` of the next page; null at the end.")

    @classmethod
    def of(cls, jobs: Sequence[Job], last_evaluated_key: str | None) -> Self:
        images = [JobAnswer.of(job) for job in jobs]
        return cls(images=images, count=len(images), last_evaluated_key=last_evaluated_key)


LIST = ListAnswer.of([samples.COMPLETED], None)


@call("listImages", groups.IMAGES, reply("A page", LIST), query=ListQuery, problems=(InvalidCursor,))
async def list_images(request: web.Request) -> web.Response:
    """List images, newest first.

    The order is that of `listedAt`, which never changes. A client that reads page after page, until `lastEvaluatedKey`
    is null, sees every image exactly once, if it matched all the time. A list lags a moment behind other calls. An
    image whose job was replaced at this very moment may be missing from a page.
    """
    asked = read_query(ListQuery, request.query)
    query = asked.to_query(tenant_of(request))
    return await page_of(
        request,
        query,
        asked.last_key,
        lambda jobs, last_key: ListAnswer.of(jobs, last_key).ignoring(asked.ignored),
        wanted=asked.wanted,
    )


async def page_of(
    request: web.Request,
    query: JobQuery,
    last_key: str | None,
    answer: Callable[[Sequence[Job], str | None], Answer],
    *,
    wanted: Wanted = EVERYTHING,
) -> web.Response:
    """The page of the catalog's list behind `last_key`, as an answer of its jobs and the key of the page after it.

    Raises `InvalidCursor`.
    """
    cursors = request.app[CURSORS]
    asked = query if wanted.is_everything else _asked(query, wanted)
    after = None if last_key is None else await cursors.open(last_key, asked)
    # A search reads many images for few rows: it waits for its turn however short its page is.
    async with page_turn(request, query.limit if wanted.is_everything else None):
        page = await request.app[CATALOG].list(replace(query, after=after), wanted)
        count_work(request, read_bytes=page.read_bytes)
        next_key = None if page.next_after is None else await cursors.seal(asked, page.next_after)
        return await render_rows(request, lambda: answer(page.jobs, next_key), rows=len(page.jobs), tenant=query.tenant)


def _asked(query: JobQuery, wanted: Wanted) -> tuple[str, ...]:
    """What a cursor of a search belongs to."""
    bounds = (query.created_from, query.created_to)
    return (
        "search",
        query.tenant,
        query.status or "",
        "newest" if query.newest_first else "oldest",
        *("" if bound is None else bound.isoformat() for bound in bounds),
        f"name={wanted.name}",
        f"tag={wanted.tag}",
    )
