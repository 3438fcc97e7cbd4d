"""Threads for images, in two lanes, so that a thumbnail does not wait behind another image's full size."""

from __future__ import annotations

from processor.turns import Turns


class Lanes:
    """As many threads as processors, and one more for first pictures while all of them do long work.

    The lane for first pictures decodes an image and makes its small variants, in tenths of a second. The lane for long
    work makes the large ones. An image that is alone gets a thread in each lane, otherwise one. In each lane, tenants
    take turns.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.first: Turns = _First(self)
        self.long: Turns = _Long(self)

    @property
    def running(self) -> int:
        """Busy threads."""
        return self.first.running + self.long.running

    def call_next(self) -> None:
        """Give a free thread to the next in line; first pictures have priority."""
        self.first.call_next()
        self.long.call_next()


class _Lane(Turns):
    def __init__(self, lanes: Lanes) -> None:
        super().__init__(lanes.threads)
        self._lanes = lanes

    def leave(self, weight: int = 0, tenant: str = "") -> None:
        """Give back the thread; either lane may get it."""
        super().leave(weight, tenant)
        self._lanes.call_next()


class _First(_Lane):
    def _fits(self, weight: int) -> bool:
        return super()._fits(weight) and self._lanes.running < self._lanes.threads + 1


class _Long(_Lane):
    def _fits(self, weight: int) -> bool:
        return super()._fits(weight) and self._lanes.running < self._lanes.threads
