"""The statuses, the ids, and what is the same source."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

from processor.jobs import TRANSITIONS, Job, JobStatus, Source, new_processing_id


def test_nothing_leads_back_to_pending_or_uploaded_or_out_of_completed() -> None:
    reachable = {target for targets in TRANSITIONS.values() for target in targets}
    assert JobStatus.PENDING not in reachable
    assert TRANSITIONS[JobStatus.COMPLETED] == frozenset()
    assert not any(
        JobStatus.UPLOADED in targets for status, targets in TRANSITIONS.items() if status is not JobStatus.PENDING
    )


def test_completed_is_reached_from_processing_alone_and_by_a_review() -> None:
    assert {status for status, targets in TRANSITIONS.items() if JobStatus.COMPLETED in targets} == {
        JobStatus.PROCESSING,
        JobStatus.NEEDS_REVIEW,
    }
    assert TRANSITIONS[JobStatus.REJECTED] == frozenset()


def test_a_processing_id_tells_when_the_job_was_made() -> None:
    assert re.fullmatch(
        r"img_1767323045678_[0-9a-f]{16}", new_processing_id(datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC))
    )


def test_a_source_is_the_same_by_its_etag_and_no_etag_is_like_another() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    pending = Job(
        processing_id="img_1_a",
        unique_id="u",
        tenant="t",
        original_key="k",
        filename="a.jpg",
        status=JobStatus.PENDING,
        created_at=now,
        updated_at=now,
        expires_at=0,
    )
    uploaded = replace(pending, source=Source(etag="e", size=1))
    assert uploaded.is_over("e")
    assert not uploaded.is_over("f")
    assert not pending.is_over("e")
    assert not replace(pending, source=Source(etag="", size=1)).is_over("")
