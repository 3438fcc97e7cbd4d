"""Retries a call within seconds. Longer outages are for the circuit."""

from __future__ import annotations

from typing import NoReturn

from tenacity import AsyncRetrying, RetryCallState, stop_after_attempt, wait_random_exponential
from tenacity.retry import retry_base

from processor.errors import Throttled, TrussError


def again(when: retry_base, *, tries: int, pause_seconds: float, else_: type[TrussError] = Throttled) -> AsyncRetrying:
    """Calls a function up to `tries` times, then raises `else_`.

    Between two tries it waits for a random fraction of a pause, which begins with `pause_seconds` and doubles.
    """

    def give_up(_: RetryCallState) -> NoReturn:
        raise else_

    return AsyncRetrying(
        retry=when,
        stop=stop_after_attempt(tries),
        wait=wait_random_exponential(multiplier=pause_seconds),
        retry_error_callback=give_up,
    )
