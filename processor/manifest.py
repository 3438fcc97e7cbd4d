"""The manifest of a completed job: what it was made from, by what, and what came out, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from processor import clock
from processor.codec import Codec
from processor.errors import ObjectNotFound, Rejected
from processor.images import StoredVariant, job_prefix
from processor.jobs import Job, Manifest
from processor.ports.objects import ObjectStore
from processor.recipes import VariantSpec

CONTENT_TYPE = "application/json"
_NAME = "manifest.json"
#: Far above any manifest, in bytes: nothing that claims to be one fills the memory.
MAX_BYTES = 256 * 1024

_CODEC = Codec({})
#: What a manifest does not say of a variant where it describes it.
_ELSEWHERE = frozenset({"name", "storedAt"})


def manifest_key(unique_id: str, processing_id: str) -> str:
    """Where a job's manifest lies: beside its variants, written after them."""
    return f"{job_prefix(unique_id, processing_id)}{_NAME}"


def is_manifest(key: str) -> bool:
    """Whether an object beside variants is their manifest."""
    return key.endswith(f"/{_NAME}")


def document(job: Job) -> bytes:
    """The manifest of a completed job as canonical JSON.

    It names no times: whoever takes a job over must write the same bytes.
    """
    made = job.manifest
    if made is None:
        raise ValueError(f"{job.processing_id} has no manifest")
    specs = {spec.name: spec for spec in job.recipe.specs} if job.recipe else {}
    content = {
        "uniqueId": job.unique_id,
        "processingId": job.processing_id,
        "source": {
            "key": job.original_key,
            "etag": made.etag,
            "sha256": made.sha256,
            "size": made.size,
            "format": made.format,
            "width": made.width,
            "height": made.height,
            "frames": made.frames,
        },
        "variants": {variant.name: _described(variant, specs.get(variant.name), made) for variant in job.variants},
        **({"facts": job.facts.found} if job.facts.found else {}),
        **({"recipe": job.recipe.reference} if job.recipe else {}),
        "encoder": made.encoder,
        "service": made.service,
    }
    return json.dumps(content, sort_keys=True, indent=2).encode()


def variants_in(manifest: bytes, stored_at: datetime) -> tuple[StoredVariant, ...]:
    """The variants that a stored manifest names, smallest first. Raises `Rejected` when it is none."""
    try:
        described: Mapping[str, Any] = json.loads(manifest)["variants"]
        variants = [_variant(name, value, stored_at) for name, value in described.items()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Rejected("The manifest cannot be read.") from None
    return tuple(sorted(variants, key=lambda variant: (variant.width * variant.height, variant.name)))


async def stored_variants(processed: ObjectStore, unique_id: str, processing_id: str) -> tuple[StoredVariant, ...]:
    """What the bucket says of a job whose record has expired; nothing when it never completed."""
    key = manifest_key(unique_id, processing_id)
    try:
        found = await processed.head(key)
        manifest = await processed.fetch(key, max_bytes=MAX_BYTES)
    except ObjectNotFound:
        return ()
    return variants_in(manifest, found.last_modified)


def _described(variant: StoredVariant, spec: VariantSpec | None, made: Manifest) -> dict[str, Any]:
    told = {name: value for name, value in _CODEC.encode(variant).items() if name not in _ELSEWHERE}
    effects = [{"name": effect.name, **dict(effect.parameters)} for effect in spec.effects] if spec else []
    asked = {"effort": spec.effort if spec else made.effort, **({"effects": effects} if effects else {})}
    return {**told, **asked}


def _variant(name: str, value: Mapping[str, Any], stored_at: datetime) -> StoredVariant:
    elsewhere = {"name": name, "storedAt": clock.to_iso(stored_at)}
    return _CODEC.decode({**value, **elsewhere}, StoredVariant)
