"""Whether what is stored is what completed jobs have recorded, byte for byte."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from processor.errors import ImageNotFound, ObjectNotFound
from processor.images import PREFIXES, StoredVariant, job_of_variant
from processor.jobs import FormatSet, Job, JobStatus, Shown
from processor.manifest import MAX_BYTES, document, key_of, stored_variants
from processor.ports.jobs import known_job
from processor.ports.stores import AllStores

#: Nothing that this service stores is larger, in bytes.
_MAX_VARIANT_BYTES = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something that is not as the record says."""

    key: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Reads everything again that completed jobs have stored."""

    stores: AllStores

    async def images(self) -> AsyncIterator[str]:
        """Every image that has variants and is not deleted. One that has some in two places comes twice."""
        for prefix in PREFIXES:
            seen = ""
            async for found in self.stores.processed.walk(prefix):
                owner = job_of_variant(found.key)
                if owner is not None and owner[0] != seen:
                    seen = owner[0]
                    with contextlib.suppress(ImageNotFound):
                        if (await self.stores.jobs.image_of_any_tenant(seen)).deleted_at is None:
                            yield seen

    async def verify(self, unique_id: str) -> AsyncIterator[Difference]:
        """Every difference between the current job's record, its manifest and its objects.

        An image whose job has not completed, or whose record has expired, is compared as far as it goes. Raises
        `ImageNotFound`, `Unavailable`.
        """
        image = await self.stores.jobs.image_of_any_tenant(unique_id)
        job = await known_job(self.stores.jobs, image.tenant, image.current_job)
        if job is None:
            shown = await stored_variants(self.stores.processed, unique_id, image.current_job)
        else:
            shown = Shown(variants=job.review.variants) if job.review and not job.ended else job.shown
            async for difference in self._manifests(job):
                yield difference
            if not job.is_at_rest:
                return
        for variant in (*shown.variants, *(variant for made in shown.further for variant in made.variants)):
            async for difference in self._variant(variant):
                yield difference

    async def _manifests(self, job: Job) -> AsyncIterator[Difference]:
        """Only completed jobs have any."""
        if job.status is not JobStatus.COMPLETED:
            return
        for made in (None, *(made for made in job.further if made.variants)):
            async for difference in self._manifest(job, made):
                yield difference

    async def _manifest(self, job: Job, made: FormatSet | None) -> AsyncIterator[Difference]:
        key = key_of(job, made.format if made else None)
        try:
            stored = await self.stores.processed.fetch(key, max_bytes=MAX_BYTES)
        except ObjectNotFound:
            yield Difference(key=key, problem="missing")
            return
        if stored != document(job, made):
            yield Difference(key=key, problem="not what the record says")

    async def _variant(self, variant: StoredVariant) -> AsyncIterator[Difference]:
        try:
            found = await self.stores.processed.head(variant.key)
            stored = await self.stores.processed.fetch(variant.key, max_bytes=_MAX_VARIANT_BYTES)
        except ObjectNotFound:
            yield Difference(key=variant.key, problem="missing")
            return
        if hashlib.sha256(stored).hexdigest() != variant.sha256:
            yield Difference(key=variant.key, problem=f"other bytes: {len(stored)} where {variant.size} were stored")
        if found.content_type != variant.content_type:
            yield Difference(key=variant.key, problem=f"content type {found.content_type}")
