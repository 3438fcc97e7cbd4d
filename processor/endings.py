"""The one door through which jobs end: the record is written, and then whoever listens is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from processor import clock
from processor.jobs import Failure, Image, Job, Lease, Source, end_of, failed, removed, superseded, with_end
from processor.ports.jobs import JobStore, known_job
from processor.ports.listener import Listener

#: Longest that a listener may take. It holds up a slot of the worker, or somebody's request; what takes longer is for
#: the listener to note and to do by itself.
LISTENER_SECONDS = 5.0

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Endings:
    """What ends jobs, for one message or request. Nobody else calls what of a store may end a job.

    A listener that fails changes nothing of what is recorded and stops nobody; `all_told` remembers it.
    """

    jobs: JobStore
    listeners: Sequence[Listener] = ()
    #: Whether every listener has heard of every end so far.
    all_told: bool = True
    #: Jobs that were made here: of what they took the place of was told here too.
    _made: set[str] = field(default_factory=set)

    async def finish(self, job: Job, lease: Lease) -> None:
        """The run is over, as `job` says; a cancelled caller still writes it. Raises what `JobStore.finish` raises."""
        await asyncio.shield(self.jobs.finish(job, lease))
        await self.tell(with_end(job))

    async def fail(self, job: Job, why: Failure) -> None:
        """No worker holds the job, and none shall take it. Raises what `JobStore.fail` raises."""
        ended = failed(job, why, clock.now())
        await self.jobs.fail(ended)
        await self.tell(ended)

    async def replace(self, image: Image, old: Job | None, new: Job, *, counted_through: str = "") -> None:
        """`new` becomes current: `old` ends if it had not, and so does `new` if it was refused when it was made.

        Raises what `JobStore.replace` raises.
        """
        await self.jobs.replace(image, old, new, counted_through=counted_through)
        self._made.add(new.processing_id)
        if old is not None and not old.ended:
            await self.tell(superseded(old, new))
        await self.tell(new)

    async def accept(
        self,
        image: Image,
        job: Job,
        source: Source,
        expires_at: int,
        *,
        counted: bool,
        refusal: Failure | None,
        version: str,
    ) -> Job:
        """The first source arrived; with a `refusal` that is the end. Raises what `JobStore.accept` raises."""
        accepted = await self.jobs.accept(
            image, job, source, expires_at, counted=counted, refusal=refusal, version=version
        )
        await self.tell(accepted)
        return accepted

    async def deleted(self, image: Image) -> None:
        """There is a tombstone. To be said before the erasure, so that who dies in between leaves something that
        another erasure is made for, which says it again."""
        await self.tell(removed(image))

    async def again(self, job: Job) -> None:
        """A message led to a job that may have ended: whoever ended it may have died before all were told."""
        await self.tell(job)
        await self.before(job)

    async def before(self, job: Job) -> None:
        """The same of the job in whose place this one is, if no worker ended that. Raises `Unavailable`."""
        if not self.listeners or job.untold is None or job.processing_id in self._made:
            return
        old = await known_job(self.jobs, job.tenant, job.untold)
        if old is not None:
            await self.tell(old)

    async def tell(self, job: Job) -> None:
        """Tell all listeners at once, if the job has ended: none waits for another, or fails by it."""
        end = end_of(job)
        if end is None or not self.listeners:
            return
        tasks = {asyncio.create_task(each.ended(job, end)): each for each in self.listeners}
        try:
            await asyncio.wait(tasks, timeout=LISTENER_SECONDS)
        finally:
            for task in tasks:  # not waited for: it may be deaf to that too
                task.cancel()
        for task, listener in tasks.items():
            failure = _failure_of(task)
            if failure is not None:
                self.all_told = False
                told_not = {"listener": type(listener).__name__, "end": end.value, "processingId": job.processing_id}
                log.error("Listener not told", **told_not, exc_info=failure)


def _failure_of(task: asyncio.Task[None]) -> BaseException | None:
    if not task.done():
        return TimeoutError(f"{LISTENER_SECONDS:.0f} seconds were not enough")
    return asyncio.CancelledError() if task.cancelled() else task.exception()
