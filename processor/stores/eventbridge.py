"""Amazon EventBridge as an event bus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from processor.errors import Throttled, Unavailable
from processor.ports.bus import BusEvent
from processor.stores.clients import AwsClients
from processor.stores.translate import CODES, translated

if TYPE_CHECKING:
    from types_aiobotocore_events.type_defs import PutEventsRequestEntryTypeDef

#: Most events of one call (AWS, "PutEvents").
BATCH = 10
#: Who says it, for rules.
SOURCE = "truss-image"

log = structlog.get_logger(__name__)


class EventBridgeBus:
    """A bus by its name or ARN."""

    def __init__(self, clients: AwsClients, name: str) -> None:
        self._events = clients.events
        self._name = name

    async def put(self, events: Sequence[BusEvent]) -> None:
        """In batches. A call succeeds also when it takes only some. Raises `Unavailable`."""
        for start in range(0, len(events), BATCH):
            with translated():
                answer = await self._events.put_events(
                    Entries=[self._entry(each) for each in events[start : start + BATCH]]
                )
            if answer["FailedEntryCount"]:
                codes = sorted({entry["ErrorCode"] for entry in answer["Entries"] if "ErrorCode" in entry})
                log.warning("Events not taken", codes=codes, count=answer["FailedEntryCount"])
                throttled = all(CODES.get(code) is Throttled for code in codes)
                raise Throttled if throttled else Unavailable

    def _entry(self, event: BusEvent) -> PutEventsRequestEntryTypeDef:
        return {
            "EventBusName": self._name,
            "Source": SOURCE,
            "DetailType": event.type,
            "Detail": event.detail,
            "Time": event.at,
        }
