"""The images that wait for a review, for Prometheus: whatever lies where nothing but held variants does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from processor.errors import Busy, Unavailable
from processor.images import HELD_PREFIX, job_of_variant
from processor.ports.objects import ObjectStore

#: Time between two looks, in seconds: reviews take hours.
LOOK_SECONDS = 300.0
#: A look is reported for so many seconds; two may fail.
STALE_SECONDS = 3 * LOOK_SECONDS
#: Most objects of a look. S3 lists a thousand in a call; beyond this the numbers are lower bounds.
MOST_OBJECTS = 20_000

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False, kw_only=True)
class HeldWatch(Collector):
    """Every process looks for itself, and all come to the same numbers."""

    processed: ObjectStore
    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    #: When the last variant of each job was stored.
    _held: dict[tuple[str, str], datetime] = field(default_factory=dict, init=False)
    _looked_at: float | None = field(default=None, init=False)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except (Unavailable, Busy) as error:
                log.info("Held images not looked at", code=error.code)
            except Exception:
                log.exception("Looking at held images broke")
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Raises `Unavailable`, `Busy`."""
        held: dict[tuple[str, str], datetime] = {}
        seen = 0
        async for found in self.processed.walk(HELD_PREFIX):
            seen += 1
            job = job_of_variant(found.key)
            if job is not None:
                held[job] = max(held.get(job, found.last_modified), found.last_modified)
            if seen >= MOST_OBJECTS:
                break
        self._held, self._looked_at = held, self.monotonic()

    def collect(self) -> Iterable[Metric]:
        """The metrics of the last look, unless it is too old."""
        if self._looked_at is None or self.monotonic() - self._looked_at > STALE_SECONDS:
            return
        yield GaugeMetricFamily(
            "truss_held_images",
            "Images that wait for a review, the same from every process.",
            value=len(self._held),
        )
        oldest = min(self._held.values(), default=None)
        yield GaugeMetricFamily(
            "truss_held_oldest_age_seconds",
            "How long the one that has waited longest has waited for a review. 0 while none waits.",
            value=0.0 if oldest is None else max(0.0, self.now() - oldest.timestamp()),
        )
