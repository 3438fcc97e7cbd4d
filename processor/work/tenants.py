"""Whose the images are that events are about."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from processor.errors import ImageNotFound
from processor.events import Event
from processor.jobs import Image, Job
from processor.ports.jobs import AnyTenant

#: Images whose tenant is remembered at once: it never changes, and of one image come many events in a storm.
MAX_TENANTS_KNOWN = 10_000


@dataclass(slots=True, kw_only=True)
class Tenants:
    """One per process."""

    jobs: AnyTenant
    _known: OrderedDict[str, str] = field(default_factory=OrderedDict)

    async def of(self, event: Event) -> str:
        """Whose image an event is about; empty for nobody's. Raises `Unavailable`, `Busy`."""
        unique_id = event.unique_id
        if unique_id is None:
            return ""
        if unique_id not in self._known:
            try:
                self.remember(await self.jobs.image_of_any_tenant(unique_id))
            except ImageNotFound:
                return ""
        return self._known[unique_id]

    def remember(self, found: Image | Job) -> None:
        """What was read for another reason need not be read for this one."""
        self._known[found.unique_id] = found.tenant
        while len(self._known) > MAX_TENANTS_KNOWN:
            self._known.popitem(last=False)
