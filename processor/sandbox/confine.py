"""What a process may take: limits that it sets for itself before it does anything else.

They contain accidents: a decoder that crashes, spins or eats memory. They are no sandbox for code that was smuggled in.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

#: Address space of the interpreter, libvips and its threads' stacks; 75 MiB were measured with one malloc arena.
BASE_ADDRESS_BYTES = 256 * 1024 * 1024
#: What this process may hold beyond what an image takes by estimate: the interpreter, the code of the codecs.
BASE_RESIDENT_BYTES = 64 * 1024 * 1024
#: By how much the estimate may be wrong.
ESTIMATE_TOLERANCE = 1.125
#: Status of a process that ended itself because it held more than it may.
OUT_OF_MEMORY = 77
#: Time between two looks at the memory; a codec fills some 20 MB meanwhile.
_LOOK_SECONDS = 0.01
#: Descriptors open at once: the pipes, and what the loading of modules opens for a moment.
MAX_DESCRIPTORS = 32
#: From linux/prctl.h.
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
#: What Linux kills first when memory runs out; anybody may raise it, up to here.
_FIRST_TO_GO = "1000"


def confine(*, memory_bytes: int, cpu_seconds: int) -> None:
    """Limit memory and processor time; no files, no core, few descriptors; die with the parent.

    Limits that the system does not know are left out. Processor time past its limit ends in SIGXCPU.
    """
    if sys.platform == "linux":
        _confine_on_linux()
    _limit("RLIMIT_AS", BASE_ADDRESS_BYTES + memory_bytes)
    _limit("RLIMIT_CPU", cpu_seconds)
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_NOFILE", MAX_DESCRIPTORS)
    _limit("RLIMIT_FSIZE", 0)  # pipes are no files


def limit_memory(memory_bytes: int, untouched_bytes: int, most_bytes: int) -> None:
    """For work that takes so much, and as much address space on top of it. `most_bytes` bounds all that is resident.

    What holds more ends itself with `OUT_OF_MEMORY`: libwebp goes on for minutes after an allocation has failed. The
    limit on address space is the wall behind that, and no more than it can ever be resident.
    """
    _limit("RLIMIT_AS", BASE_ADDRESS_BYTES + memory_bytes + untouched_bytes)
    if sys.platform == "linux":
        allowed = min(most_bytes, BASE_RESIDENT_BYTES + round(memory_bytes * ESTIMATE_TOLERANCE))
        threading.Thread(target=_end_beyond, args=(allowed,), daemon=True, name="memory").start()


def _end_beyond(allowed_bytes: int) -> None:
    page_bytes = resource.getpagesize()
    while int(Path("/proc/self/statm").read_text().split()[1]) * page_bytes <= allowed_bytes:
        time.sleep(_LOOK_SECONDS)
    os._exit(OUT_OF_MEMORY)


def ran_out(piece_bytes: int) -> bool:
    """Whether this process has come so near to its limit that one more piece of memory would have gone beyond.

    An allocation that fails leaves no other trace that could be trusted.
    """
    if sys.platform != "linux":
        return False
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return limit != resource.RLIM_INFINITY and _peak_bytes() + piece_bytes >= limit


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmPeak:"))


def _limit(name: str, value: int) -> None:
    kind = getattr(resource, name, None)
    if kind is None:
        return
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    # The soft limit alone, for the one on memory is set again once the image's header is known. macOS refuses some.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (value, hard))


def _confine_on_linux() -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    libc.prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0)))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
