"""Finds uploads that no message will come for, and queues them again."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from processor import clock
from processor.catalog import Catalog, first_image, pending_job
from processor.errors import ImageNotFound, JobNotFound
from processor.events import Event, JobRequested, SourceArrived
from processor.images import SOURCE_PREFIX, unique_id_of
from processor.jobs import Image, Job, JobStatus, just_after
from processor.ports import ObjectInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciler:
    """Compares the source bucket with the records.

    To be run while no worker runs over the same bucket: it takes every job that has not ended for one whose message is
    lost. A message too many does no harm, though; it ends as a duplicate.
    """

    catalog: Catalog
    source_bucket: str
    #: Whose an upload is that nobody has a record of.
    tenant: str

    async def reconcile(self) -> int:
        """Queue every upload whose current job has not ended, and adopt those without a record; how many."""
        queued = 0
        for found in await self.catalog.source.list(SOURCE_PREFIX):
            event = await self._missing_event(found)
            if event is not None:
                await self.catalog.queue.send(event.to_message())
                queued += 1
        return queued

    async def _missing_event(self, found: ObjectInfo) -> Event | None:
        unique_id = unique_id_of(found.key)
        if unique_id is None:
            return None
        try:
            image = await self.catalog.jobs.get_image(unique_id)
        except ImageNotFound:
            image = await self._adopt(unique_id, found)
        if image.deleted_at is not None:
            return self._arrival(found, image)  # the worker removes what a deleted image left
        job = await self._current_job(image)
        if job is None or (job.ended and (job.source is None or job.source.etag == found.etag)):
            return None
        if job.status is JobStatus.PENDING or job.ended:
            return self._arrival(found, image)
        return JobRequested(unique_id=unique_id, processing_id=job.processing_id)

    async def _current_job(self, image: Image) -> Job | None:
        with contextlib.suppress(JobNotFound):
            return await self.catalog.jobs.get_job(image.current_job)
        return None

    async def _adopt(self, unique_id: str, found: ObjectInfo) -> Image:
        filename = found.key.removeprefix(SOURCE_PREFIX)
        job = pending_job(self.tenant, unique_id, found.key, filename)
        image = first_image(job)
        await self.catalog.jobs.create(image, job)
        return image

    def _arrival(self, found: ObjectInfo, image: Image) -> SourceArrived:
        return SourceArrived(
            bucket=self.source_bucket,
            key=found.key,
            size=found.size,
            etag=found.etag,
            sequencer=just_after(image.sequencer),
            event_time=clock.to_iso(found.last_modified),
        )
