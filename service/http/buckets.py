"""Token buckets: how fast requests may come, counted in this process."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

#: Buckets remembered at once. One that is forgotten is full again, as it would be after a while anyway.
MAX_BUCKETS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A bucket after a request. `capacity` and `left` in requests, `refill_seconds` until it is full again."""

    capacity: int
    left: int
    #: From empty to full.
    window_seconds: int
    refill_seconds: int
    #: None: the request may pass. Else seconds until one may.
    retry_after: int | None = None


class Buckets:
    """One bucket for each name; holds `burst` tokens and gains `rate` a second."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, *, rate: float, burst: int) -> Level:
        """Take one token, if there is one."""
        tokens = self._fill(name, rate, burst)
        passes = tokens >= 1
        return self._leave(name, tokens - passes, rate, burst, passes=passes)

    def charge(self, name: str, tokens: int, *, rate: float, burst: int) -> Level:
        """Take so many more for what passed already; what is not there is owed, up to a whole bucket."""
        left = self._fill(name, rate, burst) - tokens
        return self._leave(name, max(-float(burst), left), rate, burst, passes=True)

    def _fill(self, name: str, rate: float, burst: int) -> float:
        now = self._monotonic()
        tokens, filled_at = self._buckets.get(name, (float(burst), now))
        return min(float(burst), tokens + (now - filled_at) * rate)

    def _leave(self, name: str, tokens: float, rate: float, burst: int, *, passes: bool) -> Level:
        self._buckets[name] = (tokens, self._monotonic())
        self._buckets.move_to_end(name)
        while len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return Level(
            capacity=burst,
            left=max(0, math.floor(tokens)),
            window_seconds=max(1, math.ceil(burst / rate)),
            refill_seconds=math.ceil((burst - tokens) / rate),
            retry_after=None if passes else max(1, math.ceil((1 - tokens) / rate)),
        )


BUCKETS = web.AppKey("buckets", Buckets)
