"""Tells webhooks of the ends of jobs: one delivery for each event and endpoint is in the records, and on the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from processor import clock
from processor.jobs import End, Job, epoch
from processor.notices import Notice, notices_of
from processor.ports.queue import MessageQueue
from processor.ports.webhooks import Delivery, DeliveryStatus, Endpoint, WebhookStore
from processor.webhooks.directory import Directory
from processor.webhooks.messages import DeliveryDue

#: How long the log of a delivery is kept after its last change.
KEPT = timedelta(days=7)
#: No older event is told: longer than a queue keeps a message, shorter than `KEPT`, which knows what was told.
OLDEST = timedelta(days=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTeller:
    """A listener. A repeated call sends nothing again that has been tried already."""

    store: WebhookStore
    queue: MessageQueue
    directory: Directory

    async def ended(self, job: Job, end: End) -> None:  # noqa: ARG002 - the journal says more
        """Everything that has happened to the job, also before its end."""
        endpoints = (await self.directory.of(job.tenant)).all
        wanted = [(each, notice) for each in endpoints if each.off is None for notice in _wanted(each, job)]
        await asyncio.gather(*(self._tell(endpoint, notice) for endpoint, notice in wanted))

    async def _tell(self, endpoint: Endpoint, notice: Notice) -> None:
        """The record comes first. So a process that dies in between leaves one that was never tried: whoever is told
        again sends it."""
        delivery = delivery_of(endpoint, notice)
        there = await self.store.add(delivery)
        if there is None or (there.status is DeliveryStatus.PENDING and not there.tries):
            await self.queue.send(due(delivery).to_message())


def delivery_of(endpoint: Endpoint, notice: Notice) -> Delivery:
    return Delivery(
        webhook_id=endpoint.webhook_id,
        event_id=notice.id,
        tenant=notice.tenant,
        type=notice.kind.value,
        unique_id=notice.unique_id,
        processing_id=notice.processing_id,
        event_at=notice.at,
        expires_at=epoch(clock.now() + KEPT),
    )


def due(delivery: Delivery, *, at: int = 0) -> DeliveryDue:
    """The message for the next try; `at` in seconds since the epoch."""
    return DeliveryDue(
        tenant=delivery.tenant,
        webhook_id=delivery.webhook_id,
        event_id=delivery.event_id,
        number=delivery.tries,
        due=at,
    )


def _wanted(endpoint: Endpoint, job: Job) -> Iterator[Notice]:
    oldest = max(endpoint.created_at, clock.now() - OLDEST)
    return (each for each in notices_of(job) if each.kind in endpoint.events and each.at >= oldest)
