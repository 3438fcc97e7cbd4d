"""A store of usage in the DynamoDB table, with one item per tenant."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Any

from processor.errors import Busy
from processor.stores.records import Item
from processor.stores.schema import KEY
from processor.stores.table import Table
from processor.stores.writes import ConditionFailed, Update
from processor.usage import Overrides, TenantRecord, Usage

#: Tries to add to the counts while other processes begin a new day. Two suffice.
TRIES = 4


class DynamoUsageStore:
    """Tenants in the same table as jobs.

    One item accepts 1,000 writes a second (AWS, "Partition key design"), so one tenant has this limit too.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    async def get(self, tenant: str) -> TenantRecord:
        """Consistent read. Raises `Unavailable`."""
        return _record(await self._table.get(_key(tenant)) or {})

    async def add(self, tenant: str, used: Usage) -> TenantRecord:
        """Raises `Busy`, `Unavailable`."""
        # yesterday ... add ── add ──┬ the first of today: begins the counts of the day anew ── add ...
        #                            ├ of several at that moment one begins, and the others add
        #                            └ whose clock is behind adds to today as well
        values = {**asdict(used), "none": 0}
        images = "#images = if_not_exists(#images, :none) + :images"
        open_ = "#open = if_not_exists(#open, :none) + :open"
        more = Update(
            key=_key(tenant),
            also=("#bytes = #bytes + :bytes", "#pixels = #pixels + :pixels", open_, images),
            condition="#day >= :day",
            values=values,
        )
        anew = Update(
            key=_key(tenant),
            also=("#day = :day", "#bytes = :bytes", "#pixels = :pixels", "#open = :open", images),
            condition="attribute_not_exists(#day) OR #day < :day",
            values=values,
        )
        for attempt in range(TRIES):
            try:
                return _record(await self._table.update(anew if attempt % 2 else more))
            except ConditionFailed:
                continue
        raise Busy

    async def give_back(self, tenant: str, used: Usage) -> TenantRecord | None:
        """Raises `Busy`, `Unavailable`."""
        given = await self._less(tenant, used, "#day = :day")
        if given is None and used.images:
            return await self._less(tenant, Usage(day=used.day, images=used.images), "#day > :day")
        return given

    async def trade(self, tenant: str, more: Usage, less: Usage) -> TenantRecord | None:
        """Raises `Busy`, `Unavailable`."""
        return await self._less(tenant, less, "#day = :day", more)

    async def _less(self, tenant: str, used: Usage, day: str, more: Usage = Usage()) -> TenantRecord | None:  # noqa: B008 - frozen
        """Subtract usage, and add `more`, unless less than that is counted."""
        less, added = used.counts, more.counts
        net = {name: added.get(name, 0) - less.get(name, 0) for name in {**less, **added}}
        change = Update(
            key=_key(tenant),
            also=tuple(f"#{name} = if_not_exists(#{name}, :none) + :net_{name}" for name in net),
            condition=" AND ".join((day, *(f"#{name} >= :{name}" for name in less))),
            values={**less, **{f"net_{name}": count for name, count in net.items()}, "none": 0, "day": used.day},
        )
        try:
            return _record(await self._table.update_once(change))
        except ConditionFailed:
            return None

    async def set_overrides(self, tenant: str, overrides: Overrides) -> None:
        """Raises `Unavailable`."""
        limits = {name: _number(value) for name, value in asdict(overrides).items() if value is not None}
        always = f"attribute_exists(#{KEY}) OR attribute_not_exists(#{KEY})"
        await self._table.update(Update(key=_key(tenant), sets={"limits": limits}, condition=always))


def _key(tenant: str) -> Item:
    return {KEY: f"tenant_{tenant}"}


def _record(item: Item) -> TenantRecord:
    numbers = {name: int(item.get(name, 0)) for name in ("bytes", "pixels", "open", "images")}
    usage = Usage(day=item.get("day", ""), **numbers)
    return TenantRecord(usage=usage, overrides=_overrides(item.get("limits", {})))


def _overrides(limits: Item) -> Overrides:
    plain: dict[str, Any] = {
        name: float(value) if name.endswith("per_second") else int(value) for name, value in limits.items()
    }
    return Overrides(**plain)


def _number(value: float) -> Decimal:
    """A number as `Decimal`, because DynamoDB has no binary floats."""
    return Decimal(repr(value))
