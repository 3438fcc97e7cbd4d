"""Tells a bus of the ends of jobs: the same events as webhooks, of all tenants, for other systems in the account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from processor import clock
from processor.jobs import End, Job
from processor.notices import Notice, notices_of
from processor.ports.bus import BusEvent, EventBus
from processor.webhooks.listener import OLDEST


@dataclass(frozen=True, slots=True, kw_only=True)
class BusTeller:
    """A listener. It asks the bus at once, which AWS runs: a failure keeps the message, and all is told again."""

    bus: EventBus
    render: Callable[[Notice], str]

    async def ended(self, job: Job, end: End) -> None:  # noqa: ARG002 - the journal says more
        """Everything that has happened to the job, also before its end. Raises `Unavailable`."""
        oldest = clock.now() - OLDEST
        notices = [each for each in notices_of(job) if each.at >= oldest]
        events = [BusEvent(type=each.kind.value, at=each.at, detail=self.render(each)) for each in notices]
        if events:
            await self.bus.put(events)
