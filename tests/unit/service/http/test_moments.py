"""Which texts are times, and what is said of those that are not."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.moments import NotAMoment, first_moment, last_moment

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T00:00:00Z",
        "2026-01-01t00:00:00z",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00:00.000000000Z",
        "2026-01-01T00:00:00.0000009Z",
        "2026-01-01T00:00:00+00:00",
        "2026-01-01T00:00:00-00:00",
        "2026-01-01T14:00:00+14:00",
        "2025-12-31T23:30:00-00:30",
    ],
)
def test_one_time_may_be_written_in_many_ways(text: str) -> None:
    assert first_moment(text) == last_moment(text) == NEW_YEAR


def test_a_date_is_its_whole_day_in_utc() -> None:
    assert first_moment("2026-01-01") == NEW_YEAR
    assert last_moment("2026-01-01") == NEW_YEAR + timedelta(days=1) - timedelta(microseconds=1)
    assert last_moment("9999-12-31") == datetime.max.replace(tzinfo=UTC)
    assert first_moment("0001-01-01") == datetime.min.replace(tzinfo=UTC)


SHAPE = "must be a time with its zone, like 2026-01-02T03:04:05Z, or a date, like 2026-01-02 (RFC 3339)"
NO_ZONE = "must say its zone: end it with Z for UTC, or with an offset like +01:00"
LOST_PLUS = "has a space where an offset begins: a + must be written %2B in a URL"
LEAP = "must not be a leap second: name the second before or after it"
YEARS = "must lie in the years 1 to 9999 of UTC"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("yesterday", SHAPE),
        (" 2026-01-01", SHAPE),
        ("2026-01-01\n", SHAPE),
        ("2026-1-1", SHAPE),
        ("20260101", SHAPE + ", not a number"),
        ("1796010100000", SHAPE + ", not a number"),
        ("1801010101000", SHAPE + ", not a number"),
        ("-1", SHAPE + ", not a number"),
        ("1767323045.678", SHAPE + ", not a number"),
        ("20260101T000000Z", SHAPE),
        ("2026-W01-4", SHAPE),
        ("2026-001", SHAPE),
        ("2026-01", SHAPE),
        ("2026-01-01Z", SHAPE),
        ("2026-01-01+02:00", SHAPE),
        ("2026-01-01_00:00:00Z", SHAPE),
        ("2026-01-01T00:00Z", SHAPE),
        ("2026-01-01T00Z", SHAPE),
        ("2026-01-01T00:00:00,5Z", SHAPE),
        ("2026-01-01T00:00:00.Z", SHAPE),
        ("2026-01-01T00:00:00+01", SHAPE),
        ("2026-01-01T00:00:00+0100", SHAPE),
        ("2026-01-01T00:00:00 UTC", SHAPE),
        ("٢٠٢٦-01-01T00:00:00Z", SHAPE),
        ("+2026-01-01T00:00:00Z", SHAPE),
        ("2026-01-01T00:00:00", NO_ZONE),
        ("2026-01-01 00:00", NO_ZONE),
        ("2026-01-01T00:00:00.123", NO_ZONE),
        ("2026-01-01T00:00:00 02:00", LOST_PLUS),
        ("2026-01-01T00:00:00.5 0200", LOST_PLUS),
        ("2026-01-01T23:59:60Z", LEAP),
        ("2026-02-29", "must be a time that exists; there is no 2026-02-29T00:00:00Z"),
        ("0000-01-01", "must be a time that exists; there is no 0000-01-01T00:00:00Z"),
        ("2026-01-01T24:00:00Z", "must be a time that exists; there is no 2026-01-01T24:00:00Z"),
        ("2026-01-01T00:60:00Z", "must be a time that exists; there is no 2026-01-01T00:60:00Z"),
        ("2026-01-01T00:00:00+24:00", "must be a time that exists; there is no 2026-01-01T00:00:00+24:00"),
        ("2026-01-01T00:00:00+00:60", "must be a time that exists; there is no 2026-01-01T00:00:00+00:60"),
        ("0001-01-01T00:00:00+14:00", YEARS),
        ("9999-12-31T23:59:59-00:01", YEARS),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(text: str, complaint: str) -> None:
    for read in (first_moment, last_moment):
        with pytest.raises(NotAMoment, match=re.escape(complaint) + "$"):
            read(text)


OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=OFFSETS), st.sampled_from("T "))  # noqa: DTZ001
def test_whatever_python_writes_with_a_zone_is_read_as_it_was(moment: datetime, separator: str) -> None:
    assert first_moment(moment.isoformat(separator)) == moment


@given(st.text() | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]?[0-9:. Zz+-]*", fullmatch=True))
def test_nothing_is_read_but_what_the_standard_knows(text: str) -> None:
    with contextlib.suppress(NotAMoment):
        moment = first_moment(text)
        day = r"\d{4}-\d\d-\d\d"
        assert re.fullmatch(rf"{day}([Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d))?", text, re.ASCII)
        assert abs(moment - datetime.fromisoformat(text[:10]).replace(tzinfo=UTC)) < timedelta(days=2)
