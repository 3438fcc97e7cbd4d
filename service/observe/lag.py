"""Measures the lag of the event loop. Every caller waits that much longer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

#: Time between two looks, in seconds. At most so much of a block is not seen. A look takes a tenth of a millisecond.
LOOK_SECONDS = 0.025


async def watch_loop(late: Callable[[float], None], *, look_seconds: float = LOOK_SECONDS) -> None:
    """Report again and again how many seconds late the loop was, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + look_seconds
        await asyncio.sleep(look_seconds)
        late(max(0.0, loop.time() - due))
