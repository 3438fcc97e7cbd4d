"""Conversions have a lower CPU priority than the event loop: they take seconds, and API callers wait for
milliseconds."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

#: Steps of niceness (sched(7)). Ten give the loop nine times the share of a processor: there may be one thread at work
#: more than there are processors.
STEPS = 10
#: As many as there are.
_MOST_STEPS = 20


def step_back() -> None:
    """Lower the priority of the calling thread, and of threads that it starts. Only Linux has a niceness for
    threads."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + STEPS)


def step_aside() -> None:
    """Lower the priority of a whole process, before it starts a thread: it gets only CPU that nobody else wants."""
    with suppress(OSError):  # a container may forbid it
        if sys.platform == "linux":
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        else:
            os.nice(_MOST_STEPS)
