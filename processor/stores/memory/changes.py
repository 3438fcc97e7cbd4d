"""Reads the records in memory by the time of their last change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from processor.errors import ImageNotFound, JobNotFound
from processor.jobs import Job, removed
from processor.ports.changes import IMAGE_PREFIX, Change, version_of
from processor.stores.memory.jobs import MemoryJobStore


class MemoryChanges:
    """Reads the records of a store in memory."""

    def __init__(self, jobs: MemoryJobStore) -> None:
        self._jobs = jobs

    async def since(self, tenant: str, moment: datetime, *, rows: int = 500) -> AsyncIterator[Sequence[Change]]:
        """The changes, in pages of `rows`."""
        found = sorted(self._changes(tenant, moment), key=lambda each: each.at)
        for start in range(0, len(found), rows):
            yield found[start : start + rows]

    def _changes(self, tenant: str, moment: datetime) -> Sequence[Change]:
        images = [image for image in self._jobs.living_images() if image.deleted_at]
        records = {IMAGE_PREFIX + image.unique_id: removed(image) for image in images}
        records |= {job.processing_id: job for job in self._jobs.living_jobs() if job.moments}
        return [
            Change(record=record, unique_id=job.unique_id, at=job.updated_at)
            for record, job in records.items()
            if job.tenant == tenant and job.updated_at >= moment
        ]

    async def read(self, tenant: str, records: Sequence[str]) -> Sequence[Job]:
        """The jobs that have not expired."""
        found: list[Job] = []
        for record in records:
            with suppress(ImageNotFound, JobNotFound):
                found.append(await self._read(tenant, record))
        return found

    async def _read(self, tenant: str, record: str) -> Job:
        if record.startswith(IMAGE_PREFIX):
            return removed(await self._jobs.get_image(tenant, record.removeprefix(IMAGE_PREFIX)))
        return await self._jobs.get_job(tenant, record)

    async def versions(self, processing_ids: Sequence[str]) -> Mapping[str, str]:
        """The versions of the jobs that have not expired."""
        asked = set(processing_ids)
        jobs = [job for job in self._jobs.living_jobs() if job.processing_id in asked]
        return {job.processing_id: version_of(job) for job in jobs}
