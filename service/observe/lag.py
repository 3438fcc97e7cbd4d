"""Measures how late the event loop is: every caller waits that much longer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

#: Between two looks, in seconds: of a block, all but so much is seen at least. A look takes some microseconds.
LOOK_SECONDS = 0.01


async def watch_loop(late: Callable[[float], None], *, look_seconds: float = LOOK_SECONDS) -> None:
    """Tell, again and again until it is cancelled, by how many seconds the loop came later than was asked for."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + look_seconds
        await asyncio.sleep(look_seconds)
        late(max(0.0, loop.time() - due))
