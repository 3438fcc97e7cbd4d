"""The operations of bulk jobs, by name. Each can be repeated after a crash, with the same result."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Protocol

from processor.catalog.images import Catalog
from processor.errors import FilterMismatch, ImageNotFound
from processor.jobs import UNAVAILABLE, Job, JobStatus
from processor.ports.bulk import BulkFilter, BulkItem, BulkJob, BulkResult
from processor.recipes import STANDARD


class Operation(Protocol):
    """One kind of work on one image."""

    #: Whether it waits before each image, and not only before each page, until no message waits.
    steps_back: bool

    async def do(self, job: BulkJob, item: BulkItem) -> BulkResult:
        """Do it. Raises the reason if it cannot be done, and `FilterMismatch` if the image no longer matches."""
        ...


class Delete:
    """Deletes an image. It succeeds if the image is gone: this job may have deleted it before a crash."""

    steps_back = False

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def do(self, job: BulkJob, item: BulkItem) -> BulkResult:
        only = partial(_still_matches, item, job.filter) if job.filter.of_job else None
        with suppress(ImageNotFound):
            await self._catalog.delete(job.tenant, item.unique_id, only=only)
        return BulkResult(unique_id=item.unique_id, processing_id=item.processing_id)


class Process:
    """Converts an image again. If the image has a new job since it was found, that is the result.

    This job may have made it, and crashed before it sent the message. Then the message is sent.
    """

    steps_back = False

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def do(self, job: BulkJob, item: BulkItem) -> BulkResult:
        only = partial(_still_matches, item, job.filter)
        try:
            made = await self._catalog.reprocess(job.tenant, item.unique_id, preset=job.preset, only=only)
            new = made.processing_id
        except FilterMismatch:
            new = await self._catalog.current_job(job.tenant, item.unique_id)
            if new == item.processing_id:
                raise
            new = await self._under_way(job.tenant, item.unique_id, new)
        return BulkResult(unique_id=item.unique_id, processing_id=item.processing_id, new_processing_id=new)

    async def _under_way(self, tenant: str, unique_id: str, new: str) -> str:
        current = await self._catalog.status(tenant, new)
        lost = current.ended_without_a_worker and current.error is not None and current.error.code == UNAVAILABLE
        if current.status is JobStatus.UPLOADED or lost:
            # With its own preset: it may be somebody else's job, who chose another one.
            return (await self._catalog.reprocess(tenant, unique_id)).processing_id
        return new


class Backfill(Process):
    """Converts an image that has another version of a preset to the newest one."""

    steps_back = True


#: The names appear in the API.
DELETE, PROCESS, BACKFILL = "delete", "process", "backfill"


def operations(catalog: Catalog) -> Mapping[str, Operation]:
    """All operations, by name."""
    return {DELETE: Delete(catalog), PROCESS: Process(catalog), BACKFILL: Backfill(catalog)}


def matches(chosen: BulkFilter, job: Job) -> bool:
    """Whether the status and the code of a job match. The store already filters by time."""
    if chosen.code is not None and (job.error is None or job.error.code != chosen.code):
        return False
    if chosen.preset is not None and not _is_older(chosen.preset, chosen.unlike, job):
        return False
    return chosen.listed_status in (None, job.status)


def _is_older(preset: str, unlike: str | None, job: Job) -> bool:
    """Whether a job has the preset, but not in the version of that reference. Records of earlier releases have no
    recipe: it was the standard one."""
    if job.recipe is None:
        return preset == STANDARD.name
    return job.recipe.name == preset and job.recipe.reference != unlike


def _still_matches(item: BulkItem, chosen: BulkFilter, current: Job | None) -> bool:
    return current is not None and current.processing_id == item.processing_id and matches(chosen, current)


def matched_at(moment: datetime, job: Job) -> bool:
    """Whether a job had its present status at that moment. Records of earlier releases have no journal."""
    since = [each.at for each in job.moments if each.kind == f"image.{job.status}"]
    return (since[-1] if since else job.updated_at) <= moment
