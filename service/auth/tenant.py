"""The tenant that a request acts for, under a typed request key."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

#: The owner of everything while callers are not told apart.
DEFAULT_TENANT = "default"
_TENANT = web.RequestKey("tenant", str)


@web.middleware
async def tenant_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The one place that decides whose images a request is about."""
    request[_TENANT] = DEFAULT_TENANT
    return await handler(request)


def tenant_of(request: web.Request) -> str:
    """The tenant that the request acts for."""
    return request[_TENANT]
