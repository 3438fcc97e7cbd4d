"""A store of bulk jobs in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from processor.errors import BulkNotFound, RecordChanged
from processor.ports.bulk import BulkJob, BulkResult


class MemoryBulkStore:
    """The records. They never expire here."""

    def __init__(self) -> None:
        self._jobs: dict[str, BulkJob] = {}
        self._results: dict[tuple[str, int], tuple[BulkResult, ...]] = {}

    async def create(self, job: BulkJob) -> None:
        """Raises `RecordChanged`."""
        if await self.open_of(job.tenant, job.operation) is not None or job.bulk_id in self._jobs:
            raise RecordChanged
        self._jobs[job.bulk_id] = job

    async def open_of(self, tenant: str, operation: str) -> str | None:
        return next(
            (
                job.bulk_id
                for job in self._jobs.values()
                if job.open and (job.tenant, job.operation) == (tenant, operation)
            ),
            None,
        )

    async def get(self, tenant: str, bulk_id: str) -> BulkJob:
        """Raises `BulkNotFound`."""
        job = self._jobs.get(bulk_id)
        if job is None or job.tenant != tenant:
            raise BulkNotFound
        return job

    async def save(self, job: BulkJob, results: Sequence[BulkResult] = ()) -> BulkJob:
        """Raises `RecordChanged`."""
        if self._jobs[job.bulk_id].version != job.version:
            raise RecordChanged
        if results:
            self._results[job.bulk_id, job.pages - 1] = tuple(results)
        self._jobs[job.bulk_id] = replace(job, version=job.version + 1)
        return self._jobs[job.bulk_id]

    async def list(self, tenant: str) -> tuple[BulkJob, ...]:
        own = (job for job in self._jobs.values() if job.tenant == tenant)
        return tuple(sorted(own, key=lambda job: (job.created_at, job.bulk_id), reverse=True))

    async def open_jobs(self) -> tuple[BulkJob, ...]:
        return tuple(sorted((job for job in self._jobs.values() if job.open), key=lambda job: job.updated_at))

    async def results(self, job: BulkJob, page: int) -> tuple[BulkResult, ...]:
        return self._results.get((job.bulk_id, page), ())
