"""Work beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from processor.aside import aside


async def test_tenants_take_turns_piece_by_piece() -> None:
    order: list[str] = []
    flood = [asyncio.create_task(aside(partial(order.append, "attacker"), "attacker")) for _ in range(20)]
    await asyncio.sleep(0)
    await aside(partial(order.append, "victim"), "victim")
    await asyncio.gather(*flood)
    assert "victim" in order[:2]
    assert len(order) == 21


async def test_it_happens_in_one_other_thread() -> None:
    names = await asyncio.gather(*(aside(lambda: threading.current_thread().name, "t") for _ in range(5)))
    assert len(set(names)) == 1
    assert names[0] != threading.current_thread().name


async def test_what_fails_keeps_nobody_from_the_next_turn() -> None:
    with pytest.raises(ZeroDivisionError):
        await aside(lambda: 1 // 0, "t")
    assert await aside(lambda: 1, "t") == 1
