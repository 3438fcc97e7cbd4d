"""A store of presets in the DynamoDB table."""

from __future__ import annotations

from collections.abc import Sequence

from processor.errors import PresetNotFound, RecordChanged
from processor.ports.presets import Preset, PresetHeads, dropped
from processor.stores.codec import RECORDS
from processor.stores.records import Item
from processor.stores.schema import KEY
from processor.stores.table import Table
from processor.stores.writes import ConditionFailed, Delete, Put, Update


class DynamoPresetStore:
    """One item has the names of a tenant's presets; one item has each version. The tenant is part of every key."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def heads(self, tenant: str) -> PresetHeads:
        """Raises `Unavailable`."""
        item = await self._table.get(_heads_key(tenant))
        return PresetHeads() if item is None else RECORDS.decode(item, PresetHeads)

    async def get(self, tenant: str, name: str, version: int) -> Preset:
        """Raises `PresetNotFound`, `Unavailable`."""
        item = await self._table.get(_key(tenant, name, version))
        if item is None:
            raise PresetNotFound
        return _from_item(item)

    async def get_all(self, tenant: str, named: Sequence[tuple[str, int]]) -> tuple[Preset, ...]:
        """Raises `Unavailable`."""
        rows = await self._table.get_many(_from_item, tenant, [_key(tenant, *each) for each in named])
        found = {(preset.name, preset.version): preset for preset in rows}
        return tuple(found[each] for each in named if each in found)

    async def write(self, tenant: str, old: PresetHeads, new: PresetHeads, added: Preset | None = None) -> None:
        """Raises `RecordChanged`, `Busy`, `Unavailable`."""
        changes: list[Update | Put | Delete] = [_heads_update(tenant, old, new)]
        if added is not None:
            changes.append(Put(item={**_key(tenant, added.name, added.version), **RECORDS.encode(added)}))
        changes += [Delete(key=_key(tenant, *each)) for each in dropped(old, new)]
        try:
            await self._table.transact(*changes)
        except ConditionFailed:
            raise RecordChanged from None


def _heads_key(tenant: str) -> Item:
    return {KEY: f"presets_{tenant}"}


def _key(tenant: str, name: str, version: int) -> Item:
    """No tenant's name has a `#`, and no preset's an `@`."""
    return {KEY: f"preset_{tenant}#{name}@{version}"}


def _heads_update(tenant: str, old: PresetHeads, new: PresetHeads) -> Update:
    written = {"all": [], **RECORDS.encode(new), "version": old.version + 1}
    names = set(RECORDS.names(PresetHeads).values())
    return Update(
        key=_heads_key(tenant),
        sets=written,
        remove=tuple(sorted(names - written.keys())),
        condition="#version = :seen" if old.version else f"attribute_not_exists(#{KEY})",
        values={"seen": old.version} if old.version else {},
    )


def _from_item(item: Item) -> Preset:
    return RECORDS.decode(item, Preset)
