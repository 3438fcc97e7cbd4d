"""Removes what earlier jobs of an image show and its newest one does not: faces that it hides, or public files."""

from __future__ import annotations

from collections.abc import Sequence

from processor.images import PRIVATE_PREFIX, VARIANT_PREFIX, image_prefix, job_of_variant, job_prefix
from processor.jobs import Job, JobStatus
from processor.manifest import is_manifest
from processor.ports.jobs import known_job
from processor.ports.stores import Stores

#: Where viewers read variants.
SERVED = (VARIANT_PREFIX, PRIVATE_PREFIX)


async def forget_exposed(stores: Stores, job: Job) -> None:
    """Remove the variants of the image's other jobs that show more than those of `job`, which has just come to rest.

    It may be repeated. Raises `Busy`, `Unavailable`.
    """
    may_show_less = job.recipe is not None and (job.recipe.private or job.recipe.hiding is not None)
    # An image's first job has no other beside it, and one that was replaced says nothing of the others any more.
    if job.place is None or job.superseded_by is not None or not may_show_less:
        return
    for under in SERVED:
        found = [job_of_variant(each.key) async for each in stores.processed.walk(image_prefix(job.unique_id, under))]
        for processing_id in sorted({owner[1] for owner in found if owner is not None} - {job.processing_id}):
            if shows_more(await known_job(stores.jobs, job.tenant, processing_id), under, job):
                await forget_variants(stores, job_prefix(job.unique_id, processing_id, under))


def shows_more(earlier: Job | None, under: str, job: Job) -> bool:
    """Whether what an earlier job of the image has stored there may show more than `job` does. None: its record has
    expired, and nobody knows which faces it shows."""
    if job.recipe is None:
        return False
    if job.recipe.private and under == VARIANT_PREFIX and job.status is JobStatus.COMPLETED:
        return True
    return hides_by_now(job) and not _hides(earlier)


def hides_by_now(job: Job) -> bool:
    """Whether faces of the image may not be seen any more, also in what was made before.

    While the job runs, viewers see what they saw. When it has ended, or waits for a reviewer, they do not, whatever
    came of it: nobody may be sure that what was made before shows no face.
    """
    return _hides(job) and job.is_at_rest


def _hides(job: Job | None) -> bool:
    return job is not None and job.recipe is not None and job.recipe.hiding is not None


async def take_back(stores: Stores, prefix: str, names: Sequence[str] = ("",)) -> None:
    """Remove what was stored under a prefix although it should not have been, also from the edge caches: somebody may
    have read it meanwhile. `names` are files, if not all must go. Raises `Busy`, `Unavailable`."""
    removed = [key for name in names for key in await stores.processed.purge(prefix + name)]
    if removed and stores.edge is not None and prefix.startswith(VARIANT_PREFIX):
        await stores.edge.invalidate(prefix)


async def forget_variants(stores: Stores, prefix: str) -> None:
    """Remove what one job has stored, also from the edge caches. Raises `Busy`, `Unavailable`.

    Its manifests go when the caches know. So whoever dies before that is repeated by whoever finds them.
    """
    if stores.edge is not None and prefix.startswith(VARIANT_PREFIX):  # no edge keeps the others
        for key in [each.key async for each in stores.processed.walk(prefix) if not is_manifest(each.key)]:
            await stores.processed.purge(key)
        await stores.edge.invalidate(prefix)
    await stores.processed.purge(prefix)
