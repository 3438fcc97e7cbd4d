"""The queue messages of webhooks. They have only ids. The records have the content and the URL."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    """Texts and whole numbers under one name. Only messages of this kind begin with that name."""

    name: ClassVar[str]

    def to_message(self) -> str:
        """The body that `read` reads back."""
        return json.dumps({self.name: asdict(self)})

    @classmethod
    def read(cls, body: str) -> Self | None:
        """The message. None if it is of another kind or damaged; nobody can read a damaged one."""
        if not body.startswith(f'{{"{cls.name}":'):
            return None
        try:
            found = cls(**json.loads(body)[cls.name])
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        sound = all(type(getattr(found, each.name)).__name__ == each.type for each in fields(cls))
        return found if sound else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryDue(_Message):
    """A delivery to try. `due` is the time in seconds since the epoch. `number` is the number of earlier tries."""

    name: ClassVar[str] = "webhookDelivery"
    tenant: str
    webhook_id: str
    event_id: str
    number: int = 0
    due: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayDue(_Message):
    """Deliveries to send again, page by page. The times are in milliseconds since the epoch. 0 means no bound."""

    name: ClassVar[str] = "webhookReplay"
    tenant: str
    webhook_id: str
    failed: int = 0
    since: int = 0
    until: int = 0
    #: The last event of the page before.
    after: str = ""

    @classmethod
    def of(cls, tenant: str, webhook_id: str, *, failed: bool, since: datetime | None, until: datetime | None) -> Self:
        return cls(
            tenant=tenant,
            webhook_id=webhook_id,
            failed=int(failed),
            since=_milliseconds(since),
            until=_milliseconds(until),
        )

    def times(self) -> tuple[datetime | None, datetime | None]:
        """`since` and `until`."""
        return _moment(self.since), _moment(self.until)


def _milliseconds(moment: datetime | None) -> int:
    return 0 if moment is None else max(1, round(moment.timestamp() * 1000))


def _moment(milliseconds: int) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
