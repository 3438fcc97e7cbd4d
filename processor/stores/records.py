"""Jobs and images as items of the table, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from processor import clock
from processor.images import StoredVariant
from processor.jobs import Failure, Image, Job, JobStatus, Lease, Manifest, Source, Terms, Timings
from processor.recipes import Recipe
from processor.stores.clients import from_attribute, to_attribute
from processor.stores.schema import KEY, TTL, digest_key, list_key, shard, status_key

#: An item or a value as this code sees it, and as DynamoDB writes it.
Item = Mapping[str, Any]
WireItem = dict[str, Any]


def to_wire(item: Item) -> WireItem:
    """`{"a": 1}` -> `{"a": {"N": "1"}}`."""
    return {name: to_attribute(value) for name, value in item.items()}


def from_wire(item: Mapping[str, Any]) -> Item:
    """The inverse of `to_wire`; numbers are `Decimal`."""
    return {name: from_attribute(value) for name, value in item.items()}


def job_key(processing_id: str) -> Item:
    """Where a job lies."""
    return {KEY: processing_id}


def image_key(unique_id: str) -> Item:
    """Where an image lies."""
    return {KEY: f"upload_{unique_id}"}


def secret_key(name: str) -> Item:
    """Where a secret lies."""
    return {KEY: f"secret_{name}"}


def index_attributes(job: Job) -> Item:
    """What only the current job of an image has: its place in the listings.

    A claim knows nothing but the job's id, so the `statusKey` that it has to write lies ready in `claimKey`.
    """
    number = shard(job.unique_id)
    return {
        "listKey": list_key(job.tenant, number),
        "statusKey": status_key(job.tenant, number, job.status),
        "sortKey": job.position,
        "claimKey": status_key(job.tenant, number, JobStatus.PROCESSING),
    }


INDEX_ATTRIBUTES = ("listKey", "statusKey", "sortKey", "claimKey", "digestKey")


def digest_attributes(job: Job) -> Item:
    """What only a completed current job has: where it is found by the SHA-256 of its source."""
    if job.status is not JobStatus.COMPLETED or job.manifest is None:
        return {}
    return {"digestKey": digest_key(job.tenant, job.manifest.sha256)}


def job_item(job: Job) -> Item:
    """A current job as an item; what is None is not there."""
    return _present(
        {
            **job_key(job.processing_id),
            **index_attributes(job),
            "uniqueId": job.unique_id,
            "tenant": job.tenant,
            "originalKey": job.original_key,
            "filename": job.filename,
            "metadata": dict(job.metadata),
            "status": job.status.value,
            "timestamp": clock.to_iso(job.created_at),
            "updatedAt": clock.to_iso(job.updated_at),
            TTL: job.expires_at,
            "attempts": job.attempts,
            "source": source_value(job.source),
            "lease": lease_value(job.lease),
            "place": job.place,
            "previousJob": job.previous_job,
            "terms": _terms_value(job.terms),
            "uncounted": job.uncounted or None,
            "reservedBytes": job.reserved_bytes or None,
            "uncountedBytes": job.uncounted_bytes or None,
            "supersededBy": job.superseded_by,
            "recipe": job.recipe.to_text() if job.recipe else None,
            "maker": job.maker,
            **outcome_values(job),
        }
    )


def outcome_values(job: Job) -> Item:
    """What a finished job says of its run."""
    return _present(
        {
            "processedImages": variant_values(job.variants) or None,
            "manifest": asdict(job.manifest) if job.manifest else None,
            "error": failure_value(job.error),
            "timings": _timings_value(job.timings),
        }
    )


def variant_values(variants: Sequence[StoredVariant]) -> list[Item]:
    """Variants as a value."""
    return [_variant_value(variant) for variant in variants]


def job_from_item(item: Item) -> Job:
    """The inverse of `job_item`."""
    return Job(
        processing_id=item[KEY],
        unique_id=item["uniqueId"],
        tenant=item["tenant"],
        original_key=item["originalKey"],
        filename=item["filename"],
        metadata=item["metadata"],
        status=JobStatus(item["status"]),
        created_at=clock.from_iso(item["timestamp"]),
        updated_at=clock.from_iso(item["updatedAt"]),
        expires_at=int(item[TTL]),
        attempts=int(item["attempts"]),
        source=_source(item.get("source")),
        lease=_lease(item.get("lease")),
        place=item.get("place"),
        previous_job=item.get("previousJob"),
        terms=_terms(item.get("terms")),
        uncounted=item.get("uncounted", False),
        reserved_bytes=int(item.get("reservedBytes", 0)),
        uncounted_bytes=int(item.get("uncountedBytes", 0)),
        superseded_by=item.get("supersededBy"),
        recipe=Recipe.from_text(item["recipe"]) if "recipe" in item else None,
        maker=item.get("maker"),
        variants=tuple(_variant(value) for value in item.get("processedImages", ())),
        manifest=_manifest(item.get("manifest")),
        error=_failure(item.get("error")),
        timings=_timings(item.get("timings")),
    )


def image_item(image: Image) -> Item:
    """An image as an item; what is None is not there."""
    return _present(
        {
            **image_key(image.unique_id),
            "uniqueId": image.unique_id,
            "tenant": image.tenant,
            "key": image.key,
            "filename": image.filename,
            "metadata": dict(image.metadata),
            "currentJob": image.current_job,
            "jobIds": list(image.job_ids),
            "sequencer": "",  # the release before reads it
            "createdAt": clock.to_iso(image.created_at),
            TTL: image.expires_at,
            "deletedAt": clock.to_iso(image.deleted_at) if image.deleted_at else None,
            "erasedAt": clock.to_iso(image.erased_at) if image.erased_at else None,
            "firstVersion": image.first_version or None,
            "countedThrough": image.counted_through or None,
        }
    )


def image_from_item(item: Item) -> Image:
    """The inverse of `image_item`."""
    return Image(
        unique_id=item["uniqueId"],
        tenant=item["tenant"],
        key=item["key"],
        filename=item["filename"],
        metadata=item["metadata"],
        current_job=item["currentJob"],
        job_ids=tuple(item["jobIds"]),
        created_at=clock.from_iso(item["createdAt"]),
        expires_at=int(item[TTL]) if TTL in item else None,
        deleted_at=moment(item.get("deletedAt")),
        erased_at=moment(item.get("erasedAt")),
        first_version=item.get("firstVersion", ""),
        counted_through=item.get("countedThrough", ""),
    )


def source_value(source: Source | None) -> Item | None:
    """A source as a value."""
    if source is None:
        return None
    return {
        "etag": source.etag,
        "size": source.size,
        "sequencer": "",  # the release before reads it
        "eventTime": source.event_time,
    }


def lease_value(lease: Lease | None) -> Item | None:
    """A lease as a value; its time in decimal digits, which a number of DynamoDB holds without loss."""
    if lease is None:
        return None
    return {"token": lease.token, "owner": lease.owner, "expiresAt": seconds_value(lease.expires_at)}


def seconds_value(seconds: float) -> Decimal:
    """A time in seconds as a value; DynamoDB knows no binary floats."""
    return Decimal(repr(float(seconds)))


def failure_value(failure: Failure | None) -> Item | None:
    """A failure as a value."""
    return _present(asdict(failure)) if failure else None


def _failure(value: Item | None) -> Failure | None:
    if value is None:
        return None
    numbers = {name: int(value[name]) for name in ("limit", "actual") if name in value}
    return Failure(**{**value, **numbers})


def _source(value: Item | None) -> Source | None:
    if value is None:
        return None
    return Source(etag=value["etag"], size=int(value["size"]), event_time=value["eventTime"])


def _terms_value(terms: Terms | None) -> Item | None:
    return None if terms is None else _present(asdict(terms))


def _terms(value: Item | None) -> Terms | None:
    if value is None:
        return None
    size = value.get("size")
    return Terms(**{**value, "size": None if size is None else int(size)})


def _lease(value: Item | None) -> Lease | None:
    if value is None:
        return None
    return Lease(token=value["token"], owner=value["owner"], expires_at=float(value["expiresAt"]))


def _variant_value(variant: StoredVariant) -> Item:
    return {
        "name": variant.name,
        "key": variant.key,
        "width": variant.width,
        "height": variant.height,
        "size": variant.size,
        "contentType": variant.content_type,
        "quality": variant.quality,
        "sha256": variant.sha256,
        "storedAt": clock.to_iso(variant.stored_at),
    }


def _variant(value: Item) -> StoredVariant:
    return StoredVariant(
        name=value["name"],
        key=value["key"],
        width=int(value["width"]),
        height=int(value["height"]),
        size=int(value["size"]),
        content_type=value["contentType"],
        quality=int(value["quality"]),
        sha256=value["sha256"],
        stored_at=clock.from_iso(value["storedAt"]),
    )


def _manifest(value: Item | None) -> Manifest | None:
    if value is None:
        return None
    plain: Item = {name: int(each) if isinstance(each, Decimal) else each for name, each in value.items()}
    return Manifest(**plain)


def _timings_value(timings: Timings | None) -> Item | None:
    if timings is None:
        return None
    return {
        "download": timings.download,
        "process": timings.process,
        "upload": timings.upload,
        "total": timings.total,
    }


def _timings(value: Item | None) -> Timings | None:
    if value is None:
        return None
    return Timings(**{name: int(number) for name, number in value.items()})


def moment(text: str | None) -> datetime | None:
    """A time that may not be there."""
    return clock.from_iso(text) if text else None


def _present(item: Item) -> Item:
    return {name: value for name, value in item.items() if value is not None}
