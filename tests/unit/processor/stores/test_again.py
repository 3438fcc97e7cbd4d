"""How a call of a store is tried again."""

from __future__ import annotations

import pytest
from tenacity import retry_if_exception_type, retry_if_result

from processor.errors import Throttled
from processor.stores.again import again


class Busy(Exception):
    """For a moment."""


async def test_pauses_stay_below_a_bound_that_doubles_and_none_follows_the_last_try() -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def busy() -> None:
        raise Busy

    trying = again(retry_if_exception_type(Busy), tries=5, pause_seconds=0.1).copy(sleep=sleep)
    with pytest.raises(Throttled):
        await trying(busy)
    assert len(pauses) == 4
    assert all(0 <= pause <= bound for pause, bound in zip(pauses, (0.1, 0.2, 0.4, 0.8), strict=True))


async def test_pods_do_not_march_in_step() -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def left() -> bool:
        return True

    for _ in range(20):
        with pytest.raises(Throttled):
            await again(retry_if_result(bool), tries=2, pause_seconds=1).copy(sleep=sleep)(left)
    assert len(set(pauses)) > 10


async def test_any_other_error_ends_it_at_once() -> None:
    calls = 0

    async def broken() -> None:
        nonlocal calls
        calls += 1
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await again(retry_if_exception_type(Busy), tries=5, pause_seconds=0)(broken)
    assert calls == 1
