"""The DynamoDB table under all stores of records: reads that respect expiry, conditional writes, batches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tenacity import retry_if_result

from processor.stores import writes
from processor.stores.again import again
from processor.stores.clients import AwsClients
from processor.stores.pages import Page, batch_of_answer, page_of_answer
from processor.stores.records import Item, from_wire, to_wire
from processor.stores.schema import KEY, TTL
from processor.stores.translate import translated
from processor.stores.writes import Delete, Put, Update

Row = TypeVar("Row")

#: The most requests in one `BatchWriteItem`, and in one `BatchGetItem` (AWS, under these names).
BATCH, READ_BATCH = 25, 100
#: Tries of a batch that DynamoDB does only partly, and the longest pause after the first try, in seconds.
BATCH_TRIES, BATCH_PAUSE_SECONDS = 6, 0.05


class Table:
    """One table. `now` gives the time for expiry, in seconds since the epoch.

    Every call raises `Unavailable`.
    """

    def __init__(self, clients: AwsClients, name: str, *, now: Callable[[], float] = time.time) -> None:
        self.name = name
        self.dynamodb = clients.dynamodb
        self._once = clients.dynamodb_once
        self._now = now

    def present(self) -> int:
        """The time, as records have it."""
        return int(self._now())

    async def get(self, key: Item) -> Item | None:
        """An item that has not expired, by a consistent read; None: there is none."""
        with translated():
            answer = await self.dynamodb.get_item(TableName=self.name, Key=to_wire(key), ConsistentRead=True)
        item = from_wire(answer.get("Item", {}))
        expired = TTL in item and item[TTL] <= self.present()
        return None if expired or not item else item

    async def get_many(
        self, read: Callable[[Item], Row], tenant: str, keys: Sequence[Item], *, names: Sequence[str] = ()
    ) -> list[Row]:
        """The items that exist and have not expired, by consistent reads, in any order.

        `read` converts each item, in the turn of `tenant`. With `names`, an item has only these attributes and the key.
        """
        batches = [keys[start : start + READ_BATCH] for start in range(0, len(keys), READ_BATCH)]
        found = await asyncio.gather(*(self._get_batch(read, tenant, batch, names) for batch in batches))
        return [row for rows in found for row in rows]

    async def _get_batch(
        self, read: Callable[[Item], Row], tenant: str, keys: Sequence[Item], names: Sequence[str]
    ) -> list[Row]:
        asked: dict[str, Any] = {"Keys": [to_wire(key) for key in keys], "ConsistentRead": True}
        if names:
            expression = ", ".join(f"#{name}" for name in (KEY, TTL, *names))
            asked |= {"ProjectionExpression": expression, **writes.attributes(expression, {})}
        left: Any = {self.name: asked}
        found: list[Row] = []
        present = self.present()

        def living(item: Item) -> Row | None:
            return None if item.get(TTL, present + 1) <= present else read(item)

        async def attempt() -> Any:
            nonlocal left
            with translated():
                answer = await self.dynamodb.batch_get_item(RequestItems=left)
                batch = await batch_of_answer(answer, self.name, living, tenant)
            found.extend(row for row in batch.rows if row is not None)
            left = batch.left
            return left

        unfinished = retry_if_result(bool)
        await again(unfinished, tries=BATCH_TRIES, pause_seconds=BATCH_PAUSE_SECONDS)(attempt)
        return found

    async def query(self, read: Callable[[Item], Row], tenant: str, **request: Any) -> Page[Row]:
        """One page of an index. `read` converts each item, in the turn of `tenant`; `request` has DynamoDB's fields."""
        with translated():
            return await page_of_answer(await self.dynamodb.query(TableName=self.name, **request), read, tenant)

    async def update(self, change: Update) -> Item:
        """Change an item; returns the new one. Raises `ConditionFailed`."""
        return await writes.update(self.dynamodb, self.name, change)

    async def update_once(self, change: Update) -> Item:
        """Like `update`, for a change that must not happen twice. Raises `ConditionFailed`."""
        return await writes.update(self._once, self.name, change)

    async def put(self, new: Put) -> None:
        """Raises `ConditionFailed`."""
        await writes.put(self.dynamodb, self.name, new)

    async def transact(self, *changes: Update | Put | Delete) -> None:
        """Make all changes or none. Raises `ConditionFailed`."""
        await writes.transact(self.dynamodb, self.name, *changes)

    async def delete(self, keys: Sequence[Item]) -> None:
        """Delete items; missing ones are no error."""
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
