"""Has glibc's malloc give memory back, where it is the process's allocator; and asks whether there is more."""

from __future__ import annotations

import ctypes
import mmap
import os

#: Pools that threads allocate from. By default there are eight a processor; each keeps what its threads ever needed.
ARENAS = 2
#: Blocks of so many bytes are memory of their own and go back when they are freed. By default the border moves up to
#: 32 MiB, and pictures leave holes that nothing fits into.
MAPPED_BYTES = 4 * 1024 * 1024

#: Parameters of `mallopt` (glibc, malloc.h).
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8


def tune_allocator() -> None:
    """Call it once, before threads start. Variables of glibc's malloc, if set, win. Another allocator ignores it."""
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, ARENAS)
        mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)


def is_to_be_had(size_bytes: int) -> bool:
    """Whether the system would grant so much just now. Linux mostly grants more than there is."""
    try:
        mmap.mmap(-1, max(1, size_bytes)).close()
    except (OSError, MemoryError):
        return False
    return True
