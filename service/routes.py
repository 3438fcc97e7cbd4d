"""The whole API on one screen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from service.handlers import docs, failed, health, images, jobs, listing, uploads, viewer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/images/upload-url", uploads.create_from_body),
    ("GET", "/images/upload-url", uploads.create_from_query),
    ("GET", "/images/status/{processingId}", jobs.status),
    ("GET", "/images/list", listing.list_images),
    ("GET", "/images/failed", failed.list_failed_images),
    ("POST", "/images/failed/redrive", failed.redrive_failed_images),
    ("POST", "/images/process/{uniqueId}", images.process),
    ("GET", "/images/processed/{uniqueId}", images.processed),
    ("DELETE", "/images/image/{uniqueId}", images.delete),
    ("GET", "/images/health", health.health),
    ("GET", "/images/openapi.json", docs.openapi),
    ("GET", "/images/docs", docs.page),
    ("GET", "/images/docs/{asset}", docs.asset),
)

#: In the local mode alone: what CloudFront serves elsewhere.
LOCAL_ROUTES: tuple[tuple[str, str, Handler], ...] = (("GET", "/processed/{path:.*}", viewer.view),)


def add_routes(app: web.Application, *, local_viewer: bool) -> None:
    """Every GET answers HEAD too, except the one that makes a record."""
    for method, path, handler in ROUTES + (LOCAL_ROUTES if local_viewer else ()):
        if method == "GET" and handler is not uploads.create_from_query:
            app.router.add_get(path, handler)
        else:
            app.router.add_route(method, path, handler)
