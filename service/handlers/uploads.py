"""Upload URLs."""

from __future__ import annotations

from aiohttp import web
from structlog.contextvars import bind_contextvars

from service.answers import UploadUrlAnswer
from service.auth.middleware import tenant_of
from service.handlers.reading import json_body
from service.handlers.rendering import render
from service.keys import CATALOG, SETTINGS
from service.schemas import UploadUrlQuery, UploadUrlRequest, read_body, read_query


async def create_from_body(request: web.Request) -> web.Response:
    """`POST /images/upload-url`."""
    return await _create(request, read_body(UploadUrlRequest, await json_body(request)))


async def create_from_query(request: web.Request) -> web.Response:
    """`GET /images/upload-url`."""
    return await _create(request, read_query(UploadUrlQuery, request.query))


async def _create(request: web.Request, asked: UploadUrlRequest) -> web.Response:
    settings = request.app[SETTINGS]
    upload = asked.to_upload(max_bytes=settings.max_upload_bytes)
    submission = await request.app[CATALOG].submit(tenant_of(request), upload)
    bind_contextvars(uniqueId=submission.job.unique_id, processingId=submission.job.processing_id)
    return render(UploadUrlAnswer.of(submission, expires_in=asked.expires_in, base_url=settings.cloudfront_url))
