"""Times as callers may write them: RFC 3339 with a zone, or a date alone for the whole of its day in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

#: RFC 3339, 5.6, which lets a space stand for the `T`, and small letters for both.
_DATE_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ](?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})(\.(?P<fraction>[0-9]+))?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
#: What is nearly right, by what is wrong with it.
_LOST_PLUS = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:]{4,8}(\.[0-9]+)? [0-9]{2}:?[0-9]{2}")
_NO_ZONE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?")

#: The second that a few minutes have beyond their 60: no clock of ours can show it.
LEAP_SECOND = 60

_SHAPE = "must be a time with its zone, like 2026-01-02T03:04:05Z, or a date, like 2026-01-02 (RFC 3339)"
_LAST_OF_DAY = timedelta(days=1) - timedelta(microseconds=1)


class NotAMoment(ValueError):
    """What is wrong with a text, as a clause that follows the name of whatever it was given for."""


def first_moment(text: str) -> datetime:
    """The time that a text names, in UTC; of a date, its first. Raises `NotAMoment`."""
    if _DATE.fullmatch(text):
        return _checked(text, "00:00:00", "", "Z")
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        raise NotAMoment(_complaint(text))
    return _checked(found["date"], found["time"], found["fraction"] or "", found["zone"])


def last_moment(text: str) -> datetime:
    """The same; of a date, its last. Raises `NotAMoment`."""
    moment = first_moment(text)
    return moment + _LAST_OF_DAY if _DATE.fullmatch(text) else moment


def _checked(day: str, clock: str, fraction: str, zone: str) -> datetime:
    year, month, date, hour, minute, second = map(int, re.split("[-:]", f"{day}:{clock}"))
    if second == LEAP_SECOND:
        raise NotAMoment("must not be a leap second: name the second before or after it")
    microsecond = int(f"{fraction:0<6}"[:6])
    try:
        return datetime(year, month, date, hour, minute, second, microsecond, _zone(zone)).astimezone(UTC)
    except ValueError:
        raise NotAMoment(f"must be a time that exists; there is no {day}T{clock}{zone}") from None
    except OverflowError:
        raise NotAMoment("must lie in the years 1 to 9999 of UTC") from None


def _zone(text: str) -> timezone:
    if text in ("Z", "z"):
        return UTC
    hours, minutes = int(text[1:3]), int(text[4:])
    if minutes > 59:  # noqa: PLR2004 - minutes of an hour
        raise ValueError(text)
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _complaint(text: str) -> str:
    if _LOST_PLUS.fullmatch(text):
        return "has a space where an offset begins: a + must be written %2B in a URL"
    if _NO_ZONE.fullmatch(text):
        return "must say its zone: end it with Z for UTC, or with an offset like +01:00"
    if _NUMBER.fullmatch(text):
        return _SHAPE + ", not a number"
    return _SHAPE
