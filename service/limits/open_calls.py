"""How many calls may be open for long, each of which waits for something to happen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from service.http.problems import TooManyOpen, TooManyPreviews, TooManyStreams, TooManyWaiting


@dataclass(slots=True, kw_only=True)
class OpenCalls:
    """Those of one kind in one process. One tenant leaves room for others."""

    most: int
    most_of_tenant: int
    #: What one more is told, with the limit that it has met.
    refusal: Callable[[int], TooManyOpen]
    _of_tenant: Counter[str] = field(default_factory=Counter)

    def count(self) -> int:
        """How many are open."""
        return self._of_tenant.total()

    @contextmanager
    def place(self, tenant: str) -> Iterator[None]:
        """Hold one. Raises what `refusal` makes."""
        if self._of_tenant[tenant] >= self.most_of_tenant:
            raise self.refusal(self.most_of_tenant)
        if self.count() >= self.most:
            raise self.refusal(self.most)
        self._of_tenant[tenant] += 1
        try:
            yield
        finally:
            self._of_tenant[tenant] -= 1
            if not self._of_tenant[tenant]:
                del self._of_tenant[tenant]


WAITS = web.AppKey("waits", OpenCalls)
STREAMS = web.AppKey("streams", OpenCalls)
PREVIEWS = web.AppKey("preview_places", OpenCalls)


def waits() -> OpenCalls:
    """Calls that wait for a change. A thousand take 20 MB."""
    return OpenCalls(most=2000, most_of_tenant=1000, refusal=lambda limit: TooManyWaiting(limit=limit))


def streams() -> OpenCalls:
    """Streams of events."""
    return OpenCalls(most=1000, most_of_tenant=500, refusal=lambda limit: TooManyStreams(limit=limit))


def previews() -> OpenCalls:
    """Previews: each holds a picture in memory, and most of them wait for the one that is made."""
    return OpenCalls(most=4, most_of_tenant=2, refusal=lambda limit: TooManyPreviews(limit=limit))
