"""Decides which conversion starts: tenants take turns, while threads and memory are free."""

from __future__ import annotations

from typing import Self

from processor.errors import TooLargeForMemory
from processor.turns import Turns

#: Images in work at once, for each thread. While one is in its long phase, the next is decoded and gets its thumbnail.
IMAGES_PER_THREAD = 2


class Share:
    """The memory that one image holds from a budget; it may shrink."""

    def __init__(self, budget: MemoryBudget, weight: int, tenant: str) -> None:
        self._budget, self._weight, self._tenant = budget, weight, tenant
        self._over = False

    def keep(self, weight: int) -> None:
        """Shrink to this many bytes, so that the next image may start. No effect after `leave`."""
        if weight < self._weight and not self._over:
            was, self._weight = self._weight, weight
            self._budget.lessen(was, weight)

    def leave(self) -> None:
        """Give back all that is left."""
        self._over = True
        self._budget.leave(self._weight, self._tenant)


class MemoryBudget(Turns):
    """Turns for slots and memory; every weight is in bytes."""

    def __init__(self, *, slots: int, budget_bytes: int) -> None:
        super().__init__(slots)
        self._budget_bytes = budget_bytes
        #: Bytes that are lent without a turn; see `spare`.
        self.lent = 0

    @classmethod
    def of_threads(cls, threads: int, budget_bytes: int) -> Self:
        """A budget for so many threads of the long lane; see `lanes`."""
        return cls(slots=IMAGES_PER_THREAD * threads, budget_bytes=budget_bytes)

    @property
    def budget_bytes(self) -> int:
        return self._budget_bytes

    @property
    def free_bytes(self) -> int:
        return self._budget_bytes - sum(self._taken) - self.lent

    @property
    def short(self) -> bool:
        """Whether somebody waits for memory."""
        return bool(self.waiting) and super()._fits(0)

    def lend(self, more_bytes: int) -> None:
        """Lend bytes to work that has no turn and no slot; a negative number gives them back."""
        self.lent += more_bytes
        self.call_next()

    async def enter(self, weight: int, tenant: str = "") -> None:
        """Wait for a slot and for `weight` bytes. Raises `TooLargeForMemory` if the budget is smaller than that."""
        if weight > self._budget_bytes:
            raise TooLargeForMemory(limit=self._budget_bytes, actual=weight)
        await super().enter(weight, tenant)

    async def share(self, weight: int, tenant: str = "") -> Share:
        """Wait for a share, of `weight` at first. Raises what `enter` raises."""
        await self.enter(weight, tenant)
        return Share(self, weight, tenant)

    def _fits(self, weight: int) -> bool:
        return super()._fits(weight) and weight <= self.free_bytes
