"""A cache of the tenants' endpoints, because every event needs them."""

from __future__ import annotations

import time
from collections.abc import Callable

from processor.ports.webhooks import Endpoints, WebhookStore
from processor.recent import Recent


class Directory:
    """The cache of one process."""

    def __init__(self, *, store: WebhookStore, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._recent: Recent[Endpoints] = Recent(read=self._read, monotonic=monotonic)

    async def of(self, tenant: str) -> Endpoints:
        """A tenant's endpoints, a few seconds old at most. Callers share one read. Raises `Unavailable`."""
        return await self._recent.of(tenant)

    def forget(self, tenant: str) -> None:
        """Read the tenant's endpoints again next time: this process changed them. A read in progress is not used."""
        self._recent.forget(tenant)

    async def _read(self, tenant: str) -> Endpoints:
        return await self._store.endpoints(tenant)
