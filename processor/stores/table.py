"""The DynamoDB table, on which every store of records works: reads that know expiry, conditional writes, batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tenacity import retry_if_result

from processor.stores import writes
from processor.stores.again import again
from processor.stores.clients import AwsClients
from processor.stores.pages import Page, page_of_answer
from processor.stores.records import Item, from_wire, to_wire
from processor.stores.schema import TTL
from processor.stores.translate import translated
from processor.stores.writes import Delete, Put, Update

Row = TypeVar("Row")

#: Most requests of one `BatchWriteItem` (AWS, "BatchWriteItem").
BATCH = 25
#: Tries of a batch of which DynamoDB leaves a part undone, and the longest first pause between two, in seconds.
BATCH_TRIES, BATCH_PAUSE_SECONDS = 6, 0.05


class Table:
    """One table. `now` tells the time by which records expire, in seconds since the epoch.

    Every call raises `Unavailable`.
    """

    def __init__(self, clients: AwsClients, name: str, *, now: Callable[[], float] = time.time) -> None:
        self.name = name
        self.dynamodb = clients.dynamodb
        self._once = clients.dynamodb_once
        self._now = now

    def present(self) -> int:
        """The time, as records write it."""
        return int(self._now())

    async def get(self, key: Item) -> Item | None:
        """An item that is there and has not expired, by a consistent read."""
        with translated():
            answer = await self.dynamodb.get_item(TableName=self.name, Key=to_wire(key), ConsistentRead=True)
        item = from_wire(answer.get("Item", {}))
        expired = TTL in item and item[TTL] <= self.present()
        return None if expired or not item else item

    async def query(self, read: Callable[[Item], Row], tenant: str, **request: Any) -> Page[Row]:
        """One page of an index, every item through `read`, in the turn of `tenant`; `request` is DynamoDB's."""
        with translated():
            return await page_of_answer(await self.dynamodb.query(TableName=self.name, **request), read, tenant)

    async def update(self, change: Update) -> Item:
        """The item as it is then. Raises `ConditionFailed`."""
        return await writes.update(self.dynamodb, self.name, change)

    async def update_once(self, change: Update) -> Item:
        """The same for what must not be carried out twice. Raises `ConditionFailed`."""
        return await writes.update(self._once, self.name, change)

    async def put(self, new: Put) -> None:
        """Raises `ConditionFailed`."""
        await writes.put(self.dynamodb, self.name, new)

    async def transact(self, *changes: Update | Put | Delete) -> None:
        """All or none. Raises `ConditionFailed`."""
        await writes.transact(self.dynamodb, self.name, *changes)

    async def delete(self, keys: Sequence[Item]) -> None:
        """Whether they are there or not."""
        for start in range(0, len(keys), BATCH):
            await self._delete_batch(keys[start : start + BATCH])

    async def _delete_batch(self, keys: Sequence[Item]) -> None:
        left: Any = {self.name: [{"DeleteRequest": {"Key": to_wire(key)}} for key in keys]}

        async def attempt() -> Any:
            nonlocal left
            with translated():
                answer = await self.dynamodb.batch_write_item(RequestItems=left)
            left = answer.get("UnprocessedItems")
            return left

        unfinished = retry_if_result(bool)
        await again(unfinished, tries=BATCH_TRIES, pause_seconds=BATCH_PAUSE_SECONDS)(attempt)
