"""Runs long pure Python outside the event loop: one piece at a time, tenants by turns, at most half of the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from weakref import WeakKeyDictionary

from processor.turns import Turns

Result = TypeVar("Result")

#: More threads would only take the interpreter from each other and from the loop.
_ONE = ThreadPoolExecutor(1, thread_name_prefix="aside")
_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


async def aside(work: Callable[[], Result], tenant: str) -> Result:
    """Run `work` in a thread and return its result. For pure Python of more than a few milliseconds.

    After each piece the loop has the interpreter for as long as the piece took.
    """
    loop = asyncio.get_running_loop()
    turns = _TURNS.setdefault(loop, Turns(1))
    await turns.enter(0, tenant)
    began = loop.time()
    try:
        return await loop.run_in_executor(_ONE, work)
    finally:
        loop.call_later(loop.time() - began, turns.leave, 0, tenant)
