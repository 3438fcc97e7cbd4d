"""The interfaces for code that is called when a job has ended, and when something has happened to it before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

from processor.jobs import End, Job

#: Makes the record of a job say what the job says.
Record = Callable[[], Awaitable[None]]


class Listener(Protocol):
    """Called at every end of a job, at least once.

    It may be called twice, by two processes, and late. A listener that must act once remembers `job.processing_id` and
    `end`. A job that failed without a fault of its file may run again, and then it ends again.
    """

    async def ended(self, job: Job, end: End) -> None:
        """Called after the record says so. The message is not settled before this returns.

        A deleted image has no record: `job` has what the image knew. Anything that this raises counts as not told, and
        so does more time than `endings.LISTENER_SECONDS`.
        """
        ...


@runtime_checkable
class Follower(Listener, Protocol):
    """A listener that hears of a job before its end, too. What it misses, it hears at the end."""

    async def moved(self, job: Job, record: Record) -> None:
        """Called beside the work, soon after something has happened, for one job never twice at once.

        The record may not tell of the last variants yet; whoever sends others to it calls `record` first, which costs a
        write. Anything that this raises is logged, and so is more time than `endings.LISTENER_SECONDS`.
        """
        ...
