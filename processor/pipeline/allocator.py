"""Makes the allocator return freed memory to the system, and asks the system whether it has memory."""

from __future__ import annotations

import ctypes
import mmap
import os
from functools import cache

#: Arenas that threads allocate from. By default there are eight per processor, and each keeps its peak.
ARENAS = 2
#: Blocks of at least so many bytes get a mapping of their own, which goes back to the system when it is freed. By
#: default this threshold rises up to 32 MiB, and pictures leave holes in the heap that nothing fits into.
MAPPED_BYTES = 4 * 1024 * 1024

#: Parameters of `mallopt` (glibc, malloc.h).
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
#: What jemalloc calls the free pages of all arenas (jemalloc(3), "arena.<i>.purge"; 4096 is `MALLCTL_ARENAS_ALL`).
_FREE_PAGES = b"arena.4096.purge"


def tune_allocator() -> None:
    """Call it once, before threads start. Variables `MALLOC_*` have priority. Other allocators ignore it."""
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(_loaded(), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, ARENAS)
        mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)


def give_back() -> None:
    """Return free memory to the system, after an image or a reading of it: tens of megabytes between used blocks.

    Other allocators than glibc's ignore it. Call it in a thread, because it takes milliseconds.
    """
    trim = getattr(_loaded(), "malloc_trim", None)
    if trim is not None:
        trim(0)


def give_all_back() -> None:
    """The same at rest, for jemalloc too.

    jemalloc returns free pages while it allocates. So the arenas of threads that do nothing keep theirs.
    """
    give_back()
    control = getattr(_loaded(), "mallctl", None)
    if control is not None:
        control(_FREE_PAGES, None, None, None, 0)


@cache
def _loaded() -> ctypes.CDLL:
    """The functions of this process. Each such object is a cycle, so there is one."""
    return ctypes.CDLL(None)


def is_to_be_had(size_bytes: int) -> bool:
    """Whether the system grants a mapping of this size now. Linux usually grants more than it has."""
    try:
        mmap.mmap(-1, max(1, size_bytes)).close()
    except (OSError, MemoryError):
        return False
    return True
