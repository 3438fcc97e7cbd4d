"""Whether the dependencies answer. They are asked at most once in a few seconds, for any number of callers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

import structlog
from aiohttp import web

#: The longest time for one check, in seconds. It is shorter than the timeout of a Kubernetes probe.
CHECK_TIMEOUT_SECONDS = 2.0
#: How long an answer is used, in seconds. The call is public, so it must not cause many calls to AWS.
FRESH_SECONDS = 5.0

Check = Callable[[], Awaitable[object]]
State = Literal["ok", "failing"]

log = structlog.get_logger(__name__)


class Health:
    """Runs named checks together. A check fails if it raises or takes too long."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        *,
        timeout_seconds: float = CHECK_TIMEOUT_SECONDS,
        fresh_seconds: float = FRESH_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks = dict(checks)
        self._timeout_seconds = timeout_seconds
        self._fresh_seconds = fresh_seconds
        self._monotonic = monotonic
        self._round: asyncio.Task[dict[str, State]] | None = None
        self._fresh_until = 0.0

    async def states(self) -> Mapping[str, State]:
        """The state of every dependency, by name."""
        if self._round is None or self._round.cancelled() or self._stale():
            self._round = asyncio.create_task(self._ask_all(), name="health-checks")
        # A caller that goes away must not cancel the checks for the others.
        return await asyncio.shield(self._round)

    def _stale(self) -> bool:
        return self._round is not None and self._round.done() and self._monotonic() >= self._fresh_until

    async def _ask_all(self) -> dict[str, State]:
        states = await asyncio.gather(*(self._ask(name, check) for name, check in self._checks.items()))
        self._fresh_until = self._monotonic() + self._fresh_seconds
        return dict(zip(self._checks, states, strict=True))

    async def _ask(self, name: str, check: Check) -> State:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await check()
        except Exception as error:
            log.warning("Health check failed", check=name, error=type(error).__name__)
            return "failing"
        return "ok"


HEALTH = web.AppKey("health", Health)
LIVENESS = web.AppKey("liveness", Health)
READINESS = web.AppKey("readiness", Health)
#: Set when the process has been told to end. From then on it is unhealthy, whatever the checks say.
DRAINING = web.AppKey("draining", asyncio.Event)
