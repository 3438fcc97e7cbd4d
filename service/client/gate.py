"""One gate for all calls of a client: when the service tells one call to wait, all calls wait, and then go
one by one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

#: How long a client goes on asking while no call at all gets through, in seconds.
PATIENCE_SECONDS = 120.0
#: Least and longest pause between two calls, in seconds, once a call was told to wait.
PACE_SECONDS = (0.05, 5.0)
#: A call that gets through shortens the pause to so much; below a millisecond there is none.
RECOVERY = 0.97


@dataclass(slots=True)
class Gate:
    """Lets all calls through until one is refused. Then it closes for the requested time, and lets calls through at a
    pace."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    #: When a call last got through; None: none ever did.
    answered_at: float | None = None
    _pace: float = 0.0
    _open_at: float = 0.0
    _next: float = 0.0
    _closed_at: float = field(default=float("-inf"))
    _closings: int = 0

    async def enter(self) -> float:
        """Wait for one's turn; when that was, for `close`."""
        while True:
            turn = max(self.monotonic(), self._open_at, self._next)
            self._next = turn + self._pace
            closings = self._closings
            await self.sleep(max(0.0, turn - self.monotonic()))
            if closings == self._closings:
                return self.monotonic()

    def passed(self) -> None:
        self.answered_at = self.monotonic()
        self._pace = self._pace * RECOVERY if self._pace > 0.001 else 0.0  # noqa: PLR2004 - a millisecond

    def close(self, seconds: float, *, entered_at: float) -> None:
        """A call that entered at `entered_at` was told to wait for so many seconds."""
        now = self.monotonic()
        if entered_at > self._closed_at:  # or it was on its way already when another was told the same
            least, most = PACE_SECONDS
            self._pace = min(most, max(least, self._pace * 2))
            self._closed_at = now
        if now + seconds > self._open_at:
            self._open_at = self._next = now + seconds
            self._closings += 1

    def is_patient(self, since: float) -> bool:
        """Whether a call that began at `since` should be tried again."""
        return self.monotonic() - max(since, self.answered_at or since) < PATIENCE_SECONDS
