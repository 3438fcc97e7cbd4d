"""The interface to what tenants have used, by day. The store of jobs counts each job with its end, in one write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from processor.costs import DayOfUse


@dataclass(frozen=True, slots=True, kw_only=True)
class UsePage:
    """What was used on some days, and how much was read for it."""

    days: tuple[DayOfUse, ...]
    read_bytes: int = 0


class CostStore(Protocol):
    """What tenants have used."""

    async def days(self, tenant: str, first: str, last: str) -> UsePage:
        """From one day to another, both included: one entry for each day and API key with any use, in this order.

        It lags a moment behind. Raises `Unavailable`.
        """
        ...
