"""Conversions step back for the event loop: they take seconds, and whoever asks the API waits for milliseconds."""

from __future__ import annotations

import os
import sys
import threading

#: Steps of niceness (sched(7)). Five give the loop three times the share of a processor.
STEPS = 5


def step_back() -> None:
    """For the thread that calls it, and those that it starts. Only Linux knows a niceness of threads."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + STEPS)
