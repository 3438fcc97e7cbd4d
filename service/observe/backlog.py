"""The backlog for Prometheus. One process asks the queues, and all processes report the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from processor.errors import Busy, Unavailable
from processor.ports.backlog import Backlog, BacklogStore
from processor.ports.queue import MessageQueue

#: Time between two looks at the queues, in seconds. Autoscalers ask less often (HPA 15 s, Prometheus 30 s).
LOOK_SECONDS = 10.0
#: A look is reported for so many seconds. So two looks may fail, and each may take its time to fail.
STALE_SECONDS = 120.0
#: A process updates the record of what was received only for a difference of so many seconds.
WORTH_SECONDS = 5

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False, kw_only=True)
class BacklogWatch(Collector):
    """The process that looked last looks next. If it stops, another process takes over.

    Processes do not compare clocks. A look is old if its number has not changed for a while.
    """

    queue: MessageQueue
    dead_letters: MessageQueue | None
    store: BacklogStore
    #: This process has received what was sent before this time. 0 if it receives nothing.
    received_through: Callable[[], float] = lambda: 0
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    _latest: Backlog | None = field(default=None, init=False)
    _changed_at: float = field(default=0.0, init=False)

    async def run(self) -> None:
        """Look at the queues until cancelled."""
        while True:
            try:
                await self.look()
            except (Unavailable, Busy) as error:
                log.info("Queues not looked at", code=error.code)
            except Exception:
                log.exception("Looking at the queues broke")
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Read the last look of any process, or look at the queues. Raises `Unavailable`, `Busy`."""
        known = await self._shared()
        if known is None or self._is_old(known):
            seen = await self._ask(known)
            self._learn(seen)
            if not await self.store.replace(known, seen):
                log.debug("Another process looked at the queues, too")
            return
        self._learn(known)
        through = int(self.received_through())
        if through > known.received_through + WORTH_SECONDS:
            self._latest = replace(known, received_through=through)
            await self.store.received(through)

    async def _shared(self) -> Backlog | None:
        """The shared record, or what this process knows if the record cannot be read. The queues may still answer."""
        try:
            return await self.store.latest()
        except Unavailable:
            return self._latest

    def _is_old(self, known: Backlog) -> bool:
        first = self._latest is None  # its age is not known
        unchanged = self._latest is not None and self._latest.look == known.look
        return first or (unchanged and self.monotonic() - self._changed_at >= LOOK_SECONDS)

    def _learn(self, seen: Backlog) -> None:
        if self._latest is None or self._latest.look != seen.look:
            self._changed_at = self.monotonic()
        self._latest = seen

    async def _ask(self, known: Backlog | None) -> Backlog:
        depth = await self.queue.depth()
        dead = None if self.dead_letters is None else (await self.dead_letters.depth()).waiting
        through = max(int(self.received_through()), known.received_through if known else 0)
        return Backlog(
            look=known.look + 1 if known else 1,
            visible=depth.visible,
            in_flight=depth.in_flight,
            delayed=depth.delayed,
            dead_letters=dead,
            # An empty queue has no oldest message. Before the first look the age is not known.
            received_through=through if through and depth.visible else int(self.now()),
        )

    def collect(self) -> Iterable[Metric]:
        """The metrics of the last look, unless it is too old."""
        latest = self._latest
        if latest is None or self.monotonic() - self._changed_at > STALE_SECONDS:
            return
        messages = GaugeMetricFamily(
            "truss_queue_messages",
            "About how many messages the queue holds, the same from every process: `visible` (they wait), `in_flight` "
            "(received, not settled), `delayed`.",
            labels=("state",),
        )
        for state in ("visible", "in_flight", "delayed"):
            messages.add_metric((state,), getattr(latest, state))
        yield messages
        yield GaugeMetricFamily(
            "truss_queue_oldest_message_age_seconds",
            "The oldest visible message has waited about so long, or less: since the newest received message was "
            "sent, or since the queue was last seen empty. 0 while it is empty.",
            value=max(0.0, self.now() - latest.received_through) if latest.visible else 0.0,
        )
        if latest.dead_letters is not None:
            yield GaugeMetricFamily(
                "truss_dead_letter_messages",
                "About how many messages lie in the dead-letter queue; absent where the service does not know that "
                "queue.",
                value=latest.dead_letters,
            )
