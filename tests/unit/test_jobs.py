"""The statuses, the ids, and the order of sources."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from processor.jobs import TRANSITIONS, JobStatus, just_after, new_processing_id, sequencer_order


def test_nothing_leads_back_to_pending_or_uploaded_or_out_of_completed() -> None:
    reachable = {target for targets in TRANSITIONS.values() for target in targets}
    assert JobStatus.PENDING not in reachable
    assert TRANSITIONS[JobStatus.COMPLETED] == frozenset()
    assert not any(
        JobStatus.UPLOADED in targets for status, targets in TRANSITIONS.items() if status is not JobStatus.PENDING
    )


def test_completed_is_reached_from_processing_alone() -> None:
    assert [status for status, targets in TRANSITIONS.items() if JobStatus.COMPLETED in targets] == [
        JobStatus.PROCESSING
    ]


def test_a_processing_id_tells_when_the_job_was_made() -> None:
    assert re.fullmatch(
        r"img_1767323045678_[0-9a-f]{16}", new_processing_id(datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC))
    )


def test_a_shorter_sequencer_is_padded_with_zeros_on_the_right() -> None:
    assert sequencer_order("0055AED6DCD9") == sequencer_order("0055AED6DCD90")
    assert sequencer_order("0055AED6DCD9") < sequencer_order("0055AED6DCD90281E5")
    assert sequencer_order("0055") > sequencer_order("00549999")


def test_nothing_seen_yet_is_older_than_any_sequencer() -> None:
    assert sequencer_order("") < sequencer_order("01")


@given(st.integers(0, 2**60), st.integers(0, 2**60))
def test_sequencers_of_one_length_sort_like_numbers_whatever_their_case(left: int, right: int) -> None:
    assert (sequencer_order(f"{left:018x}") < sequencer_order(f"{right:018X}")) == (left < right)


@given(st.integers(0, 2**60))
def test_there_is_room_for_a_lost_event_between_any_two_sequencers_of_s3(number: int) -> None:
    before, after = f"{number:018X}", f"{number + 1:018X}"
    lost = just_after(before)
    assert sequencer_order(before) < sequencer_order(lost) < sequencer_order(just_after(lost)) < sequencer_order(after)
    assert sequencer_order("") < sequencer_order(just_after("")) < sequencer_order(f"{1:018X}")
