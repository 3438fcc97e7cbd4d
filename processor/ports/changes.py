"""What the core needs in order to tell what has changed: which records have, and what these say now."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from processor import clock
from processor.jobs import Job

#: What the key of an image's record begins with; a job's is its id.
IMAGE_PREFIX = "upload_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A record that has changed, by its key: of a job, or of an image, which was deleted. `at` is its last change."""

    record: str
    unique_id: str
    at: datetime


class ChangeStore(Protocol):
    """The records by the time of their last change. Every call raises `Unavailable`."""

    def since(self, tenant: str, moment: datetime, *, rows: int = 500) -> AsyncIterator[Sequence[Change]]:
        """What has changed since, each record once: in pages of about `rows`, those that changed earlier first.

        Eventually consistent, and by the clocks of those who wrote: something may be found later than what changed
        after it.
        """
        ...

    async def read(self, tenant: str, records: Sequence[str]) -> Sequence[Job]:
        """What these records say now, by consistent reads; of a deleted image what `jobs.removed` makes of it. What is
        gone, or another tenant's, is not among them."""
        ...

    async def versions(self, processing_ids: Sequence[str]) -> Mapping[str, str]:
        """`version_of` each job that is there; consistent, and of any tenant."""
        ...


def version_of(job: Job) -> str:
    """A text that is another one after each change."""
    return f"{job.status} {clock.to_iso(job.updated_at)} {job.superseded_by or ''}"
