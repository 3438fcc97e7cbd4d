"""A store of webhooks in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from processor.errors import DeliveryNotFound, RecordChanged
from processor.ports.webhooks import Delivery, DeliveryPage, DeliveryQuery, Endpoints, bound


class MemoryWebhookStore:
    """The records of endpoints and deliveries."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._endpoints: dict[str, Endpoints] = {}
        self._deliveries: dict[tuple[str, str], Delivery] = {}

    async def endpoints(self, tenant: str) -> Endpoints:
        return self._endpoints.get(tenant, Endpoints())

    async def write(self, tenant: str, endpoints: Endpoints) -> None:
        """Raises `RecordChanged`."""
        if (await self.endpoints(tenant)).version != endpoints.version:
            raise RecordChanged
        self._endpoints[tenant] = replace(endpoints, version=endpoints.version + 1)

    async def add(self, delivery: Delivery) -> Delivery | None:
        """Add a delivery. Returns the existing one, if any."""
        key = delivery.webhook_id, delivery.event_id
        if key in self._deliveries:
            return self._deliveries[key]
        self._deliveries[key] = delivery
        return None

    async def delivery(self, webhook_id: str, event_id: str) -> Delivery:
        """Raises `DeliveryNotFound`."""
        found = self._deliveries.get((webhook_id, event_id))
        if found is None or not self._lives(found):
            raise DeliveryNotFound
        return found

    async def update(self, delivery: Delivery, *, tries: int) -> None:
        """Raises `RecordChanged`."""
        key = delivery.webhook_id, delivery.event_id
        if key not in self._deliveries or self._deliveries[key].tries != tries:
            raise RecordChanged
        self._deliveries[key] = delivery

    async def deliveries(self, query: DeliveryQuery) -> DeliveryPage:
        """Deliveries, newest events first."""
        first, last = bound(query.since) or "0", bound(query.until) or "~"
        found = [
            each
            for each in self._deliveries.values()
            if (each.tenant, each.webhook_id) == (query.tenant, query.webhook_id)
            and (each.counts_as_failed or not query.failed)
            and first <= each.event_id <= last
            and (not query.after or each.event_id < query.after)
            and self._lives(each)
        ]
        found.sort(key=lambda each: each.event_id, reverse=True)
        page = found[: query.limit]
        return DeliveryPage(deliveries=page, next_after=page[-1].event_id if len(found) > query.limit else None)

    def _lives(self, delivery: Delivery) -> bool:
        return delivery.expires_at > self._now()
