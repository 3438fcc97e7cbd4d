"""A store of API keys in the DynamoDB table."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from processor import clock
from processor.errors import KeyNotFound, RecordChanged
from processor.ports.keys import ApiKey
from processor.stores.codec import RECORDS
from processor.stores.records import Item
from processor.stores.schema import BY_TIME, KEY, TTL
from processor.stores.shared_secrets import shared_secret
from processor.stores.table import Table
from processor.stores.writes import ConditionFailed, Put, Update, attributes

#: Time for which the record of an ended key is kept, so that people can still look it up.
KEPT = timedelta(days=30)
#: The form of our ids. Others are not worth a call.
_ID = re.compile(r"[a-z2-7]{16}")
_EXISTS = f"attribute_exists(#{KEY})"


class DynamoKeyStore:
    """Keys in the same table as jobs, under keys of their own."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def add(self, key: ApiKey) -> None:
        """Raises `RecordChanged` if the id is taken, `Unavailable`."""
        try:
            await self._table.put(Put(item=_item(key)))
        except ConditionFailed:
            raise RecordChanged from None

    async def get(self, key_id: str) -> ApiKey:
        """Raises `KeyNotFound`, `Unavailable`."""
        item = await self._table.get(_key(key_id)) if _ID.fullmatch(key_id) else None
        if item is None:
            raise KeyNotFound
        return _from_item(item)

    async def list(self, tenant: str) -> tuple[ApiKey, ...]:
        """Queries the index by time. Raises `Unavailable`."""
        condition, living = "#listKey = :partition", "attribute_not_exists(#ttl) OR #ttl > :present"
        values = {"partition": _list_key(tenant), "present": self._table.present()}
        request: dict[str, Any] = {
            "IndexName": BY_TIME,
            "KeyConditionExpression": condition,
            "FilterExpression": living,
            "ScanIndexForward": False,
            **attributes(f"{condition} {living}", values),
        }
        found: list[ApiKey] = []
        while True:
            page = await self._table.query(_from_item, tenant, **request)
            found += page.rows
            if page.next_key is None:
                return tuple(found)
            request["ExclusiveStartKey"] = page.next_key

    async def revoke(self, key_id: str, at: datetime) -> ApiKey:
        """Raises `KeyNotFound`, `Unavailable`."""
        return await self._change(
            key_id,
            sets={TTL: _epoch(at + KEPT)},
            also=("#revokedAt = if_not_exists(#revokedAt, :at)",),
            values={"at": clock.to_iso(at)},
        )

    async def expire(self, key_id: str, at: datetime) -> ApiKey:
        """Raises `KeyNotFound`, `Unavailable`."""
        sooner = "(attribute_not_exists(#expiresAt) OR #expiresAt > :at)"
        try:
            return await self._change(
                key_id,
                sets={"expiresAt": clock.to_iso(at), TTL: _epoch(at + KEPT)},
                also=(),
                values={"at": clock.to_iso(at)},
                condition=sooner,
            )
        except KeyNotFound:
            return await self.get(key_id)

    async def touch(self, key_id: str, at: datetime) -> None:
        """Raises `KeyNotFound`, `Unavailable`."""
        await self._change(key_id, sets={"lastUsedAt": clock.to_iso(at)}, also=(), values={})

    async def checksum_key(self) -> bytes:
        """Raises `Unavailable`."""
        return await shared_secret(self._table, "api-keys")

    async def _change(self, key_id: str, *, condition: str = "", **change: Any) -> ApiKey:
        if not _ID.fullmatch(key_id):
            raise KeyNotFound
        condition = f"{_EXISTS} AND {condition}" if condition else _EXISTS
        try:
            return _from_item(await self._table.update(Update(key=_key(key_id), condition=condition, **change)))
        except ConditionFailed:
            raise KeyNotFound from None


def _key(key_id: str) -> Item:
    return {KEY: f"key_{key_id}"}


def _list_key(tenant: str) -> str:
    """A partition that no image can have: those end in a number."""
    return f"{tenant}#keys"


def _item(key: ApiKey) -> Item:
    ends = {} if key.expires_at is None else {TTL: _epoch(key.expires_at + KEPT)}
    return {
        **_key(key.key_id),
        "listKey": _list_key(key.tenant),
        "sortKey": f"{clock.to_iso(key.created_at)}#{key.key_id}",
        **RECORDS.encode(key),
        **ends,
    }


def _from_item(item: Item) -> ApiKey:
    return RECORDS.decode(item, ApiKey)


def _epoch(moment: datetime) -> int:
    return int(moment.timestamp())
