"""The endpoints of tenants, as every end of a job asks for them."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from processor.ports.webhooks import Endpoints, WebhookStore

#: How long a process remembers a tenant's endpoints, in seconds: so long a change may take to be noticed everywhere.
FRESH_SECONDS = 5.0
#: How many tenants are remembered.
REMEMBERED = 1000


@dataclass(slots=True, kw_only=True)
class Directory:
    """One per process."""

    store: WebhookStore
    monotonic: Callable[[], float] = time.monotonic
    _known: OrderedDict[str, tuple[float, Endpoints]] = field(default_factory=OrderedDict)

    async def of(self, tenant: str) -> Endpoints:
        """As they were a few seconds ago, at most. Raises `Unavailable`."""
        now = self.monotonic()
        read_at, endpoints = self._known.get(tenant, (-FRESH_SECONDS, Endpoints()))
        if now - read_at < FRESH_SECONDS and tenant in self._known:
            return endpoints
        endpoints = await self.store.endpoints(tenant)
        self._known[tenant] = (now, endpoints)
        self._known.move_to_end(tenant)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return endpoints

    def forget(self, tenant: str) -> None:
        """What is known was changed here."""
        self._known.pop(tenant, None)
