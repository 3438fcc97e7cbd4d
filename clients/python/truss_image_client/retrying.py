"""When to ask again: as the service says, and otherwise with growing pauses."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

#: First and longest pause where nobody says how long, in seconds.
BACKOFF_SECONDS = (0.5, 10.0)
#: Pause where the service is busy, and does not say how long. In seconds.
BUSY_SECONDS = 1.0

#: The service tells all callers to wait.
BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
#: What is in front of the service cannot reach it.
AWAY = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})


def pause_after(status: int, code: str, headers: Mapping[str, str], tries: int) -> float | None:
    """Seconds to wait before a call that was refused is repeated; None: repeating it does not help."""
    told = retry_after(headers)
    if status in BUSY or code == "request_in_progress":
        return BUSY_SECONDS if told is None else told
    return backoff(tries) if status in AWAY else None


def backoff(tries: int) -> float:
    """Seconds to wait after so many tries in vain; callers that failed together do not come back together."""
    first, longest = BACKOFF_SECONDS
    return random.uniform(0.5, 1.0) * min(longest, first * 2.0 ** min(tries, 16))  # noqa: S311 - no secret


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds (RFC 9110, 10.2.3). A date is compared with the sender's clock."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    then = _moment(text)
    if then is None:
        return None
    now = _moment(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (then - now).total_seconds())


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
