"""A usage store in memory."""

from __future__ import annotations

from dataclasses import replace

from processor.usage import Overrides, TenantRecord, Usage


class MemoryUsageStore:
    """The records of tenants."""

    def __init__(self) -> None:
        self._records: dict[str, TenantRecord] = {}

    async def get(self, tenant: str) -> TenantRecord:
        """An empty one for a tenant that nothing is known of."""
        return self._records.get(tenant, TenantRecord())

    async def add(self, tenant: str, used: Usage) -> None:
        """What was used on another day is forgotten."""
        record = await self.get(tenant)
        before = record.usage.on(used.day)
        total = Usage(
            day=used.day,
            bytes=before.bytes + used.bytes,
            pixels=before.pixels + used.pixels,
            images=before.images + used.images,
        )
        self._records[tenant] = replace(record, usage=total)

    async def set_overrides(self, tenant: str, overrides: Overrides) -> None:
        """Replace all of them."""
        self._records[tenant] = replace(await self.get(tenant), overrides=overrides)
