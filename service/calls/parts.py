"""Large files, uploaded in parts."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from structlog.contextvars import bind_contextvars

from processor.catalog.parts import MultipartSubmission, part_size
from processor.errors import AlreadyUploaded, UploadExpired
from service.auth.middleware import tenant_of
from service.calls.answers import CompletedUploadAnswer, DeleteAnswer, MultipartAnswer, PartsAnswer
from service.calls.schemas import MultipartRequest, PartsRequest, Question, read_body, unique_id_of
from service.calls.use_cases import CATALOG, LARGE_FILES
from service.config import SETTINGS
from service.http.body import json_body, optional_json_body
from service.http.rendering import render
from service.idempotency import earlier, good_for


async def begin(request: web.Request) -> web.Response:
    """`POST /images/multipart`."""
    settings = request.app[SETTINGS]
    asked = read_body(MultipartRequest, await json_body(request))
    upload = asked.to_upload(max_bytes=settings.max_upload_bytes)
    large_files, tenant, answered = request.app[LARGE_FILES], tenant_of(request), earlier(request)
    if answered is None and asked.dedupe and asked.checksum_sha256 is not None:
        duplicate = await request.app[CATALOG].find_duplicate(tenant, asked.checksum_sha256)
        if duplicate is not None:
            bind_contextvars(uniqueId=duplicate.unique_id, processingId=duplicate.processing_id)
            known = MultipartAnswer.of_duplicate(
                duplicate,
                part_size=part_size(asked.size),
                base_url=settings.cloudfront_url,
            )
            return render(known.ignoring(asked.ignored))
    if answered is None:
        submission = await large_files.begin(tenant, upload, asked.size)
    else:
        try:
            submission = await large_files.sign(tenant, answered["uniqueId"], None, asked.expires_in)
        except (AlreadyUploaded, UploadExpired):
            return render(MultipartAnswer.model_validate(answered).without_urls(), HTTPStatus.CREATED)
    bind_contextvars(uniqueId=submission.job.unique_id, processingId=submission.job.processing_id)
    return _render(request, submission, asked, HTTPStatus.CREATED)


async def sign(request: web.Request) -> web.Response:
    """`POST /images/multipart/{uniqueId}/parts`."""
    unique_id = _unique_id(request)
    asked = read_body(PartsRequest, await optional_json_body(request))
    submission = await request.app[LARGE_FILES].sign(
        tenant_of(request), unique_id, asked.part_numbers, asked.expires_in
    )
    return _render(request, submission, asked, HTTPStatus.OK)


async def show(request: web.Request) -> web.Response:
    """`GET /images/multipart/{uniqueId}`."""
    return render(PartsAnswer.of(await request.app[LARGE_FILES].state(tenant_of(request), _unique_id(request))))


async def complete(request: web.Request) -> web.Response:
    """`POST /images/multipart/{uniqueId}/complete`."""
    image = await request.app[LARGE_FILES].complete(tenant_of(request), _unique_id(request))
    return render(CompletedUploadAnswer.of(image))


async def abort(request: web.Request) -> web.Response:
    """`DELETE /images/multipart/{uniqueId}`."""
    unique_id = _unique_id(request)
    erasure = await request.app[LARGE_FILES].abort(tenant_of(request), unique_id)
    return render(DeleteAnswer.of(unique_id, erasure))


def _render(request: web.Request, submission: MultipartSubmission, asked: Question, status: HTTPStatus) -> web.Response:
    good_for(request, submission.expires_in_seconds)
    answer = MultipartAnswer.of(submission, base_url=request.app[SETTINGS].cloudfront_url)
    return render(answer.ignoring(asked.ignored), status)


def _unique_id(request: web.Request) -> str:
    unique_id = unique_id_of(request.match_info["uniqueId"])
    bind_contextvars(uniqueId=unique_id)
    return unique_id
