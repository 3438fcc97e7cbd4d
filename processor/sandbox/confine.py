"""Resource limits that a process sets for itself before it does anything else.

They contain accidents: a decoder that crashes, loops or uses too much memory. They do not contain injected code.
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

#: Address space for the interpreter, libvips and the stacks of its threads. 75 MiB were measured with one malloc arena.
BASE_ADDRESS_BYTES = 256 * 1024 * 1024
#: Resident memory beyond the estimate for the image: the interpreter, the code of the codecs.
BASE_RESIDENT_BYTES = 64 * 1024 * 1024
#: Factor by which the estimate may be too low.
ESTIMATE_TOLERANCE = 1.125
#: Exit status of a process that ended itself because it used too much memory.
OUT_OF_MEMORY = 77
#: Time between two looks at the memory. A codec can fill about 20 MB meanwhile.
_LOOK_SECONDS = 0.01
#: The most open descriptors: the pipes, and files that are open for a moment while modules are loaded.
MAX_DESCRIPTORS = 32
#: From linux/prctl.h.
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
#: The highest `oom_score_adj`: Linux kills this process first if memory runs out. Any process may raise its own.
_FIRST_TO_GO = "1000"


def confine(*, memory_bytes: int, cpu_seconds: int) -> None:
    """Limit memory and CPU time. Allow no files, no core dump and few descriptors. Die with the parent.

    Limits that the system does not have are skipped. SIGXCPU ends a process that uses too much CPU time.
    """
    if sys.platform == "linux":
        _confine_on_linux()
    _limit("RLIMIT_AS", BASE_ADDRESS_BYTES + memory_bytes)
    _limit("RLIMIT_CPU", cpu_seconds)
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_NOFILE", MAX_DESCRIPTORS)
    _limit("RLIMIT_FSIZE", 0)  # pipes are no files


def limit_memory(memory_bytes: int, untouched_bytes: int, most_bytes: int) -> None:
    """Limit memory to `memory_bytes` for the work, and to `most_bytes` in all. `untouched_bytes` is address space only.

    A process that uses more ends itself with `OUT_OF_MEMORY`. It must, because libwebp goes on for minutes after an
    allocation has failed. The limit on address space is a second bound behind that one.
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
    """Whether one more allocation of this size would have exceeded the limit on address space.

    A failed allocation leaves no other reliable trace.
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
    # Only the soft limit: the one on memory is set again when the image's header is known. macOS refuses some limits.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (value, hard))


def _confine_on_linux() -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    libc.prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0)))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
