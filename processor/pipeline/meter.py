"""Measures the CPU time of each image, while several are in work at once.

libvips computes in its own threads, which all images share. So the clock of the calling thread misses nearly all of the
work. Only the clock of the process has it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Spent:
    """CPU seconds of one image so far."""

    def __init__(self) -> None:
        self.seconds = 0.0


class Meter:
    """Divides the CPU time equally among the steps that run at the time. Time without any step is not counted.

    `clock` returns the CPU seconds so far.
    """

    def __init__(self, clock: Callable[[], float] = time.process_time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running: list[Spent] = []
        self._seen = 0.0

    @contextmanager
    def running(self, spent: Spent) -> Iterator[None]:
        """Count a step of an image. Two steps of one image may run at once."""
        with self._lock:
            self._divide()
            self._running.append(spent)
        try:
            yield
        finally:
            with self._lock:
                self._divide()
                self._running.remove(spent)

    def _divide(self) -> None:
        now = self._clock()
        for spent in self._running:
            spent.seconds += (now - self._seen) / len(self._running)
        self._seen = now


def beside_this_thread() -> Callable[[], float]:
    """A clock for the CPU time of the process without that of the calling thread, which runs an event loop."""
    if not hasattr(time, "pthread_getcpuclockid"):  # macOS
        return time.process_time
    own = time.pthread_getcpuclockid(threading.get_ident())
    return lambda: time.process_time() - time.clock_gettime(own)


#: For a process that renders one image at a time.
ALONE = Meter()
