"""The manifest of a completed job: its source, the software, and each variant with its SHA-256."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from processor import clock
from processor.codec import Codec
from processor.errors import ObjectNotFound, Rejected
from processor.formats import FORMATS
from processor.images import PRIVATE_PREFIX, VARIANT_PREFIX, StoredVariant, job_prefix, prefix_of
from processor.jobs import FormatSet, Image, Job, Manifest, Shown
from processor.ports.objects import ObjectStore
from processor.recipes import Effect, VariantSpec, blurring

CONTENT_TYPE = "application/json"
_KEY = re.compile(r".*/manifest(\.[a-z0-9]+)?\.json")
_REFERENCE = re.compile(r"(?P<name>[a-z][a-z0-9-]{0,31})@(?P<version>[1-9][0-9]{0,8})#[0-9a-f]{16}")
#: Far above any manifest, in bytes: nothing that claims to be one fills the memory.
MAX_BYTES = 256 * 1024

_CODEC = Codec({})
#: What a manifest does not say of a variant where it describes it.
_ELSEWHERE = frozenset({"name", "storedAt"})


def manifest_key(unique_id: str, processing_id: str, format_: str | None = None, *, under: str = VARIANT_PREFIX) -> str:
    """The key of a job's manifest. It lies beside the variants and is written after them. Each further format has its
    own."""
    return f"{job_prefix(unique_id, processing_id, under)}manifest{f'.{format_}' if format_ else ''}.json"


def key_of(job: Job, format_: str | None = None) -> str:
    """Where the manifest of a job lies."""
    return manifest_key(job.unique_id, job.processing_id, format_, under=prefix_of(job.recipe))


def is_manifest(key: str) -> bool:
    """Whether an object beside variants is their manifest."""
    return _KEY.fullmatch(key) is not None


def document(job: Job, made: FormatSet | None = None) -> bytes:
    """The manifest of a completed job, or of one of its further formats, as canonical JSON.

    It contains no times, so that a worker which takes over the job writes the same bytes.
    """
    source = job.manifest
    if source is None:
        raise ValueError(f"{job.processing_id} has no manifest")
    content = {
        "uniqueId": job.unique_id,
        "processingId": job.processing_id,
        "source": {
            "key": job.original_key,
            "etag": source.etag,
            "sha256": source.sha256,
            "size": source.size,
            "format": source.format,
            "width": source.width,
            "height": source.height,
            "frames": source.frames,
        },
        **({"recipe": job.recipe.reference} if job.recipe else {}),
        **(_own(job, source) if made is None else _of_set(job, source, made)),
    }
    return json.dumps(content, sort_keys=True, indent=2).encode()


def _own(job: Job, made: Manifest) -> Mapping[str, Any]:
    specs, further = (job.recipe.specs, job.recipe.further_formats) if job.recipe else ((), ())
    return {
        "variants": _variants(job.variants, specs, made),
        **({"facts": job.facts.found} if job.facts.found else {}),
        **({"further": list(further)} if further else {}),
        "encoder": made.encoder,
        "service": made.service,
    }


def _of_set(job: Job, source: Manifest, made: FormatSet) -> Mapping[str, Any]:
    specs = job.recipe.in_format(made.format).specs if job.recipe else ()
    maker = {"encoder": made.maker.encoder, "service": made.maker.service} if made.maker else {}
    return {"format": made.format, "variants": _variants(made.variants, specs, source), **maker}


def _variants(variants: Sequence[StoredVariant], specs: Sequence[VariantSpec], made: Manifest) -> Mapping[str, Any]:
    asked = {spec.name: spec for spec in specs}
    return {variant.name: _described(variant, asked.get(variant.name), made) for variant in variants}


def variants_in(manifest: bytes, stored_at: datetime) -> tuple[StoredVariant, ...]:
    """The variants that a stored manifest names, smallest first. Raises `Rejected` when it is none."""
    try:
        described: Mapping[str, Any] = json.loads(manifest)["variants"]
        variants = [_variant(name, value, stored_at) for name, value in described.items()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Rejected("The manifest cannot be read.") from None
    return tuple(sorted(variants, key=lambda variant: (variant.width * variant.height, variant.name)))


async def stored_variants(processed: ObjectStore, unique_id: str, processing_id: str) -> Shown:
    """The variants of a job whose record has expired, from the bucket; nothing if it never completed."""
    for under in (VARIANT_PREFIX, PRIVATE_PREFIX):
        own = await _stored(processed, manifest_key(unique_id, processing_id, under=under))
        if own is not None:
            beside = partial(manifest_key, unique_id, processing_id, under=under)
            return await _shown(processed, own, beside)
    return Shown()


async def _shown(processed: ObjectStore, own: tuple[bytes, datetime], beside: Callable[[str], str]) -> Shown:
    """`own` is the manifest, and those of further formats lie `beside` it."""
    further = []
    for format_ in _further_in(own[0]):
        found = await _stored(processed, beside(format_))
        if found is not None:
            further.append(FormatSet(format=format_, variants=variants_in(*found)))
    preset, version = _preset_in(own[0])
    return Shown(variants=variants_in(*own), further=tuple(further), preset=preset, preset_version=version)


async def hiding_of(processed: ObjectStore, image: Image, job: Job | None) -> Effect | None:
    """The effect that hides the faces of an image; None: they may be seen. `job` is its current one, if known."""
    if job is not None and job.recipe is not None:
        return job.recipe.hiding
    own = None
    # A job that failed has none; then that of the newest job before it tells.
    for processing_id in dict.fromkeys((image.current_job, *reversed(image.job_ids))):
        for under in (VARIANT_PREFIX, PRIVATE_PREFIX):
            own = own or await _stored(processed, manifest_key(image.unique_id, processing_id, under=under))
        if own:
            break
    with suppress(ValueError):
        match {} if own is None else json.loads(own[0]):
            case {"facts": {"blurFaces": {"style": str(style)}}}:
                return blurring(style)
    return None


async def _stored(processed: ObjectStore, key: str) -> tuple[bytes, datetime] | None:
    try:
        found = await processed.head(key)
        return await processed.fetch(key, max_bytes=MAX_BYTES), found.last_modified
    except ObjectNotFound:
        return None


def _preset_in(manifest: bytes) -> tuple[str | None, int | None]:
    """The preset of the job and its version, from `{name}@{version}#{digest}`."""
    try:
        found = _REFERENCE.fullmatch(json.loads(manifest).get("recipe", ""))
    except (ValueError, AttributeError, TypeError):
        return None, None
    return (found["name"], int(found["version"])) if found else (None, None)


def _further_in(manifest: bytes) -> Sequence[str]:
    """The formats that were asked for beside its own. What is no manifest, `variants_in` refuses."""
    try:
        further = json.loads(manifest).get("further", [])
    except (ValueError, AttributeError):
        return ()
    return [name for name in further if isinstance(name, str) and name in {each.name for each in FORMATS}]


def _described(variant: StoredVariant, spec: VariantSpec | None, made: Manifest) -> dict[str, Any]:
    told = {name: value for name, value in _CODEC.encode(variant).items() if name not in _ELSEWHERE}
    effects = [{"name": effect.name, **dict(effect.parameters)} for effect in spec.effects] if spec else []
    asked = {"effort": spec.effort if spec else made.effort, **({"effects": effects} if effects else {})}
    return {**told, **asked}


def _variant(name: str, value: Mapping[str, Any], stored_at: datetime) -> StoredVariant:
    elsewhere = {"name": name, "storedAt": clock.to_iso(stored_at)}
    return _CODEC.decode({**value, **elsewhere}, StoredVariant)
