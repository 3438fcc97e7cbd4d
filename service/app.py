"""The HTTP application. The caller adds its dependencies under their keys."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from processor.probe import Probe, Probes
from service.auth.middleware import authentication, authorize
from service.calls.docs import DOCUMENT
from service.config import SETTINGS, Settings, SettingsError
from service.http.buckets import BUCKETS, Buckets
from service.http.connections import CONNECTION_TIMEOUTS, ConnectionTimeouts
from service.http.cors import CORS, Cors
from service.http.middleware import close_when_draining, error_boundary, finish_headers, observed
from service.http.rendering import LINKS
from service.idempotency import replay
from service.limits.lines import REQUESTS, in_line, request_lines
from service.limits.long_pages import LONG_PAGES, page_lines
from service.limits.middleware import rate_limit, tell_rate_limit
from service.limits.open_calls import PREVIEWS, STREAMS, WAITS, previews, streams, waits
from service.observe.deliveries import Deliveries
from service.observe.health import DRAINING
from service.observe.lines import LogLines
from service.observe.metrics import METRICS, Metrics
from service.observe.probes import PROBES
from service.observe.workings import Workings
from service.routes import add_routes

#: Largest request body, in bytes. Images never come this way; the largest metadata that is allowed does.
MAX_BODY_BYTES = 64 * 1024


def create_app(settings: Settings, *, local_viewer: bool = False) -> web.Application:
    """The API. Before it serves, `lifespan` must have added the dependencies."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app[SETTINGS] = settings
    app[LINKS] = settings.links
    app[METRICS] = metrics = Metrics()
    app[PROBES] = Probes(
        (*_traces(app, settings), metrics, Workings(metrics.registry), Deliveries(metrics.registry), LogLines())
    )
    app[BUCKETS] = Buckets()
    app[REQUESTS] = request_lines()
    app[LONG_PAGES] = page_lines()
    app[WAITS], app[STREAMS], app[PREVIEWS] = waits(), streams(), previews()
    metrics.open_calls(waiting=app[WAITS].count, streams=app[STREAMS].count)
    app[CONNECTION_TIMEOUTS] = timeouts = ConnectionTimeouts(
        settings.client_timeout_seconds, settings.keepalive_seconds
    )
    app[DRAINING] = asyncio.Event()
    app[DOCUMENT] = _document
    needs = add_routes(app, settings, local_viewer=local_viewer)
    app[CORS] = cors = Cors(settings.cors_origins)
    around: list[Middleware] = [timeouts.middleware, observed, error_boundary, cors.middleware]
    app.middlewares.extend([*around, authentication(needs), rate_limit, authorize, in_line, replay])
    app.on_response_prepare.extend([cors.mark, finish_headers, tell_rate_limit, close_when_draining])
    return app


def _document() -> dict[str, Any]:
    """Build the OpenAPI document on first use: it would take a fifth of the start."""
    from service.openapi import document  # noqa: PLC0415 - see above

    return document()


def _traces(app: web.Application, settings: Settings) -> tuple[Probe, ...]:
    """Before all others, so that these know of what trace a step is. Raises `SettingsError` without the extra."""
    if settings.traces == "off":
        return ()
    try:
        from service.observe.traces import otlp_traces  # noqa: PLC0415 - whoever does not trace needs none of it
    except ImportError as error:
        raise SettingsError(f"TRACES: install the extra `traces`, which is not there ({error.name})") from None
    traces = otlp_traces(settings.stage, settings.revision)

    async def close(_: web.Application) -> None:
        await asyncio.to_thread(traces.close)

    app.on_cleanup.append(close)
    return (traces,)


def create_metrics_app(metrics: Metrics) -> web.Application:
    """The application for Prometheus, on a port of its own."""

    async def expose(request: web.Request) -> web.Response:
        body, content_type = metrics.exposition(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    app = web.Application()
    app.router.add_get("/metrics", expose)
    return app
