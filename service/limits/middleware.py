"""Holds requests against the buckets of their caller and tenant, and tells what is left."""

from __future__ import annotations

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from processor.usage import Quota
from service.auth.authenticator import ANONYMOUS
from service.auth.middleware import find_principal
from service.auth.principal import Principal
from service.http.buckets import BUCKETS, Level
from service.http.problems import TooManyRequests

QUOTA = web.AppKey("quota", Quota)

#: Of the call that sets limits, however low those are: an administrator who set a wrong one can set it right.
REPAIR_RATE, REPAIR_BURST = 1, 10

_HEADERS = web.RequestKey("rate_limit_headers", dict)


@web.middleware
async def rate_limit(request: web.Request, handler: Handler) -> web.StreamResponse:
    """After authentication: a stranger cannot use up what is a caller's."""
    principal = find_principal(request)
    if principal is None or principal is ANONYMOUS:
        return await handler(request)
    levels = _repairs(request, principal) if _sets_limits(request) else await _levels(request, principal)
    request[_HEADERS] = rate_limit_headers(levels)
    for level in levels.values():
        if level.retry_after is not None:
            raise TooManyRequests(level.retry_after, limit=level.capacity)
    return await handler(request)


async def _levels(request: web.Request, principal: Principal) -> dict[str, Level]:
    limits = await request.app[QUOTA].limits(principal.tenant)
    take = request.app[BUCKETS].take
    levels = {"caller": take(principal.subject, rate=limits.requests_per_second, burst=limits.request_burst)}
    if levels["caller"].retry_after is None:  # or one caller could use up what is its colleagues'
        levels["tenant"] = take(
            f"tenant:{principal.tenant}",
            rate=limits.tenant_requests_per_second,
            burst=limits.tenant_request_burst,
        )
    return levels


def _sets_limits(request: web.Request) -> bool:
    resource = request.match_info.route.resource
    return request.method == hdrs.METH_PUT and resource is not None and resource.canonical == "/images/limits"


def _repairs(request: web.Request, principal: Principal) -> dict[str, Level]:
    return {"caller": request.app[BUCKETS].take(f"limits:{principal.subject}", rate=REPAIR_RATE, burst=REPAIR_BURST)}


async def tell_rate_limit(request: web.Request, response: web.StreamResponse) -> None:
    """Just before an answer is sent, whatever it is."""
    response.headers.update(request.get(_HEADERS, {}))


def rate_limit_headers(levels: dict[str, Level]) -> dict[str, str]:
    """The fields of draft-ietf-httpapi-ratelimit-headers-10, and `Retry-After` for a bucket that is empty."""
    policies = (f'"{name}";q={level.capacity};w={level.window_seconds}' for name, level in levels.items())
    states = (f'"{name}";r={level.left};t={level.refill_seconds}' for name, level in levels.items())
    headers = {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}
    waits = [level.retry_after for level in levels.values() if level.retry_after is not None]
    return headers | ({hdrs.RETRY_AFTER: str(max(waits))} if waits else {})
