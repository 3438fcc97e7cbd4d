"""Reads what was counted by a store of jobs in memory."""

from __future__ import annotations

from processor.ports.costs import UsePage
from processor.stores.memory.jobs import MemoryJobStore


class MemoryCostStore:
    """Reads the counts of a store in memory."""

    def __init__(self, jobs: MemoryJobStore) -> None:
        self._jobs = jobs

    async def days(self, tenant: str, first: str, last: str) -> UsePage:
        """Never raises."""
        return UsePage(days=tuple(used for used in self._jobs.used(tenant) if first <= used.day <= last))
