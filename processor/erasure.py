"""Removes what a deleted image left behind, everywhere, and tells what there was."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from processor import clock
from processor.images import image_prefix, source_prefix
from processor.jobs import Image
from processor.manifest import is_manifest
from processor.ports.edge import EdgeCache
from processor.ports.jobs import JobStore
from processor.ports.objects import ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """The keys of what was removed with all versions, and when it was seen that nothing was left."""

    sources: tuple[str, ...]
    variants: tuple[str, ...]
    manifests: tuple[str, ...]
    #: What the edge caches call their order to forget the variants; None where no cache is configured.
    invalidation: str | None = None
    erased_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Eraser:
    """One for all who may meet a deleted image: the API, the worker, the reconciler."""

    jobs: JobStore
    source: ObjectStore
    processed: ObjectStore
    #: None: nothing stands between the bucket and its viewers, or nobody said what.
    edge: EdgeCache | None = None

    async def erase(self, image: Image) -> Erasure:
        """Remove every object, have the edge forget, then remove the records. Safe to repeat at any point.

        Objects go before the edge, which would else fetch them anew, and records last, so that an erasure which is cut
        short still knows that it has work left. Raises `Unavailable`.
        """
        sources = await self.source.purge(source_prefix(image.unique_id))
        removed = await self.processed.purge(image_prefix(image.unique_id))
        invalidation = await self._invalidate(image, removed)
        erased_at = clock.now()
        await self.jobs.forget_jobs(image, erased_at)
        return Erasure(
            sources=sources,
            variants=tuple(key for key in removed if not is_manifest(key)),
            manifests=tuple(key for key in removed if is_manifest(key)),
            invalidation=invalidation,
            erased_at=erased_at,
        )

    async def _invalidate(self, image: Image, removed: tuple[str, ...]) -> str | None:
        """Until an erasure is known to be complete, an earlier one may have removed objects and got no further."""
        if self.edge is None or (image.erased_at is not None and not removed):
            return None
        return await self.edge.invalidate(image_prefix(image.unique_id))
