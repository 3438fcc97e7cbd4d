"""Reads records by the time of their last change, and many records at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from processor import clock
from processor.jobs import Job, removed
from processor.ports.changes import IMAGE_PREFIX, Change
from processor.stores.records import Item, image_from_item, job_from_item
from processor.stores.schema import BY_CHANGE, KEY, SHARDS, change_key
from processor.stores.table import Table
from processor.stores.writes import attributes

#: Attributes that change whenever a job changes.
VERSION = ("status", "updatedAt", "supersededBy")
#: The turn in which answers about jobs of several tenants are parsed.
EVERYBODY = ""


class DynamoChanges:
    """The table's records by their last change."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def since(self, tenant: str, moment: datetime, *, rows: int = 500) -> AsyncIterator[Sequence[Change]]:
        """Queries all partitions of the tenant at once. Raises `Unavailable`."""
        shards = [_Shard(request=_request(tenant, moment, number, rows), tenant=tenant) for number in range(SHARDS)]
        while True:
            await asyncio.gather(*(shard.read_on(self._table) for shard in shards if not shard.found))
            through = min((shard.read_through for shard in shards if shard.read_through is not None), default=None)
            page = sorted((each for shard in shards for each in shard.take(through)), key=lambda each: each.at)
            if page:
                yield page
            if through is None:
                return

    async def read(self, tenant: str, records: Sequence[str]) -> Sequence[Job]:
        """Raises `Unavailable`."""
        jobs = await self._table.get_many(_job, tenant, [{KEY: each} for each in records])
        return [job for job in jobs if job.tenant == tenant]

    async def versions(self, processing_ids: Sequence[str]) -> Mapping[str, str]:
        """Raises `Unavailable`."""
        keys = [{KEY: each} for each in processing_ids]
        return dict(await self._table.get_many(_version, EVERYBODY, keys, names=VERSION))


@dataclass(slots=True, kw_only=True)
class _Shard:
    """One partition, read in pages."""

    request: dict[str, Any]
    tenant: str
    #: Changes that are read but not yielded yet, the earliest first.
    found: list[Change] = field(default_factory=list)
    ended: bool = False

    @property
    def read_through(self) -> datetime | None:
        """All changes up to this time are read; None: all changes are read."""
        return None if self.ended else self.found[-1].at

    async def read_on(self, table: Table) -> None:
        while not self.found and not self.ended:
            page = await table.query(_change, self.tenant, **self.request)
            self.found.extend(page.rows)
            self.ended = page.next_key is None
            self.request["ExclusiveStartKey"] = page.next_key

    def take(self, through: datetime | None) -> Iterable[Change]:
        taken = [each for each in self.found if through is None or each.at <= through]
        self.found = self.found[len(taken) :]
        return taken


def _request(tenant: str, moment: datetime, number: int, rows: int) -> dict[str, Any]:
    keys = "#changeKey = :changeKey AND #updatedAt >= :updatedAt"
    values = {"changeKey": change_key(tenant, number), "updatedAt": clock.to_iso(moment)}
    return {
        "IndexName": BY_CHANGE,
        "KeyConditionExpression": keys,
        "Limit": max(1, rows // SHARDS),
        **attributes(keys, values),
    }


def _change(item: Item) -> Change:
    return Change(record=item[KEY], unique_id=item["uniqueId"], at=clock.from_iso(item["updatedAt"]))


def _job(item: Item) -> Job:
    return removed(image_from_item(item)) if item[KEY].startswith(IMAGE_PREFIX) else job_from_item(item)


def _version(item: Item) -> tuple[str, str]:
    return item[KEY], " ".join(str(item.get(name, "")) for name in VERSION)  # the same as `version_of`
