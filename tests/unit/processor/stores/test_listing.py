"""A listing put together of partitions that are as uneven as chance allows."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from processor.jobs import Job, new_processing_id, pending_job
from processor.ports.jobs import JobQuery
from processor.recipes import STANDARD
from processor.stores.listing import list_jobs
from processor.stores.pages import Page
from processor.stores.records import job_item
from processor.stores.schema import SHARDS, list_key
from tests.searching import searching

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Partitions:
    """What a table has, and how many items were read of it."""

    def __init__(self) -> None:
        self.jobs: list[list[Job]] = [[] for _ in range(SHARDS)]
        self.read = 0

    def present(self) -> int:
        return 0

    async def query(self, read: Any, _: str, **request: Any) -> Page[Any]:
        values = request["ExpressionAttributeValues"]
        partition, low, high = (values[f":{name}"]["S"] for name in ("partition", "low", "high"))
        newest_first = not request["ScanIndexForward"]
        number = next(number for number in range(SHARDS) if list_key("t", number) == partition)
        jobs = sorted(self.jobs[number], key=lambda job: job.position, reverse=newest_first)
        start = request.get("ExclusiveStartKey")
        if start is not None:
            after = start["sortKey"]["S"]
            jobs = [job for job in jobs if (job.position < after if newest_first else job.position > after)]
        jobs = [job for job in jobs if low <= job.position <= high]
        page = jobs[: request["Limit"]]
        self.read += len(page)
        more = len(jobs) > len(page)
        return Page(
            rows=[read(job_item(job)) for job in page],
            next_key={"sortKey": {"S": page[-1].position}} if more else None,
        )


def partitions(shards: list[int]) -> Partitions:
    """A job for each number, which says in what partition it lies."""
    table = Partitions()
    for number, shard in enumerate(shards):
        created_at = NOON + timedelta(seconds=number)
        job = pending_job("t", f"u{number}", f"uploads/u{number}.jpg", "a.jpg", recipe=STANDARD)
        job = replace(job, created_at=created_at, processing_id=new_processing_id(created_at), expires_at=2**40)
        table.jobs[shard].append(job)
    return table


async def _pages(table: Partitions, query: JobQuery) -> list[Job]:
    page = await list_jobs(table, query)  # type: ignore[arg-type]
    listed = list(page.jobs)
    while page.next_after is not None:
        assert len(page.jobs) == query.limit
        page = await list_jobs(table, replace(query, after=page.next_after))  # type: ignore[arg-type]
        listed += page.jobs
    return listed


@searching(150)
@given(
    st.lists(st.sampled_from([0, 0, 0, 0, 1, 2, 3]), max_size=90),
    st.integers(min_value=1, max_value=40),
    st.booleans(),
)
def test_however_jobs_are_spread_the_pages_are_the_whole_list_in_order(
    shards: list[int], limit: int, newest_first: bool
) -> None:
    table = partitions(shards)
    listed = asyncio.run(_pages(table, JobQuery(tenant="t", limit=limit, newest_first=newest_first)))
    everything = sorted((job.position for jobs in table.jobs for job in jobs), reverse=newest_first)
    assert [job.position for job in listed] == everything


def test_of_a_long_list_little_more_is_read_than_is_shown() -> None:
    table = partitions([number % SHARDS for number in range(2000)])
    page = asyncio.run(list_jobs(table, JobQuery(tenant="t", limit=100)))  # type: ignore[arg-type]
    assert len(page.jobs) == 100
    assert table.read < 200
