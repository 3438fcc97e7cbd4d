"""One gate for all calls of a client: when one call is told to wait, all calls wait, and then go one by one."""

from __future__ import annotations

import threading
from time import monotonic

from truss_image_client._async.together import pause

#: Least and longest pause between two calls, in seconds, once a call was told to wait.
PACE_SECONDS = (0.05, 5.0)
#: A call that gets through shortens the pause to so much; below a millisecond there is none.
RECOVERY = 0.97
NO_PACE_SECONDS = 0.001


class AsyncGate:
    """Lets all calls through until one is refused. Then it closes for the requested time, and lets calls through at a
    pace. `patience`: how long calls are repeated while none at all gets through, in seconds."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        #: When a call last got through; None: none ever did.
        self.answered_at: float | None = None
        self._lock = threading.Lock()
        self._pace = 0.0
        self._open_at = 0.0
        self._next = 0.0
        self._closed_at = float("-inf")
        self._closings = 0

    async def enter(self) -> float:
        """Wait for one's turn; when that was, for `close`."""
        while True:
            with self._lock:
                turn = max(monotonic(), self._open_at, self._next)
                self._next = turn + self._pace
                closings = self._closings
            wait = turn - monotonic()
            if wait > 0:
                await pause(wait)
            if closings == self._closings:
                return monotonic()

    def passed(self) -> None:
        with self._lock:
            self.answered_at = monotonic()
            self._pace = self._pace * RECOVERY if self._pace > NO_PACE_SECONDS else 0.0

    def close(self, seconds: float, *, entered_at: float) -> None:
        """A call that entered at `entered_at` was told to wait for so many seconds."""
        with self._lock:
            now = monotonic()
            if entered_at > self._closed_at:  # or it was on its way already when another was told the same
                least, most = PACE_SECONDS
                self._pace = min(most, max(least, self._pace * 2))
                self._closed_at = now
            if now + seconds > self._open_at:
                self._open_at = self._next = now + seconds
                self._closings += 1

    def may_wait(self, seconds: float, *, since: float) -> bool:
        """Whether a call that began at `since` should be tried again after so many seconds."""
        return seconds <= self.patience and monotonic() - max(since, self.answered_at or since) < self.patience
