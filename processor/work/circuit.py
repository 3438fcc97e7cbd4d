"""Stops the worker from taking messages while a dependency is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from processor.errors import Unavailable
from processor.pauses import backoff, pause

#: First and longest pause between two looks at the dependencies, in seconds.
PAUSE_SECONDS = (0.5, 30.0)

log = structlog.get_logger(__name__)


class CircuitState(StrEnum):
    """How much may be taken on."""

    CLOSED = "closed"  # all is well
    OPEN = "open"  # a dependency is away: nothing is taken
    TRYING = "trying"  # it answers again: one message at a time, until one succeeds


@dataclass(slots=True)
class Circuit:
    """Opens when work fails because a dependency is away.

    Every message received meanwhile would fail too. The queue counts each receive, and after a handful the message is
    dead.
    """

    #: Raises `Unavailable` while a dependency is away.
    probe: Callable[[], Awaitable[None]]
    state: CircuitState = CircuitState.CLOSED
    failures: int = 0
    _probing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def failed(self) -> None:
        """Work could not be done because a dependency is away."""
        if self.state is CircuitState.CLOSED:
            log.warning("Circuit opened")
        # What was in work when it opened fails for the same reason, and is no reason to wait longer.
        if self.state is not CircuitState.OPEN:
            self.failures += 1
        self.state = CircuitState.OPEN

    def succeeded(self) -> None:
        if self.state is CircuitState.TRYING:
            log.info("Circuit closed", failures=self.failures)
            self.state = CircuitState.CLOSED
            self.failures = 0

    async def passable(self, stopping: asyncio.Event) -> None:
        """Wait until messages may be taken, or until it is time to stop."""
        async with self._probing:  # one look serves every receiver
            while self.state is CircuitState.OPEN and not stopping.is_set():
                await pause(stopping, backoff(self.failures, PAUSE_SECONDS))
                try:
                    await self.probe()
                except Unavailable:
                    self.failures += 1
                else:
                    self.state = CircuitState.TRYING
