"""How soon an image may have its next job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from processor.jobs import new_processing_id
from processor.pace import FREE_JOBS, MAX_PAUSE_SECONDS, pause_before_job

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def jobs(*seconds: float) -> list[str]:
    return [new_processing_id(NOON + timedelta(seconds=each)) for each in seconds]


def test_a_few_jobs_are_made_at_once() -> None:
    assert pause_before_job(jobs(*range(FREE_JOBS - 1)), NOON + timedelta(seconds=FREE_JOBS)) == 0


def test_further_ones_wait_longer_each_time() -> None:
    now = NOON + timedelta(seconds=10)
    pauses = [pause_before_job(jobs(*[10.0] * count), now) for count in range(FREE_JOBS, FREE_JOBS + 4)]
    assert pauses == [2, 4, 6, 8]


def test_what_was_long_ago_counts_no_more() -> None:
    assert pause_before_job(jobs(*[0.0] * 900), NOON + timedelta(seconds=61)) == 0


def test_an_id_of_another_kind_tells_no_time_and_one_of_a_wrong_clock_stops_nobody_for_long() -> None:
    assert pause_before_job(["img_first", "x", *["img__a"] * 9], NOON) == 0
    assert pause_before_job(jobs(*[86_400.0] * 9), NOON) == MAX_PAUSE_SECONDS


@settings(deadline=None)
@given(st.lists(st.floats(min_value=0, max_value=5), min_size=50, max_size=400))
def test_however_often_an_image_is_asked_for_it_has_few_jobs_in_any_minute(pauses: list[float]) -> None:
    now, made = NOON, list[datetime]()
    for seconds in pauses:
        now += timedelta(seconds=seconds)
        if pause_before_job([new_processing_id(moment) for moment in made], now) == 0:
            made.append(now)
    for first in made:
        assert (
            sum(first <= moment < first + timedelta(minutes=1) for moment in made) <= FREE_JOBS + 7
        )  # 2 + 4 + ... + 14 s
