"""One listing out of the partitions that a tenant's jobs are spread over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from processor import clock
from processor.jobs import Job, JobStatus
from processor.ports.jobs import JobPage, JobQuery
from processor.stores.records import from_wire, image_key, job_from_item, job_key
from processor.stores.schema import BY_STATUS, BY_TIME, SHARDS, list_key, status_key
from processor.stores.table import Table
from processor.stores.translate import translated
from processor.stores.writes import attributes

#: Below and above every sort key, which begin with the digit of a year.
FIRST, LAST = "0", ":"
#: In a sort key the time ends in `#`; the next character of ASCII sorts behind every id of that time.
AFTER_TIME = "$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Both ends of a range of sort keys, included; `after` is in the range but not in the listing."""

    low: str
    high: str
    after: str | None

    def admit(self, position: str) -> bool:
        """Whether a position belongs to the listing."""
        return self.low <= position <= self.high and position != self.after


def bounds_of(query: JobQuery) -> Bounds:
    """From the times and the position that a query names."""
    low = FIRST if query.created_from is None else _start(query.created_from)
    high = LAST if query.created_to is None else clock.to_iso(query.created_to) + AFTER_TIME
    if query.after is not None and query.newest_first:
        high = min(high, query.after)
    elif query.after is not None:
        low = max(low, query.after)
    return Bounds(low=low, high=high, after=query.after)


def page_of(jobs: list[Job], query: JobQuery) -> JobPage:
    """The first `limit` of jobs from every partition, of which there is one more when the listing goes on."""
    ordered = sorted(jobs, key=lambda job: job.position, reverse=query.newest_first)
    page = tuple(ordered[: query.limit])
    return JobPage(jobs=page, next_after=page[-1].position if len(ordered) > query.limit else None)


async def list_jobs(table: Table, query: JobQuery) -> JobPage:
    """A page of the jobs that live. Raises `Unavailable`."""
    bounds = bounds_of(query)
    if bounds.low > bounds.high:  # DynamoDB takes an empty range for a mistake
        return JobPage(jobs=(), next_after=None)
    requests = [_request(table, query, bounds, number) for number in range(SHARDS)]
    with translated():
        shards = await asyncio.gather(*(_shard(table, request, query, bounds) for request in requests))
    return page_of([job for jobs in shards for job in jobs], query)


async def _shard(table: Table, request: dict[str, Any], query: JobQuery, bounds: Bounds) -> list[Job]:
    """As many jobs of one partition as the page can need: one more than it shows."""
    found: dict[str, Job] = {}
    while len(found) <= query.limit:
        answer = await table.dynamodb.query(**request)
        rows = [job_from_item(item) for item in map(from_wire, answer["Items"]) if bounds.admit(item["sortKey"])]
        for position, job in _newest(rows).items():
            shown = job if job.superseded_by is None else await _current(table, job, query.status)
            if shown is not None:
                found[position] = shown
        if "LastEvaluatedKey" not in answer:
            break
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
    return list(found.values())


def _newest(rows: Iterable[Job]) -> dict[str, Job]:
    """One row an image, by position: an index has the rows of the jobs before the current one, too."""
    found: dict[str, Job] = {}
    for job in rows:
        found[job.position] = max(found.get(job.position, job), job, key=_age)
    return found


def _age(job: Job) -> tuple[bool, datetime]:
    return job.superseded_by is None, job.created_at


async def _current(table: Table, row: Job, status: JobStatus | None) -> Job | None:
    """What an image shows of which the index has older rows alone: its current job is on its way there, or is gone."""
    image = await table.get(image_key(row.unique_id))
    if image is None or "deletedAt" in image:
        return None
    item = await table.get(job_key(image["currentJob"]))
    job = None if item is None else job_from_item(item)
    # A release before moved an image to the time of each new job: that has a row of its own then.
    stands_here = job is not None and job.position == row.position
    return job if stands_here and job is not None and status in (None, job.status) else None


def _request(table: Table, query: JobQuery, bounds: Bounds, number: int) -> dict[str, Any]:
    if query.status is None:
        index, partition, value = BY_TIME, "listKey", list_key(query.tenant, number)
    else:
        index, partition, value = BY_STATUS, "statusKey", status_key(query.tenant, number, query.status)
    keys = f"#{partition} = :partition AND #sortKey BETWEEN :low AND :high"
    # Expired items may stay for days until AWS removes them (AWS, "Using time to live").
    living = "#ttl > :present"
    values: Mapping[str, Any] = {"partition": value, "low": bounds.low, "high": bounds.high, "present": table.present()}
    return {
        "TableName": table.name,
        "IndexName": index,
        "KeyConditionExpression": keys,
        "FilterExpression": living,
        "ScanIndexForward": not query.newest_first,
        "Limit": query.limit + 2,  # the page, one more to know whether there is one, and `after`
        **attributes(keys + living, values),
    }


def _start(moment: datetime) -> str:
    """The first sort key not before `moment`: sort keys are cut to milliseconds, a moment may be finer."""
    cut = moment.microsecond % 1000 != 0
    return clock.to_iso(moment) + (AFTER_TIME if cut else "")
