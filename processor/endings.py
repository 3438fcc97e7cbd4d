"""The only code that ends jobs: it writes the record, and then calls the listeners. Some hear of a job before, too."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field

import structlog

from processor import clock
from processor.errors import LeaseLost
from processor.jobs import (
    Decision,
    Failure,
    Image,
    Job,
    Lease,
    Source,
    decided,
    end_of,
    failed,
    removed,
    superseded,
    with_end,
)
from processor.ports.jobs import JobStore, known_job
from processor.ports.listener import Follower, Listener, Record

#: The most time that a listener may take. It blocks a slot of the worker, or a request. For longer work, a listener
#: makes a note and does the work by itself.
LISTENER_SECONDS = 5.0

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Endings:
    """Ends jobs, for one message or request. Only this class calls the methods of a store that end jobs.

    A listener that fails changes no record and stops nobody; `all_told` remembers the failure.
    """

    jobs: JobStore
    listeners: Sequence[Listener] = ()
    #: Whether every listener has heard of every end so far.
    all_told: bool = True
    #: Jobs that were made here. The end of the jobs that they replaced was told here too.
    _made: set[str] = field(default_factory=set)

    async def finish(self, job: Job, lease: Lease) -> None:
        """Write the end of a run, even if the caller is cancelled. Raises what `JobStore.finish` raises."""
        await asyncio.shield(self.jobs.finish(job, lease))
        await self.tell(with_end(job))

    async def fail(self, job: Job, why: Failure) -> None:
        """Fail a job that no worker holds, so that none takes it. Raises what `JobStore.fail` raises."""
        ended = failed(job, why, clock.now())
        await self.jobs.fail(ended)
        await self.tell(ended)

    async def decide(self, job: Job, decision: Decision, *, by: str, comment: str) -> Job:
        """Write what a reviewer said of a job; the job as written. Raises what `JobStore.decide` raises."""
        spoken = decided(job, decision, clock.now(), by=by, comment=comment)
        await self.jobs.decide(spoken)
        if spoken.ended:
            await self.tell(spoken)
        return spoken

    async def publish(self, job: Job) -> None:
        """Write that an approved job has completed. Raises what `JobStore.publish` raises."""
        await self.jobs.publish(job)
        await self.tell(job)

    async def replace(self, image: Image, old: Job | None, new: Job, *, counted_through: str = "") -> None:
        """Make `new` current. `old` ends if it had not ended; `new` ends too if it was refused when it was made.

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
        lease: Lease | None,
        maker: str,
    ) -> Job:
        """Record the first source. With a `refusal` the job ends. Raises what `JobStore.accept` raises."""
        accepted = await self.jobs.accept(
            image,
            job,
            source,
            expires_at,
            counted=counted,
            refusal=refusal,
            version=version,
            lease=lease,
            maker=maker,
        )
        await self.tell(accepted)
        return accepted

    async def deleted(self, image: Image) -> None:
        """Tell the listeners that an image was deleted. Call it after the tombstone and before the erasure.

        If the process dies in between, something is left to erase, and the next erasure tells the listeners again.
        """
        await self.tell(removed(image))

    async def again(self, job: Job) -> None:
        """Tell the listeners of a job again if it has ended: the process that ended it may have died before it told
        all."""
        await self.tell(job)
        await self.before(job)

    async def before(self, job: Job) -> None:
        """The same for the job that this one replaced, if no worker ended that one. Raises `Unavailable`."""
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
        failures = await _failures([each.ended(job, end) for each in self.listeners])
        for listener, failure in zip(self.listeners, failures, strict=True):
            if failure is None:
                continue
            self.all_told = False
            told_not = {"listener": type(listener).__name__, "end": end.value, "processingId": job.processing_id}
            log.error("Listener not told", **told_not, exc_info=failure)

    async def moved(self, job: Job, record: Record) -> None:
        """Tell those who follow jobs what has happened to this one so far. Who was not told hears it at the end."""
        followers = [each for each in self.listeners if isinstance(each, Follower)]
        failures = await _failures([each.moved(job, record) for each in followers])
        for follower, failure in zip(followers, failures, strict=True):
            if failure is not None and not isinstance(failure, LeaseLost):  # then the end is there, or somebody else's
                told_not = {"listener": type(follower).__name__, "processingId": job.processing_id}
                log.warning("Follower not told", **told_not, exc_info=failure)


async def nothing_to_record() -> None:
    """The record says everything already."""


async def _failures(calls: Sequence[Coroutine[None, None, None]]) -> Sequence[BaseException | None]:
    """Run calls at once, for `LISTENER_SECONDS` at most. What went wrong, of each."""
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        if tasks:
            await asyncio.wait(tasks, timeout=LISTENER_SECONDS)
    finally:
        for task in tasks:  # not waited for: it may be deaf to that too
            task.cancel()
    return [_failure_of(task) for task in tasks]


def _failure_of(task: asyncio.Task[None]) -> BaseException | None:
    if not task.done():
        return TimeoutError(f"{LISTENER_SECONDS:.0f} seconds were not enough")
    return asyncio.CancelledError() if task.cancelled() else task.exception()
