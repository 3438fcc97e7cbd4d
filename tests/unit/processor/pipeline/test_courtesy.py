"""Conversions step back for the event loop."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from processor.pipeline.courtesy import STEPS, step_back
from processor.pipeline.engine import Engine, EngineConfig

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows a niceness of threads")


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_a_thread_steps_back_and_the_others_do_not() -> None:
    before = niceness()
    with ThreadPoolExecutor(1, initializer=step_back) as pool:
        assert pool.submit(niceness).result() == min(19, before + STEPS)
    assert niceness() == before


async def test_the_threads_of_the_engine_step_back() -> None:
    engine = Engine(EngineConfig(threads=1, memory_budget_bytes=2**30))
    before = niceness()
    assert await engine._in_thread(engine._pool, niceness) == min(19, before + STEPS)
    await engine.close()
