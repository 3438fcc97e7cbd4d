"""What a process may take: limits that it sets for itself before it does anything else.

They contain accidents: a decoder that crashes, spins or eats memory. They are no sandbox for code that was smuggled in.
"""

from __future__ import annotations

import contextlib
import ctypes
import resource
import signal
import sys
from pathlib import Path

#: Address space of the interpreter, libvips and its threads' stacks; 75 MiB were measured with one malloc arena.
BASE_ADDRESS_BYTES = 256 * 1024 * 1024
#: Address space is more than memory: libwebp alone reserves 8 bytes a pixel that are never touched, or not at once.
ADDRESS_FACTOR = 2
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
    limit_memory(memory_bytes)
    _limit("RLIMIT_CPU", cpu_seconds)
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_NOFILE", MAX_DESCRIPTORS)
    _limit("RLIMIT_FSIZE", 0)  # pipes are no files


def limit_memory(working_bytes: int) -> None:
    """Address space for work that needs so much memory by estimate."""
    _limit("RLIMIT_AS", BASE_ADDRESS_BYTES + ADDRESS_FACTOR * working_bytes)


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
