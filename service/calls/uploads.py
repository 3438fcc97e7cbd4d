"""Upload URLs."""

from __future__ import annotations

from aiohttp import web
from structlog.contextvars import bind_contextvars

from processor.catalog.images import Submission
from service.auth.middleware import tenant_of
from service.calls.answers import UploadUrlAnswer
from service.calls.schemas import (
    Question,
    RefreshRequest,
    UploadUrlQuery,
    UploadUrlRequest,
    read_body,
    read_query,
    unique_id_of,
)
from service.calls.use_cases import CATALOG
from service.config import SETTINGS
from service.http.body import json_body, optional_json_body
from service.http.rendering import render
from service.idempotency import earlier, good_for


async def create_from_body(request: web.Request) -> web.Response:
    """`POST /images/upload-url`."""
    return await _create(request, read_body(UploadUrlRequest, await json_body(request)))


async def create_from_query(request: web.Request) -> web.Response:
    """`GET /images/upload-url`."""
    return await _create(request, read_query(UploadUrlQuery, request.query))


async def refresh(request: web.Request) -> web.Response:
    """`POST /images/upload-url/{uniqueId}/refresh`."""
    unique_id = unique_id_of(request.match_info["uniqueId"])
    bind_contextvars(uniqueId=unique_id)
    asked = read_body(RefreshRequest, await optional_json_body(request))
    submission = await request.app[CATALOG].refresh(tenant_of(request), unique_id, asked.expires_in)
    return _render(request, submission, asked)


async def _create(request: web.Request, asked: UploadUrlRequest) -> web.Response:
    settings = request.app[SETTINGS]
    upload = asked.to_upload(max_bytes=settings.max_upload_bytes)
    catalog, tenant = request.app[CATALOG], tenant_of(request)
    answered = earlier(request)
    if answered is not None:
        return _render(request, await catalog.repeat(tenant, answered["uniqueId"], asked.expires_in), asked)
    if asked.dedupe and asked.checksum_sha256 is not None:
        duplicate = await catalog.find_duplicate(tenant, asked.checksum_sha256)
        if duplicate is not None:
            bind_contextvars(uniqueId=duplicate.unique_id, processingId=duplicate.processing_id)
            known = UploadUrlAnswer.of_duplicate(duplicate, base_url=settings.cloudfront_url)
            return render(known.ignoring(asked.ignored))
    return _render(request, await catalog.submit(tenant, upload), asked)


def _render(request: web.Request, submission: Submission, asked: Question) -> web.Response:
    bind_contextvars(uniqueId=submission.job.unique_id, processingId=submission.job.processing_id)
    good_for(request, submission.upload.expires_in_seconds)
    answer = UploadUrlAnswer.of(submission, base_url=request.app[SETTINGS].cloudfront_url)
    return render(answer.ignoring(asked.ignored))
