"""How an event ended, and what ends the work on it early."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from processor import clock
from processor.events import Event
from processor.jobs import FormatSet, Job, JobStatus, Timings
from processor.probe import Probes, Span


class OutcomeKind(StrEnum):
    """How an event ended."""

    COMPLETED = "completed"  # every variant is stored and the record says so
    HELD = "held"  # every variant is stored where nobody but a reviewer sees it
    FAILED = "failed"  # the record says why
    ADDED = "added"  # a completed job has the further formats that it owed, or the record says why not
    DUPLICATE = "duplicate"  # the job had ended already
    STALE = "stale"  # the bucket holds another upload than the event speaks of, and that one is known or on its way
    MISSING = "missing"  # there is no such object: the event came before its upload, or after its removal
    SUPERSEDED = "superseded"  # another job, or a delete, overtook this one while it ran
    DELETED = "deleted"  # the image is deleted: what came for it is removed
    UNKNOWN = "unknown"  # nobody asked for this upload
    FOREIGN = "foreign"  # another bucket, or a key that this service never issues
    REFUSED = "refused"  # the image has had as many jobs as it may
    BUSY = "busy"  # another worker holds the job, or others change the image just now: look again in a while


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a conversion returned. Everything but `busy` settles its message, once all listeners are told."""

    kind: OutcomeKind
    unique_id: str | None = None
    processing_id: str | None = None
    code: str | None = None
    timings: Timings | None = None
    #: From the end of the upload until its variants could be shown; None for a job that was asked for again.
    servable_seconds: float | None = None
    #: The same of each variant, by its name, until it was stored.
    stored_seconds: Mapping[str, float] = field(default_factory=dict)
    retry_after_seconds: int = 0
    #: Whether the job is completed and owes further formats: the message is kept until it has them.
    owes: bool = False
    #: The results of owed formats: a code of failure, or None. And the seconds from the end of the upload until the
    #: last variant of a format was stored.
    formats: Mapping[str, str | None] = field(default_factory=dict)
    format_seconds: Mapping[str, float] = field(default_factory=dict)
    #: The job that has just ended, for the log and the metrics.
    job: Job | None = None
    #: Whether every listener was told of every end, or will not be told any more.
    told: bool = True

    @property
    def settles(self) -> bool:
        """Whether the message can be settled."""
        return self.told and self.kind is not OutcomeKind.BUSY


class Settled(Exception):
    """The event leads to no job that could be worked on."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.kind.value)
        self.outcome = outcome


class Replaced(Exception):
    """Another job must do the work, as `event` says: for another source, or by another release."""

    def __init__(self, event: Event) -> None:
        super().__init__("the source was replaced")
        self.event = event


def job_span(probes: Probes, job: Job) -> AbstractContextManager[Span]:
    """Around all that a worker does for a job: it belongs to the trace of whoever asked for the job."""
    return probes.span(
        "job",
        continues=job.trace,
        processingId=job.processing_id,
        uniqueId=job.unique_id,
        tenant=job.tenant,
        attempts=job.attempts,
    )


def of_job(kind: OutcomeKind, job: Job) -> Outcome:
    """The outcome for a job with nothing new."""
    return Outcome(kind=kind, unique_id=job.unique_id, processing_id=job.processing_id)


_ENDS = {JobStatus.COMPLETED: OutcomeKind.COMPLETED, JobStatus.NEEDS_REVIEW: OutcomeKind.HELD}


def of_end(job: Job) -> Outcome:
    """The outcome for a job that has just ended."""
    kind = _ENDS.get(job.status, OutcomeKind.FAILED)
    return Outcome(
        kind=kind,
        unique_id=job.unique_id,
        processing_id=job.processing_id,
        code=job.error.code if job.error else None,
        timings=job.timings,
        owes=bool(job.owed),
        job=job,
        servable_seconds=_seconds_since_upload(job, job.updated_at),
        stored_seconds={
            variant.name: seconds
            for variant in job.variants
            if (seconds := _seconds_since_upload(job, variant.stored_at)) is not None
        },
    )


def of_formats(job: Job, sets: Sequence[FormatSet]) -> Outcome:
    """The outcome for a completed job that has just got its further formats."""
    return replace(
        of_job(OutcomeKind.ADDED, job),
        formats={made.format: made.error.code if made.error else None for made in sets},
        format_seconds={
            made.format: seconds
            for made in sets
            if made.variants and (seconds := _seconds_since_upload(job, _stored_at(made))) is not None
        },
    )


def _stored_at(made: FormatSet) -> datetime:
    return max(variant.stored_at for variant in made.variants)


def _seconds_since_upload(job: Job, moment: datetime) -> float | None:
    if job.status is not JobStatus.COMPLETED or job.source is None or not job.source.event_time:
        return None
    try:
        uploaded_at = clock.from_iso(job.source.event_time)
    except (ValueError, OverflowError):  # whoever sent the event wrote it
        return None
    return max(0.0, (moment - uploaded_at).total_seconds())
