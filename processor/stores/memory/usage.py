"""A usage store in memory."""

from __future__ import annotations

from dataclasses import replace

from processor.usage import Overrides, TenantRecord, Usage


class MemoryUsageStore:
    """The records of tenants."""

    def __init__(self) -> None:
        self._records: dict[str, TenantRecord] = {}

    async def get(self, tenant: str) -> TenantRecord:
        """The record of a tenant; an unknown tenant has an empty one."""
        return self._records.get(tenant, TenantRecord())

    async def add(self, tenant: str, used: Usage) -> TenantRecord:
        """Add to the counts of the day; those of earlier days are dropped."""
        record = await self.get(tenant)
        self._records[tenant] = replace(record, usage=record.usage + used)
        return self._records[tenant]

    async def give_back(self, tenant: str, used: Usage) -> TenantRecord | None:
        """Subtract from the counts, unless one would fall below 0."""
        record = await self.get(tenant)
        left = record.usage - used
        if any(count < 0 for count in left.counts.values()):
            return None
        self._records[tenant] = replace(record, usage=left)
        return self._records[tenant]

    async def trade(self, tenant: str, more: Usage, less: Usage) -> TenantRecord | None:
        """Both, unless it is another day or a count would fall below 0."""
        record = await self.get(tenant)
        if record.usage.day != more.day or await self.give_back(tenant, less) is None:
            return None
        return await self.add(tenant, more)

    async def set_overrides(self, tenant: str, overrides: Overrides) -> None:
        self._records[tenant] = replace(await self.get(tenant), overrides=overrides)
