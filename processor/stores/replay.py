"""A store of replays in the DynamoDB table."""

from __future__ import annotations

from contextlib import suppress

from processor.errors import IdempotencyKeyReused, RequestInProgress
from processor.ports.replays import Recorded, Repeatable
from processor.stores.records import Item
from processor.stores.schema import KEY, TTL
from processor.stores.table import Table
from processor.stores.writes import ConditionFailed, Update

#: Time for which an answer is kept, in seconds: a day.
KEPT_SECONDS = 24 * 3600
#: Time that a request may be in progress, in seconds. A process that has not answered by then has died.
LOCK_SECONDS = 60


#: The record belongs to this try.
OWN = "#token = :token"


class DynamoReplayStore:
    """Requests in the same table as jobs. Without an answer, a record lives as long as its lock: one `ttl` serves."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def begin(self, request: Repeatable) -> Recorded | None:
        """Raises `RequestInProgress`, `IdempotencyKeyReused`, `Unavailable`."""
        # begin ── in progress ──┬── record ── answered ── a day ── gone
        #                        ├── abandon ── gone
        #                        └── the lock runs out ── gone
        present = self._table.present()
        begun = Update(
            key=_key(request),
            sets={"fingerprint": request.fingerprint, "token": request.token, TTL: present + LOCK_SECONDS},
            remove=("answer",),
            condition=f"attribute_not_exists(#{KEY}) OR #{TTL} <= :present",
            values={"present": present},
        )
        try:
            await self._table.update(begun)
        except ConditionFailed as failed:
            return _recorded(failed.item or {}, request)
        return None

    async def record(self, request: Repeatable, answer: bytes) -> None:
        """Raises `Unavailable`."""
        kept = Update(
            key=_key(request),
            sets={
                "fingerprint": request.fingerprint,
                "answer": answer,
                TTL: self._table.present() + KEPT_SECONDS,
            },
            condition=OWN,
            values={"token": request.token},
        )
        with suppress(ConditionFailed):  # another process took over after the lock had expired
            await self._table.update(kept)

    async def abandon(self, request: Repeatable) -> None:
        """Raises `Unavailable`."""
        ended = Update(key=_key(request), sets={TTL: 0}, condition=OWN, values={"token": request.token})
        with suppress(ConditionFailed):
            await self._table.update(ended)


def _recorded(item: Item, request: Repeatable) -> Recorded:
    if item.get("fingerprint") != request.fingerprint:
        raise IdempotencyKeyReused
    if "answer" not in item:
        raise RequestInProgress
    return Recorded(answer=bytes(item["answer"]))


def _key(request: Repeatable) -> Item:
    return {KEY: f"replay_{request.name}"}
