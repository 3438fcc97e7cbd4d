"""Calls for uploads of large files in parts."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Self

from aiohttp import web
from pydantic import ConfigDict, Field
from structlog.contextvars import bind_contextvars

from processor.catalog.parts import MAX_PARTS, MultipartSubmission, PartsState, part_size, part_sizes
from processor.catalog.uploads import UploadRequest
from processor.errors import (
    AlreadyUploaded,
    DailyLimitReached,
    FileTooLarge,
    ImageLimitReached,
    ImageNotFound,
    NoSuchPart,
    PresetNotFound,
    UploadExpired,
    UploadIncomplete,
    WrongUploadMethod,
)
from processor.jobs import Image, Job, first_image
from processor.ports.objects import Part, PresignedPart
from service.auth.middleware import tenant_of
from service.calls import groups, samples
from service.calls.files import MAX_EXPIRES_SECONDS, FileRequest, PresetName
from service.calls.images import ABORTED_UPLOAD, DeleteAnswer
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
from service.calls.use_cases import CATALOG, LARGE_FILES, UPLOADS
from service.calls.variants import PresetVersionNumber, locations, named
from service.config import SETTINGS
from service.http.body import json_body, optional_json_body
from service.http.call import call, reply
from service.http.problems import UnsupportedContentType
from service.http.rendering import render
from service.http.wire import Answer, Heard, Question, WholeNumber
from service.idempotency import earlier, good_for
from service.limits.long_bodies import asked_by


class MultipartRequest(FileRequest):
    """The large file to upload in parts."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"filename": "photo.jpg", "size": 73400320}]})

    size: int = Field(ge=1, description="Exact size of your file in bytes: S3 refuses any other.")
    dedupe: bool = Field(default=False, description="As for a file in one piece; the answer then has no parts.")

    def to_upload(self, *, max_bytes: int) -> UploadRequest:
        """The request for the catalog, without the parts. Raises `UnsupportedContentType`, `FileTooLarge`."""
        return self._upload(self.size, max_bytes=max_bytes)


class PartsRequest(Question):
    """The parts to sign again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"partNumbers": [2, 3]}]})

    part_numbers: Annotated[list[int], Field(min_length=1, max_length=MAX_PARTS)] | None = Field(
        default=None, description="Numbers of the parts, beginning at 1; by default all."
    )
    expires_in: WholeNumber = Field(
        default=3600, ge=60, le=MAX_EXPIRES_SECONDS, description="How long the URLs hold, in seconds."
    )


class PartAnswer(Answer):
    """One part: `size` bytes of the file, from `(partNumber - 1) * partSize` on."""

    part_number: int = Field(examples=[1])
    size: int = Field(description="Exact size in bytes; S3 refuses any other.", examples=[8388608])
    url: Url = Field(description="Send the part here with PUT.")
    headers: dict[str, str] = Field(description="What the PUT must send.", examples=[{"Content-Length": "8388608"}])


class MultipartAnswer(Heard):
    """Where and how to upload the parts of a file, and where its variants will be."""

    unique_id: UniqueId
    processing_id: ProcessingId
    key: SourceKey
    part_size: int = Field(description="Bytes of every part but the last.", examples=[8388608])
    parts: list[PartAnswer] = Field(
        description="Empty when there is nothing to upload: for a duplicate, and when a request is repeated under its "
        "`Idempotency-Key` after its file has arrived or its upload has ended."
    )
    expires_in: int = Field(
        description="Seconds that the URLs hold: less than was asked for when the session that signs ends sooner, and "
        "0 when there is nothing to upload.",
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
        default=None,
        description="The image that holds these bytes already, when `dedupe` was asked for; all ids and URLs are its.",
    )

    @classmethod
    def of(cls, submission: MultipartSubmission) -> Self:
        parts = [
            PartAnswer(part_number=part.number, size=part.size, url=part.url, headers=dict(part.headers))
            for part in submission.parts
        ]
        return cls(
            part_size=submission.part_size,
            parts=parts,
            expires_in=submission.expires_in_seconds,
            **locations(submission.job),
        )

    @classmethod
    def of_duplicate(cls, job: Job, *, part_size: int) -> Self:
        """The answer if a completed job makes the upload needless."""
        return cls(part_size=part_size, parts=[], duplicate_of=job.unique_id, expires_in=0, **locations(job))

    @classmethod
    def of_ended(cls, job: Job, *, part_size: int) -> Self:
        """The answer with the first job of an image that needs no upload any more."""
        return cls(part_size=part_size, parts=[], expires_in=0, **locations(job))


class ArrivedPart(Answer):
    """A part that has arrived."""

    part_number: int = Field(examples=[1])
    size: int = Field(description="In bytes.", examples=[8388608])


class PartsAnswer(Answer):
    """The state of an upload in parts."""

    unique_id: UniqueId
    processing_id: ProcessingId
    key: SourceKey
    size: int = Field(description="Of the whole file, as announced.", examples=[20971520])
    part_size: int = Field(description="Bytes of every part but the last.", examples=[8388608])
    parts: list[ArrivedPart] = Field(description="Those that are there, whole.")
    missing_parts: list[int] = Field(description="Numbers of the others; ask for their URLs.", examples=[[2, 3]])

    @classmethod
    def of(cls, state: PartsState) -> Self:
        return cls(
            unique_id=state.job.unique_id,
            processing_id=state.job.processing_id,
            key=state.job.original_key,
            size=state.size,
            part_size=state.part_size,
            parts=[ArrivedPart(part_number=part.number, size=part.size) for part in state.arrived],
            missing_parts=list(state.missing),
        )


class CompletedUploadAnswer(Answer):
    """The file is complete, and its job is queued."""

    message: str = "Upload completed"
    unique_id: UniqueId
    processing_id: ProcessingId
    key: SourceKey

    @classmethod
    def of(cls, image: Image) -> Self:
        """The answer has the same ids as the one at the start of the upload."""
        return cls(unique_id=image.unique_id, processing_id=image.job_ids[0], key=image.key)


_LARGE = 20 * 1024 * 1024
_PARTS = tuple(
    PresignedPart(
        number=number,
        size=size,
        url=samples.part_url(number),
        headers={"Content-Length": str(size)},
        expires_in_seconds=3600,
    )
    for number, size in part_sizes(_LARGE).items()
)
_MULTIPART = MultipartSubmission(job=samples.PENDING, part_size=part_size(_LARGE), parts=_PARTS)
MULTIPART = MultipartAnswer.of(_MULTIPART)
PARTS = MultipartAnswer.of(replace(_MULTIPART, parts=_PARTS[1:2]))
PARTS_STATE = PartsAnswer.of(
    PartsState(
        job=samples.PENDING,
        size=_LARGE,
        part_size=part_size(_LARGE),
        arrived=(Part(number=1, size=part_size(_LARGE), etag=""),),
        missing=(2, 3),
    )
)
KNOWN_PARTS = MultipartAnswer.of_duplicate(samples.COMPLETED, part_size=part_size(_LARGE))
COMPLETED_UPLOAD = CompletedUploadAnswer.of(first_image(samples.PENDING))


@call(
    "beginMultipartUpload",
    groups.UPLOADS,
    reply("The bytes are known already", KNOWN_PARTS),
    reply("The parts", MULTIPART, status=HTTPStatus.CREATED),
    body=MultipartRequest,
    problems=(UnsupportedContentType, FileTooLarge, PresetNotFound, DailyLimitReached, ImageLimitReached),
)
async def begin(request: web.Request) -> web.Response:
    """Begin to upload a large file in parts.

    This is for a file so large that a broken connection should not cost all of it. Cut the file into parts of
    `partSize` bytes (the last one is smaller). PUT each part to its `url` with its `headers`, several at once if you
    like. Send a part again if it fails. Then complete the upload. An upload that is not completed within a day is
    removed. `size` is that of your own file: replace the one of the example, or S3 refuses the parts.
    """
    asked = await asked_by(request, MultipartRequest, await json_body(request))
    upload = asked.to_upload(max_bytes=request.app[SETTINGS].max_upload_bytes)
    large_files, tenant, answered = request.app[LARGE_FILES], tenant_of(request), earlier(request)
    if answered is None and asked.dedupe and asked.checksum_sha256 is not None:
        duplicate = await request.app[UPLOADS].find_duplicate(tenant, asked.checksum_sha256, asked.preset)
        if duplicate is not None:
            bind_contextvars(uniqueId=duplicate.unique_id, processingId=duplicate.processing_id)
            known = MultipartAnswer.of_duplicate(duplicate, part_size=part_size(asked.size))
            return render(request, known.ignoring(asked.ignored))
    if answered is None:
        submission = await large_files.begin(tenant, upload, asked.size)
    else:
        try:
            submission = await large_files.sign(tenant, answered["uniqueId"], None, asked.expires_in)
        except (AlreadyUploaded, UploadExpired):
            job = await request.app[CATALOG].status(tenant, answered["processingId"])
            ended = MultipartAnswer.of_ended(job, part_size=part_size(asked.size))
            return render(request, ended.ignoring(asked.ignored), HTTPStatus.CREATED)
    bind_contextvars(uniqueId=submission.job.unique_id, processingId=submission.job.processing_id)
    return _render(request, submission, asked, HTTPStatus.CREATED)


@call(
    "signParts",
    groups.UPLOADS,
    reply("The parts", PARTS),
    path=(UNIQUE_ID,),
    body=PartsRequest,
    body_required=False,
    problems=(ImageNotFound, NoSuchPart, AlreadyUploaded, UploadExpired, WrongUploadMethod),
)
async def sign(request: web.Request) -> web.Response:
    """Get new URLs for parts of an upload that is not completed.

    The terms and the ids stay the same. Earlier URLs stay valid until their own end.
    """
    unique_id = unique_id_in(request)
    asked = await asked_by(request, PartsRequest, await optional_json_body(request))
    submission = await request.app[LARGE_FILES].sign(
        tenant_of(request), unique_id, asked.part_numbers, asked.expires_in
    )
    return _render(request, submission, asked, HTTPStatus.OK)


@call(
    "getMultipartUpload",
    groups.UPLOADS,
    reply("The parts", PARTS_STATE),
    path=(UNIQUE_ID,),
    problems=(ImageNotFound, AlreadyUploaded, UploadExpired, WrongUploadMethod),
)
async def show(request: web.Request) -> web.Response:
    """See which parts of an upload are there.

    Asks S3. A page that was reloaded continues with this call: it asks for new URLs of the `missingParts`. When the
    file is complete already, the answer is 409 with `already_uploaded`; when its parts were removed after a day, with
    `upload_expired`.
    """
    return render(
        request, PartsAnswer.of(await request.app[LARGE_FILES].state(tenant_of(request), unique_id_in(request)))
    )


@call(
    "completeMultipartUpload",
    groups.UPLOADS,
    reply("It is whole", COMPLETED_UPLOAD),
    path=(UNIQUE_ID,),
    problems=(ImageNotFound, UploadIncomplete, UploadExpired, WrongUploadMethod),
)
async def complete(request: web.Request) -> web.Response:
    """Make one file of the parts, and convert it.

    The service asks S3 which parts there are. While one is missing, or has another size, the answer is 409 with
    `upload_incomplete` and their numbers in `missingParts`; nothing is lost. The call may be repeated, also after it
    succeeded.
    """
    image = await request.app[LARGE_FILES].complete(tenant_of(request), unique_id_in(request))
    return render(request, CompletedUploadAnswer.of(image))


@call(
    "abortMultipartUpload",
    groups.UPLOADS,
    reply("What is gone", ABORTED_UPLOAD),
    path=(UNIQUE_ID,),
    problems=(ImageNotFound, AlreadyUploaded, WrongUploadMethod),
)
async def abort(request: web.Request) -> web.Response:
    """Give up an upload in parts.

    Removes the parts and the records. Only an upload that has not been completed can be aborted. A completed one is an
    image; delete it with the call for images.
    """
    unique_id = unique_id_in(request)
    erasure = await request.app[LARGE_FILES].abort(tenant_of(request), unique_id)
    return render(request, DeleteAnswer.of(unique_id, erasure))


def _render(request: web.Request, submission: MultipartSubmission, asked: Question, status: HTTPStatus) -> web.Response:
    good_for(request, submission.expires_in_seconds)
    return render(request, MultipartAnswer.of(submission).ignoring(asked.ignored), status)
