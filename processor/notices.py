"""What a tenant is told of its images. Nothing is written for it: all of it follows from the records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from processor.images import StoredVariant
from processor.jobs import FormatSet, Job
from processor.moments import Kind, Moment

#: What nothing of a job comes after has these numbers, whatever came before.
_LAST = {Kind.SUPERSEDED: "9998", Kind.DELETED: "9999"}


#: After the last of these, variants are stored where viewers read them.
_BEFORE_VARIANTS = (Kind.PROCESSING, Kind.NEEDS_REVIEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that happened to an image.

    `id` is the same however often, when and by whom it is told. As text, the ids of one job sort in the order in which
    things happened to it; those of different jobs by time, as exactly as the clocks of the processes agree.
    """

    id: str
    kind: Kind
    at: datetime
    tenant: str
    unique_id: str
    processing_id: str
    #: The variant that is stored; of a completed job all of them.
    variants: Sequence[StoredVariant] = ()
    #: Of a failed job.
    code: str = ""
    #: Why a review is needed; of a rejected image, what the reviewer said.
    reason: str = ""
    superseded_by: str | None = None


def notices_of(job: Job) -> tuple[Notice, ...]:
    """Everything that a record tells, in order; also what is made up for a deleted image, of which no record is left.

    A job that was begun anew has the variants of its last run. Those that needed a review are there from then on.
    """
    return tuple(_told(job))


def last_notice(job: Job) -> Notice | None:
    """What happened to a job last: of one that has ended, its end. None of what an earlier release wrote."""
    whole = [notice for notice in notices_of(job) if notice.kind is not Kind.VARIANT]
    return whole[-1] if whole else None


def time_of(notice_id: str) -> datetime:
    """When it happened. Raises `ValueError` for what is no id of a notice."""
    milliseconds, _, rest = notice_id.partition("-")
    if len(milliseconds) != _DIGITS or not milliseconds.isascii() or not milliseconds.isdecimal() or not rest:
        raise ValueError("no id of a notice")
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


#: Digits of the milliseconds since the epoch, until the year 2286.
_DIGITS = 13


def _told(job: Job) -> Iterator[Notice]:
    runs = [number for number, moment in enumerate(job.moments) if moment.kind in _BEFORE_VARIANTS]
    at = job.created_at
    for number, moment in enumerate(job.moments):
        at = max(at, moment.at)  # the clocks of two processes may disagree, the order of the record does not
        place = _LAST.get(moment.kind, f"{number:04}")
        yield _of_moment(job, moment, at, place)
        if number in runs[-1:]:
            for variant in _by_time(job.variants):
                at = max(at, variant.stored_at)
                yield _of_variant(job, variant, at, f"{place}.{variant.name}")
        if moment.kind is Kind.COMPLETED:
            yield from _further(job, job.further, at, place)


def _further(job: Job, made: Sequence[FormatSet], at: datetime, place: str) -> Iterator[Notice]:
    for each in made:
        for variant in _by_time(each.variants):
            at = max(at, variant.stored_at)
            yield _of_variant(job, variant, at, f"{place}.{each.format}.{variant.name}")


def _by_time(variants: Sequence[StoredVariant]) -> Sequence[StoredVariant]:
    return sorted(variants, key=lambda each: (each.stored_at, each.name))


def _of_moment(job: Job, moment: Moment, at: datetime, place: str) -> Notice:
    return replace(
        _notice(job, moment.kind, at, place),
        variants=job.variants if moment.kind is Kind.COMPLETED else (),
        code=moment.code if moment.kind is Kind.FAILED else "",
        reason=_reason(job, moment),
        superseded_by=job.superseded_by if moment.kind is Kind.SUPERSEDED else None,
    )


def _reason(job: Job, moment: Moment) -> str:
    if moment.kind is Kind.REJECTED:
        return job.review.comment if job.review else ""
    return moment.code if moment.kind is Kind.NEEDS_REVIEW else ""


def _of_variant(job: Job, variant: StoredVariant, at: datetime, place: str) -> Notice:
    return replace(_notice(job, Kind.VARIANT, at, place), variants=(variant,))


def _notice(job: Job, kind: Kind, at: datetime, place: str) -> Notice:
    return Notice(
        id=f"{round(at.timestamp() * 1000):0{_DIGITS}}-{job.processing_id}-{place}",
        kind=kind,
        at=at,
        tenant=job.tenant,
        unique_id=job.unique_id,
        processing_id=job.processing_id,
    )
