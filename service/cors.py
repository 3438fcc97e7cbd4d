"""Which web pages may call the API from a browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp_cors
from aiohttp import hdrs, web
from aiohttp_cors.urldispatcher_router_adapter import ResourcesUrlDispatcherRouterAdapter

from service.middleware import REQUEST_ID_HEADER

#: How long a browser may remember a preflight answer, in seconds.
PREFLIGHT_SECONDS = 600
#: Nobody is known by cookie here, so credentials are never allowed, whatever the origin.
_OPTIONS = aiohttp_cors.ResourceOptions(  # type: ignore[no-untyped-call]
    allow_credentials=False,
    allow_headers=(hdrs.CONTENT_TYPE, hdrs.AUTHORIZATION, "X-Api-Key", "Idempotency-Key", REQUEST_ID_HEADER),
    expose_headers=(REQUEST_ID_HEADER, hdrs.RETRY_AFTER, "RateLimit", "RateLimit-Policy", "Idempotent-Replayed"),
    max_age=PREFLIGHT_SECONDS,
)


class _EveryAnswer(ResourcesUrlDispatcherRouterAdapter):
    """Adds to the library that a page may also read the answer to a path or method which does not exist."""

    def is_cors_enabled_on_request(self, request: web.Request) -> bool:
        """Always: an error that a page cannot read is one that its user cannot report."""
        del request
        return True

    def get_non_preflight_request_config(self, request: web.Request) -> Mapping[str, Any]:
        """The same origins everywhere."""
        del request
        return self._default_config  # type: ignore[no-any-return]


def allow_origins(app: web.Application, origins: Sequence[str]) -> None:
    """Answer preflights for every route that the application has now, and mark every answer for these origins."""
    defaults = dict.fromkeys(origins, _OPTIONS)
    adapter = _EveryAnswer(app.router, defaults)
    cors = aiohttp_cors.CorsConfig(app, defaults=defaults, router_adapter=adapter)
    for route in list(app.router.routes()):
        cors.add(route)
    app.on_response_prepare.append(_vary)


async def _vary(request: web.Request, response: web.StreamResponse) -> None:
    """Whatever caches answers must keep them apart by origin."""
    del request
    response.headers.add(hdrs.VARY, hdrs.ORIGIN)
