"""What a tenant is told follows from the records: the same however often it is asked for, and in order."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.jobs import (
    Failure,
    FormatSet,
    Image,
    Job,
    JobStatus,
    Lease,
    Source,
    arrived,
    claimed,
    ended,
    failed,
    next_job,
    noted,
    removed,
    superseded,
)
from processor.moments import Kind
from processor.notices import Notice, last_notice, notices_of, time_of
from processor.recipes import STANDARD
from tests.unit.processor.stores.test_records import COMPLETED, LIVING, NOW, PENDING

SOURCE = Source(etag="e", size=5)
LEASE = Lease(token="t", owner="o", expires_at=NOW.timestamp() - 1)


def variants(*names: str, at: datetime = NOW) -> Job:
    return replace(COMPLETED, variants=tuple(replace(COMPLETED.variants[0], name=name, stored_at=at) for name in names))


def kinds(job: Job) -> list[str]:
    return [
        ":".join((notice.kind.removeprefix("image."), *(each.name for each in notice.variants[:1])))
        for notice in notices_of(job)
    ]


def begun(now: datetime = NOW) -> Job:
    return claimed(arrived(PENDING, SOURCE, 0, counted=True), LEASE, now, "maker")


def with_variants(job: Job, *names: str, at: datetime = NOW) -> Job:
    return noted(job, LEASE, variants(*names, at=at).variants, at)


def complete(job: Job, now: datetime = NOW) -> Job:
    return ended(job, LEASE, replace(job, status=JobStatus.COMPLETED, updated_at=now))


def test_a_job_is_told_from_its_upload_to_its_end() -> None:
    job = complete(with_variants(begun(), "thumbnail", "large"))
    assert kinds(job) == ["uploaded", "processing", "variant:large", "variant:thumbnail", "completed:thumbnail"]
    assert [each.name for each in notices_of(job)[-1].variants] == ["thumbnail", "large"]


def test_nothing_is_told_of_an_upload_that_has_not_come() -> None:
    assert notices_of(PENDING) == ()


def test_further_formats_are_told_behind_the_end() -> None:
    made = FormatSet(format="avif", variants=variants("large", at=NOW + timedelta(minutes=1)).variants)
    job = replace(complete(begun()), further=(made,))
    assert kinds(job) == ["uploaded", "processing", "completed", "variant:large"]


def test_a_failure_names_its_code_and_stays_told_when_the_job_is_taken_up_again() -> None:
    job = failed(arrived(PENDING, SOURCE, 0, counted=True), Failure(code="unavailable", message="Away."), NOW)
    told = notices_of(job)
    assert (told[-1].kind, told[-1].code) == (Kind.FAILED, "unavailable")
    again = claimed(replace(job, source=SOURCE), LEASE, NOW + timedelta(minutes=9), "maker")
    assert notices_of(again)[: len(told)] == told
    assert kinds(complete(again))[-2:] == ["processing", "completed"]


def test_who_takes_the_place_of_a_job_is_told_with_its_end() -> None:
    old = begun()
    new = next_job(LIVING, old, SOURCE, timedelta(days=1), recipe=STANDARD)
    told = last_notice(superseded(old, new))
    assert told is not None
    assert (told.kind, told.superseded_by) == (Kind.SUPERSEDED, new.processing_id)


def test_of_a_deleted_image_it_is_told_that_it_is() -> None:
    image: Image = replace(LIVING, deleted_at=NOW)
    (told,) = notices_of(removed(image))
    assert (told.kind, told.at, told.unique_id) == (Kind.DELETED, NOW, image.unique_id)


def test_of_a_job_that_an_earlier_release_ended_nothing_is_made_up() -> None:
    assert last_notice(replace(COMPLETED, moments=())) is None


@pytest.mark.parametrize(
    "text", ["", "1", "-", "1767323045000", "176732304500x-a", "\u0660767323045000-a", "99999999999999-a"]
)
def test_what_is_no_id_tells_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="no id"):
        time_of(text)


# -- whatever happens, and whatever the clocks say ------------------------------------------------------------------

#: What may happen next, and what the clock of whoever does it says, in milliseconds after the upload.
STEPS = st.lists(
    st.tuples(st.sampled_from(("claim", "note", "fail", "finish", "replace", "format")), st.integers(-3000, 9000)),
    max_size=8,
)


def after(job: Job, step: str, now: datetime) -> Job:
    """The job after that, or as it was where that cannot be."""
    if job.superseded_by is None:
        if step == "claim" and (not job.ended or job.may_be_taken_up_again):
            return claimed(replace(job, lease=None), LEASE, now, "maker")
        if step == "replace" and not job.ended:
            return superseded(job, replace(PENDING, processing_id="img_2_b", created_at=now))
    if job.status is JobStatus.PROCESSING and step in IN_WORK:
        return IN_WORK[step](job, now)
    if step == "format" and job.status is JobStatus.COMPLETED:
        made = FormatSet(format=f"f{len(job.further)}", variants=variants("large", at=now).variants)
        return replace(job, further=(*job.further, made))
    return job


def fail(job: Job, now: datetime) -> Job:
    why = Failure(code="unavailable", message="Away.")
    return ended(job, LEASE, replace(job, status=JobStatus.FAILED, error=why, variants=(), updated_at=now))


def note(job: Job, now: datetime) -> Job:
    return with_variants(job, *("thumbnail", "medium")[: len(job.variants) + 1], at=now)


IN_WORK = {"note": note, "fail": fail, "finish": complete}


@given(STEPS)
def test_the_ids_of_a_job_sort_as_it_happened_and_none_changes(steps: list[tuple[str, int]]) -> None:
    job = arrived(PENDING, SOURCE, 0, counted=True)
    told: dict[str, Notice] = {}
    for step, milliseconds in steps:
        job = after(job, step, NOW + timedelta(milliseconds=milliseconds))
        now = {notice.id: notice for notice in notices_of(job)}
        assert list(now) == sorted(now)
        assert len(now) == len(notices_of(job))
        moments = {id_ for id_, notice in told.items() if notice.kind is not Kind.VARIANT}
        assert moments <= now.keys()
        assert all(time_of(id_) == notice.at for id_, notice in now.items())
        told |= now
