"""jemalloc as the image has it, for tests of what it does: CI has it of the package `libjemalloc2`."""

from __future__ import annotations

import ctypes.util

import pytest

from benchmarks import memory

LIBRARY = ctypes.util.find_library("jemalloc") or ""
#: What a process needs in its environment to have it.
JEMALLOC = {"LD_PRELOAD": LIBRARY, **memory.JEMALLOC}
#: Skips a test where it is not installed, and says so.
needs_jemalloc = pytest.mark.skipif(not LIBRARY, reason="jemalloc is not installed")
