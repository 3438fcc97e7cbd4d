"""A job store in memory."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from processor import clock, jobs
from processor.costs import NOTHING, Cost, DayOfUse, added_up
from processor.errors import Conflict, ImageNotFound, JobNotFound, RecordChanged
from processor.images import StoredVariant
from processor.jobs import (
    ACCEPT,
    CLAIM,
    DECIDE,
    EXTEND,
    FAIL,
    HOLD,
    PUBLISH,
    TAKE_UP,
    Decision,
    Failure,
    Image,
    Job,
    JobStatus,
    Lease,
    Source,
    Transition,
)
from processor.ports.jobs import JobPage, JobQuery
from processor.stores.listing import bounds_of, page_of
from processor.usage import day_of


class MemoryJobStore:
    """The records. `now` tells the time by which they expire, in seconds since the epoch.

    No method gives way to another task between its check and its change, so every change is all or nothing.
    """

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._images: dict[str, Image] = {}
        self._jobs: dict[str, Job] = {}
        #: The token of the lease that a job's last run ended with, by job.
        self._ended_by: dict[str, str] = {}
        self._secrets: dict[str, bytes] = {}
        #: What was used, by tenant, in the order of days and keys.
        self._used: dict[str, tuple[DayOfUse, ...]] = {}

    # -- reading

    async def get_image(self, tenant: str, unique_id: str) -> Image:
        """Raises `ImageNotFound`."""
        image = await self.image_of_any_tenant(unique_id)
        if image.tenant != tenant:
            raise ImageNotFound
        return image

    async def get_job(self, tenant: str, processing_id: str) -> Job:
        """Raises `JobNotFound`."""
        job = await self.job_of_any_tenant(processing_id)
        if job.tenant != tenant:
            raise JobNotFound
        return job

    async def image_of_any_tenant(self, unique_id: str) -> Image:
        """Raises `ImageNotFound`."""
        image = self._images.get(unique_id)
        if image is None or not self._living(image.expires_at):
            raise ImageNotFound
        return image

    async def job_of_any_tenant(self, processing_id: str) -> Job:
        """Raises `JobNotFound`."""
        job = self._job(processing_id)
        if job is None:
            raise JobNotFound
        return job

    def living_jobs(self) -> list[Job]:
        return [job for job in self._jobs.values() if self._living(job.expires_at)]

    def living_images(self) -> list[Image]:
        return [image for image in self._images.values() if self._living(image.expires_at)]

    def used(self, tenant: str) -> tuple[DayOfUse, ...]:
        return self._used.get(tenant, ())

    async def list(self, query: JobQuery) -> JobPage:
        """The current jobs of a tenant."""
        bounds = bounds_of(query)
        found = [
            job
            for job in self._jobs.values()
            if job.tenant == query.tenant
            and query.status in (None, job.status)
            and self._living(job.expires_at)
            and self._is_current(job)
            and bounds.admit(job.position)
        ]
        return page_of(found, query)

    async def find_completed(self, tenant: str, sha256: str) -> tuple[str, ...]:
        """The current completed jobs of a tenant over this file, newest first."""
        found = [
            job
            for job in self._jobs.values()
            if job.tenant == tenant
            and job.status is JobStatus.COMPLETED
            and job.manifest is not None
            and job.manifest.sha256 == sha256
            and self._is_current(job)
        ]
        return tuple(job.processing_id for job in sorted(found, key=lambda job: job.position, reverse=True))

    async def ping(self) -> None:
        """Memory is always there."""

    # -- an image and its jobs, together

    async def create(self, image: Image, job: Job) -> None:
        """Raises `RecordChanged`."""
        if image.unique_id in self._images or job.processing_id in self._jobs:
            raise RecordChanged
        self._images[image.unique_id] = image
        self._jobs[job.processing_id] = job

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
        """Raises `RecordChanged`."""
        stored, _ = self._unchanged(image), self._current(job.processing_id, ACCEPT)
        accepted = jobs.arrived(job, source, expires_at, counted=counted, refusal=refusal, lease=lease, maker=maker)
        ends = None if counted else expires_at
        self._images[image.unique_id] = replace(stored, expires_at=ends, first_version=version)
        self._jobs[job.processing_id] = accepted
        return accepted

    async def replace(self, image: Image, old: Job | None, new: Job, *, counted_through: str = "") -> None:
        """Raises `RecordChanged`."""
        stored = self._unchanged(image)
        if new.processing_id in self._jobs:
            raise RecordChanged
        if old is not None:
            self._retire(old, new)
        self._images[image.unique_id] = replace(
            stored,
            current_job=new.processing_id,
            job_ids=(*stored.job_ids, new.processing_id),
            expires_at=new.expires_at if new.uncounted else None,
            counted_through=counted_through or stored.counted_through,
        )
        self._jobs[new.processing_id] = new

    async def count_through(self, image: Image, version: str) -> Image:
        """Raises `RecordChanged`."""
        stored = self._as_read(image)
        self._images[image.unique_id] = replace(stored, counted_through=version)
        return replace(image, counted_through=version)

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
        """Raises `RecordChanged`."""
        stored = self._unchanged(image)
        current = self._jobs.get(image.current_job)
        if uncounted and not (current and current.uncounted):
            raise RecordChanged
        if status is not None and (current is None or current.status is not status):
            raise RecordChanged
        counted = counted_through or stored.counted_through
        dead = replace(stored, deleted_at=deleted_at, expires_at=expires_at, counted_through=counted)
        self._images[image.unique_id] = dead
        self._jobs.pop(image.current_job, None)
        return dead

    async def forget_jobs(self, image: Image, erased_at: datetime) -> None:
        """Remove the jobs, then note it on the tombstone, if that is still there."""
        for processing_id in image.job_ids:
            self._jobs.pop(processing_id, None)
            self._ended_by.pop(processing_id, None)
        stored = self._images.get(image.unique_id)
        if stored is not None and stored.deleted_at is not None:
            self._images[image.unique_id] = replace(stored, erased_at=erased_at)

    # -- one job

    async def extend(self, image: Image, job: Job, expires_at: int) -> Job:
        """Raises `RecordChanged`."""
        stored, found = self._unchanged(image), self._current(job.processing_id, EXTEND)
        self._images[image.unique_id] = replace(stored, expires_at=expires_at)
        self._jobs[job.processing_id] = replace(found, expires_at=expires_at)
        return self._jobs[job.processing_id]

    async def claim(self, processing_id: str, lease: Lease, now: datetime, maker: str) -> Job:
        """Raises `Conflict`."""

        def claimed() -> Job:
            return jobs.claimed(self._current(processing_id, CLAIM, now.timestamp()), lease, now, maker)

        return self._leased(processing_id, lease, claimed)

    async def renew(self, processing_id: str, lease: Lease) -> None:
        """Raises `LeaseLost`."""
        self._jobs[processing_id] = replace(jobs.held(self._job(processing_id), lease), lease=lease)

    async def release(self, processing_id: str, lease: Lease) -> None:
        """Raises `LeaseLost`."""
        if not any(self._has_ended(processing_id, lease, status) for status in HOLD.sources):
            self._jobs[processing_id] = jobs.released(self._job(processing_id), lease)
            self._ended_by[processing_id] = lease.token

    async def note(self, processing_id: str, lease: Lease, variants: Sequence[StoredVariant]) -> None:
        """Raises `LeaseLost`."""
        self._jobs[processing_id] = jobs.noted(self._job(processing_id), lease, variants, clock.now())

    async def finish(self, job: Job, lease: Lease) -> None:
        """Raises `LeaseLost`."""
        if self._has_ended(job.processing_id, lease, job.status):
            return
        ended = jobs.ended(self._job(job.processing_id), lease, job)
        self._jobs[job.processing_id] = ended
        self._ended_by[job.processing_id] = lease.token
        counts = {"completed": ended.status is JobStatus.COMPLETED, "failed": ended.status is JobStatus.FAILED}
        self._count(ended, ended.cost or NOTHING, **{name: int(count) for name, count in counts.items()})

    async def decide(self, job: Job) -> None:
        """Raises `RecordChanged`."""
        written = self._jobs.get(job.processing_id)
        if written is not None and written.review == job.review:
            return
        found = self._current(job.processing_id, DECIDE)
        if found.review is None or found.review.decision is not None:
            raise DECIDE.refusal
        self._jobs[job.processing_id] = replace(
            found,
            status=job.status,
            review=job.review,
            updated_at=job.updated_at,
            expires_at=job.expires_at,
            moments=job.moments,
        )

    async def publish(self, job: Job) -> None:
        """Raises `RecordChanged`."""
        found = self._current(job.processing_id, PUBLISH)
        if found.review is None or found.review.decision is not Decision.APPROVED:
            raise PUBLISH.refusal
        self._jobs[job.processing_id] = job
        self._count(job, NOTHING, completed=1)

    async def take_up(self, processing_id: str, lease: Lease, now: datetime) -> Job:
        """Raises `Conflict`."""

        def taken_up() -> Job:
            return jobs.taken_up(self._current(processing_id, TAKE_UP, now.timestamp()), lease, now)

        return self._leased(processing_id, lease, taken_up)

    async def amend(self, job: Job, lease: Lease, spent: Cost = NOTHING) -> None:
        """Raises `LeaseLost`."""
        if not self._has_ended(job.processing_id, lease, job.status):
            self._jobs[job.processing_id] = jobs.amended(self._job(job.processing_id), lease, job)
            self._count(job, spent)
            if not job.owed:
                self._ended_by[job.processing_id] = lease.token

    async def fail(self, job: Job) -> None:
        """Raises `RecordChanged`."""
        try:
            found = self._current(job.processing_id, FAIL)
        except RecordChanged:
            written = self._jobs.get(job.processing_id)
            if written is None or (written.error, written.updated_at) != (job.error, job.updated_at):
                raise
        else:
            self._jobs[job.processing_id] = jobs.failed(found, job.error, job.updated_at)

    async def signing_key(self, name: str) -> bytes:
        """32 random bytes, made on first use."""
        return self._secrets.setdefault(name, secrets.token_bytes(32))

    def _count(self, job: Job, spent: Cost, **ends: int) -> None:
        used = DayOfUse(day=day_of(job.updated_at), key_id=job.asked_by, cost=spent, **ends)
        self._used[job.tenant] = added_up([*self.used(job.tenant), used])

    # -- conditions

    def _living(self, expires_at: float | None) -> bool:
        return expires_at is None or expires_at > int(self._now())

    def _job(self, processing_id: str, now: float | None = None) -> Job | None:
        job = self._jobs.get(processing_id)
        if job is None:
            return None
        living = self._living(job.expires_at) if now is None else job.expires_at > int(now)
        return job if living else None

    def _is_current(self, job: Job) -> bool:
        image = self._images.get(job.unique_id)
        return image is not None and image.current_job == job.processing_id

    def _unchanged(self, image: Image) -> Image:
        stored = self._as_read(image)
        if stored.deleted_at is not None:
            raise RecordChanged
        return stored

    def _as_read(self, image: Image) -> Image:
        stored = self._images.get(image.unique_id)
        if stored is None or not self._living(stored.expires_at):
            raise RecordChanged
        if _fingerprint(stored) != _fingerprint(image):
            raise RecordChanged
        return stored

    def _current(self, processing_id: str, transition: Transition, now: float | None = None) -> Job:
        """The current job of an image, if the transition is legal. Raises the error for an illegal one."""
        job = transition.out_of(self._job(processing_id, now))
        if not self._is_current(job):
            raise transition.refusal
        return job

    def _leased(self, processing_id: str, lease: Lease, change: Callable[[], Job]) -> Job:
        """Apply the change, and return the new job. If the job has the lease already, the answer to a try was lost."""
        try:
            changed = change()
        except Conflict:
            job = self._jobs.get(processing_id)
            if job is None or job.lease is None or job.lease.token != lease.token:
                raise
            return job
        self._ended_by.pop(processing_id, None)
        self._jobs[processing_id] = changed
        return changed

    def _has_ended(self, processing_id: str, lease: Lease, status: JobStatus) -> bool:
        job = self._jobs.get(processing_id)
        return job is not None and job.status is status and self._ended_by.get(processing_id) == lease.token

    def _retire(self, old: Job, new: Job) -> None:
        found = self._job(old.processing_id)
        if found is None or found.status is not old.status:
            raise RecordChanged
        self._jobs[old.processing_id] = jobs.superseded(found, new)


def _fingerprint(image: Image) -> tuple[str, str, str]:
    return image.current_job, image.first_version, image.counted_through
