"""The whole API on one screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from service.auth.principal import Scope
from service.calls import (
    assets,
    backfills,
    batches,
    bulk,
    console,
    docs,
    events,
    failed,
    health,
    history,
    images,
    jobs,
    keys,
    limits,
    listing,
    parts,
    presets,
    reviews,
    similar,
    uploads,
    uppy,
    usage,
    viewer,
    webhooks,
)
from service.http.body import expect
from service.http.call import Handler
from service.settings.roles import RoleSettings

#: For everybody, with or without credentials.
PUBLIC = None


@dataclass(frozen=True, slots=True)
class Route:
    """One call: who may make it, and what answers."""

    method: str
    path: str
    handler: Handler
    scope: Scope | None


#: Of every process, whatever its role.
HEALTH_ROUTES: tuple[Route, ...] = (
    Route("GET", "/images/health", health.health, PUBLIC),
    Route("GET", "/images/live", health.live, PUBLIC),
    Route("GET", "/images/ready", health.ready, PUBLIC),
)

ROUTES: tuple[Route, ...] = (
    Route("POST", "/images/upload-url", uploads.create_from_body, Scope.WRITE),
    Route("GET", "/images/upload-url", uploads.create_from_query, Scope.WRITE),
    Route("POST", "/images/upload-url/{uniqueId}/refresh", uploads.refresh, Scope.WRITE),
    Route("POST", "/images/multipart", parts.begin, Scope.WRITE),
    Route("POST", "/images/multipart/{uniqueId}/parts", parts.sign, Scope.WRITE),
    Route("POST", "/images/multipart/{uniqueId}/complete", parts.complete, Scope.WRITE),
    Route("GET", "/images/multipart/{uniqueId}", parts.show, Scope.WRITE),
    Route("DELETE", "/images/multipart/{uniqueId}", parts.abort, Scope.WRITE),
    Route("GET", "/images/s3/params", uppy.params, Scope.WRITE),
    Route("POST", "/images/s3/multipart", uppy.start, Scope.WRITE),
    Route("POST", "/images/s3/multipart/{uploadId}/complete", uppy.finish, Scope.WRITE),
    Route("GET", "/images/s3/multipart/{uploadId}/{partNumber}", uppy.sign_part, Scope.WRITE),
    Route("GET", "/images/s3/multipart/{uploadId}", uppy.list_parts, Scope.WRITE),
    Route("DELETE", "/images/s3/multipart/{uploadId}", uppy.give_up, Scope.WRITE),
    Route("GET", "/images/status/{processingId}", jobs.status, Scope.READ),
    Route("GET", "/images/events", events.live, Scope.READ),
    Route("GET", "/images/list", listing.list_images, Scope.READ),
    Route("GET", "/images/failed", failed.list_failed_images, Scope.READ),
    Route("POST", "/images/failed/redrive", failed.redrive_failed_images, Scope.ADMIN),
    Route("POST", "/images/process/{uniqueId}", images.process, Scope.WRITE),
    Route("GET", "/images/processed/{uniqueId}", images.processed, Scope.READ),
    Route("GET", "/images/jobs/{uniqueId}", history.history, Scope.READ),
    Route("GET", "/images/similar/{uniqueId}", similar.similar, Scope.READ),
    Route("GET", "/images/review", reviews.list_reviews, Scope.REVIEW),
    Route("GET", "/images/review/{uniqueId}", reviews.show_review, Scope.REVIEW),
    Route("POST", "/images/review/{uniqueId}", reviews.decide, Scope.REVIEW),
    Route("DELETE", "/images/image/{uniqueId}", images.delete, Scope.DELETE),
    Route("POST", "/images/batch/upload-urls", batches.upload_urls, Scope.WRITE),
    Route("POST", "/images/batch/status", batches.status, Scope.READ),
    Route("POST", "/images/batch/process", batches.process, Scope.WRITE),
    Route("POST", "/images/batch/delete", batches.delete, Scope.DELETE),
    Route("GET", "/images/batch", bulk.list_jobs, Scope.READ),
    Route("GET", "/images/batch/{batchId}", bulk.show, Scope.READ),
    Route("GET", "/images/batch/{batchId}/results", bulk.results, Scope.READ),
    Route("PATCH", "/images/batch/{batchId}", bulk.rest, Scope.WRITE),
    Route("DELETE", "/images/batch/{batchId}", bulk.cancel, Scope.WRITE),
    Route("GET", "/images/usage", usage.show, Scope.READ),
    Route("POST", "/images/assets", assets.create, Scope.ADMIN),
    Route("GET", "/images/assets", assets.list_assets, Scope.READ),
    Route("GET", "/images/assets/{assetId}", assets.show, Scope.READ),
    Route("DELETE", "/images/assets/{assetId}", assets.delete, Scope.ADMIN),
    Route("GET", "/images/presets", presets.list_presets, Scope.READ),
    Route("PATCH", "/images/presets", presets.choose_default, Scope.ADMIN),
    Route("POST", "/images/presets/preview", presets.preview, Scope.WRITE),
    Route("GET", "/images/presets/{name}", presets.show, Scope.READ),
    Route("PUT", "/images/presets/{name}", presets.put, Scope.ADMIN),
    Route("DELETE", "/images/presets/{name}", presets.delete, Scope.ADMIN),
    Route("GET", "/images/presets/{name}/versions", presets.history, Scope.READ),
    Route("POST", "/images/presets/{name}/plan", backfills.plan, Scope.READ),
    Route("POST", "/images/presets/{name}/backfill", backfills.start, Scope.WRITE),
    Route("GET", "/images/limits", limits.show, Scope.READ),
    Route("PUT", "/images/limits", limits.override, Scope.ADMIN),
    Route("GET", "/images/keys", keys.list_keys, Scope.ADMIN),
    Route("POST", "/images/keys", keys.create, Scope.ADMIN),
    Route("POST", "/images/keys/{keyId}/rotate", keys.rotate, Scope.ADMIN),
    Route("DELETE", "/images/keys/{keyId}", keys.revoke, Scope.ADMIN),
    Route("GET", "/images/webhooks", webhooks.list_webhooks, Scope.ADMIN),
    Route("POST", "/images/webhooks", webhooks.create, Scope.ADMIN),
    Route("GET", "/images/webhooks/{webhookId}", webhooks.show, Scope.ADMIN),
    Route("PATCH", "/images/webhooks/{webhookId}", webhooks.change, Scope.ADMIN),
    Route("DELETE", "/images/webhooks/{webhookId}", webhooks.delete, Scope.ADMIN),
    Route("POST", "/images/webhooks/{webhookId}/rotate", webhooks.rotate, Scope.ADMIN),
    Route("POST", "/images/webhooks/{webhookId}/test", webhooks.test, Scope.ADMIN),
    Route("GET", "/images/webhooks/{webhookId}/attempts", webhooks.attempts, Scope.ADMIN),
    Route("POST", "/images/webhooks/{webhookId}/replay", webhooks.replay, Scope.ADMIN),
    *HEALTH_ROUTES,
    Route("GET", "/images/openapi.json", docs.openapi, PUBLIC),
    Route("GET", "/images/docs", docs.page, PUBLIC),
    Route("GET", "/images/docs/{asset}", docs.asset, PUBLIC),
    Route("GET", "/images/console", console.page, PUBLIC),
    Route("GET", "/images/console/{release}/{asset}", console.asset, PUBLIC),
    *(Route("GET", path, docs.lead_to_page, PUBLIC) for path in docs.WAYS),  # `/` and the like, to the page
)

#: What makes a record, though it is asked by GET.
MAKERS = frozenset({uploads.create_from_query, uppy.params})

#: In the local mode alone: what CloudFront serves elsewhere, and a picture to begin with.
LOCAL_ROUTES: tuple[Route, ...] = (
    Route("GET", "/processed/{path:.*}", viewer.view, PUBLIC),
    Route("GET", "/private/{path:.*}", viewer.view_private, PUBLIC),
    Route("GET", "/sample.png", viewer.sample, PUBLIC),
)


def add_routes(
    app: web.Application, roles: RoleSettings, *, local_viewer: bool
) -> Mapping[tuple[str, str], Scope | None]:
    """Add every route of a process with these roles; what each asks of its caller, by method and path pattern.

    Every GET answers HEAD too, except those that make a record.
    """
    needs: dict[tuple[str, str], Scope | None] = {}
    served = ROUTES if roles.serves else HEALTH_ROUTES
    for route in served + (LOCAL_ROUTES if local_viewer else ()):
        resource = app.router.add_resource(route.path)
        resource.add_route(route.method, route.handler, expect_handler=expect)
        if route.method == "GET" and route.handler not in MAKERS:
            resource.add_route("HEAD", route.handler)
        needs[route.method, resource.canonical] = route.scope
    return needs
