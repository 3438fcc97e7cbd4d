"""A store of bulk jobs in the DynamoDB table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from processor import clock
from processor.errors import BulkNotFound, RecordChanged
from processor.jobs import epoch
from processor.ports.bulk import KEPT, BulkJob, BulkResult
from processor.stores.codec import RECORDS
from processor.stores.records import Item
from processor.stores.schema import BY_STATUS, BY_TIME, KEY, TTL
from processor.stores.table import Table
from processor.stores.writes import ConditionFailed, Delete, Put, Update, attributes

#: The most rows in a list, and in a query for work.
MAX_ROWS = 100
#: Partition of `by-status` with the bulk jobs that have not ended. No tenant has it: theirs have two `#`.
OPEN_KEY = "bulk#open"
#: The form of our ids. Others are not worth a call.
_ID = re.compile(r"batch_[0-9a-z_]{1,100}")
#: The optional attributes of a record.
_NAMES = frozenset(RECORDS.names(BulkJob).values()) | {"statusKey"}


class DynamoBulkStore:
    """Bulk jobs in the same table as jobs. Each has pages of results under keys of their own.

    An item for each tenant and operation has the id of the open bulk job. So only one can be open.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    async def create(self, job: BulkJob) -> None:
        """Raises `RecordChanged`, `Busy`, `Unavailable`."""
        taken = {**_open_key(job.tenant, job.operation), "bulkId": job.bulk_id}
        try:
            await self._table.transact(Put(item=taken), Put(item=_item(job)))
        except ConditionFailed:
            raise RecordChanged from None

    async def open_of(self, tenant: str, operation: str) -> str | None:
        """Consistent read. Raises `Unavailable`."""
        item = await self._table.get(_open_key(tenant, operation))
        return None if item is None else str(item["bulkId"])

    async def get(self, tenant: str, bulk_id: str) -> BulkJob:
        """Consistent read. Raises `BulkNotFound`, `Unavailable`."""
        item = await self._table.get(_key(bulk_id)) if _ID.fullmatch(bulk_id) else None
        if item is None or item["tenant"] != tenant:
            raise BulkNotFound
        return _from_item(item)

    async def save(self, job: BulkJob, results: Sequence[BulkResult] = ()) -> BulkJob:
        """Raises `RecordChanged`, `Busy`, `Unavailable`."""
        # queued ── taken ── running ── come further ... ── ended: no more in the partition of those that are open
        #             └─ lease runs out ── taken ...           └─ the item that kept others out goes with it
        written = replace(job, version=job.version + 1)
        item = {name: value for name, value in _item(written).items() if name != KEY}
        change = Update(
            key=_key(job.bulk_id),
            sets=item,
            remove=tuple(sorted(_NAMES - item.keys() - {KEY})),
            condition="#version = :version",
            values={"version": job.version},
        )
        changes: list[Update | Put | Delete] = [change]
        if results:
            changes.append(Put(item=_page_item(written, results)))
        if not job.open:
            changes.append(Delete(key=_open_key(job.tenant, job.operation)))
        try:
            await self._table.transact(*changes) if len(changes) > 1 else await self._table.update(change)
        except ConditionFailed:
            raise RecordChanged from None
        return written

    async def list(self, tenant: str) -> tuple[BulkJob, ...]:
        """Queries the index by time. Raises `Unavailable`."""
        return await self._rows(tenant, BY_TIME, "listKey", _list_key(tenant), newest_first=True)

    async def open_jobs(self) -> tuple[BulkJob, ...]:
        """Queries the index by status. Raises `Unavailable`."""
        found = await self._rows("", BY_STATUS, "statusKey", OPEN_KEY, newest_first=False)
        return tuple(sorted(found, key=lambda job: job.updated_at))

    async def results(self, job: BulkJob, page: int) -> tuple[BulkResult, ...]:
        """Raises `Unavailable`."""
        item = await self._table.get(_page_key(job.bulk_id, page))
        return () if item is None else tuple(RECORDS.decode(each, BulkResult) for each in item["results"])

    async def _rows(
        self, tenant: str, index: str, partition: str, value: str, *, newest_first: bool
    ) -> tuple[BulkJob, ...]:
        condition, living = f"#{partition} = :partition", "attribute_not_exists(#ttl) OR #ttl > :present"
        values: dict[str, Any] = {"partition": value, "present": self._table.present()}
        page = await self._table.query(
            _from_item,
            tenant,
            IndexName=index,
            KeyConditionExpression=condition,
            FilterExpression=living,
            ScanIndexForward=not newest_first,
            Limit=MAX_ROWS,
            **attributes(f"{condition} {living}", values),
        )
        return tuple(page.rows)


def _key(bulk_id: str) -> Item:
    return {KEY: bulk_id}


def _page_key(bulk_id: str, page: int) -> Item:
    return {KEY: f"page_{page}_{bulk_id}"}


def _open_key(tenant: str, operation: str) -> Item:
    return {KEY: f"open_{operation}#{tenant}"}


def _list_key(tenant: str) -> str:
    """A partition that no image can have: those end in a number."""
    return f"{tenant}#bulk"


def _item(job: BulkJob) -> Item:
    return {
        **RECORDS.encode(job),
        "listKey": _list_key(job.tenant),
        "sortKey": f"{clock.to_iso(job.created_at)}#{job.bulk_id}",
        **({"statusKey": OPEN_KEY} if job.open else {}),
    }


def _page_item(job: BulkJob, results: Sequence[BulkResult]) -> Item:
    return {
        **_page_key(job.bulk_id, job.pages - 1),
        "results": [RECORDS.encode(result) for result in results],
        TTL: epoch(job.updated_at + KEPT),
    }


def _from_item(item: Item) -> BulkJob:
    return RECORDS.decode(item, BulkJob)
