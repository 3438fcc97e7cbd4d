"""The interface to a bus that other systems in the same cloud listen on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class BusEvent:
    """One event; `detail` is JSON."""

    type: str
    at: datetime
    detail: str = field(repr=False)


class EventBus(Protocol):
    """Takes events for whoever has a rule for them."""

    async def put(self, events: Sequence[BusEvent]) -> None:
        """All of them. Raises `Unavailable` when one was not taken; others may have been."""
        ...
