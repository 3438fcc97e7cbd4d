"""The interface for code that is called when a job has ended."""

from __future__ import annotations

from typing import Protocol

from processor.jobs import End, Job


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
