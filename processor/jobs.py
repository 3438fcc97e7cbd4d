"""Jobs and the images they belong to: the records, the statuses, and the legal transitions."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum

from processor import clock
from processor.costs import CALLER, Cost
from processor.errors import (
    AssetMissing,
    Conflict,
    DailyLimitReached,
    ImageDeleted,
    ImageLimitReached,
    LeaseLost,
    RecordChanged,
    TrussError,
)
from processor.facts import Facts
from processor.images import HELD_PREFIX, StoredVariant, job_prefix, prefix_of
from processor.moments import Kind, Moment
from processor.probe import TRACE
from processor.recipes import Recipe

#: How long the record of a pending upload outlives its URL. That is longer than the queue keeps a message (4 days), so
#: an event that an outage delayed still finds its record.
PENDING_GRACE = timedelta(days=7)
#: Most jobs of an image, over all its uploads: its record names each, and has 400 KB (AWS, "Quotas in DynamoDB").
MAX_JOBS = 1000


class JobStatus(StrEnum):
    """How far a job has come."""

    PENDING = "pending"  # the URL is issued, nothing is uploaded yet
    UPLOADED = "uploaded"  # the source is there, the job is queued
    PROCESSING = "processing"  # a worker holds the lease
    NEEDS_REVIEW = "needs_review"  # every variant is stored, where nobody but a reviewer sees it
    COMPLETED = "completed"  # every variant is stored; further formats may follow
    FAILED = "failed"  # settled with a code
    REJECTED = "rejected"  # a reviewer said no; the variants are gone


class End(StrEnum):
    """How a job ended."""

    NEEDS_REVIEW = "needs_review"  # its work is over; a reviewer decides how it ends
    COMPLETED = "completed"  # every variant is stored
    FAILED = "failed"  # the record says why
    REJECTED = "rejected"  # a reviewer said no
    SUPERSEDED = "superseded"  # another job took its place before it had ended
    DELETED = "deleted"  # its image was deleted, and the record of the job is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A change of a job that a store may make: from which statuses, and to which. Without a target the status stays.

    `refusal` is what the store raises for a job in any other status, or for a missing one.
    """

    sources: frozenset[JobStatus]
    targets: frozenset[JobStatus] = frozenset()
    refusal: type[Conflict]

    def out_of(self, job: Job | None) -> Job:
        """The job, if this transition is legal for it. Raises `refusal`."""
        if job is None or job.status not in self.sources:
            raise self.refusal
        return job

    def into(self, status: JobStatus) -> JobStatus:
        """The target status. Raises `ValueError` for any other, which is a defect of the caller."""
        if status not in self.targets:
            raise ValueError(f"this makes no job {status}")
        return status


_PENDING, _UPLOADED, _PROCESSING = JobStatus.PENDING, JobStatus.UPLOADED, JobStatus.PROCESSING
_COMPLETED, _FAILED = JobStatus.COMPLETED, JobStatus.FAILED
_NEEDS_REVIEW, _REJECTED = JobStatus.NEEDS_REVIEW, JobStatus.REJECTED

#: All transitions of a job. Every store obeys this table. The functions below say what else is required, and what
#: changes.
#: An upload that is accepted by the worker that will convert it is in work at once.
ACCEPT = Transition(
    sources=frozenset({_PENDING}), targets=frozenset({_UPLOADED, _PROCESSING, _FAILED}), refusal=RecordChanged
)
EXTEND = Transition(sources=frozenset({_PENDING}), refusal=RecordChanged)
#: A job that failed without a fault of its file runs again when its message returns, or its file is uploaded again.
CLAIM = Transition(
    sources=frozenset({_UPLOADED, _PROCESSING, _FAILED}), targets=frozenset({_PROCESSING}), refusal=Conflict
)
#: A worker renews the lease of its job, or gives the job back.
HOLD = Transition(sources=frozenset({_PROCESSING, _COMPLETED}), refusal=LeaseLost)
FINISH = Transition(
    sources=frozenset({_PROCESSING}), targets=frozenset({_COMPLETED, _NEEDS_REVIEW, _FAILED}), refusal=LeaseLost
)
FAIL = Transition(sources=frozenset({_UPLOADED}), targets=frozenset({_FAILED}), refusal=RecordChanged)
SUPERSEDE = Transition(
    sources=frozenset({_PENDING, _UPLOADED, _PROCESSING, _NEEDS_REVIEW}),
    targets=frozenset({_FAILED}),
    refusal=RecordChanged,
)
#: A reviewer decides, once. Who is approved stays as it is until its variants lie where viewers read them.
DECIDE = Transition(sources=frozenset({_NEEDS_REVIEW}), targets=frozenset({_REJECTED}), refusal=RecordChanged)
PUBLISH = Transition(sources=frozenset({_NEEDS_REVIEW}), targets=frozenset({_COMPLETED}), refusal=RecordChanged)
#: A completed job that owes further formats is claimed for them. It stays completed, whatever happens.
TAKE_UP = Transition(sources=frozenset({_COMPLETED}), refusal=Conflict)
AMEND = Transition(sources=frozenset({_COMPLETED}), refusal=LeaseLost)
CHANGES = (ACCEPT, EXTEND, CLAIM, HOLD, FINISH, FAIL, SUPERSEDE, DECIDE, PUBLISH, TAKE_UP, AMEND)

#: Every change of status that may happen.
TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    status: frozenset().union(*(each.targets for each in CHANGES if status in each.sources)) for status in JobStatus
}

#: Code of a job that was replaced before it had ended.
SUPERSEDED = "superseded"
#: Code of a job whose source object is not in the bucket any more.
SOURCE_MISSING = "source_missing"
#: Code of a job that was given up because a dependency stayed away; a redrive takes it up again.
UNAVAILABLE = "unavailable"

#: How long the record of a job stays that waits for a reviewer, or was rejected: nothing may forget that.
REVIEW_RETENTION = timedelta(days=3650)

#: Codes of jobs that a limit of their tenant stopped.
OVER_LIMIT = frozenset({DailyLimitReached.code, ImageLimitReached.code})
#: Codes without a fault of the file. Such a job may run again, under its own id, when its event returns.
NOT_THE_FILES_FAULT = frozenset({UNAVAILABLE, SOURCE_MISSING, AssetMissing.code, SUPERSEDED, *OVER_LIMIT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The uploaded object that a job works on, as S3 describes it: `size` in bytes.

    `event_time` is the time of the upload. It is empty for an upload that was there before its job was made.
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
    """Why a job failed: a stable code, and a sentence for people. For a limit: its value, and that of the file."""

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
    """The source of a completed job, and the software that made it. `size` in bytes, `sha256` in hex, pixels of one
    frame."""

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
class FormatSet:
    """A job's variants in a further format, or why there are none. Variants that are too large for the format are
    missing."""

    format: str
    maker: Maker | None = None
    variants: tuple[StoredVariant, ...] = ()
    error: Failure | None = None


class Decision(StrEnum):
    """What a reviewer said."""

    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Why nobody but a reviewer may see what a job has made, and what became of it.

    Until it is published, everything that was made is here, and nowhere else in the record.
    """

    reason: str
    asked_at: datetime
    variants: tuple[StoredVariant, ...] = ()
    facts: Facts = field(default_factory=Facts)
    #: Further formats that the job will owe once it is published.
    owed: tuple[str, ...] = ()
    decision: Decision | None = None
    decided_at: datetime | None = None
    #: The subject of the reviewer, and a word of theirs for the owner.
    decided_by: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The variants that viewers may see."""

    variants: tuple[StoredVariant, ...] = ()
    further: tuple[FormatSet, ...] = ()
    facts: Facts = field(default_factory=Facts)
    #: What they were made by; None: nothing tells any more.
    recipe: Recipe | None = None
    #: The preset that they were made with, and its version. None: neither the record nor a manifest says so.
    preset: str | None = None
    preset_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the client said of its file, which binds its upload: `size` in bytes, `checksum_sha256` in base64."""

    content_type: str
    size: int | None = None
    checksum_sha256: str | None = None
    #: The URL works once: it never overwrites an object.
    once: bool = False
    #: S3's id of a multipart upload; None: the file comes in one piece.
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
    #: How many attempts there were, this one included. An attempt that was given back does not count.
    attempts: int = 0
    variants: tuple[StoredVariant, ...] = field(default=(), metadata=_BROUGHT)
    manifest: Manifest | None = field(default=None, metadata=_BROUGHT)
    #: Facts about the picture. Empty in records of earlier releases, and if the recipe has no analyses.
    facts: Facts = field(default_factory=Facts, metadata=_BROUGHT)
    #: Formats that must still be made after the job has completed, and the results of others.
    owed: tuple[str, ...] = field(default=(), metadata=_BROUGHT)
    further: tuple[FormatSet, ...] = field(default=(), metadata=_BROUGHT)
    error: Failure | None = field(default=None, metadata=_BROUGHT)
    #: What it took. None in records of earlier releases.
    cost: Cost | None = field(default=None, metadata=_BROUGHT)
    timings: Timings | None = field(default=None, metadata=_BROUGHT)
    #: Of a job that needed a review.
    review: Review | None = field(default=None, metadata=_BROUGHT)
    #: The image's position, taken over from the job before. None: the job's own time decides, as with an image's first
    #: job.
    place: str | None = None
    #: The last completed job with the same source. Clients see its variants while this one runs.
    previous_job: str | None = None
    terms: Terms | None = None
    #: The image does not count as stored: nothing was uploaded, or the upload was refused.
    uncounted: bool = False
    #: Bytes that are reserved for a multipart upload without an announced size.
    reserved_bytes: int = 0
    #: Bytes of uploads that are not counted yet; only earlier releases left any.
    uncounted_bytes: int = 0
    #: The job that it replaced, if no worker had ended that one: perhaps no listener was told of its end.
    untold: str | None = None
    #: The job that replaced it.
    superseded_by: str | None = None
    #: What to make. None: the record is of an earlier release, and the worker uses its own recipe.
    recipe: Recipe | None = None
    #: The `Maker` that began the job. No other continues it under the same keys: other code may write other bytes.
    maker: str | None = None
    #: Its journal: what happened to it, in the order in which the record heard of it. It only grows.
    moments: tuple[Moment, ...] = ()
    #: The step that asked for it, as `probe.TRACE` has it: its run belongs to the same trace.
    trace: str | None = None
    #: The API key that asked for it, or for its image's first job if an upload did; empty for everybody else.
    asked_by: str = ""

    @property
    def shown(self) -> Shown:
        """What it has stored, as far as the record tells."""
        made = self.recipe
        return Shown(
            variants=self.variants,
            further=self.further,
            facts=self.facts,
            recipe=made,
            preset=made.name if made else None,
            preset_version=made.version if made else None,
        )

    @property
    def ended(self) -> bool:
        """Whether the job has reached `completed`, `failed` or `rejected`."""
        return self.status in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.REJECTED)

    @property
    def is_at_rest(self) -> bool:
        """Whether no worker has anything to do for it: it has ended, or waits for a reviewer."""
        return self.ended or self.status is JobStatus.NEEDS_REVIEW

    @property
    def is_decided(self) -> bool:
        """Whether a reviewer has said what becomes of it."""
        return self.review is not None and self.review.decision is not None

    @property
    def prefix(self) -> str:
        """Where viewers read its variants."""
        return job_prefix(self.unique_id, self.processing_id, prefix_of(self.recipe))

    @property
    def held_prefix(self) -> str:
        """Where its variants wait for a reviewer."""
        return job_prefix(self.unique_id, self.processing_id, HELD_PREFIX)

    @property
    def is_withheld(self) -> bool:
        """Whether what it made may not be seen: nobody has approved it, or somebody has rejected it."""
        return self.status is JobStatus.REJECTED or (self.status is JobStatus.NEEDS_REVIEW and not self.is_decided)

    @property
    def must_be_reviewed(self) -> bool:
        """Whether nothing of the same file may be shown without a review, whatever is made of it: this job was held,
        or would have been, and nobody has approved it."""
        held = self.status in (JobStatus.NEEDS_REVIEW, JobStatus.REJECTED)
        asked = self.recipe is not None and self.recipe.may_be_held
        return held or (asked and self.status is not JobStatus.COMPLETED)

    @property
    def ended_without_a_worker(self) -> bool:
        """Whether it was superseded, or failed before a worker claimed it. Then perhaps no message of its own will
        report it."""
        if self.status is not JobStatus.FAILED or self.error is None:
            return False
        return self.error.code == SUPERSEDED or not self.attempts

    @property
    def was_refused(self) -> bool:
        """Whether its upload was refused, so that it has no source. The same bytes again are a new upload."""
        over_limit = self.error is not None and self.error.code in OVER_LIMIT
        return self.status is JobStatus.FAILED and (self.uncounted or (over_limit and self.source is None))

    @property
    def may_be_taken_up_again(self) -> bool:
        """Whether it may run again: it failed without a fault of its file, and the upload was not refused."""
        if self.error is None or self.was_refused:
            return False
        return self.status is JobStatus.FAILED and self.error.code in NOT_THE_FILES_FAULT

    def is_held(self, at: datetime) -> bool:
        """Whether a worker's lease on it holds at that moment."""
        return self.lease is not None and self.lease.expires_at >= at.timestamp()

    def is_over(self, etag: str) -> bool:
        """Whether its source has this ETag: the same bytes, whenever and however often they came."""
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
    #: The S3 version that was counted first; older ones may not be counted.
    first_version: str = ""
    #: The S3 version up to which all uploads are counted; empty without a further upload, or without versions in the
    #: bucket.
    counted_through: str = ""


#: The failure of a job that was replaced before it had ended.
REPLACED = Failure(code=SUPERSEDED, message="A newer job replaced this one.")


def failure_of(error: TrussError) -> Failure:
    """The failure that a job records for `error`."""
    limit, actual = (None if number is None else int(number) for number in error.numbers)
    return Failure(code=error.code, message=error.message, limit=limit, actual=actual)


# -- births


def pending_job(
    tenant: str,
    unique_id: str,
    key: str,
    filename: str,
    *,
    recipe: Recipe,
    metadata: Mapping[str, str] | None = None,
    terms: Terms | None = None,
    expires_in_seconds: int = 0,
) -> Job:
    """The first job of an image, waiting for an upload that may begin within `expires_in_seconds`."""
    created_at = clock.now()
    return Job(
        processing_id=new_processing_id(created_at),
        unique_id=unique_id,
        tenant=tenant,
        original_key=key,
        filename=filename,
        metadata=metadata or {},
        status=JobStatus.PENDING,
        created_at=created_at,
        updated_at=created_at,
        expires_at=pending_until(created_at, expires_in_seconds),
        terms=terms,
        uncounted=True,
        recipe=recipe,
        trace=TRACE.get() or None,
        asked_by=CALLER.get(),
    )


def first_image(job: Job) -> Image:
    """The record of an image whose first job is `job`."""
    return Image(
        unique_id=job.unique_id,
        tenant=job.tenant,
        key=job.original_key,
        filename=job.filename,
        metadata=job.metadata,
        current_job=job.processing_id,
        created_at=job.created_at,
        job_ids=(job.processing_id,),
        expires_at=job.expires_at,
    )


def next_job(
    image: Image,
    old: Job | None,
    source: Source,
    retention: timedelta,
    *,
    recipe: Recipe,
    previous_job: str | None = None,
) -> Job:
    """A new job for an image, ready to be claimed. It replaces `old`, if there is a record of that."""
    created_at = clock.now()
    return Job(
        processing_id=new_processing_id(created_at),
        unique_id=image.unique_id,
        tenant=image.tenant,
        original_key=image.key,
        filename=image.filename,
        metadata=image.metadata,
        status=JobStatus.UPLOADED,
        created_at=created_at,
        updated_at=created_at,
        expires_at=epoch(created_at + retention),
        place=old.position if old else position(image.created_at, image.job_ids[0]),
        source=source,
        previous_job=previous_job,
        moments=(Moment(kind=Kind.UPLOADED, at=created_at),),
        untold=old.processing_id if old and (not old.ended or old.ended_without_a_worker) else None,
        terms=old.terms if old else None,
        uncounted_bytes=old.uncounted_bytes if old else 0,
        recipe=recipe,
        trace=TRACE.get() or None,
        asked_by=CALLER.get() or (old.asked_by if old else ""),
    )


def not_let_in(job: Job, why: Failure, *, uncounted: bool) -> Job:
    """A further job whose upload is over a limit: it has failed before anybody could take it."""
    moments = (_failure(why, job.created_at),)
    return replace(job, status=JobStatus.FAILED, error=why, source=None, uncounted=uncounted, moments=moments)


def pending_until(signed_at: datetime, expires_in_seconds: int) -> int:
    """When the record of a pending upload may expire, in seconds since the epoch. Its URLs were signed at
    `signed_at`."""
    return epoch(signed_at + timedelta(seconds=expires_in_seconds) + PENDING_GRACE)


# -- changes


def arrived(
    job: Job,
    source: Source,
    expires_at: int,
    *,
    counted: bool,
    refusal: Failure | None = None,
    lease: Lease | None = None,
    maker: str = "",
) -> Job:
    """A pending job whose source has arrived; `counted` says whether its image counts as stored from now on.

    With a `refusal` the upload is refused: the job has failed, and has no source. Otherwise it is claimed at once if
    there is a `lease`. Raises `RecordChanged`.
    """
    now = clock.now()
    moment = Moment(kind=Kind.UPLOADED, at=now) if refusal is None else _failure(refusal, now)
    accepted = replace(
        ACCEPT.out_of(job),
        status=ACCEPT.into(JobStatus.UPLOADED if refusal is None else JobStatus.FAILED),
        error=refusal,
        source=source if refusal is None else None,
        uncounted=not counted,
        expires_at=expires_at,
        updated_at=now,
        moments=(*job.moments, moment),
    )
    return accepted if lease is None or refusal is not None else claimed(accepted, lease, now, maker)


def claimed(job: Job | None, lease: Lease, now: datetime, maker: str) -> Job:
    """A claimed job: it was waiting, or its worker died, or it may run again. `maker` is noted if none was.

    It begins without stored variants. Raises `Conflict`.
    """
    job = CLAIM.out_of(job)
    taken = job.status is JobStatus.PROCESSING and job.is_held(now)
    if taken or (job.status is JobStatus.FAILED and not job.may_be_taken_up_again):
        raise CLAIM.refusal
    return replace(
        job,
        status=CLAIM.into(JobStatus.PROCESSING),
        lease=lease,
        attempts=job.attempts + 1,
        maker=job.maker or maker,
        variants=(),
        error=None,
        updated_at=now,
        moments=(*job.moments, began_at(now)),
    )


def held(job: Job | None, lease: Lease) -> Job:
    """A job in work, if it has this lease. Raises `LeaseLost`."""
    job = HOLD.out_of(job)
    if job.lease is None or job.lease.token != lease.token:
        raise HOLD.refusal
    return job


def released(job: Job | None, lease: Lease) -> Job:
    """A job that its worker gave back: the attempt does not count. Raises `LeaseLost`."""
    job = held(job, lease)
    return replace(job, lease=None, attempts=job.attempts - 1)


def noted(job: Job | None, lease: Lease, variants: Sequence[StoredVariant], now: datetime) -> Job:
    """A job in work with what is stored of it so far. Raises `LeaseLost`."""
    return replace(held(FINISH.out_of(job), lease), variants=tuple(variants), updated_at=now)


def ended(job: Job | None, lease: Lease, outcome: Job) -> Job:
    """A job whose run is over, with what the run brought. Raises `LeaseLost`."""
    job = held(FINISH.out_of(job), lease)
    return replace(
        job,
        **{name: getattr(outcome, name) for name in OUTCOME},
        status=FINISH.into(outcome.status),
        updated_at=outcome.updated_at,
        expires_at=outcome.expires_at,
        lease=None,
        uncounted=False,
        uncounted_bytes=0,
        moments=(*job.moments, ended_at(outcome)),
    )


def taken_up(job: Job | None, lease: Lease, now: datetime) -> Job:
    """A completed job that a worker has claimed to make the formats that it owes. Raises `Conflict`."""
    job = TAKE_UP.out_of(job)
    if not job.owed or job.is_held(now):
        raise TAKE_UP.refusal
    return replace(job, lease=lease, attempts=job.attempts + 1)


def amended(job: Job | None, lease: Lease, outcome: Job) -> Job:
    """A completed job with the formats that it still owes, and those that were made. Raises `LeaseLost`."""
    return replace(
        held(AMEND.out_of(job), lease),
        owed=outcome.owed,
        further=outcome.further,
        cost=outcome.cost,
        updated_at=outcome.updated_at,
        lease=lease if outcome.owed else None,
    )


def failed(job: Job | None, why: Failure | None, now: datetime) -> Job:
    """A failed job that no worker held. Raises `RecordChanged`."""
    job = replace(FAIL.out_of(job), status=FAIL.into(JobStatus.FAILED), error=why, updated_at=now)
    return with_end(job)


def superseded(job: Job, new: Job) -> Job:
    """A replaced job. It names its successor, has failed if it had not ended, and owes nothing any more."""
    if not job.ended:
        job = replace(
            SUPERSEDE.out_of(job),
            status=SUPERSEDE.into(JobStatus.FAILED),
            error=REPLACED,
            variants=(),
            review=None,
            updated_at=clock.now(),
            moments=(*job.moments, overtaken_at(new)),
        )
    return replace(job, superseded_by=new.processing_id, owed=(), lease=None)


def withheld(job: Job, reason: str, now: datetime) -> Job:
    """A job with everything made, as it waits for a reviewer."""
    review = Review(reason=reason, asked_at=now, variants=job.variants, facts=job.facts, owed=job.owed)
    return replace(job, status=FINISH.into(JobStatus.NEEDS_REVIEW), variants=(), facts=Facts(), owed=(), review=review)


def decided(job: Job | None, decision: Decision, now: datetime, *, by: str = "", comment: str = "") -> Job:
    """A job that needed a review, with the decision. A rejected one has ended. Raises `RecordChanged`."""
    job = DECIDE.out_of(job)
    if job.review is None or job.review.decision is not None:
        raise DECIDE.refusal
    review = replace(job.review, decision=decision, decided_at=now, decided_by=by, comment=comment)
    job = replace(job, review=review, updated_at=now)
    if decision is Decision.APPROVED:
        return job
    bare = replace(review, variants=(), facts=Facts(), owed=())
    return with_end(replace(job, status=DECIDE.into(JobStatus.REJECTED), review=bare))


def published(job: Job | None, variants: Sequence[StoredVariant], now: datetime, expires_at: int) -> Job:
    """An approved job whose variants lie where viewers read them. Raises `RecordChanged`."""
    job = PUBLISH.out_of(job)
    review = job.review
    if review is None or review.decision is not Decision.APPROVED:
        raise PUBLISH.refusal
    job = replace(
        job,
        status=PUBLISH.into(JobStatus.COMPLETED),
        variants=tuple(variants),
        facts=review.facts.once_shown,
        owed=review.owed,
        review=replace(review, variants=(), facts=Facts(), owed=()),
        updated_at=now,
        expires_at=expires_at,
    )
    return with_end(job)


def removed(image: Image) -> Job:
    """The current job of a deleted image, for the listeners: its record is gone."""
    deleted_at = image.deleted_at or clock.now()
    return Job(
        processing_id=image.current_job,
        unique_id=image.unique_id,
        tenant=image.tenant,
        original_key=image.key,
        filename=image.filename,
        metadata=image.metadata,
        status=JobStatus.FAILED,
        error=failure_of(ImageDeleted()),
        created_at=image.created_at,
        updated_at=deleted_at,
        expires_at=image.expires_at or epoch(deleted_at),
        moments=(Moment(kind=Kind.DELETED, at=deleted_at),),
    )


# -- moments: each from what is in the record, so that whoever works it out again comes to the same


def began_at(now: datetime) -> Moment:
    return Moment(kind=Kind.PROCESSING, at=now)


def ended_at(job: Job) -> Moment:
    """Of a job that is at rest."""
    if job.status is JobStatus.FAILED:
        return Moment(kind=Kind.FAILED, at=job.updated_at, code=job.error.code if job.error else "")
    if job.status is JobStatus.NEEDS_REVIEW:
        return Moment(kind=Kind.NEEDS_REVIEW, at=job.updated_at, code=job.review.reason if job.review else "")
    return Moment(kind=_ENDS[job.status], at=job.updated_at)


_ENDS = {JobStatus.COMPLETED: Kind.COMPLETED, JobStatus.REJECTED: Kind.REJECTED}


def overtaken_at(new: Job) -> Moment:
    """Of a job in whose place the new one came."""
    return Moment(kind=Kind.SUPERSEDED, at=new.created_at)


def with_end(job: Job) -> Job:
    """A job that has just come to rest, with its end in the journal, as the store writes it."""
    return replace(job, moments=(*job.moments, ended_at(job)))


def _failure(why: Failure, at: datetime) -> Moment:
    return Moment(kind=Kind.FAILED, at=at, code=why.code)


def end_of(job: Job) -> End | None:
    """How a job ended, or that it waits for a reviewer; None before that."""
    if not job.is_at_rest:
        return None
    code = job.error.code if job.error else ""
    return {SUPERSEDED: End.SUPERSEDED, ImageDeleted.code: End.DELETED}.get(code, End(job.status.value))


def position(created_at: datetime, processing_id: str) -> str:
    """Ordered by time, and unique. So the last position is all that a cursor needs."""
    return f"{clock.to_iso(created_at)}#{processing_id}"


def new_processing_id(created_at: datetime) -> str:
    """`img_{epoch milliseconds}_{random}`: 64 random bits, so that ids cannot be guessed or collide."""
    return f"img_{round(created_at.timestamp() * 1000)}_{secrets.token_hex(8)}"


def epoch(moment: datetime) -> int:
    """A time as records store it: whole seconds since the epoch."""
    return int(moment.timestamp())
