"""What bulk jobs do to an image, by name. Each may be done again after a process died: the end is the same."""

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
        """What became of it. Raises what stands against it, and `FilterMismatch` when it does not match any more."""
        ...


class Delete:
    """An image that is gone already is what was wanted: this job may have done it and died before it could tell."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def do(self, tenant: str, item: BulkItem, chosen: BulkFilter) -> BulkResult:
        only = partial(_still_matches, item, chosen) if chosen.of_job else None
        with suppress(ImageNotFound):
            await self._catalog.delete(tenant, item.unique_id, only=only)
        return BulkResult(unique_id=item.unique_id, processing_id=item.processing_id)


class Process:
    """An image that has another job than the one it was found with was converted again already."""

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


#: The names are part of the wire.
DELETE, PROCESS = "delete", "process"


def operations(catalog: Catalog) -> Mapping[str, Operation]:
    """All that there are."""
    return {DELETE: Delete(catalog), PROCESS: Process(catalog)}


def matches(chosen: BulkFilter, job: Job) -> bool:
    """By what a job may have or not; the store lists by times."""
    if chosen.code is not None and (job.error is None or job.error.code != chosen.code):
        return False
    return chosen.listed_status in (None, job.status)


def _still_matches(item: BulkItem, chosen: BulkFilter, current: Job | None) -> bool:
    return current is not None and current.processing_id == item.processing_id and matches(chosen, current)


def matched_at(moment: datetime, job: Job) -> bool:
    """Whether a job had its status then. Its journal says since when; the records of earlier releases have none."""
    since = [each.at for each in job.moments if each.kind == f"image.{job.status}"]
    return (since[-1] if since else job.updated_at) <= moment
