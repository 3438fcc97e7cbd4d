"""Makes deliveries for what happens to jobs: a record and a queue message for each event and endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from processor import clock
from processor.jobs import End, Job, epoch
from processor.moments import Kind
from processor.notices import Notice, notices_of
from processor.ports.listener import Record
from processor.ports.queue import MessageQueue
from processor.ports.webhooks import Delivery, DeliveryStatus, Endpoint, WebhookStore
from processor.webhooks.directory import Directory
from processor.webhooks.messages import DeliveryDue
from processor.webhooks.told import Told

#: How long the record of a delivery is kept after its last change.
KEPT = timedelta(days=7)
#: Older events are not sent. It is longer than a queue keeps messages. It is shorter than `KEPT`, so that the records
#: still show which events were sent.
OLDEST = timedelta(days=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTeller:
    """A follower. A repeated call does not send again what was tried already."""

    store: WebhookStore
    queue: MessageQueue
    directory: Directory
    told: Told = field(default_factory=Told)

    async def moved(self, job: Job, record: Record) -> None:
        """Make deliveries for the events so far. The deliverer reads the record, so a variant must be in it first."""
        async with self.told.of(job.processing_id):
            wanted = await self._wanted(job)
            if any(notice.kind is Kind.VARIANT for _, notice in wanted):
                await record()
            await self._tell_all(wanted)

    async def ended(self, job: Job, end: End) -> None:  # noqa: ARG002 - the journal says more
        """Make deliveries for all events of the job, including those before its end."""
        async with self.told.of(job.processing_id):
            await self._tell_all(await self._wanted(job))

    async def _wanted(self, job: Job) -> Sequence[tuple[Endpoint, Notice]]:
        """The events to send, and their endpoints."""
        endpoints = [each for each in (await self.directory.of(job.tenant)).all if each.off is None]
        return [
            (endpoint, notice)
            for endpoint in endpoints
            for notice in _wanted(endpoint, job)
            if (endpoint.webhook_id, notice.id) not in self.told
        ]

    async def _tell_all(self, wanted: Sequence[tuple[Endpoint, Notice]]) -> None:
        ends = await asyncio.gather(
            *(self._tell(endpoint, notice) for endpoint, notice in wanted), return_exceptions=True
        )
        for error in ends:  # after the last: nobody else tells of the job meanwhile
            if error is not None:
                raise error

    async def _tell(self, endpoint: Endpoint, notice: Notice) -> None:
        """Write the record, then send the message.

        If the process dies in between, the record shows that the delivery was never tried. The next call sends it.
        """
        delivery = delivery_of(endpoint, notice)
        there = await self.store.add(delivery)
        if there is None or (there.status is DeliveryStatus.PENDING and not there.tries):
            await self.queue.send(due(delivery).to_message())
        self.told.add((endpoint.webhook_id, notice.id))


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
    """The message for the next try. `at` is in seconds since the epoch."""
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
