"""One image: convert it again, show its variants, delete it."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from structlog.contextvars import bind_contextvars

from service.auth.middleware import tenant_of
from service.calls.answers import DeleteAnswer, ProcessAnswer, ProcessedAnswer
from service.calls.schemas import unique_id_of
from service.calls.use_cases import CATALOG
from service.config import SETTINGS
from service.http.rendering import render


async def process(request: web.Request) -> web.Response:
    """`POST /images/process/{uniqueId}`."""
    job = await request.app[CATALOG].reprocess(tenant_of(request), _unique_id(request))
    bind_contextvars(processingId=job.processing_id)
    return render(ProcessAnswer.of(job), HTTPStatus.ACCEPTED)


async def processed(request: web.Request) -> web.Response:
    """`GET /images/processed/{uniqueId}`."""
    unique_id = _unique_id(request)
    variants = await request.app[CATALOG].processed_images(tenant_of(request), unique_id)
    return render(ProcessedAnswer.of(unique_id, variants, request.app[SETTINGS].cloudfront_url))


async def delete(request: web.Request) -> web.Response:
    """`DELETE /images/image/{uniqueId}`."""
    unique_id = _unique_id(request)
    erasure = await request.app[CATALOG].delete(tenant_of(request), unique_id)
    return render(DeleteAnswer.of(unique_id, erasure))


def _unique_id(request: web.Request) -> str:
    unique_id = unique_id_of(request.match_info["uniqueId"])
    bind_contextvars(uniqueId=unique_id)
    return unique_id
