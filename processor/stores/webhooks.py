"""A store of webhooks in the DynamoDB table."""

from __future__ import annotations

from typing import Any

from processor.errors import DeliveryNotFound, RecordChanged
from processor.ports.webhooks import (
    Delivery,
    DeliveryPage,
    DeliveryQuery,
    Endpoints,
    bound,
)
from processor.stores.codec import RECORDS
from processor.stores.records import Item, to_wire
from processor.stores.schema import BY_STATUS, BY_TIME, KEY
from processor.stores.table import Table
from processor.stores.writes import ConditionFailed, Update, attributes

_NEW = f"attribute_not_exists(#{KEY})"
#: The attribute that only failed deliveries have, so that an index finds them.
_FAILED_KEY = "statusKey"


class DynamoWebhookStore:
    """The endpoints of a tenant in one item, and one item for each delivery. The indexes of the listings find them."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def endpoints(self, tenant: str) -> Endpoints:
        """Raises `Unavailable`."""
        item = await self._table.get(_endpoints_key(tenant))
        return Endpoints() if item is None else RECORDS.decode(item, Endpoints)

    async def write(self, tenant: str, endpoints: Endpoints) -> None:
        """Raises `RecordChanged`, `Unavailable`."""
        first = endpoints.version == 0
        written = RECORDS.encode(endpoints)
        change = Update(
            key=_endpoints_key(tenant),
            sets={"all": written.get("all", []), "version": endpoints.version + 1},
            condition=_NEW if first else "#version = :seen",
            values={} if first else {"seen": endpoints.version},
        )
        try:
            await self._table.update(change)
        except ConditionFailed:
            raise RecordChanged from None

    async def add(self, delivery: Delivery) -> Delivery | None:
        """Raises `Unavailable`."""
        try:
            await self._table.update(_written(delivery, condition=_NEW, values={}))
        except ConditionFailed as failed:
            return None if failed.item is None else RECORDS.decode(failed.item, Delivery)
        return None

    async def delivery(self, webhook_id: str, event_id: str) -> Delivery:
        """Raises `DeliveryNotFound`, `Unavailable`."""
        item = await self._table.get(_delivery_key(webhook_id, event_id))
        if item is None:
            raise DeliveryNotFound
        return RECORDS.decode(item, Delivery)

    async def update(self, delivery: Delivery, *, tries: int) -> None:
        """Raises `RecordChanged`, `Unavailable`."""
        try:
            await self._table.update(_written(delivery, condition="#tries = :seen", values={"seen": tries}))
        except ConditionFailed:
            raise RecordChanged from None

    async def deliveries(self, query: DeliveryQuery) -> DeliveryPage:
        """Queries an index. Raises `Unavailable`."""
        page = await self._table.query(_from_item, query.tenant, **_request(query, self._table.present()))
        after = page.next_key
        return DeliveryPage(deliveries=page.rows, next_after=None if after is None else str(after["sortKey"]["S"]))


def _endpoints_key(tenant: str) -> Item:
    return {KEY: f"webhooks_{tenant}"}


def _delivery_key(webhook_id: str, event_id: str) -> Item:
    return {KEY: f"delivery_{webhook_id}_{event_id}"}


def _partition(tenant: str, webhook_id: str) -> str:
    """A partition that no image can have: those end in a number."""
    return f"{tenant}#{webhook_id}"


def _written(delivery: Delivery, *, condition: str, values: Item) -> Update:
    """A write of the whole delivery. `_FAILED_KEY` lists it if it failed, also while it is tried again."""
    listed = {"listKey": _partition(delivery.tenant, delivery.webhook_id), "sortKey": delivery.event_id}
    failed = {_FAILED_KEY: listed["listKey"]} if delivery.counts_as_failed else {}
    sets = {**listed, **failed, **RECORDS.encode(delivery)}
    gone = tuple(name for name in ("code", "nextAt", _FAILED_KEY) if name not in sets)
    return Update(
        key=_delivery_key(delivery.webhook_id, delivery.event_id),
        sets=sets,
        remove=gone,
        condition=condition,
        values=values,
    )


def _request(query: DeliveryQuery, present: int) -> dict[str, Any]:
    partition = _FAILED_KEY if query.failed else "listKey"
    first, last = bound(query.since) or "0", bound(query.until) or "~"
    keys = f"#{partition} = :partition AND #sortKey BETWEEN :first AND :last"
    living = "#ttl > :present"
    values = {
        "partition": _partition(query.tenant, query.webhook_id),
        "first": first,
        "last": last,
        "present": present,
    }
    request: dict[str, Any] = {
        "IndexName": BY_STATUS if query.failed else BY_TIME,
        "KeyConditionExpression": keys,
        "FilterExpression": living,
        "ScanIndexForward": False,
        "Limit": query.limit,
        **attributes(f"{keys} {living}", values),
    }
    if query.after:
        start = {partition: values["partition"], "sortKey": query.after, **_delivery_key(query.webhook_id, query.after)}
        request["ExclusiveStartKey"] = to_wire(start)
    return request


def _from_item(item: Item) -> Delivery:
    return RECORDS.decode(item, Delivery)
