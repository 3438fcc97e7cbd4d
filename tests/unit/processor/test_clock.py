"""Times as they are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor import clock


def test_a_time_is_written_in_utc_with_milliseconds_and_z() -> None:
    eastern = timezone(timedelta(hours=-5))
    assert clock.to_iso(datetime(2026, 1, 2, 3, 4, 5, tzinfo=eastern)) == "2026-01-02T08:04:05.000Z"


def test_the_present_survives_a_round_trip() -> None:
    moment = clock.now()
    assert clock.from_iso(clock.to_iso(moment)) == moment


def test_a_time_without_a_zone_is_utc() -> None:
    assert clock.from_iso("2026-01-02") == datetime(2026, 1, 2, tzinfo=UTC)


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        clock.from_iso("yesterday")


MOMENTS = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(MOMENTS, MOMENTS)
def test_written_times_sort_like_the_times(left: datetime, right: datetime) -> None:
    left, right = (moment.replace(microsecond=moment.microsecond // 1000 * 1000) for moment in (left, right))
    assert (clock.to_iso(left) < clock.to_iso(right)) == (left < right)
