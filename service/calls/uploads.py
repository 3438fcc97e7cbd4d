"""Calls for upload URLs, for a file in one piece."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from aiohttp import web
from pydantic import BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError, from_json
from structlog.contextvars import bind_contextvars

from processor.catalog.uploads import Submission, UploadRequest
from processor.errors import (
    AlreadyUploaded,
    DailyLimitReached,
    FileTooLarge,
    ImageLimitReached,
    ImageNotFound,
    PresetNotFound,
    WrongUploadMethod,
)
from processor.jobs import Job
from service.auth.middleware import tenant_of
from service.calls import groups, samples
from service.calls.files import MAX_EXPIRES_SECONDS, FileRequest, Metadata, PresetName
from service.calls.names import (
    UNIQUE_ID,
    ProcessingId,
    PublicUrl,
    SourceKey,
    UniqueId,
    Url,
    UrlExpiry,
    is_public,
    unique_id_in,
)
from service.calls.use_cases import UPLOADS
from service.calls.variants import PresetVersionNumber, locations, named
from service.config import SETTINGS
from service.http.body import json_body, optional_json_body
from service.http.call import call, reply
from service.http.problems import UnsupportedContentType
from service.http.rendering import render
from service.http.wire import Answer, Heard, Question, WholeNumber, read_query, repeated_names
from service.idempotency import earlier, good_for
from service.limits.long_bodies import asked_by


class UploadUrlRequest(FileRequest):
    """The file to upload."""

    # The reference page sends the first example, so it must be valid for any file. The second example has the fields
    # that bind the upload to one file.
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"filename": "photo.jpg"},
                {
                    "filename": "photo.jpg",
                    "size": 482113,
                    "checksumSha256": "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
                    "metadata": {"album": "summer"},
                },
            ]
        }
    )

    size: WholeNumber | None = Field(
        default=None, ge=1, description="Exact size in bytes; the upload is then bound to it."
    )
    once: bool = Field(
        default=False,
        description="The URL is good for one object: S3 refuses to overwrite it. There is no form then.",
    )
    dedupe: bool = Field(
        default=False,
        description="With `checksumSha256`: when this tenant has these bytes completed already, the answer names that "
        "image in `duplicateOf`, there is nothing to upload, and no record is made.",
    )

    def to_upload(self, *, max_bytes: int) -> UploadRequest:
        """The request for the catalog. Raises `UnsupportedContentType`, `FileTooLarge`."""
        return self._upload(self.size, max_bytes=max_bytes, once=self.once)


class RefreshRequest(Question):
    """The validity of the new URL."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"expiresIn": 3600}]})

    expires_in: WholeNumber = Field(
        default=3600, ge=60, le=MAX_EXPIRES_SECONDS, description="How long the URL holds, in seconds."
    )


def _json_object(value: object) -> object:
    """Parses metadata, which is JSON text in a query string."""
    if not isinstance(value, str):
        return value
    try:
        found = from_json(value)
    except ValueError:
        raise PydanticCustomError("metadata", "must be a JSON object") from None
    if repeated_names(value):
        raise PydanticCustomError("metadata", "must not have a key more than once")
    return found


class UploadUrlQuery(UploadUrlRequest):
    """The same as query parameters."""

    metadata: Annotated[Metadata, BeforeValidator(_json_object)] = Field(
        default_factory=dict, description="The same as a JSON object in text.", examples=[{"album": "summer"}]
    )


class PostForm(Answer):
    """The same upload as an HTML form: every field, then the file in a field named `file`."""

    url: Url
    fields: dict[str, str]


class UploadUrlAnswer(Heard):
    """Where and how to upload, and where the variants will be."""

    upload_url: Url | None = Field(
        description="Send the file here with PUT. Null for a duplicate: there is nothing to upload."
    )
    headers: dict[str, str] = Field(description="What the PUT must send.", examples=[{"Content-Type": "image/jpeg"}])
    post: PostForm | None = Field(
        description="The same upload as a form, size and type enforced. Null for a duplicate, and with `once`."
    )
    key: SourceKey
    unique_id: UniqueId
    processing_id: ProcessingId
    expires_in: int = Field(
        description="Seconds that the URL holds: less than was asked for when the session that signs ends sooner, and "
        "0 for a duplicate.",
        examples=[3600],
    )
    processed_image_url: PublicUrl = Field(
        description="The variant of the original's own size, once the job is completed."
    )
    processed_image_urls: dict[str, PublicUrl] = Field(
        description="Every variant by name, once the job is completed.", json_schema_extra=named
    )
    urls_expire_at: UrlExpiry = Field(
        exclude_if=is_public, description="Of private variants: when these URLs end; the status has others."
    )
    preset: PresetName = Field(description="The preset that it is converted with.")
    preset_version: PresetVersionNumber
    duplicate_of: UniqueId | None = Field(
        description="The image that holds these bytes already, when `dedupe` was asked for; all ids and URLs are its."
    )

    @classmethod
    def of(cls, submission: Submission) -> Self:
        post, upload = submission.upload.post, submission.upload
        return cls(
            upload_url=upload.url,
            headers=dict(upload.headers),
            post=None if post is None else PostForm(url=post.url, fields=dict(post.fields)),
            duplicate_of=None,
            expires_in=upload.expires_in_seconds,
            **locations(submission.job),
        )

    @classmethod
    def of_duplicate(cls, job: Job) -> Self:
        """The answer if a completed job makes the upload needless."""
        return cls(
            upload_url=None,
            headers={},
            post=None,
            duplicate_of=job.unique_id,
            expires_in=0,
            **locations(job),
        )


UPLOAD_URL = UploadUrlAnswer.of(Submission(job=samples.PENDING, upload=samples.UPLOAD))

_CREATED = reply("The upload URL", UPLOAD_URL)
_REFUSALS = (UnsupportedContentType, FileTooLarge, PresetNotFound, DailyLimitReached, ImageLimitReached)


@call("createUploadUrl", groups.UPLOADS, _CREATED, body=UploadUrlRequest, problems=_REFUSALS)
async def create_from_body(request: web.Request) -> web.Response:
    """Get a URL to upload to."""
    return await _create(request, await asked_by(request, UploadUrlRequest, await json_body(request)))


@call("createUploadUrlByQuery", groups.UPLOADS, _CREATED, query=UploadUrlQuery, problems=_REFUSALS)
async def create_from_query(request: web.Request) -> web.Response:
    """Get a URL to upload to, asked by query parameters."""
    return await _create(request, read_query(UploadUrlQuery, request.query))


@call(
    "refreshUploadUrl",
    groups.UPLOADS,
    _CREATED,
    path=(UNIQUE_ID,),
    body=RefreshRequest,
    body_required=False,
    problems=(ImageNotFound, AlreadyUploaded, WrongUploadMethod, DailyLimitReached),
)
async def refresh(request: web.Request) -> web.Response:
    """Get a new URL for an upload that has not come yet.

    The terms and the ids stay the same. Earlier URLs stay valid until their own end.
    """
    unique_id = unique_id_in(request)
    asked = await asked_by(request, RefreshRequest, await optional_json_body(request))
    submission = await request.app[UPLOADS].refresh(tenant_of(request), unique_id, asked.expires_in)
    return _render(request, UploadUrlAnswer.of(submission).ignoring(asked.ignored))


async def issue(app: web.Application, tenant: str, asked: UploadUrlRequest) -> UploadUrlAnswer:
    """A new upload, or the image that makes it needless. Raises what `to_upload` and `Uploads.submit` raise."""
    upload = asked.to_upload(max_bytes=app[SETTINGS].max_upload_bytes)
    if asked.dedupe and asked.checksum_sha256 is not None:
        duplicate = await app[UPLOADS].find_duplicate(tenant, asked.checksum_sha256, asked.preset)
        if duplicate is not None:
            return UploadUrlAnswer.of_duplicate(duplicate).ignoring(asked.ignored)
    return UploadUrlAnswer.of(await app[UPLOADS].submit(tenant, upload)).ignoring(asked.ignored)


async def issue_again(
    app: web.Application, tenant: str, asked: UploadUrlRequest, answered: Mapping[str, Any]
) -> UploadUrlAnswer:
    """The earlier answer, with valid URLs. Raises what `Uploads.repeat` raises."""
    submission = await app[UPLOADS].repeat(tenant, answered["uniqueId"], asked.expires_in)
    return UploadUrlAnswer.of(submission).ignoring(asked.ignored)


async def _create(request: web.Request, asked: UploadUrlRequest) -> web.Response:
    app, tenant, answered = request.app, tenant_of(request), earlier(request)
    if answered is not None:
        return _render(request, await issue_again(app, tenant, asked, answered))
    return _render(request, await issue(app, tenant, asked))


def _render(request: web.Request, issued: UploadUrlAnswer) -> web.Response:
    bind_contextvars(uniqueId=issued.unique_id, processingId=issued.processing_id)
    if issued.upload_url is not None:
        good_for(request, issued.expires_in)
    return render(request, issued)
