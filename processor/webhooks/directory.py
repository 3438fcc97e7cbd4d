"""A cache of the tenants' endpoints, because every event needs them."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from processor.ports.webhooks import Endpoints, WebhookStore

#: How long a process remembers a tenant's endpoints, in seconds. After this time every process knows of a change.
FRESH_SECONDS = 5.0
#: The most tenants that are remembered.
REMEMBERED = 1000


@dataclass(slots=True, kw_only=True)
class Directory:
    """The cache of one process."""

    store: WebhookStore
    monotonic: Callable[[], float] = time.monotonic
    _known: OrderedDict[str, tuple[float, Endpoints]] = field(default_factory=OrderedDict)
    _reading: dict[str, asyncio.Task[Endpoints]] = field(default_factory=dict)

    async def of(self, tenant: str) -> Endpoints:
        """A tenant's endpoints, a few seconds old at most. Callers share one read. Raises `Unavailable`."""
        known = self._known.get(tenant)
        if known is not None and self.monotonic() - known[0] < FRESH_SECONDS:
            return known[1]
        reading = self._reading.get(tenant)
        if reading is None:
            reading = self._reading[tenant] = asyncio.create_task(self._read(tenant))
        return await asyncio.shield(reading)

    async def _read(self, tenant: str) -> Endpoints:
        began, this = self.monotonic(), asyncio.current_task()
        try:
            endpoints = await self.store.endpoints(tenant)
        finally:
            current = self._reading.get(tenant) is this
            if current:
                del self._reading[tenant]
        if current:
            self._known[tenant] = (began, endpoints)
            self._known.move_to_end(tenant)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return endpoints

    def forget(self, tenant: str) -> None:
        """Read the tenant's endpoints again next time: this process changed them. A read in progress is not used."""
        self._known.pop(tenant, None)
        self._reading.pop(tenant, None)
