"""Jobs and the images they belong to: the records, the statuses, and the legal transitions."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum

from processor import clock
from processor.errors import DailyLimitReached, ImageLimitReached, TrussError
from processor.images import StoredVariant
from processor.recipes import Recipe


class JobStatus(StrEnum):
    """How far a job has come."""

    PENDING = "pending"  # the URL is issued, nothing is uploaded yet
    UPLOADED = "uploaded"  # the source is there, the job is queued
    PROCESSING = "processing"  # a worker holds the lease
    COMPLETED = "completed"  # every variant is stored
    FAILED = "failed"  # settled with a code


#: Every change of status that may happen. A job that failed through no fault of its file may be taken up again when its
#: message returns, or the same file is uploaded again; nothing else leaves `completed` or `failed`.
TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PENDING: frozenset({JobStatus.UPLOADED, JobStatus.FAILED}),
    JobStatus.UPLOADED: frozenset({JobStatus.PROCESSING, JobStatus.FAILED}),
    JobStatus.PROCESSING: frozenset({JobStatus.PROCESSING, JobStatus.COMPLETED, JobStatus.FAILED}),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset({JobStatus.PROCESSING}),
}

#: Code of a job whose source was replaced, or which was asked for again, before it had ended.
SUPERSEDED = "superseded"
#: Code of a job whose source object is not in the bucket any more.
SOURCE_MISSING = "source_missing"
#: Code of a job that was given up because a dependency stayed away; a redrive takes it up again.
UNAVAILABLE = "unavailable"

#: Codes of what a limit of its tenant stood against.
OVER_LIMIT = frozenset({DailyLimitReached.code, ImageLimitReached.code})
#: Codes that say nothing against the file: its job may be taken up again, under its own id, when its event returns.
NOT_THE_FILES_FAULT = frozenset({UNAVAILABLE, SOURCE_MISSING, SUPERSEDED, *OVER_LIMIT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The uploaded object that a job works on, as S3 tells of it: `size` in bytes.

    `event_time` is when it was uploaded; empty for one that was there already when its job was made.
    """

    etag: str
    size: int
    event_time: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to work on a job until `expires_at` (seconds since the epoch)."""

    token: str
    owner: str
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a job failed: a stable code, a sentence for people, and of a limit, what it is and what the file has."""

    code: str
    message: str
    limit: int | None = None
    actual: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How long the steps of a job took, in milliseconds."""

    download: int
    process: int
    upload: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """What turns sources into variants: the encoder with its version, and this service's version."""

    encoder: str
    service: str

    def __str__(self) -> str:
        return f"{self.encoder}, {self.service}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a completed job was made from, and by what. `size` in bytes, `sha256` in hex, one frame's pixels."""

    etag: str
    sha256: str
    size: int
    format: str
    width: int
    height: int
    frames: int
    encoder: str
    effort: int
    service: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the client said of its file, which binds its upload: `size` in bytes, `checksum_sha256` in base64."""

    content_type: str
    size: int | None = None
    checksum_sha256: str | None = None
    #: The URL is good for one object: what is there is never overwritten.
    once: bool = False
    #: S3's id of an upload in parts; None: the file comes in one piece.
    multipart: str | None = field(default=None, repr=False)


#: Marks a field of a job that its run brings: what a worker writes when it ends the job, with the status.
_BROUGHT: Mapping[str, bool] = {"outcome": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run over one uploaded version of an image. `expires_at` in seconds since the epoch."""

    processing_id: str
    unique_id: str
    tenant: str
    original_key: str
    filename: str
    status: JobStatus
    created_at: datetime
    updated_at: datetime
    expires_at: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    source: Source | None = None
    lease: Lease | None = None
    #: How often a worker began and neither ended nor gave the job back, the present one included.
    attempts: int = 0
    variants: tuple[StoredVariant, ...] = field(default=(), metadata=_BROUGHT)
    manifest: Manifest | None = field(default=None, metadata=_BROUGHT)
    error: Failure | None = field(default=None, metadata=_BROUGHT)
    timings: Timings | None = field(default=None, metadata=_BROUGHT)
    #: Where its image stands in listings; None: where its own making puts it, as with an image's first job.
    place: str | None = None
    #: The last completed job over the same source: what a client is shown while this one runs.
    previous_job: str | None = None
    terms: Terms | None = None
    #: Its image does not count as stored: the upload has not come, or was refused.
    uncounted: bool = False
    #: Bytes that are reserved for an upload in parts whose size nobody announced.
    reserved_bytes: int = 0
    #: Bytes of uploads that its tenant's count does not know; only earlier releases left any.
    uncounted_bytes: int = 0
    #: The job that took this one's place.
    superseded_by: str | None = None
    #: What is to be made; None: the release before made the record, and whoever works on it makes what is usual then.
    recipe: Recipe | None = None
    #: The `Maker` that began. Nobody else goes on under the same keys: other code may write other bytes.
    maker: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the job has reached `completed` or `failed`."""
        return self.status in (JobStatus.COMPLETED, JobStatus.FAILED)

    @property
    def was_refused(self) -> bool:
        """Whether its upload was not let in, and so is no source. What comes again is a new upload."""
        over_limit = self.error is not None and self.error.code in OVER_LIMIT
        return self.status is JobStatus.FAILED and (self.uncounted or (over_limit and self.source is None))

    def is_over(self, etag: str) -> bool:
        """Whether its source is the object with this ETag: the same bytes, whenever and however often they came."""
        return self.source is not None and bool(etag) and self.source.etag == etag

    @property
    def position(self) -> str:
        """Where its image stands in listings: the same for every job of an image, whatever happens to it."""
        return self.place or position(self.created_at, self.processing_id)

    @property
    def listed_at(self) -> datetime:
        """The time in its position."""
        return clock.from_iso(self.position.partition("#")[0])


#: The fields of a job that its run brings.
OUTCOME = tuple(each.name for each in fields(Job) if each.metadata == _BROUGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What a client uploaded, or is about to. `expires_at` (seconds since the epoch) is None while it lives."""

    unique_id: str
    tenant: str
    key: str
    filename: str
    current_job: str
    created_at: datetime
    job_ids: tuple[str, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    expires_at: int | None = None
    deleted_at: datetime | None = None
    #: When the last object and record of a deleted image were gone.
    erased_at: datetime | None = None
    #: The version, as S3 calls each upload under a key, that was the first to be counted; older ones may not be.
    first_version: str = ""
    #: The version up to which all are counted; empty while there was no further one, or where the bucket keeps none.
    counted_through: str = ""


#: What a job says of itself that had not ended when another one took its place.
REPLACED = Failure(code=SUPERSEDED, message="A newer job replaced this one.")


def failure_of(error: TrussError) -> Failure:
    """What a job says of itself that failed by `error`."""
    limit, actual = (None if number is None else int(number) for number in error.numbers)
    return Failure(code=error.code, message=error.message, limit=limit, actual=actual)


def arrived(job: Job, source: Source, expires_at: int, *, counted: bool, refusal: Failure | None = None) -> Job:
    """A pending job whose source has come; `counted` says whether its image counts as stored from now on."""
    return replace(
        job,
        status=JobStatus.UPLOADED if refusal is None else JobStatus.FAILED,
        error=refusal,
        source=source if refusal is None else None,
        uncounted=not counted,
        expires_at=expires_at,
        updated_at=clock.now(),
    )


def position(created_at: datetime, processing_id: str) -> str:
    """By time, and unique, so that the last position seen is all that a cursor needs."""
    return f"{clock.to_iso(created_at)}#{processing_id}"


def new_processing_id(created_at: datetime) -> str:
    """`img_{epoch milliseconds}_{random}`: 64 random bits, so that ids cannot be guessed or collide."""
    return f"img_{round(created_at.timestamp() * 1000)}_{secrets.token_hex(8)}"
