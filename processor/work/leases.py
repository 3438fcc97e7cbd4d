"""The leases of the jobs in this process: taken, held during the work, renewed together."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from processor.errors import LeaseLost
from processor.images import Rendered
from processor.jobs import Lease
from processor.ports.jobs import JobStore


@dataclass(slots=True, kw_only=True)
class Held:
    """A job in work, and its render while that runs."""

    processing_id: str
    lease: Lease
    _render: asyncio.Task[Rendered] | None = None
    _lost: bool = False

    def call_off(self) -> None:
        """Cancel the work: the lease is lost, so nobody wants the result."""
        self._lost = True
        if self._render is not None:
            self._render.cancel()

    async def rendered(self, render: Coroutine[None, None, Rendered]) -> Rendered:
        """Raises `LeaseLost` when it is called off."""
        self._render = asyncio.create_task(render)
        if self._lost:
            self._render.cancel()
        try:
            return await self._render
        except asyncio.CancelledError:
            if self._lost and not _is_cancelled():
                raise LeaseLost from None
            raise
        finally:
            self._render = None  # its error has frames that name this object, and the file


@dataclass(slots=True, kw_only=True)
class Leases:
    """One per process. A lease is good for `seconds` unless it is renewed."""

    jobs: JobStore
    seconds: int
    #: Who holds them, for people who read records.
    owner: str = field(default_factory=lambda: f"{socket.gethostname()}/{os.getpid()}")
    _held: dict[str, Held] = field(default_factory=dict)

    def new(self) -> Lease:
        """To claim a job with."""
        return Lease(token=secrets.token_hex(8), owner=self.owner, expires_at=self._expiry())

    @contextmanager
    def holding(self, processing_id: str, lease: Lease) -> Iterator[Held]:
        """For as long as the job is in work its lease is renewed with the others."""
        held = self._held[processing_id] = Held(processing_id=processing_id, lease=lease)
        try:
            yield held
        finally:
            if self._held.get(processing_id) is held:
                del self._held[processing_id]

    async def renew(self) -> None:
        """Extend every lease separately.

        If one is lost, nobody wants the job's result: its render is cancelled. Whatever else it does, the fence in
        `finish` stops it. Raises `Unavailable` when any could not be extended, after all were tried.
        """
        expires_at = self._expiry()
        held = tuple(self._held.values())
        renewals = (self.jobs.renew(each.processing_id, replace(each.lease, expires_at=expires_at)) for each in held)
        results = await asyncio.gather(*renewals, return_exceptions=True)
        for each, error in zip(held, results, strict=True):
            if isinstance(error, LeaseLost):
                each.call_off()
        for error in results:
            if error is not None and not isinstance(error, LeaseLost):
                raise error

    def _expiry(self) -> float:
        return time.time() + self.seconds


def _is_cancelled() -> bool:
    """Whether this task is, and not only what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
