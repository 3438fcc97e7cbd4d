"""Several things at once, and pauses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")

#: One at a time.
Turn = threading.Lock


def together(works: Sequence[Callable[[], None]], *, at_once: int) -> None:
    """Do all of them in threads. After one that fails, no other is begun."""
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        begun = [pool.submit(work) for work in works]
        done, _ = wait(begun, return_when=FIRST_EXCEPTION)
        pool.shutdown(wait=True, cancel_futures=True)
    for each in done:
        each.result()


def aside(work: Callable[[], T]) -> T:
    return work()


def pause(seconds: float) -> None:
    time.sleep(seconds)
