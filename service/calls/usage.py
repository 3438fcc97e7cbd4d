"""What a tenant has used, by day and API key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import ClassVar, Self

from aiohttp import web
from pydantic import Field

from processor.costs import Cost, DayOfUse
from processor.ports.costs import CostStore
from processor.usage import MEGAPIXEL, today
from service.auth.middleware import tenant_of
from service.calls import groups
from service.http.call import call, reply
from service.http.problems import FieldError, InvalidRequest
from service.http.rendering import render
from service.http.wire import Answer, Question, read_query
from service.limits.long_pages import page_turn
from service.limits.middleware import count_work

#: Days of an answer: by default, and at most.
USUAL_DAYS, MOST_DAYS = 30, 92

COSTS = web.AppKey[CostStore]("costs")


class CostAnswer(Answer):
    """What was used."""

    cpu_ms: int = Field(description="CPU of the conversions in milliseconds, further formats included.", examples=[612])
    megapixels: float = Field(description="Of the sources, over all frames.", examples=[12.193])
    bytes_in: int = Field(description="Of the sources.", examples=[3801245])
    bytes_out: int = Field(description="Of all variants.", examples=[1161480])
    bytes_saved: int = Field(
        description="How much smaller the variants of the original's size are than the originals.", examples=[2899701]
    )

    @classmethod
    def of(cls, cost: Cost) -> Self:
        return cls(**told(cost))


def told(cost: Cost) -> dict[str, float]:
    """The fields of an answer."""
    return {
        "cpu_ms": cost.cpu_ms,
        "megapixels": round(cost.pixels / MEGAPIXEL, 3),
        "bytes_in": cost.bytes_in,
        "bytes_out": cost.bytes_out,
        "bytes_saved": cost.bytes_saved,
    }


class UseAnswer(CostAnswer):
    """What was used, and by how many jobs."""

    completed: int = Field(description="Jobs that completed.", examples=[41])
    failed: int = Field(description="Jobs that a worker ended as failed.", examples=[1])

    @classmethod
    def of_all(cls, used: Sequence[DayOfUse], **more: object) -> Self:
        whole = sum(used, DayOfUse(day=""))
        return cls(completed=whole.completed, failed=whole.failed, **told(whole.cost), **more)


class KeyUseAnswer(UseAnswer):
    """What was used by one API key."""

    key_id: str | None = Field(description="Null for everybody who came without a key.", examples=["mfrggzdfmztwq2lk"])


class DayAnswer(UseAnswer):
    """What was used on a day."""

    day: date = Field(description="In UTC.")
    keys: list[KeyUseAnswer] = Field(description="The same by API key.")


class UsageAnswer(Answer):
    """What the tenant used; days without any use are not there."""

    first: date = Field(alias="from")
    last: date = Field(alias="to")
    days: list[DayAnswer]
    total: UseAnswer

    @classmethod
    def of(cls, first: date, last: date, used: Sequence[DayOfUse]) -> Self:
        days = [(day, list(of_day)) for day, of_day in groupby(used, key=lambda each: each.day)]
        return cls(
            first=first,
            last=last,
            days=[
                DayAnswer.of_all(
                    of_day, day=day, keys=[KeyUseAnswer.of_all([each], key_id=each.key_id or None) for each in of_day]
                )
                for day, of_day in days
            ],
            total=UseAnswer.of_all(used),
        )


class UsageQuery(Question):
    """Which days."""

    other_words: ClassVar[Mapping[str, str]] = dict.fromkeys(("since", "start", "startDate"), "from") | dict.fromkeys(
        ("until", "end", "endDate"), "to"
    )

    first: date | None = Field(
        default=None, alias="from", description=f"The first day (UTC); by default {USUAL_DAYS} days up to `to`."
    )
    last: date | None = Field(
        default=None, alias="to", description=f"The last day; by default today. At most {MOST_DAYS} days in all."
    )

    def days(self) -> tuple[date, date]:
        """The first and the last day. Raises `InvalidRequest`."""
        last = self.last or date.fromisoformat(today())
        try:
            first = self.first or last - timedelta(days=USUAL_DAYS - 1)
        except OverflowError:
            first = last
        if first > last:
            raise InvalidRequest([FieldError(field="from", message="must not be later than to")])
        if (last - first).days >= MOST_DAYS:
            raise InvalidRequest([FieldError(field="from", message=f"must be at most {MOST_DAYS} days up to to")])
        return first, last


_USED = DayOfUse(
    day="2026-01-02",
    completed=41,
    failed=1,
    cost=Cost(cpu_ms=25_092, pixels=499_913_000, bytes_in=155_851_045, bytes_out=47_620_680, bytes_saved=118_887_741),
)
USAGE = UsageAnswer.of(
    date(2026, 1, 1), date(2026, 1, 31), [DayOfUse.of_counts(_USED.day, "mfrggzdfmztwq2lk", _USED.counts)]
)


@call("getUsage", groups.ACCESS, reply("What was used", USAGE), query=UsageQuery)
async def show(request: web.Request) -> web.Response:
    """See what the tenant used, by day and API key.

    A job counts once, on the day on which it ended, however often it was tried. What a deleted image took stays
    counted. Counts lag a moment behind, and are kept for 400 days.
    """
    first, last = read_query(UsageQuery, request.query).days()
    tenant = tenant_of(request)
    async with page_turn(request):
        page = await request.app[COSTS].days(tenant, first.isoformat(), last.isoformat())
        count_work(request, read_bytes=page.read_bytes)
    return render(request, UsageAnswer.of(first, last, page.days))
