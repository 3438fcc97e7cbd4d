"""What Uppy asks of its Companion: a small file as a form, a large one in parts."""

from __future__ import annotations

from aiohttp import web
from structlog.contextvars import bind_contextvars

from processor.catalog.unsized import S3_MAX_PARTS, UnsizedFiles
from processor.errors import NoSuchPart
from processor.images import unique_id_of
from service.auth.middleware import tenant_of
from service.calls.answers import DeleteAnswer
from service.calls.schemas import read_body, read_query
from service.calls.uppy_wire import (
    EXPIRES_SECONDS,
    CompleteRequest,
    FinishedAnswer,
    FormAnswer,
    ListedParts,
    PartUrlAnswer,
    StartedAnswer,
    UploadName,
    UppyFile,
    file_of_query,
)
from service.calls.use_cases import CATALOG
from service.config import SETTINGS
from service.http.body import json_body
from service.http.rendering import render


async def params(request: web.Request) -> web.Response:
    """`GET /images/s3/params`."""
    upload = file_of_query(request.query).to_upload(max_bytes=request.app[SETTINGS].max_upload_bytes)
    submission = await request.app[CATALOG].submit(tenant_of(request), upload)
    bind_contextvars(uniqueId=submission.job.unique_id, processingId=submission.job.processing_id)
    return render(FormAnswer.of(submission))


async def start(request: web.Request) -> web.Response:
    """`POST /images/s3/multipart`."""
    asked = read_body(UppyFile, await json_body(request))
    upload = asked.to_upload(max_bytes=request.app[SETTINGS].max_upload_bytes)
    job = await _files(request).start(tenant_of(request), upload)
    bind_contextvars(uniqueId=job.unique_id, processingId=job.processing_id)
    return render(StartedAnswer.of(job).ignoring(asked.ignored))


async def sign_part(request: web.Request) -> web.Response:
    """`GET /images/s3/multipart/{uploadId}/{partNumber}`."""
    number = request.match_info["partNumber"]
    if not (number.isascii() and number.isdigit() and len(number) <= 5):  # noqa: PLR2004 - digits of the highest number
        told = f"The numbers of parts are 1 to {S3_MAX_PARTS}."
        raise NoSuchPart(told, limit=S3_MAX_PARTS)
    signed = await _files(request).sign_part(*_named(request), int(number), expires_in_seconds=EXPIRES_SECONDS)
    return render(PartUrlAnswer.of(signed))


async def list_parts(request: web.Request) -> web.Response:
    """`GET /images/s3/multipart/{uploadId}`."""
    return render(ListedParts.of(await _files(request).parts(*_named(request))))


async def finish(request: web.Request) -> web.Response:
    """`POST /images/s3/multipart/{uploadId}/complete`."""
    asked = read_body(CompleteRequest, await json_body(request))
    image = await _files(request).finish(*_named(request), asked.etags)
    return render(FinishedAnswer.of(image, request.app[SETTINGS].cloudfront_url).ignoring(asked.ignored))


async def give_up(request: web.Request) -> web.Response:
    """`DELETE /images/s3/multipart/{uploadId}`."""
    tenant, upload_id, key = _named(request)
    erasure = await _files(request).give_up(tenant, upload_id, key)
    return render(DeleteAnswer.of(unique_id_of(key) or "", erasure))


def _files(request: web.Request) -> UnsizedFiles:
    return UnsizedFiles(catalog=request.app[CATALOG])


def _named(request: web.Request) -> tuple[str, str, str]:
    """Tenant, id and key of the upload."""
    key = read_query(UploadName, request.query).key
    bind_contextvars(uniqueId=unique_id_of(key))
    return tenant_of(request), request.match_info["uploadId"], key
