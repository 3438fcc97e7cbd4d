"""Removes what earlier jobs of an image show of the faces that its newest one hides."""

from __future__ import annotations

from contextlib import suppress

from processor.errors import ImageNotFound
from processor.images import PRIVATE_PREFIX, VARIANT_PREFIX, image_prefix, job_of_variant, job_prefix
from processor.jobs import Job
from processor.ports.jobs import known_job
from processor.ports.stores import Stores

#: So many of the last jobs are looked at even if nothing is stored of them: whoever removed that may have died before
#: the edge caches were told.
LAST_JOBS = 10
#: Where viewers read variants.
SERVED = (VARIANT_PREFIX, PRIVATE_PREFIX)


async def forget_exposed(stores: Stores, job: Job) -> None:
    """Remove the variants of jobs of the image that hid no faces, once `job`, which does, has completed.

    It may be repeated. Raises `Busy`, `Unavailable`.
    """
    if job.recipe is None or job.recipe.hiding is None:
        return
    others: set[str] = set()
    for under in SERVED:
        found = [job_of_variant(each.key) async for each in stores.processed.walk(image_prefix(job.unique_id, under))]
        others |= {owner[1] for owner in found if owner is not None}
    with suppress(ImageNotFound):
        others |= set((await stores.jobs.get_image(job.tenant, job.unique_id)).job_ids[-LAST_JOBS:])
    for processing_id in sorted(others - {job.processing_id}):
        if await _shows_faces(stores, job.tenant, processing_id):
            for under in SERVED:
                prefix = job_prefix(job.unique_id, processing_id, under)
                await stores.processed.purge(prefix)
                if stores.edge is not None and under == VARIANT_PREFIX:  # no edge keeps the others
                    await stores.edge.invalidate(prefix)


async def _shows_faces(stores: Stores, tenant: str, processing_id: str) -> bool:
    """Whether its variants may. Of a job whose record has expired, nobody knows."""
    job = await known_job(stores.jobs, tenant, processing_id)
    return job is None or job.recipe is None or job.recipe.hiding is None
