"""How far a job has come."""

from __future__ import annotations

from aiohttp import web
from structlog.contextvars import bind_contextvars

from service.answers import JobAnswer
from service.auth.middleware import tenant_of
from service.handlers.rendering import render
from service.keys import CATALOG, SETTINGS
from service.schemas import processing_id_of


async def status(request: web.Request) -> web.Response:
    """`GET /images/status/{processingId}`."""
    processing_id = processing_id_of(request.match_info["processingId"])
    bind_contextvars(processingId=processing_id)
    job = await request.app[CATALOG].status(tenant_of(request), processing_id)
    bind_contextvars(uniqueId=job.unique_id)
    return render(JobAnswer.of(job, request.app[SETTINGS].cloudfront_url))
