"""How far a job has come."""

from __future__ import annotations

from aiohttp import web
from structlog.contextvars import bind_contextvars

from service.auth.middleware import tenant_of
from service.calls.answers import JobAnswer
from service.calls.schemas import is_unique_id, processing_id_of, unique_id_of
from service.calls.use_cases import CATALOG
from service.config import SETTINGS
from service.http.rendering import render


async def status(request: web.Request) -> web.Response:
    """`GET /images/status/{processingId}`; an image's `uniqueId` in its place stands for its current job."""
    processing_id = await _named(request)
    bind_contextvars(processingId=processing_id)
    job = await request.app[CATALOG].status(tenant_of(request), processing_id)
    bind_contextvars(uniqueId=job.unique_id)
    return render(JobAnswer.of(job, request.app[SETTINGS].cloudfront_url))


async def _named(request: web.Request) -> str:
    name = request.match_info["processingId"]
    if not is_unique_id(name):
        return processing_id_of(name)
    return await request.app[CATALOG].current_job(tenant_of(request), unique_id_of(name))
