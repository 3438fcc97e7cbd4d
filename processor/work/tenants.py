"""Finds the tenants of events' images."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from processor.errors import ImageNotFound
from processor.events import Event
from processor.jobs import Image, Job
from processor.ports.jobs import AnyTenant

#: How many images' tenants are remembered. A tenant never changes, and a flood has many events of one image.
MAX_TENANTS_KNOWN = 10_000


@dataclass(slots=True, kw_only=True)
class Tenants:
    """One per process."""

    jobs: AnyTenant
    _known: OrderedDict[str, str] = field(default_factory=OrderedDict)

    async def of(self, event: Event) -> str:
        """The tenant of an event's image; empty if it has none. Raises `Unavailable`, `Busy`."""
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
        """Remember the tenant of a record that was read for another reason."""
        self._known[found.unique_id] = found.tenant
        while len(self._known) > MAX_TENANTS_KNOWN:
            self._known.popitem(last=False)
