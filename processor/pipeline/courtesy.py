"""Conversions have a lower CPU priority than the event loop: they take seconds, and API callers wait for
milliseconds."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

#: Steps of niceness (sched(7)). With ten, the event loop gets nine times the CPU share of a thread. It needs that,
#: because there may be one thread more than processors.
STEPS = 10
#: The highest niceness.
_MOST_STEPS = 20


def step_back() -> None:
    """Lower the priority of the calling thread, and of threads that it starts. Only Linux has a niceness for
    threads."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + STEPS)


def step_aside() -> None:
    """Lower the priority of the whole process, so that it gets only CPU that nobody else wants.

    Call it before the process starts a thread.
    """
    with suppress(OSError):  # a container may forbid it
        if sys.platform == "linux":
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        else:
            os.nice(_MOST_STEPS)
