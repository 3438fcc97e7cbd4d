"""A store of the backlog in the DynamoDB table."""

from __future__ import annotations

from contextlib import suppress

from processor.ports.backlog import Backlog
from processor.stores.codec import RECORDS
from processor.stores.schema import KEY
from processor.stores.table import Table
from processor.stores.writes import ConditionFailed, Update

_KEY = {KEY: "backlog_all"}


class DynamoBacklogStore:
    """One record in the same table as jobs."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def latest(self) -> Backlog | None:
        """Raises `Unavailable`."""
        item = await self._table.get(_KEY)
        return None if item is None else RECORDS.decode(item, Backlog)

    async def replace(self, old: Backlog | None, new: Backlog) -> bool:
        """Raises `Busy`, `Unavailable`."""
        first = "attribute_not_exists(#look)"
        condition, values = (first, {}) if old is None else ("#look = :look", {"look": old.look})
        change = Update(key=_KEY, sets=RECORDS.encode(new), condition=condition, values=values)
        try:
            await self._table.update(change)
        except ConditionFailed:
            return False
        return True

    async def received(self, through: int) -> None:
        """Raises `Busy`, `Unavailable`."""
        later = "#receivedThrough < :through"
        change = Update(key=_KEY, sets={"receivedThrough": through}, condition=later, values={"through": through})
        with suppress(ConditionFailed):
            await self._table.update(change)
