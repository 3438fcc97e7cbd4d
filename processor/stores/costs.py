"""What tenants have used by day, in the DynamoDB table: counted with the end of a job, in one transaction."""

from __future__ import annotations

import zlib
from datetime import timedelta
from typing import Any

from processor.costs import Cost, DayOfUse, added_up
from processor.jobs import Job, JobStatus, epoch
from processor.ports.costs import UsePage
from processor.stores.records import Item
from processor.stores.schema import BY_TIME, KEY, TTL
from processor.stores.table import Table
from processor.stores.writes import Update, attributes
from processor.usage import day_of

#: Items of a day and a key. Each takes 500 transactions a second (AWS, "Partition key design"), and two that meet at
#: one item wait for each other. If this number changes, what is there still counts.
SHARDS = 8
#: How long the counts of a day are kept.
KEPT = timedelta(days=400)
_ALWAYS = f"attribute_exists(#{KEY}) OR attribute_not_exists(#{KEY})"
#: Sorts behind every key of a day.
_AFTER = "$"


def counting(job: Job, spent: Cost, *, ends: bool = True) -> Update:
    """The write that counts what a job has spent, and the job itself if it `ends`."""
    day, number = day_of(job.updated_at), zlib.crc32(job.processing_id.encode()) % SHARDS
    completed, failed = (int(ends and job.status is status) for status in (JobStatus.COMPLETED, JobStatus.FAILED))
    used = DayOfUse(day=day, completed=completed, failed=failed, cost=spent)
    counts = {name: count for name, count in used.counts.items() if count}
    place = f"{day}#{job.asked_by}#{number}"
    return Update(
        key={KEY: f"usage_{job.tenant}#{place}"},
        sets={"listKey": _partition(job.tenant), "sortKey": place, TTL: epoch(job.updated_at + KEPT)},
        also=tuple(f"#{name} = if_not_exists(#{name}, :nought) + :{name}" for name in counts),
        condition=_ALWAYS,
        values={**counts, "nought": 0},
    )


class DynamoCostStore:
    """Counts in the same table as jobs, listed by the index by time."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def days(self, tenant: str, first: str, last: str) -> UsePage:
        """Raises `Unavailable`."""
        condition = "#listKey = :partition AND #sortKey BETWEEN :first AND :last"
        values = {"partition": _partition(tenant), "first": first, "last": last + _AFTER}
        request: dict[str, Any] = {
            "IndexName": BY_TIME,
            "KeyConditionExpression": condition,
            **attributes(condition, values),
        }
        found: list[DayOfUse] = []
        read_bytes = 0
        while True:
            page = await self._table.query(_day, tenant, **request)
            found, read_bytes = list(added_up([*found, *page.rows])), read_bytes + page.read_bytes
            if page.next_key is None:
                return UsePage(days=tuple(found), read_bytes=read_bytes)
            request["ExclusiveStartKey"] = page.next_key


def _partition(tenant: str) -> str:
    return f"{tenant}#usage"


def _day(item: Item) -> DayOfUse:
    day, key_id, _ = item["sortKey"].split("#")
    return DayOfUse.of_counts(day, key_id, item)
