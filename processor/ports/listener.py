"""Who is told that a job has ended."""

from __future__ import annotations

from typing import Protocol

from processor.jobs import End, Job


class Listener(Protocol):
    """Is told of every end of a job, at least once.

    It may be told twice, by two processes, and late: whoever must act once remembers `job.processing_id` and `end`. A
    job that failed through no fault of its file may be taken up again, and then it ends again.
    """

    async def ended(self, job: Job, end: End) -> None:
        """The record says so already; the message that led to it is not settled before this returns.

        Of a deleted image there is no record: `job` has what the image knew. Whatever this raises, and more than
        `endings.LISTENER_SECONDS`, counts as not told.
        """
        ...
