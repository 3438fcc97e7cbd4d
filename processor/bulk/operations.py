"""The operations of bulk jobs, by name. Each can be repeated after a crash, with the same result."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Protocol

from processor.catalog.images import Catalog
from processor.errors import FilterMismatch, ImageNotFound
from processor.jobs import Job
from processor.ports.bulk import BulkFilter, BulkItem, BulkResult


class Operation(Protocol):
    """One kind of work on one image."""

    async def do(self, tenant: str, item: BulkItem, chosen: BulkFilter) -> BulkResult:
        """Do it. Raises the reason if it cannot be done, and `FilterMismatch` if the image no longer matches."""
        ...


class Delete:
    """Deletes an image. It succeeds if the image is gone: this job may have deleted it before a crash."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def do(self, tenant: str, item: BulkItem, chosen: BulkFilter) -> BulkResult:
        only = partial(_still_matches, item, chosen) if chosen.of_job else None
        with suppress(ImageNotFound):
            await self._catalog.delete(tenant, item.unique_id, only=only)
        return BulkResult(unique_id=item.unique_id, processing_id=item.processing_id)


class Process:
    """Converts an image again. If the image has a new job since it was found, that is the result."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def do(self, tenant: str, item: BulkItem, chosen: BulkFilter) -> BulkResult:
        try:
            job = await self._catalog.reprocess(tenant, item.unique_id, only=partial(_still_matches, item, chosen))
            new = job.processing_id
        except FilterMismatch:
            new = await self._catalog.current_job(tenant, item.unique_id)
            if new == item.processing_id:
                raise
        return BulkResult(unique_id=item.unique_id, processing_id=item.processing_id, new_processing_id=new)


#: The names appear in the API.
DELETE, PROCESS = "delete", "process"


def operations(catalog: Catalog) -> Mapping[str, Operation]:
    """All operations, by name."""
    return {DELETE: Delete(catalog), PROCESS: Process(catalog)}


def matches(chosen: BulkFilter, job: Job) -> bool:
    """Whether the status and the code of a job match. The store already filters by time."""
    if chosen.code is not None and (job.error is None or job.error.code != chosen.code):
        return False
    return chosen.listed_status in (None, job.status)


def _still_matches(item: BulkItem, chosen: BulkFilter, current: Job | None) -> bool:
    return current is not None and current.processing_id == item.processing_id and matches(chosen, current)


def matched_at(moment: datetime, job: Job) -> bool:
    """Whether a job had its present status at that moment. Records of earlier releases have no journal."""
    since = [each.at for each in job.moments if each.kind == f"image.{job.status}"]
    return (since[-1] if since else job.updated_at) <= moment
