"""Who may start: tenants by turns, while threads and memory last."""

from __future__ import annotations

from typing import Self

from processor.errors import TooLargeForMemory
from processor.turns import Turns

#: Images in work at once, for each thread: while one is at long work, the next is decoded and shows its first picture.
IMAGES_PER_THREAD = 2


class Share:
    """What one image has of a budget; it may turn out to need less."""

    def __init__(self, budget: MemoryBudget, weight: int, tenant: str) -> None:
        self._budget, self._weight, self._tenant = budget, weight, tenant
        self._over = False

    def keep(self, weight: int) -> None:
        """Give back what is above that, so that the next image may start; nothing once it has left."""
        if weight < self._weight and not self._over:
            was, self._weight = self._weight, weight
            self._budget.lessen(was, weight)

    def leave(self) -> None:
        """Give back all that is left."""
        self._over = True
        self._budget.leave(self._weight, self._tenant)


class MemoryBudget(Turns):
    """Turns at threads and at memory: every weight is in bytes."""

    def __init__(self, *, slots: int, budget_bytes: int) -> None:
        super().__init__(slots)
        self._budget_bytes = budget_bytes
        #: Bytes that are out of the budget without a turn; see `spare`.
        self.lent = 0

    @classmethod
    def of_threads(cls, threads: int, budget_bytes: int) -> Self:
        """For so many threads of long work; see `lanes`."""
        return cls(slots=IMAGES_PER_THREAD * threads, budget_bytes=budget_bytes)

    @property
    def budget_bytes(self) -> int:
        return self._budget_bytes

    @property
    def free_bytes(self) -> int:
        return self._budget_bytes - sum(self._taken) - self.lent

    @property
    def short(self) -> bool:
        """Whether somebody waits, and not for a slot."""
        return bool(self.waiting) and super()._fits(0)

    def lend(self, more_bytes: int) -> None:
        """To work behind everybody's turn, which takes no slot; or less than before."""
        self.lent += more_bytes
        self.call_next()

    async def enter(self, weight: int, tenant: str = "") -> None:
        """Wait for a slot and for `weight` bytes. Raises `TooLargeForMemory` when there never are so many."""
        if weight > self._budget_bytes:
            raise TooLargeForMemory(limit=self._budget_bytes, actual=weight)
        await super().enter(weight, tenant)

    async def share(self, weight: int, tenant: str = "") -> Share:
        """Wait for a share, of `weight` at first. Raises what `enter` raises."""
        await self.enter(weight, tenant)
        return Share(self, weight, tenant)

    def _fits(self, weight: int) -> bool:
        return super()._fits(weight) and weight <= self.free_bytes
