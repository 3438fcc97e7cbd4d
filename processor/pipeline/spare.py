"""Spare threads and memory, for work that nobody waits for."""

from __future__ import annotations

import asyncio

from processor.errors import TooLargeForMemory
from processor.pipeline.budget import MemoryBudget
from processor.pipeline.lanes import Lanes

#: Time between two looks at what is spare, in seconds. So long may it hold what others want.
LOOK_SECONDS = 0.1


class Loan:
    """Spare memory that is lent for one image; it has the interface of `budget.Share`."""

    def __init__(self, budget: MemoryBudget, weight: int) -> None:
        self._budget = budget
        self._weight = weight

    def keep(self, weight: int) -> None:
        """Shrink to this many bytes, if that is less than before."""
        less = min(weight, self._weight)
        self._budget.lend(less - self._weight)
        self._weight = less

    def leave(self) -> None:
        """Give back all that is left."""
        self.keep(0)


class Spare:
    """A lane behind all others, with the free memory of the budget as a `ports.Room`.

    It delays nobody. Its work begins when a thread is free and nobody waits. It pauses while every thread is busy
    (`crowded`). It gives its memory back when somebody waits for that (`wanted`).
    """

    def __init__(self, budget: MemoryBudget, lanes: Lanes) -> None:
        self._budget = budget
        self._lanes = lanes

    @property
    def budget_bytes(self) -> int:
        return self._budget.budget_bytes

    @property
    def free_bytes(self) -> int:
        return self._budget.free_bytes

    @property
    def crowded(self) -> bool:
        """Whether every thread is busy."""
        return self._lanes.running >= self._lanes.threads

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for memory, and some is lent."""
        return self._budget.short and self._budget.lent > 0

    async def idle(self) -> None:
        """Wait until a thread may be free and nobody waits for memory."""
        while self.crowded or self._budget.waiting:  # noqa: ASYNC110 - many places free something
            await asyncio.sleep(LOOK_SECONDS)

    def waits(self, weight: int = 0) -> bool:
        """Whether one would have to wait for `weight` bytes."""
        return bool(self._budget.waiting) or weight > self.free_bytes

    async def enter(self, weight: int, _tenant: str = "") -> None:
        """Wait for `weight` bytes. Raises `TooLargeForMemory` if the budget is smaller than that."""
        if weight > self.budget_bytes:
            raise TooLargeForMemory(limit=self.budget_bytes, actual=weight)
        while self.waits(weight):  # noqa: ASYNC110 - as above
            await asyncio.sleep(LOOK_SECONDS)
        self._budget.lend(weight)

    async def share(self, weight: int, tenant: str = "") -> Loan:
        """Wait for a share, of `weight` at first. Raises what `enter` raises."""
        await self.enter(weight, tenant)
        return Loan(self._budget, weight)

    def leave(self, weight: int, _tenant: str = "") -> None:
        """Give back what `enter` took."""
        self._budget.lend(-weight)
