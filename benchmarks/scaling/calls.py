"""The AWS calls of one image, and the DynamoDB capacity that its records need.

`tests/benchmarks/test_cost.py` runs one image through the use cases, counts the calls, and compares them with `CALLS`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from benchmarks.scaling.scenarios import mean_megapixels, mean_source_bytes
from processor.costs import Cost, DayOfUse
from processor.facts import Facts
from processor.images import StoredVariant, variant_key
from processor.jobs import Image, Job, JobStatus, Lease, Maker, Manifest, Source, Terms, Timings
from processor.moments import Kind, Moment
from processor.recipes import STANDARD, STANDARD_VARIANTS
from processor.stores.costs import counting
from processor.stores.records import Item, WireItem, digest_attributes, image_item, index_attributes, job_item, to_wire
from processor.stores.schema import SHARDS
from service.calls.facts import EXAMPLE
from service.config import Settings

#: The calls for one image that is uploaded once and converted at the first try. Left out are calls that do not depend
#: on the number of images: the limits of a tenant (one read in 5 seconds for each process and tenant), long polls of an
#: empty queue, heartbeats (one in 20 seconds for each process, and a write for each image in work).
CALLS: Mapping[str, Mapping[str, int]] = {
    "API, `POST /images/upload-url`": {"UpdateItem": 1, "TransactWriteItems": 1},
    "client": {"PutObject (source)": 1},
    "S3": {"SendMessage": 1},
    "worker": {
        "ReceiveMessage": 1,
        "GetItem": 2,
        "TransactWriteItems": 2,
        "UpdateItem": 2,
        "GetObject": 1,
        "PutObject (processed)": 5,
        "DeleteMessageBatch": 1,
    },
    "API, each `GET /images/status`": {"GetItem": 1},
}

#: Bytes of one capacity unit (AWS, "DynamoDB read and write operations").
WRITE_UNIT_BYTES, READ_UNIT_BYTES = 1024, 4096
#: How often usage is counted for an image: when its URL is issued, when its upload comes, and when it is converted,
#: together with what is given back of its reservation.
COUNTS = 3
#: A transaction costs twice the units.
TRANSACTION = 2
#: Units a second of one partition key, and so of a shard or a counter (AWS, "Partition key design").
PARTITION_WRITES = 1000
#: Write units a second of a new on-demand table, and of each index (AWS, "On-demand capacity mode").
NEW_TABLE_WRITES = 4000
#: The default quota of write units a second for one on-demand table (AWS, "DynamoDB quotas"); it can be raised.
TABLE_QUOTA_WRITES = 40_000
#: Requests a second of one prefix in a bucket (AWS, "Best practices design patterns: S3 performance").
S3_PARTITION_PUTS, S3_PARTITION_GETS = 3500, 5500
#: The most messages of a standard queue in flight (AWS, "Amazon SQS standard queue quotas").
SQS_IN_FLIGHT = 120_000

#: Seconds of a day.
DAY_SECONDS = 24 * 3600
#: Numbers from here on are written without a fraction.
WHOLE = 100

#: The size of an empty list or map in DynamoDB, and the extra size of each element, in bytes.
_CONTAINER_BYTES, _ELEMENT_BYTES = 3, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteUnits:
    """The write units of one image, for the table and each index."""

    table: int
    by_time: int
    by_status: int
    by_digest: int
    by_change: int
    #: The most units of one partition key of `by-status`, that of completed jobs.
    one_status: int

    @property
    def total(self) -> int:
        """All write units."""
        return self.table + self.by_time + self.by_status + self.by_digest + self.by_change


def calls_of(name: str) -> int:
    """The number of calls with this name for one image, without those for its status."""
    return sum(calls.get(name, 0) for who, calls in CALLS.items() if "status" not in who)


def item_bytes(item: WireItem) -> int:
    """The size of an item as DynamoDB counts it (AWS, "DynamoDB item sizes and formats")."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def write_units(size: int) -> int:
    """The units of one write of so many bytes."""
    return max(1, math.ceil(size / WRITE_UNIT_BYTES))


def read_units(size: int) -> int:
    """The units of one consistent read of so many bytes."""
    return max(1, math.ceil(size / READ_UNIT_BYTES))


@cache
def image_write_units() -> WriteUnits:
    """The units of all writes of one image: its job is created, accepted and claimed in one, and finished together with
    the use of its day, and usage is counted.

    An index with all attributes is written with every write of the job. If the partition key changes, there are two
    writes: the old entry is removed, and a new one is written. Writes of an index never cost double.
    """
    image = write_units(item_bytes(to_wire(image_item(_image()))))
    pending, processing, completed = (write_units(item_bytes(job)) for job in life())
    created = TRANSACTION * (image + pending)
    accepted = TRANSACTION * (image + max(pending, processing))
    use = write_units(item_bytes(to_wire(_use())))
    finished, counted = TRANSACTION * (max(processing, completed) + use), COUNTS
    return WriteUnits(
        table=created + accepted + finished + counted,
        by_time=pending + max(pending, processing) + max(processing, completed) + use,
        by_status=pending + (pending + processing) + (processing + completed),
        by_digest=1,
        by_change=1 + 2 + 2,  # its entries are small, begin with the upload, and move with each change
        one_status=max(2 * pending, 2 * processing, completed),
    )


def image_read_units(status_polls: float) -> float:
    """The read units of one image: its record and job when the event comes, and the job for each call of its status."""
    *_, completed = (read_units(item_bytes(job)) for job in life())
    image = read_units(item_bytes(to_wire(image_item(_image()))))
    return image + 1 + status_polls * completed


_COST = Cost(cpu_ms=812, pixels=12_192_768, bytes_in=2_087_654, bytes_out=1_161_480, bytes_saved=1_186_110)


def _use() -> Item:
    """The use of a day by one key."""
    change = counting(replace(_job(), status=JobStatus.COMPLETED, asked_by="mfrggzdfmztwq2lk"), _COST)
    return {**change.key, **change.sets, **DayOfUse(day="", completed=1_000_000, cost=_COST).counts}


@cache
def record_bytes() -> int:
    """The bytes of an image in the table and its indexes."""
    *_, completed = life()
    return item_bytes(to_wire(image_item(_image()))) + 3 * item_bytes(completed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit of AWS for one second, and the part that one image uses."""

    name: str
    allowed: float
    used: float

    @property
    def images_per_second(self) -> float:
        """The most images a second within this limit."""
        return self.allowed / self.used


def limits() -> tuple[Limit, ...]:
    """All limits, the narrowest first."""
    units, processed = image_write_units(), calls_of("PutObject (processed)")
    widest = max(units.table, units.by_time, units.by_status)
    found = (
        Limit(
            name="one tenant, `LIMIT_BYTES_PER_DAY`, MB",
            allowed=_default("limit_bytes_per_day") / 1e6 / DAY_SECONDS,
            used=mean_source_bytes() / 1e6,
        ),
        Limit(
            name="one tenant, `LIMIT_MEGAPIXELS_PER_DAY`",
            allowed=_default("limit_megapixels_per_day") / DAY_SECONDS,
            used=mean_megapixels(),
        ),
        Limit(name="a new table (on demand), write units", allowed=NEW_TABLE_WRITES, used=widest),
        Limit(
            name="one tenant in `by-time`: 4 shards, write units", allowed=SHARDS * PARTITION_WRITES, used=units.by_time
        ),
        Limit(name="`processed/` before S3 splits it, PUT", allowed=S3_PARTITION_PUTS, used=processed),
        Limit(name="one tenant's counter, write units", allowed=PARTITION_WRITES, used=COUNTS),
        Limit(
            name="one tenant's completed jobs in `by-status`: 4 shards, write units",
            allowed=SHARDS * PARTITION_WRITES,
            used=units.one_status,
        ),
        Limit(name="default quota of a table, write units", allowed=TABLE_QUOTA_WRITES, used=widest),
        Limit(name="`uploads/` before S3 splits it, PUT", allowed=S3_PARTITION_PUTS, used=1),
        Limit(name="`uploads/` before S3 splits it, GET", allowed=S3_PARTITION_GETS, used=calls_of("GetObject")),
    )
    return tuple(sorted(found, key=lambda limit: limit.images_per_second))


def _default(name: str) -> float:
    return float(Settings.model_fields[name].default)


def _short(value: float) -> str:
    whole = value >= WHOLE or value == round(value)
    return f"{value:,.0f}" if whole else f"{value:.1f}"


def calls_table() -> str:
    """The calls by their callers, in Markdown."""
    rows = [
        f"| {who} | {', '.join(f'{count} `{name}`' if count > 1 else f'`{name}`' for name, count in calls.items())} |"
        for who, calls in CALLS.items()
    ]
    return "\n".join(["| who | calls |", "| --- | --- |", *rows])


def units_table() -> str:
    """The write units of an image, in Markdown."""
    units = image_write_units()
    rows = (("table", units.table), ("`by-time`", units.by_time), ("`by-status`", units.by_status))
    cells = [f"| {name} | {count} |" for name, count in (*rows, ("`by-digest`", units.by_digest))]
    cells += [f"| {name} | {count} |" for name, count in (("`by-change`", units.by_change), ("all", units.total))]
    return "\n".join(["| write units of an image | |", "| --- | ---: |", *cells])


def limits_table() -> str:
    """In Markdown."""
    rows = [
        f"| {limit.name} | {_short(limit.allowed)} | {_short(limit.used)} | {_short(limit.images_per_second)} |"
        for limit in limits()
    ]
    return "\n".join(["| limit | in a second | an image | images a second |", "| --- | ---: | ---: | ---: |", *rows])


@cache
def life() -> tuple[WireItem, WireItem, WireItem]:
    """The items of a job while it is pending, processing and completed."""
    pending = _job()
    source = Source(etag="9b2cf535f27731c974343645a3985328", size=2_087_654, event_time=_WHEN)
    lease = Lease(token="0123456789abcdef", owner="image-service-6c9f7d8b5d-x2x7q/1", expires_at=1_790_000_000.123)
    journal = [Moment(kind=kind, at=_TIME) for kind in (Kind.UPLOADED, Kind.PROCESSING, Kind.COMPLETED)]
    processing = replace(
        pending,
        status=JobStatus.PROCESSING,
        source=source,
        uncounted=False,
        lease=lease,
        attempts=1,
        maker=str(MAKER),
        moments=tuple(journal[:2]),
    )
    completed = replace(
        processing,
        lease=None,
        moments=tuple(journal),
        status=JobStatus.COMPLETED,
        variants=_variants(pending),
        manifest=_manifest(source),
        timings=Timings(download=112, process=812, upload=143, total=1067),
        facts=Facts.of(EXAMPLE, EXAMPLE),
        cost=_COST,
    )
    items = [{**job_item(job), **index_attributes(job)} for job in (pending, processing, completed)]
    items[-1] |= {**digest_attributes(completed), "endedBy": lease.token}
    first, second, last = (to_wire(item) for item in items)
    return first, second, last


_WHEN = "2026-11-23T09:00:00.000Z"
_TIME = datetime(2026, 11, 23, 9, tzinfo=UTC)
_UNIQUE_ID, _JOB_ID = "6f1f7a52-3c1d-4a58-9c4e-0d7b9f2c8e11", "img_1795424400000_9f86d081884c7d65"
_TENANT, _KEY, _FILENAME = "default", f"uploads/{_UNIQUE_ID}.jpg", "IMG_20261123_090000.jpg"
#: The time a month later, in seconds since the epoch.
_EXPIRES = 1_798_000_000
#: The software that makes the variants.
MAKER = Maker(encoder="libvips 8.18.7", service="0.1.0")


def _job() -> Job:
    return Job(
        processing_id=_JOB_ID,
        unique_id=_UNIQUE_ID,
        tenant=_TENANT,
        original_key=_KEY,
        filename=_FILENAME,
        metadata={"album": "2026"},
        status=JobStatus.PENDING,
        created_at=_TIME,
        updated_at=_TIME,
        expires_at=_EXPIRES,
        attempts=0,
        terms=Terms(content_type="image/jpeg"),
        uncounted=True,
        recipe=STANDARD,
    )


def _image() -> Image:
    return Image(
        unique_id=_UNIQUE_ID,
        tenant=_TENANT,
        key=_KEY,
        filename=_FILENAME,
        metadata={"album": "2026"},
        current_job=_JOB_ID,
        job_ids=(_JOB_ID,),
        created_at=_TIME,
    )


def _variants(job: Job) -> tuple[StoredVariant, ...]:
    return tuple(
        StoredVariant(
            name=spec.name,
            key=variant_key(job.unique_id, job.processing_id, spec.file_name),
            width=1440,
            height=1080,
            size=123_456,
            content_type="image/webp",
            quality=spec.quality,
            sha256="0" * 64,
            stored_at=_TIME,
        )
        for spec in STANDARD_VARIANTS
    )


def _manifest(source: Source) -> Manifest:
    return Manifest(
        etag=source.etag,
        sha256="0" * 64,
        size=source.size,
        format="jpeg",
        width=4000,
        height=3000,
        frames=1,
        encoder=MAKER.encoder,
        effort=2,
        service=MAKER.service,
    )


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        return 1 + math.ceil(len(content.strip("-").replace(".", "").strip("0")) / 2)
    if kind == "L":
        return _CONTAINER_BYTES + sum(_ELEMENT_BYTES + _value_bytes(each) for each in content)
    if kind == "M":
        return _CONTAINER_BYTES + sum(
            _ELEMENT_BYTES + len(name.encode()) + _value_bytes(each) for name, each in content.items()
        )
    return 1 if kind in ("BOOL", "NULL") else len(content)
