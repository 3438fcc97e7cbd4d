"""Converts jobs and images to items of the table, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processor.jobs import OUTCOME, Image, Job, JobStatus
from processor.stores.clients import from_attribute, to_attribute
from processor.stores.codec import RECORDS
from processor.stores.schema import KEY, change_key, digest_key, list_key, shard, status_key

#: An item with plain values, and one in DynamoDB's notation.
Item = Mapping[str, Any]
WireItem = dict[str, Any]

#: Attributes of the outcome of a run.
_OUTCOME = frozenset(RECORDS.names(Job)[name] for name in OUTCOME)


def to_wire(item: Item) -> WireItem:
    """`{"a": 1}` -> `{"a": {"N": "1"}}`."""
    return {name: to_attribute(value) for name, value in item.items()}


def from_wire(item: Mapping[str, Any]) -> Item:
    """The inverse of `to_wire`; numbers are `Decimal`."""
    return {name: from_attribute(value) for name, value in item.items()}


def job_key(processing_id: str) -> Item:
    return {KEY: processing_id}


def image_key(unique_id: str) -> Item:
    return {KEY: f"upload_{unique_id}"}


def secret_key(name: str) -> Item:
    return {KEY: f"secret_{name}"}


def index_attributes(job: Job) -> Item:
    """The attributes that only the current job of an image has, for the listings.

    A claim knows only the job's id. So the `statusKey` that it must write is stored in `claimKey`.
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
    """The attribute that only a completed current job has, so that it is found by the SHA-256 of its source."""
    if job.status is not JobStatus.COMPLETED or job.manifest is None:
        return {}
    return {"digestKey": digest_key(job.tenant, job.manifest.sha256)}


def change_attributes(record: Job | Image) -> Item:
    """The attribute by which a job with a journal, or a deleted image, is found by the time of its last change."""
    return {"changeKey": change_key(record.tenant, shard(record.unique_id))}


def job_item(job: Job) -> Item:
    """A current job as an item."""
    return {**index_attributes(job), **(change_attributes(job) if job.moments else {}), **RECORDS.encode(job)}


def outcome_values(job: Job) -> Item:
    """The attributes of a finished job with the outcome of its run."""
    return {name: value for name, value in RECORDS.encode(job).items() if name in _OUTCOME}


def job_from_item(item: Item) -> Job:
    return RECORDS.decode(item, Job)


def image_item(image: Image) -> Item:
    return {**image_key(image.unique_id), **RECORDS.encode(image)}


def image_from_item(item: Item) -> Image:
    return RECORDS.decode(item, Image)
