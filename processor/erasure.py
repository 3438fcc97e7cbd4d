"""Removes everything of a deleted image, and reports what was removed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from processor import clock
from processor.arrivals import Arrivals
from processor.images import PREFIXES, image_prefix, source_prefix
from processor.jobs import Image
from processor.manifest import is_manifest
from processor.ports.stores import Stores
from processor.usage import Quota


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """The keys that were removed, in all versions, and when the bucket was seen empty."""

    sources: tuple[str, ...]
    variants: tuple[str, ...]
    manifests: tuple[str, ...]
    #: What the edge caches call their order to forget the variants; None where no cache is configured.
    invalidation: str | None = None
    erased_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Eraser:
    """Erases deleted images, for the API, the worker and the reconciler."""

    stores: Stores
    #: Where it is counted what came after the image was deleted; None: nobody counts.
    quota: Quota | None = None

    @property
    def arrivals(self) -> Arrivals:
        """Counts uploads that become no job."""
        return Arrivals(jobs=self.stores.jobs, quota=self.quota)

    async def erase(self, image: Image) -> Erasure:
        """Remove every object, invalidate the cache, then remove the records. Safe to repeat at any point.

        Late uploads are counted first. Objects go before the invalidation, because a cache would fetch them again.
        Records go last, so that an interrupted erasure can be finished. Raises `Busy`, `Unavailable`.
        """
        sources = await self.purge_source(image)
        removed: tuple[str, ...] = ()
        # What is held goes first: nobody can publish it then, and what was just published goes with the rest.
        for under in reversed(PREFIXES):
            removed += await self.stores.processed.purge(image_prefix(image.unique_id, under))
        invalidation = await self._invalidate(image, removed)
        erased_at = clock.now()
        await self.stores.jobs.forget_jobs(image, erased_at)
        return Erasure(
            sources=sources,
            variants=tuple(key for key in removed if not is_manifest(key)),
            manifests=tuple(key for key in removed if is_manifest(key)),
            invalidation=invalidation,
            erased_at=erased_at,
        )

    async def purge_source(self, image: Image) -> tuple[str, ...]:
        """Remove what was uploaded, and return the keys. Raises `Busy`, `Unavailable`."""
        return await self.stores.source.purge(
            source_prefix(image.unique_id), before=partial(self.arrivals.count_removed, image)
        )

    async def _invalidate(self, image: Image, removed: tuple[str, ...]) -> str | None:
        """Invalidate always: an earlier erasure may have removed objects and then died."""
        edge = self.stores.edge  # None: nothing stands between the bucket and its viewers, or nobody said what
        if edge is None or (image.erased_at is not None and not removed):
            return None
        return await edge.invalidate(image_prefix(image.unique_id))
