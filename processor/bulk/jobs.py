"""The use cases of bulk jobs: start, look up, list, cancel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import structlog

from processor.bulk import changes
from processor.bulk.changes import change
from processor.errors import BulkInProgress, RecordChanged
from processor.ports.bulk import BulkFilter, BulkJob, BulkResult, BulkStore

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkJobs:
    """The use cases. To a tenant, the bulk jobs of others do not exist."""

    store: BulkStore

    async def start(
        self, tenant: str, operation: str, chosen: BulkFilter, *, by: str, preset: str | None = None
    ) -> BulkJob:
        """Make a bulk job, for any process. Raises `BulkInProgress`, `Busy`, `Unavailable`."""
        job = changes.new_job(tenant, operation, chosen, by, preset)
        try:
            await self.store.create(job)
        except RecordChanged:
            raise BulkInProgress(await self.store.open_of(tenant, operation)) from None
        log.info("Bulk job started", batchId=job.bulk_id, operation=operation)
        return job

    async def get(self, tenant: str, bulk_id: str) -> BulkJob:
        """Raises `BulkNotFound`, `Unavailable`."""
        return await self.store.get(tenant, bulk_id)

    async def list(self, tenant: str) -> tuple[BulkJob, ...]:
        """The newest hundred of the last week. Raises `Unavailable`."""
        return await self.store.list(tenant)

    async def results(self, tenant: str, bulk_id: str, page: int) -> tuple[tuple[BulkResult, ...], int | None]:
        """A page of results (the first is 0), and the next page's number: None at the end of a job that has ended.

        Raises `BulkNotFound`, `Unavailable`.
        """
        job = await self.store.get(tenant, bulk_id)
        if page >= job.pages:
            return (), page if job.open else None
        following = page + 1
        return await self.store.results(job, page), following if job.open or following < job.pages else None

    async def rest(self, tenant: str, bulk_id: str, *, resting: bool) -> BulkJob:
        """Pause a bulk job, or let it go on. Raises `BulkNotFound`, `Busy`, `Unavailable`."""
        to = changes.told_to_rest if resting else changes.told_to_go_on
        job = await change(self.store, await self.store.get(tenant, bulk_id), to)
        log.info("Bulk job told to rest" if job.rests else "Bulk job told to go on", batchId=bulk_id)
        return job

    async def cancel(self, tenant: str, bulk_id: str, *, by: str) -> BulkJob:
        """Cancel a bulk job. Images in work are finished, others are not begun.

        Raises `BulkNotFound`, `Busy`, `Unavailable`.
        """
        job = await change(self.store, await self.store.get(tenant, bulk_id), partial(changes.cancelled, by=by))
        log.info("Bulk job cancelled", batchId=bulk_id, operation=job.operation, state=job.state.value)
        return job
