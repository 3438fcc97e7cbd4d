"""Merges the shards of a tenant's jobs into one listing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from math import isqrt
from typing import Any

from processor import clock
from processor.jobs import Job, JobStatus
from processor.ports.jobs import JobPage, JobQuery
from processor.stores.records import Item, image_key, job_from_item, job_key
from processor.stores.schema import BY_STATUS, BY_TIME, SHARDS, list_key, status_key
from processor.stores.table import Table
from processor.stores.writes import attributes

#: Below and above every sort key: those begin with the digit of a year.
FIRST, LAST = "0", ":"
#: In a sort key, `#` follows the time. The next ASCII character sorts behind every id with that time.
AFTER_TIME = "$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """A range of sort keys, including both ends. `after` is in the range, but not in the listing."""

    low: str
    high: str
    after: str | None

    def admit(self, position: str) -> bool:
        """Whether a position belongs to the listing."""
        return self.low <= position <= self.high and position != self.after


def bounds_of(query: JobQuery) -> Bounds:
    """The bounds from the times and the position in a query."""
    low = FIRST if query.created_from is None else _start(query.created_from)
    high = LAST if query.created_to is None else clock.to_iso(query.created_to) + AFTER_TIME
    if query.after is not None and query.newest_first:
        high = min(high, query.after)
    elif query.after is not None:
        low = max(low, query.after)
    return Bounds(low=low, high=high, after=query.after)


def page_of(jobs: list[Job], query: JobQuery) -> JobPage:
    """The first `limit` of the jobs from all partitions. If there are more jobs than that, the listing goes on."""
    ordered = sorted(jobs, key=lambda job: job.position, reverse=query.newest_first)
    page = tuple(ordered[: query.limit])
    return JobPage(jobs=page, next_after=page[-1].position if len(ordered) > query.limit else None)


@dataclass(slots=True, kw_only=True)
class _Shard:
    """One partition of a listing, read as far as the page needs."""

    request: dict[str, Any]
    tenant: str
    #: The jobs to show, by position.
    found: dict[str, Job] = field(default_factory=dict)
    #: The sort key at which reading stopped; None: at the end.
    reached: str | None = FIRST
    read_bytes: int = 0

    def may_hold(self, position: str, *, newest_first: bool) -> bool:
        """Whether jobs that are not read yet may come before `position`."""
        if self.reached is None:
            return False
        return self.reached > position if newest_first else self.reached < position

    async def read_on(self, table: Table, bounds: Bounds, status: JobStatus | None) -> None:
        page = await table.query(partial(_row, bounds), self.tenant, **self.request)
        self.read_bytes += page.read_bytes
        for position, job in _newest(job for job in page.rows if job is not None).items():
            shown = job if job.superseded_by is None else await _current(table, job, status)
            if shown is not None:
                self.found[position] = shown
        self.reached = None if page.next_key is None else page.next_key["sortKey"]["S"]
        self.request["ExclusiveStartKey"] = page.next_key


async def list_jobs(table: Table, query: JobQuery) -> JobPage:
    """A page of jobs that have not expired. Raises `Unavailable`."""
    bounds = bounds_of(query)
    if bounds.low > bounds.high:  # DynamoDB refuses an empty range
        return JobPage(jobs=(), next_after=None)
    shards = [_Shard(request=_request(table, query, bounds, number), tenant=query.tenant) for number in range(SHARDS)]
    jobs: list[Job] = []
    while unread := _too_short(shards, jobs, query):
        await asyncio.gather(*(shard.read_on(table, bounds, query.status) for shard in unread))
        jobs = [job for shard in shards for job in shard.found.values()]
    return replace(page_of(jobs, query), read_bytes=sum(shard.read_bytes for shard in shards))


def _too_short(shards: Sequence[_Shard], jobs: Sequence[Job], query: JobQuery) -> list[_Shard]:
    """The shards that may hold more jobs of the page, or the next job, which shows that there is another page."""
    positions = sorted((job.position for job in jobs), reverse=query.newest_first)
    if len(positions) <= query.limit:
        return [shard for shard in shards if shard.reached is not None]
    end = positions[query.limit]
    return [shard for shard in shards if shard.may_hold(end, newest_first=query.newest_first)]


def _row(bounds: Bounds, item: Item) -> Job | None:
    return job_from_item(item) if bounds.admit(item["sortKey"]) else None


def _newest(rows: Iterable[Job]) -> dict[str, Job]:
    """One row per image, by position. An index also has rows of the jobs before the current one."""
    found: dict[str, Job] = {}
    for job in rows:
        found[job.position] = max(found.get(job.position, job), job, key=_age)
    return found


def _age(job: Job) -> tuple[bool, datetime]:
    return job.superseded_by is None, job.created_at


async def _current(table: Table, row: Job, status: JobStatus | None) -> Job | None:
    """The current job of an image if the index has only older rows: the current row is not there yet, or is gone."""
    image = await table.get(image_key(row.unique_id))
    if image is None or "deletedAt" in image:
        return None
    item = await table.get(job_key(image["currentJob"]))
    job = None if item is None else job_from_item(item)
    # Older releases moved an image to the time of each new job. Then the new job has a row elsewhere.
    stands_here = job is not None and job.position == row.position
    return job if stands_here and job is not None and status in (None, job.status) else None


def _request(table: Table, query: JobQuery, bounds: Bounds, number: int) -> dict[str, Any]:
    if query.status is None:
        index, partition, value = BY_TIME, "listKey", list_key(query.tenant, number)
    else:
        index, partition, value = BY_STATUS, "statusKey", status_key(query.tenant, number, query.status)
    keys = f"#{partition} = :partition AND #sortKey BETWEEN :low AND :high"
    # AWS may take days to remove expired items (AWS, "Using time to live").
    living = "#ttl > :present"
    values: Mapping[str, Any] = {"partition": value, "low": bounds.low, "high": bounds.high, "present": table.present()}
    return {
        "IndexName": index,
        "KeyConditionExpression": keys,
        "FilterExpression": living,
        "ScanIndexForward": not query.newest_first,
        "Limit": _share(query.limit),
        **attributes(keys + living, values),
    }


def _share(limit: int) -> int:
    """Rows to read from one shard: its even share of the page, twice the usual spread, and one for `after`."""
    return limit // SHARDS + isqrt(limit) + 2


def _start(moment: datetime) -> str:
    """The first sort key not before `moment`. Sort keys have milliseconds; a moment may be finer."""
    cut = moment.microsecond % 1000 != 0
    return clock.to_iso(moment) + (AFTER_TIME if cut else "")
