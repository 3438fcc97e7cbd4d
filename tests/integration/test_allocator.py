"""glibc's malloc and jemalloc, in real processes."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from tests.jemalloc import JEMALLOC, needs_jemalloc

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about glibc")

#: Renders on eight threads, then frees a large block and takes another; tells the pools, and what is mapped by itself.
PROGRAM = """
import asyncio, ctypes, json, os, tempfile
from processor.pipeline.engine import Engine, EngineConfig
from processor.recipes import STANDARD
from tests import corpus

class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Mallinfo
libc.malloc.restype = libc.fdopen.restype = ctypes.c_void_p
libc.free.argtypes = libc.fclose.argtypes = [ctypes.c_void_p]
libc.malloc.argtypes = [ctypes.c_size_t]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]

async def render():
    engine = Engine(EngineConfig(threads=8, memory_budget_bytes=2**30))
    photo = corpus.jpeg(corpus.photo(640, 480))
    await asyncio.gather(*(engine.render(photo, STANDARD) for _ in range(16)))
    with tempfile.TemporaryFile() as told:
        stream = libc.fdopen(os.dup(told.fileno()), b"w")
        libc.malloc_info(0, stream)
        libc.fclose(stream)
        told.seek(0)
        pools = told.read().count(b"<heap nr=")
    await engine.close()
    return pools

pools = asyncio.run(render())
size = 8 * 2**20
libc.free(libc.malloc(size))
before = libc.mallinfo2().hblkhd
kept = libc.malloc(size)
print(json.dumps({"pools": pools, "mapped": libc.mallinfo2().hblkhd - before >= size}))
"""


#: A thread takes and frees 60 MB in small blocks, and then does nothing. Tells the resident megabytes before and after
#: all is given back.
SLEEPING = """
import ctypes, json, threading
from pathlib import Path
from processor.pipeline.allocator import give_all_back, tune_allocator

tune_allocator()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
size = 12 * 1024

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

def take(freed, over):
    blocks = [libc.malloc(size) for _ in range(5_000)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for block in blocks:
        libc.free(block)
    freed.set()
    over.wait()

freed, over = threading.Event(), threading.Event()
threading.Thread(target=take, args=(freed, over)).start()
freed.wait()
before = resident()
give_all_back()
print(json.dumps({"before": before, "after": resident()}))
over.set()
"""


def _told(environment: Mapping[str, str], program: str = PROGRAM) -> Any:
    kept = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD" and "MALLOC" not in name}
    environment = {**kept, **environment}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_threads_share_two_pools_and_large_blocks_go_back_when_they_are_freed() -> None:
    assert _told({}) == {"pools": 2, "mapped": True}


def test_whoever_sets_a_variable_of_malloc_is_left_to_it() -> None:
    left = _told({"MALLOC_PERTURB_": "0"})
    assert left["pools"] > 2
    assert not left["mapped"]  # glibc has moved the border


@pytest.mark.parametrize(
    "allocator",
    [
        pytest.param({}, id="glibc"),
        pytest.param(JEMALLOC, id="jemalloc", marks=needs_jemalloc),
    ],
)
def test_what_a_sleeping_thread_has_freed_goes_back_at_rest(allocator: Mapping[str, str]) -> None:
    told = _told(allocator, SLEEPING)

    assert told["after"] <= told["before"] - 40
