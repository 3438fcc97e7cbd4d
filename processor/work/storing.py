"""Stores variants and manifests in the processed bucket."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from processor import clock, manifest
from processor.images import StoredVariant, Variant, variant_key
from processor.jobs import FormatSet, Job
from processor.ports.objects import ObjectStore
from processor.probe import NO_PROBES, Probes

#: A variant's key names the job that made it, so its bytes never change and caches may keep it for ever.
CACHE_CONTROL = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The processed bucket, for the output of jobs."""

    processed: ObjectStore
    probes: Probes = NO_PROBES

    async def store(self, job: Job, variant: Variant) -> StoredVariant:
        """Raises `Busy`, `Unavailable`."""
        spec = variant.spec
        key = variant_key(job.unique_id, job.processing_id, spec.file_name)
        with self.probes.span("store", variant=spec.name, format=spec.format, bytes=len(variant.data)):
            sha256 = await asyncio.to_thread(_sha256, variant.data)
            size = {"width": str(variant.width), "height": str(variant.height)}
            await self.processed.store(
                key,
                variant.data,
                content_type=spec.content_type,
                cache_control=CACHE_CONTROL,
                metadata={**_owner(job), **size},
                sha256=sha256,
            )
        return StoredVariant(
            **variant.known(),
            name=spec.name,
            key=key,
            size=len(variant.data),
            content_type=spec.content_type,
            quality=spec.quality,
            sha256=sha256,
            stored_at=clock.now(),
        )

    async def store_manifest(self, job: Job, made: FormatSet | None = None) -> None:
        """Store the manifest of a completed job, or of one of its further formats. It is written last, so everything
        that it names exists.

        Raises `Busy`, `Unavailable`.
        """
        await self.processed.store(
            manifest.manifest_key(job.unique_id, job.processing_id, made.format if made else None),
            manifest.document(job, made),
            content_type=manifest.CONTENT_TYPE,
            cache_control=CACHE_CONTROL,
            metadata=_owner(job),
        )


def _owner(job: Job) -> Mapping[str, str]:
    return {"unique-id": job.unique_id, "processing-id": job.processing_id}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
