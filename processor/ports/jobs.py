"""The interface to the records of images and jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from processor.costs import NOTHING, Cost
from processor.errors import JobNotFound
from processor.images import StoredVariant
from processor.jobs import Failure, Image, Job, JobStatus, Lease, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """Which jobs to list. `after` is the position of the last row already seen, in the order asked for."""

    tenant: str
    limit: int
    status: JobStatus | None = None
    newest_first: bool = True
    created_from: datetime | None = None
    created_to: datetime | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """A page of current jobs, and the position to go on `after`; None at the end."""

    jobs: tuple[Job, ...]
    next_after: str | None
    #: How much was read for it, which may be more than it shows; what cannot tell says nothing.
    read_bytes: int = 0


class AnyTenant(Protocol):
    """Reads without a tenant, for the worker and the operator's commands: events and objects name images, not
    tenants."""

    async def image_of_any_tenant(self, unique_id: str) -> Image:
        """Consistent read; a deleted image is returned while its tombstone lives. Raises `ImageNotFound`."""
        ...

    async def job_of_any_tenant(self, processing_id: str) -> Job:
        """Consistent read; an expired record counts as missing. Raises `JobNotFound`."""
        ...


class JobStore(Protocol):
    """The records. Every change is conditional.

    `RecordChanged` and `LeaseLost` say that somebody was faster. `Busy` says that so many others wrote to the same
    record that the result is unknown.
    """

    async def create(self, image: Image, job: Job) -> None:
        """Write a new image and its first job together."""
        ...

    async def get_image(self, tenant: str, unique_id: str) -> Image:
        """Consistent read; a deleted image is returned while its tombstone lives. Raises `ImageNotFound`, also for
        another tenant's."""
        ...

    async def get_job(self, tenant: str, processing_id: str) -> Job:
        """Consistent read; an expired record counts as missing. Raises `JobNotFound`, also for another tenant's."""
        ...

    async def accept(
        self,
        image: Image,
        job: Job,
        source: Source,
        expires_at: int,
        *,
        counted: bool = True,
        refusal: Failure | None = None,
        version: str = "",
        lease: Lease | None = None,
        maker: str = "",
    ) -> Job:
        """Record the first source, with its `version`: `pending -> uploaded`. The image lives on. `job` expires at
        `expires_at`.

        With `counted` its image counts as stored; without, it expires with the job. With a `refusal` the job is
        `failed` at once, and has no source. Otherwise a `lease` claims it in the same write, like `claim`. Raises
        `RecordChanged` unless the image is not deleted, has the current job that `image` has, and the job is still
        pending. Returns the job as written.
        """
        ...

    async def replace(self, image: Image, old: Job | None, new: Job, *, counted_through: str = "") -> None:
        """Make `new` the current job. If `counted_through` is given, note up to which version all uploads are counted.

        `old` (the current job, if its record still exists) leaves the listing and names `new` as `superseded_by`. An
        unfinished `old` fails with `superseded`; a finished one owes nothing any more. Raises `RecordChanged` unless
        the image is not deleted, has the current job and the counted versions that `image` has, and `old` still has the
        status it was read with.
        """
        ...

    async def count_through(self, image: Image, version: str) -> Image:
        """Note up to which version all uploads are counted, also of a deleted image; the image as written. Raises
        `RecordChanged` unless the image has the current job and the counted versions that `image` has."""
        ...

    async def extend(self, image: Image, job: Job, expires_at: int) -> Job:
        """Let a pending upload live on until `expires_at`. Raises `RecordChanged` unless it is pending and as read."""
        ...

    async def claim(self, processing_id: str, lease: Lease, now: datetime, maker: str) -> Job:
        """`uploaded -> processing` under `lease`, attempts + 1; `maker` is noted if none was. Likewise from
        `processing` with an expired lease and from `failed` with a code of `NOT_THE_FILES_FAULT`, unless its upload was
        refused. Raises `Conflict` otherwise (also for a job that does not exist)."""
        ...

    async def renew(self, processing_id: str, lease: Lease) -> None:
        """Write the lease's new expiry. Raises `LeaseLost` unless its token holds a `processing` job, or a `completed`
        one that was taken up."""
        ...

    async def release(self, processing_id: str, lease: Lease) -> None:
        """End the lease at once, so that another worker may claim; the attempt does not count, because nothing is wrong
        with the job. Raises `LeaseLost` like `renew`."""
        ...

    async def note(self, processing_id: str, lease: Lease, variants: Sequence[StoredVariant]) -> None:
        """What is stored of a job in work. Raises `LeaseLost` like `finish`."""
        ...

    async def finish(self, job: Job, lease: Lease) -> None:
        """Write the outcome (`status`, `variants`, `owed`, `error`, `timings`, `cost`, `updated_at`, `expires_at`) and
        drop the lease; count the job and its cost for its day, in the same write. Raises `LeaseLost` unless its token
        holds a `processing` job."""
        ...

    async def decide(self, job: Job) -> None:
        """Write what a reviewer said, as `jobs.decided` has it; a rejected job has ended. Raises `RecordChanged` unless
        it is the current job, needs a review and nothing is decided. Repeated with the same job, it succeeds."""
        ...

    async def publish(self, job: Job) -> None:
        """Write that an approved job has completed, as `jobs.published` has it, and count it for its day. Raises
        `RecordChanged` unless it is the current job, needs a review and is approved."""
        ...

    async def take_up(self, processing_id: str, lease: Lease, now: datetime) -> Job:
        """Put a lease on a completed, current job that owes further formats and that nobody holds; attempts + 1.

        Raises `Conflict` otherwise.
        """
        ...

    async def amend(self, job: Job, lease: Lease, spent: Cost = NOTHING) -> None:
        """Write `owed`, `further`, `cost` and `updated_at` of a completed job, and drop the lease once nothing is owed.
        Count what was `spent` on it. Raises `LeaseLost` unless its token holds a `completed` job."""
        ...

    async def fail(self, job: Job) -> None:
        """Write `job.error` for a job that no worker holds. Raises `RecordChanged` unless it is still `uploaded`."""
        ...

    async def tombstone(
        self,
        image: Image,
        deleted_at: datetime,
        expires_at: int,
        *,
        uncounted: bool = False,
        status: JobStatus | None = None,
        counted_through: str = "",
    ) -> Image:
        """Mark the image deleted and remove its current job, together; the image as written. With `uncounted` the job
        must not have been counted, and with `status` it must have that. `counted_through` as in `replace`. Raises
        `RecordChanged` when its current job changed or it is deleted already."""
        ...

    async def forget_jobs(self, image: Image, erased_at: datetime) -> None:
        """Remove every job record of a deleted image, then note on its tombstone that nothing is left."""
        ...

    async def list(self, query: JobQuery) -> JobPage:
        """By query on an index, never a scan; eventually consistent, so no decision may rest on it."""
        ...

    async def find_completed(self, tenant: str, sha256: str) -> tuple[str, ...]:
        """Ids of completed jobs of a tenant over the file with this SHA-256 (hex), newest first; a few, and eventually
        consistent: whoever needs one reads it again."""
        ...

    async def signing_key(self, name: str) -> bytes:
        """32 random bytes, made on first use and the same for every process that shares the table."""
        ...

    async def ping(self) -> None:
        """Raises `Unavailable` when the table cannot be reached."""
        ...


class AllJobs(JobStore, AnyTenant, Protocol):
    """The records, of whatever tenant: for the worker, which is told none."""


async def known_job(jobs: JobStore, tenant: str, processing_id: str) -> Job | None:
    """A job's record; None when it has expired."""
    try:
        return await jobs.get_job(tenant, processing_id)
    except JobNotFound:
        return None
