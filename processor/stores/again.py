"""How a call is tried again at once; what takes longer is left to the circuit."""

from __future__ import annotations

from typing import NoReturn

from tenacity import AsyncRetrying, RetryCallState, stop_after_attempt, wait_random_exponential
from tenacity.retry import retry_base

from processor.errors import Throttled


def again(when: retry_base, *, tries: int, pause_seconds: float) -> AsyncRetrying:
    """Calls a function up to `tries` times, with a random part of a pause in between that begins with `pause_seconds`
    and doubles. Raises `Throttled` in the end."""
    return AsyncRetrying(
        retry=when,
        stop=stop_after_attempt(tries),
        wait=wait_random_exponential(multiplier=pause_seconds),
        retry_error_callback=_give_up,
    )


def _give_up(_: RetryCallState) -> NoReturn:
    raise Throttled
