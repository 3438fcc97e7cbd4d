"""The part of Companion's API that Uppy needs: a small file as a form, a large one in parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self, cast

from aiohttp import web
from pydantic import BeforeValidator, ConfigDict, Field, RootModel, WithJsonSchema
from pydantic.alias_generators import to_pascal
from pydantic_core import PydanticCustomError
from structlog.contextvars import bind_contextvars

from processor.catalog.unsized import S3_MAX_PARTS
from processor.catalog.uploads import Submission, UploadRequest
from processor.errors import (
    AlreadyUploaded,
    DailyLimitReached,
    FileTooLarge,
    ImageLimitReached,
    ImageNotFound,
    JobNotFound,
    NoSuchPart,
    PartTooSmall,
    PresetNotFound,
    UploadExpired,
    UploadIncomplete,
    WrongUploadMethod,
)
from processor.images import unique_id_of
from processor.jobs import Job
from processor.ports.objects import Part, PostForm, SignedUrl
from service.auth.middleware import tenant_of
from service.calls import groups, samples
from service.calls.files import PresetName
from service.calls.images import ABORTED_UPLOAD, DeleteAnswer
from service.calls.names import ProcessingId, PublicUrl, SourceKey, UniqueId, Url
from service.calls.uploads import UploadUrlRequest
from service.calls.use_cases import UNSIZED_FILES, UPLOADS
from service.calls.variants import locations
from service.config import SETTINGS
from service.http.body import json_body
from service.http.call import PathPart, call, reply
from service.http.problems import UnsupportedContentType
from service.http.rendering import render, render_rows
from service.http.wire import Answer, Heard, Question, read_query, single_values
from service.limits.long_bodies import asked_by
from service.limits.long_pages import page_turn

#: Validity of the URLs and forms, in seconds. Uppy asks for a new URL for each part.
EXPIRES_SECONDS = 3600
#: The name of a query parameter with an entry of a small file's metadata.
_METADATA = "metadata["
#: The entry of the metadata that names a preset. Uppy sends nothing else of its user's.
_PRESET = "preset"

UPLOAD_ID = PathPart("uploadId", "As answered when the upload began.", r"^img_[0-9]+_[A-Za-z0-9]+$")
PART_NUMBER = PathPart("partNumber", "Beginning at 1.", r"^([1-9][0-9]{0,3}|10000)$")


def _text(value: object) -> str:
    """A value of metadata as JavaScript converts it to text, like the metadata of a small file. Null is empty."""
    if value is None or value in ("null", "undefined"):
        return ""
    if not isinstance(value, str | int | float):
        raise PydanticCustomError("scalar", "must be text, a number, true or false")
    return str(value).lower() if isinstance(value, bool) else str(value)


Scalar = Annotated[str, BeforeValidator(_text), WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]
PartNumber = Annotated[int, Field(ge=1, le=S3_MAX_PARTS, examples=[1])]


class SmallFile(Question):
    """A file as the query names it; its metadata is spread over the query as `metadata[name]`."""

    filename: str = Field(description="Name of the file.", examples=["poster.png"])
    type: str | None = Field(default=None, description="As `contentType` of an upload URL.", examples=["image/png"])
    preset: PresetName | None = Field(
        default=None, description="As of an upload URL. An entry `preset` of the metadata names one, too."
    )


class UppyFile(SmallFile):
    """The file to upload."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"filename": "poster.png", "type": "image/png", "metadata": {"name": "poster.png"}}]
        }
    )

    metadata: dict[str, Scalar] = Field(
        default_factory=dict,
        description="As of an upload URL; what is empty, and what repeats the name and the type, is left out.",
        examples=[{"name": "poster.png", "type": "image/png", "relativePath": None, "album": "summer"}],
    )

    def to_upload(self, *, max_bytes: int) -> UploadRequest:
        """The request for the core. Raises `InvalidRequest`, `UnsupportedContentType`."""
        metadata = self._own_metadata()
        preset = self.preset or metadata.pop(_PRESET, None)
        given = {"filename": self.filename, "contentType": self.type, "metadata": metadata, "preset": preset}
        return read_query(UploadUrlRequest, given).to_upload(max_bytes=max_bytes)

    def _own_metadata(self) -> dict[str, str]:
        said = {"name": self.filename, "type": self.type}
        return {name: text for name, text in self.metadata.items() if text and text != said.get(name)}


def file_of_query(query: Mapping[str, str]) -> UppyFile:
    """A small file, whose metadata is spread over the query as `metadata[name]`. Raises `InvalidRequest`."""
    values = single_values(query)
    entries = [name for name in values if name.startswith(_METADATA) and name.endswith("]")]
    metadata = {name[len(_METADATA) : -1]: values.pop(name) for name in entries}
    return read_query(UppyFile, {**values, "metadata": metadata})


class UploadName(Question):
    """The upload, in addition to its `uploadId`."""

    key: str = Field(description="As answered when the upload began.", examples=["uploads/6f1f7a52.png"])


class NamedPart(Question):
    """A part as its sender knows it."""

    model_config = ConfigDict(alias_generator=to_pascal)

    part_number: PartNumber
    e_tag: str = Field(description="As S3 answered it, with or without quotes.", examples=["9f86d081"])


class CompleteRequest(Question):
    """The parts of the whole file."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"parts": [{"PartNumber": 1, "ETag": "9f86d081"}]}]})

    parts: list[NamedPart] = Field(min_length=1, max_length=S3_MAX_PARTS)

    @property
    def etags(self) -> dict[int, str]:
        """The parts by number, with ETags without quotes."""
        return {part.part_number: part.e_tag.strip('"') for part in self.parts}


class FormAnswer(Answer):
    """A small file's upload as a form: every field, then the file in a field named `file`."""

    method: Literal["POST"] = "POST"
    url: Url
    fields: dict[str, str]
    expires: int = Field(description="Seconds that the form holds.", examples=[EXPIRES_SECONDS])
    unique_id: UniqueId
    processing_id: ProcessingId

    @classmethod
    def of(cls, submission: Submission) -> Self:
        """The answer with the form. Its fields include the key."""
        form = cast("PostForm", submission.upload.post)  # every upload that can be repeated has a form
        job = submission.job
        return cls(
            url=form.url,
            fields=dict(form.fields),
            expires=submission.upload.expires_in_seconds,
            unique_id=job.unique_id,
            processing_id=job.processing_id,
        )


class StartedAnswer(Heard):
    """A large file's upload has begun."""

    upload_id: ProcessingId = Field(description="The same as `processingId`: S3's own id is nobody's business.")
    key: SourceKey
    unique_id: UniqueId
    processing_id: ProcessingId

    @classmethod
    def of(cls, job: Job) -> Self:
        """The answer with the id of the job."""
        return cls(
            upload_id=job.processing_id,
            key=job.original_key,
            unique_id=job.unique_id,
            processing_id=job.processing_id,
        )


class PartUrlAnswer(Answer):
    """The URL for the PUT of one part."""

    url: Url
    expires: int = Field(description="Seconds that the URL holds.", examples=[EXPIRES_SECONDS])

    @classmethod
    def of(cls, signed: SignedUrl) -> Self:
        return cls(url=signed.url, expires=signed.expires_in_seconds)


class ListedPart(Answer):
    """A part that has arrived."""

    model_config = ConfigDict(alias_generator=to_pascal)

    part_number: PartNumber
    size: int = Field(description="In bytes.", examples=[5242880])
    e_tag: str = Field(examples=['"9f86d081884c7d659a2feaa0c55ad015"'])


class ListedParts(RootModel[list[ListedPart]]):
    """The parts that have arrived, by number."""

    @classmethod
    def of(cls, parts: Sequence[Part]) -> Self:
        """The answer with quotes around the ETags, as S3 lists them."""
        return cls([ListedPart(part_number=part.number, size=part.size, e_tag=f'"{part.etag}"') for part in parts])


class FinishedAnswer(Heard):
    """The file is complete, and its job is queued."""

    location: PublicUrl = Field(description="The variant of the original's own size, once the job is completed.")
    key: SourceKey
    unique_id: UniqueId
    processing_id: ProcessingId

    @classmethod
    def of(cls, job: Job) -> Self:
        """The answer has the same ids as the one at the start of the upload."""
        return cls(
            location=locations(job)["processed_image_url"],
            key=job.original_key,
            unique_id=job.unique_id,
            processing_id=job.processing_id,
        )


UPPY_FORM = FormAnswer.of(Submission(job=samples.PENDING, upload=samples.UPLOAD))
UPPY_STARTED = StartedAnswer.of(samples.PENDING)
UPPY_PART = PartUrlAnswer.of(SignedUrl(url=samples.part_url(1), expires_in_seconds=3600))
UPPY_PARTS = ListedParts.of([Part(number=1, size=5 * 1024 * 1024, etag="9f86d081884c7d659a2feaa0c55ad015")])
UPPY_FINISHED = FinishedAnswer.of(samples.PENDING)

_NOT_OPEN = (ImageNotFound, AlreadyUploaded, UploadExpired, WrongUploadMethod)


@call(
    "uppyParams",
    groups.UPPY,
    reply("The form", UPPY_FORM),
    query=SmallFile,
    problems=(UnsupportedContentType, PresetNotFound, DailyLimitReached, ImageLimitReached),
)
async def params(request: web.Request) -> web.Response:
    """Get a form for a small file.

    For Uppy's plugin `@uppy/aws-s3`. Its `companionEndpoint` is the base URL with `/images`. Each entry of the metadata
    is a parameter `metadata[name]`. The UUID in the key is the id of the image; ask for the image's status with it.
    """
    upload = file_of_query(request.query).to_upload(max_bytes=request.app[SETTINGS].max_upload_bytes)
    submission = await request.app[UPLOADS].submit(tenant_of(request), upload)
    bind_contextvars(uniqueId=submission.job.unique_id, processingId=submission.job.processing_id)
    return render(request, FormAnswer.of(submission))


@call(
    "uppyStart",
    groups.UPPY,
    reply("It has begun", UPPY_STARTED),
    body=UppyFile,
    problems=(UnsupportedContentType, PresetNotFound, DailyLimitReached, ImageLimitReached),
)
async def start(request: web.Request) -> web.Response:
    """Begin to upload a large file in parts, of a size that is not known.

    For Uppy. Parts are signed one by one, and may have any size. The service checks the limits again before it signs
    the next part, and before it makes the file. An upload that is not completed within a day is removed.
    """
    asked = await asked_by(request, UppyFile, await json_body(request))
    upload = asked.to_upload(max_bytes=request.app[SETTINGS].max_upload_bytes)
    job = await request.app[UNSIZED_FILES].start(tenant_of(request), upload)
    bind_contextvars(uniqueId=job.unique_id, processingId=job.processing_id)
    return render(request, StartedAnswer.of(job).ignoring(asked.ignored))


@call(
    "uppySignPart",
    groups.UPPY,
    reply("The URL", UPPY_PART),
    path=(UPLOAD_ID, PART_NUMBER),
    query=UploadName,
    problems=(*_NOT_OPEN, NoSuchPart, FileTooLarge, DailyLimitReached, ImageLimitReached),
)
async def sign_part(request: web.Request) -> web.Response:
    """Get a URL for one part."""
    number = request.match_info["partNumber"]
    if not (number.isascii() and number.isdigit() and len(number) <= 5):  # noqa: PLR2004 - digits of the highest number
        told = f"The numbers of parts are 1 to {S3_MAX_PARTS}."
        raise NoSuchPart(told, limit=S3_MAX_PARTS)
    signed = await request.app[UNSIZED_FILES].sign_part(
        *_named(request), int(number), expires_in_seconds=EXPIRES_SECONDS
    )
    return render(request, PartUrlAnswer.of(signed))


@call(
    "uppyListParts",
    groups.UPPY,
    reply("All of them", UPPY_PARTS),
    path=(UPLOAD_ID,),
    query=UploadName,
    problems=_NOT_OPEN,
)
async def list_parts(request: web.Request) -> web.Response:
    """List the parts that have arrived."""
    async with page_turn(request):
        parts = await request.app[UNSIZED_FILES].parts(*_named(request))
        return await render_rows(request, lambda: ListedParts.of(parts), rows=len(parts), tenant=tenant_of(request))


@call(
    "uppyFinish",
    groups.UPPY,
    reply("It is whole", UPPY_FINISHED),
    path=(UPLOAD_ID,),
    query=UploadName,
    body=CompleteRequest,
    problems=(
        *(ImageNotFound, JobNotFound, PartTooSmall, FileTooLarge),
        *(UploadIncomplete, UploadExpired, WrongUploadMethod, DailyLimitReached, ImageLimitReached),
    ),
)
async def finish(request: web.Request) -> web.Response:
    """Make one file of the parts, and convert it.

    Parts 1 to the last one named must be there with these ETags. Otherwise the answer is 409 with `upload_incomplete`,
    and nothing is lost. Every part but the last has at least 5 MiB. The call may be repeated, also after it succeeded,
    while the record of the job is there.
    """
    asked = await asked_by(request, CompleteRequest, await json_body(request))
    job = await request.app[UNSIZED_FILES].finish(*_named(request), asked.etags)
    return render(request, FinishedAnswer.of(job).ignoring(asked.ignored))


@call(
    "uppyGiveUp",
    groups.UPPY,
    reply("What is gone", ABORTED_UPLOAD),
    path=(UPLOAD_ID,),
    query=UploadName,
    problems=(ImageNotFound, AlreadyUploaded, WrongUploadMethod),
)
async def give_up(request: web.Request) -> web.Response:
    """Give up an upload in parts.

    Removes the parts and the records, unless the upload has been completed.
    """
    tenant, upload_id, key = _named(request)
    erasure = await request.app[UNSIZED_FILES].give_up(tenant, upload_id, key)
    return render(request, DeleteAnswer.of(unique_id_of(key) or "", erasure))


def _named(request: web.Request) -> tuple[str, str, str]:
    """Tenant, id and key of the upload."""
    key = read_query(UploadName, request.query).key
    bind_contextvars(uniqueId=unique_id_of(key))
    return tenant_of(request), request.match_info["uploadId"], key
