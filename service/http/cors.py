"""Which web pages may call the API from a browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from service.http.middleware import REQUEST_ID_HEADER
from service.http.problems import MethodNotAllowed, OriginRefused
from service.http.urls import ANY

#: How long a browser may remember a preflight answer, in seconds.
PREFLIGHT_SECONDS = 600
#: What a page may read of an answer, besides what every page may.
EXPOSED = (
    REQUEST_ID_HEADER,
    hdrs.RETRY_AFTER,
    "RateLimit",
    "RateLimit-Policy",
    "Idempotent-Replayed",
    hdrs.ALLOW,
    "ETag",
    hdrs.LINK,
    hdrs.LOCATION,
    hdrs.WWW_AUTHENTICATE,
)
#: Whatever caches answers must keep them apart by these.
_PREFLIGHT_VARIES = f"{hdrs.ACCESS_CONTROL_REQUEST_METHOD}, {hdrs.ACCESS_CONTROL_REQUEST_HEADERS}"
#: https://wicg.github.io/private-network-access/#headers
_ASKS_FOR_PRIVATE_NETWORK = "Access-Control-Request-Private-Network"
_ALLOWS_PRIVATE_NETWORK = "Access-Control-Allow-Private-Network"


@dataclass(frozen=True, slots=True)
class Cors:
    """The pages of some origins. Nobody is known by cookie, so credentials are never allowed, and any header is."""

    origins: Sequence[str]

    def allows(self, origin: str) -> bool:
        """Whether pages of this origin may call, and read what they are answered."""
        return ANY in self.origins or origin in self.origins

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer every OPTIONS: a browser's question whether a page may ask, or anybody's what a path knows."""
        if request.method != hdrs.METH_OPTIONS:
            return await handler(request)
        method = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
        if hdrs.ORIGIN in request.headers and method is not None:
            return self._preflight(request, method)
        missing = request.match_info.http_exception
        if not isinstance(missing, web.HTTPMethodNotAllowed):
            return await handler(request)  # there is no such path
        known = MethodNotAllowed(missing.allowed_methods).known
        return web.Response(status=204, headers={hdrs.ALLOW: ", ".join(known)})

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Just before it is sent, let pages read an answer: an error that a page cannot read is one that its user
        cannot report."""
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and self.allows(origin):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = ANY if ANY in self.origins else origin
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = ", ".join(EXPOSED)

    def _preflight(self, request: web.Request, method: str) -> web.Response:
        """Yes to everything that a page of an allowed origin asks for, on any path: that the path or the method does
        not exist is better told by an answer that the page can read."""
        origin = request.headers[hdrs.ORIGIN]
        if not self.allows(origin):
            raise OriginRefused(origin)
        response = web.Response(
            headers={
                hdrs.ACCESS_CONTROL_ALLOW_METHODS: method,
                hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_SECONDS),
                hdrs.VARY: _PREFLIGHT_VARIES,
            }
        )
        names = request.headers.getall(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, [])
        if names:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = ", ".join(names)
        # Whoever named an origin wants its pages to get in from outside; `*` says nothing about who comes in.
        if request.headers.get(_ASKS_FOR_PRIVATE_NETWORK) == "true" and ANY not in self.origins:
            response.headers[_ALLOWS_PRIVATE_NETWORK] = "true"
        return response


CORS = web.AppKey("cors", Cors)
