"""Stores variants and manifests in the processed bucket."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from processor import clock, manifest
from processor.images import StoredVariant, Variant, is_private
from processor.jobs import FormatSet, Job
from processor.ports.objects import ObjectStore
from processor.probe import NO_PROBES, Probes

#: A variant's key names the job that made it, so its bytes never change and caches may keep it for ever.
CACHE_CONTROL = "public, max-age=31536000, immutable"
#: Of a private one: browsers keep it, and nobody in between.
PRIVATE_CACHE_CONTROL = "private, max-age=31536000, immutable"
#: What waits for a review is for one look of a reviewer.
HELD_CACHE_CONTROL = "private, no-store"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The processed bucket, for the output of jobs."""

    processed: ObjectStore
    probes: Probes = NO_PROBES

    async def store(self, job: Job, variant: Variant, *, held: bool = False) -> StoredVariant:
        """Store a variant, where viewers read it or where it is `held`. Raises `Busy`, `Unavailable`."""
        spec = variant.spec
        key = (job.held_prefix if held else job.prefix) + spec.file_name
        with self.probes.span("store", variant=spec.name, format=spec.format, bytes=len(variant.data)):
            sha256 = await asyncio.to_thread(_sha256, variant.data)
            await self.processed.store(
                key,
                variant.data,
                content_type=spec.content_type,
                cache_control=HELD_CACHE_CONTROL if held else _cached(key),
                metadata=_described(job, variant),
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

    async def publish(self, job: Job, variant: StoredVariant) -> StoredVariant:
        """Copy a held variant to where viewers read it. Raises `ObjectNotFound`, `Busy`, `Unavailable`."""
        key = job.prefix + variant.key.rpartition("/")[2]
        with self.probes.span("publish", variant=variant.name, bytes=variant.size):
            await self.processed.copy(
                variant.key,
                key,
                content_type=variant.content_type,
                cache_control=_cached(key),
                metadata=_described(job, variant),
            )
        return replace(variant, key=key, stored_at=clock.now())

    async def store_manifest(self, job: Job, made: FormatSet | None = None) -> None:
        """Store the manifest of a completed job, or of one of its further formats. It is written last, so everything
        that it names exists.

        Raises `Busy`, `Unavailable`.
        """
        key = manifest.key_of(job, made.format if made else None)
        await self.processed.store(
            key,
            manifest.document(job, made),
            content_type=manifest.CONTENT_TYPE,
            cache_control=_cached(key),
            metadata=_owner(job),
        )


def _cached(key: str) -> str:
    return PRIVATE_CACHE_CONTROL if is_private(key) else CACHE_CONTROL


def _described(job: Job, variant: Variant | StoredVariant) -> Mapping[str, str]:
    return {**_owner(job), "width": str(variant.width), "height": str(variant.height)}


def _owner(job: Job) -> Mapping[str, str]:
    return {"unique-id": job.unique_id, "processing-id": job.processing_id}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
