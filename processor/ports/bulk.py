"""Work on many images in the background: what is kept of it, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from processor.jobs import Failure, JobStatus, Lease


class BulkState(StrEnum):
    """How far a bulk job has come."""

    QUEUED = "queued"  # no process has taken it yet
    RUNNING = "running"
    CANCELLING = "cancelling"  # whoever works on it has not noticed yet
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


#: Why a bulk job rests that somebody has told to.
ASKED = "asked"
#: How long records of what has ended are kept, and results.
KEPT = timedelta(days=7)
#: In which a bulk job has not ended.
OPEN = frozenset({BulkState.QUEUED, BulkState.RUNNING, BulkState.CANCELLING})


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkFilter:
    """Which images are meant. What is not given does not matter; with nothing given, all of a tenant's are."""

    status: JobStatus | None = None
    #: Why the current job failed.
    code: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    #: The preset of the current job; and a recipe, by its reference, that the job does not have.
    preset: str | None = None
    unlike: str | None = None

    @property
    def listed_status(self) -> JobStatus | None:
        """The status of the list that they are found in."""
        return JobStatus.FAILED if self.code is not None else self.status

    @property
    def of_job(self) -> bool:
        """Whether an image that matches may cease to, because another job takes its place or it has another status."""
        return self.listed_status is not None or self.preset is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkItem:
    """An image, and its current job when it was found."""

    unique_id: str
    processing_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkResult:
    """What became of one image."""

    unique_id: str
    processing_id: str
    #: The job that took the place of that one, where the operation makes one.
    new_processing_id: str | None = None
    #: What stood against it; None: it is done.
    error: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkJob:
    """One operation on every image that matches. Its record is written by whoever holds the lease, and to cancel it."""

    bulk_id: str
    tenant: str
    operation: str
    filter: BulkFilter
    #: What to convert with; None: with what each image has.
    preset: str | None = None
    #: Who asked for it, and who cancelled it.
    started_by: str
    cancelled_by: str | None = None
    state: BulkState = BulkState.QUEUED
    #: Also the moment as of which images match.
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None
    #: Once it has ended, until when the record is kept, in seconds since the epoch.
    expires_at: int | None = None
    found: int = 0
    done: int = 0
    failed: int = 0
    #: Pages of results that are there.
    pages: int = 0
    #: Where the walk through the list stands, and where it is going to, once what is planned is done.
    position: str | None = None
    planned: tuple[BulkItem, ...] = ()
    planned_to: str | None = None
    #: Nobody works on it before, and why.
    paused_until: datetime | None = None
    paused_for: str | None = None
    lease: Lease | None = None
    #: How often it was taken up since it last came further.
    attempts: int = 0
    #: Which writing of the record this is.
    version: int = 0

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self.state in OPEN

    @property
    def rests(self) -> bool:
        """Whether somebody told it to rest, until somebody tells it to go on."""
        return self.open and self.paused_for == ASKED


class BulkStore(Protocol):
    """The records of bulk jobs. Every call raises `Unavailable`, every write `Busy` too."""

    async def create(self, job: BulkJob) -> None:
        """Write a new one. Raises `RecordChanged` while the tenant has an open one with the same operation."""
        ...

    async def open_of(self, tenant: str, operation: str) -> str | None:
        """The id of the tenant's open one with this operation, if there is one."""
        ...

    async def get(self, tenant: str, bulk_id: str) -> BulkJob:
        """Consistent read. Raises `BulkNotFound`, also for another tenant's."""
        ...

    async def save(self, job: BulkJob, results: Sequence[BulkResult] = ()) -> BulkJob:
        """Write a job that was read and changed, together with the page of results that its `pages` counts last, if
        there are any; the job as written. Results are kept for a week.

        Raises `RecordChanged` unless the record has the version that `job` was read with.
        """
        ...

    async def list(self, tenant: str) -> tuple[BulkJob, ...]:
        """The tenant's newest hundred, newest first; eventually consistent."""
        ...

    async def results(self, job: BulkJob, page: int) -> tuple[BulkResult, ...]:
        """One page of results, counted from 0; nothing once it has expired."""
        ...


class AllBulk(BulkStore, Protocol):
    """The same, of whatever tenant: for whoever does the work."""

    async def open_jobs(self) -> tuple[BulkJob, ...]:
        """A hundred that have not ended, those first that nobody has worked on for the longest time; eventually
        consistent, so whoever takes one reads it again."""
        ...
