"""Runs the work of a command until it is done, somebody ends it, or nobody reads what it says."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any

from service.client.display import ReaderGone


class End(Enum):
    """Why the work ended."""

    DONE = auto()
    INTERRUPTED = auto()
    READER_GONE = auto()


async def attend(work: Coroutine[Any, Any, None]) -> End:
    """The first signal cancels the work, so that it can say how far it came; a second one ends the process."""
    task = asyncio.ensure_future(work)
    with _obeying(task.cancel) as obeyed:
        await asyncio.wait([task])
    if obeyed and task.cancelled():
        return End.INTERRUPTED
    end = End.DONE
    try:
        await task
    except* ReaderGone:
        end = End.READER_GONE
    return end


@contextmanager
def _obeying(interrupt: Callable[[], object]) -> Iterator[list[signal.Signals]]:
    """The signals that were obeyed while the block ran. Only the main thread gets any."""
    loop = asyncio.get_running_loop()
    obeyed: list[signal.Signals] = []
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()

    def obey(number: signal.Signals) -> None:
        for each in numbers:
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        obeyed.append(number)
        interrupt()

    for number in numbers:
        loop.add_signal_handler(number, obey, number)
    yield obeyed
    for number in numbers:
        loop.remove_signal_handler(number)
