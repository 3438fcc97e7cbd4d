"""Checks requests against the token buckets of their caller and tenant, and reports what is left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from processor.usage import Quota
from service.auth.authenticator import ANONYMOUS
from service.auth.middleware import find_principal
from service.auth.principal import Principal
from service.http.buckets import BUCKETS, Buckets, Level
from service.http.problems import TooManyRequests

QUOTA = web.AppKey("quota", Quota)

#: The rate of the call that sets limits, however low those are: an administrator can always correct them.
REPAIR_RATE, REPAIR_BURST = 1, 10

#: Bytes of an answer that count as one request: a page of 100 images is two of them, or five with full metadata.
ANSWER_BYTES = 128 * 1024
#: Bytes of records, which say more than an answer, that count as one.
READ_BYTES = 2 * ANSWER_BYTES

_COUNTED = web.RequestKey("counted_requests", int)
_ITEMS = web.RequestKey("counted_items", int)
_HEADERS = web.RequestKey("rate_limit_headers", dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bucket:
    """Whose bucket it is in the headers, its name, and its measures."""

    owner: str
    name: str
    rate: float
    burst: int


_TAKEN_FROM = web.RequestKey("buckets", Sequence[_Bucket])


@web.middleware
async def rate_limit(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Limit the rate, after authentication, so that a stranger cannot use up a caller's bucket."""
    principal = find_principal(request)
    if principal is None or principal is ANONYMOUS:
        return await handler(request)
    request[_TAKEN_FROM] = buckets = await _buckets(request, principal)
    levels = _take(request.app[BUCKETS], buckets)
    request[_HEADERS] = rate_limit_headers(levels)
    _refuse_emptied(levels)
    response = await handler(request)
    more = max(weight(response), request.get(_COUNTED, 1)) - request.get(_ITEMS, 1)
    if more > 0:
        charge = request.app[BUCKETS].charge
        levels = {each.owner: charge(each.name, more, rate=each.rate, burst=each.burst) for each in buckets}
        request[_HEADERS] = rate_limit_headers(levels)
    return response


def count_item(request: web.Request) -> None:
    """An item of a batch counts as a call; the first one is counted as the request itself. Raises `TooManyRequests`."""
    items = request.get(_ITEMS, 0)
    buckets = request.get(_TAKEN_FROM, ())
    if items and buckets:
        levels = _take(request.app[BUCKETS], buckets)
        _refuse_emptied(levels)
        request[_HEADERS] = rate_limit_headers(levels)
    request[_ITEMS] = items + 1


def _refuse_emptied(levels: Mapping[str, Level]) -> None:
    for level in levels.values():
        if level.retry_after is not None:
            raise TooManyRequests(level.retry_after, limit=level.capacity)


def weight(response: web.StreamResponse) -> int:
    """For how many requests an answer counts: a long one costs more to read and to write."""
    return max(1, math.ceil((response.content_length or 0) / ANSWER_BYTES))


def count_work(request: web.Request, *, read_bytes: int, changes: int = 0) -> None:
    """Set for how many requests a call counts, if it reads more than it shows, or changes several things."""
    request[_COUNTED] = math.ceil(read_bytes / READ_BYTES) + changes


async def _buckets(request: web.Request, principal: Principal) -> list[_Bucket]:
    """The buckets to check. The caller's comes first, so that its refused requests do not use up the tenant's."""
    if _sets_limits(request):
        return [_Bucket(owner="caller", name=f"limits:{principal.subject}", rate=REPAIR_RATE, burst=REPAIR_BURST)]
    limits = await request.app[QUOTA].limits(principal.tenant)
    return [
        _Bucket(
            owner="caller",
            name=principal.subject,
            rate=limits.requests_per_second,
            burst=limits.request_burst,
        ),
        _Bucket(
            owner="tenant",
            name=f"tenant:{principal.tenant}",
            rate=limits.tenant_requests_per_second,
            burst=limits.tenant_request_burst,
        ),
    ]


def _take(all_buckets: Buckets, buckets: Sequence[_Bucket]) -> dict[str, Level]:
    levels: dict[str, Level] = {}
    for bucket in buckets:
        level = levels[bucket.owner] = all_buckets.take(bucket.name, rate=bucket.rate, burst=bucket.burst)
        if level.retry_after is not None:
            break
    return levels


def _sets_limits(request: web.Request) -> bool:
    resource = request.match_info.route.resource
    return request.method == hdrs.METH_PUT and resource is not None and resource.canonical == "/images/limits"


async def tell_rate_limit(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers just before an answer is sent."""
    response.headers.update(request.get(_HEADERS, {}))


def rate_limit_headers(levels: dict[str, Level]) -> dict[str, str]:
    """The fields of draft-ietf-httpapi-ratelimit-headers-10, and `Retry-After` for a bucket that is empty."""
    policies = (f'"{name}";q={level.capacity};w={level.window_seconds}' for name, level in levels.items())
    states = (f'"{name}";r={level.left};t={level.refill_seconds}' for name, level in levels.items())
    headers = {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}
    waits = [level.retry_after for level in levels.values() if level.retry_after is not None]
    return headers | ({hdrs.RETRY_AFTER: str(max(waits))} if waits else {})
