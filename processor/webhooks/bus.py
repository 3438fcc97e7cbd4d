"""Sends the events of all tenants to an event bus, for other systems in the same account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from processor import clock
from processor.jobs import End, Job
from processor.notices import Notice, notices_of
from processor.ports.bus import BusEvent, EventBus
from processor.ports.listener import Record
from processor.webhooks.listener import OLDEST
from processor.webhooks.told import Told


@dataclass(frozen=True, slots=True, kw_only=True)
class BusTeller:
    """A follower that calls the bus directly. If that fails at the end of a job, all events are sent again later."""

    bus: EventBus
    render: Callable[[Notice], str]
    told: Told = field(default_factory=Told)

    async def moved(self, job: Job, record: Record) -> None:  # noqa: ARG002 - an event on a bus says all that it tells
        """Send the events so far. Raises `Unavailable`."""
        await self._tell(job)

    async def ended(self, job: Job, end: End) -> None:  # noqa: ARG002 - the journal says more
        """Send all events of the job, including those before its end. Raises `Unavailable`."""
        await self._tell(job)

    async def _tell(self, job: Job) -> None:
        oldest = clock.now() - OLDEST
        async with self.told.of(job.processing_id):
            fresh = [each for each in notices_of(job) if each.at >= oldest and each.id not in self.told]
            events = [BusEvent(type=each.kind.value, at=each.at, detail=self.render(each)) for each in fresh]
            if events:
                await self.bus.put(events)
            for each in fresh:
                self.told.add(each.id)
