"""Callers that wait until a job changes: one look at the records for all of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import structlog

from processor.errors import Busy, Unavailable
from processor.ports.changes import ChangeStore

#: Time between two looks, in seconds, while few jobs are waited for.
LOOK_SECONDS = 0.5
#: Of more jobs than this they are further apart, so that what they cost stays the same.
JOBS_A_LOOK = 250

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Caller:
    """Who waits, and the version of the job that it has seen."""

    seen: str
    woken: asyncio.Future[None]

    def wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


@dataclass(slots=True, kw_only=True)
class Waiting:
    """All callers of one process. It looks while somebody waits, and else does nothing."""

    changes: ChangeStore
    _callers: dict[str, set[_Caller]] = field(default_factory=dict)
    _looking: asyncio.Task[None] | None = None
    _ended: bool = False

    async def change(self, processing_id: str, seen: str, seconds: float) -> None:
        """Return when the job has not the version any more that was seen, is gone, when this process stops, or after so
        long."""
        if self._ended:
            return
        loop = asyncio.get_running_loop()
        caller = _Caller(seen, loop.create_future())
        self._callers.setdefault(processing_id, set()).add(caller)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_on(), name="waiting")
        timer = loop.call_later(seconds, caller.wake)
        try:
            await caller.woken
        finally:
            timer.cancel()
            self._forget(processing_id, caller)

    def end(self) -> None:
        """Whoever waits hears at once, and nobody waits from now on."""
        self._ended = True
        for callers in self._callers.values():
            for caller in callers:
                caller.wake()
        if self._looking is not None:
            self._looking.cancel()

    def _forget(self, processing_id: str, caller: _Caller) -> None:
        callers = self._callers[processing_id]
        callers.discard(caller)
        if not callers:
            del self._callers[processing_id]

    async def _look_on(self) -> None:
        while self._callers:
            await asyncio.sleep(LOOK_SECONDS * max(1.0, len(self._callers) / JOBS_A_LOOK))
            try:
                await self._look()
            except (Unavailable, Busy) as error:  # each caller hears of it when its time is over
                log.info("Jobs not looked at", code=error.code)
            except Exception:
                log.exception("Looking at jobs broke")
        self._looking = None

    async def _look(self) -> None:
        asked = tuple(self._callers)
        versions = await self.changes.versions(asked)
        for processing_id in asked:
            for caller in self._callers.get(processing_id, ()):
                if versions.get(processing_id) != caller.seen:
                    caller.wake()
