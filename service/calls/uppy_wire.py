"""The wire of the upload calls that Uppy makes of its Companion, in Companion's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self, cast

from pydantic import BeforeValidator, ConfigDict, Field, RootModel, WithJsonSchema
from pydantic.alias_generators import to_pascal
from pydantic_core import PydanticCustomError

from processor.catalog.images import Submission, UploadRequest
from processor.catalog.unsized import S3_MAX_PARTS
from processor.images import variant_key
from processor.jobs import Image, Job
from processor.ports.objects import Part, PostForm, SignedUrl
from processor.recipes import FULL_SIZE
from service.calls.answers import Answer, Heard, ProcessingId, SourceKey, UniqueId, Url
from service.calls.schemas import Question, UploadUrlRequest, read_query, single_values

#: How long what is signed here holds, in seconds. Uppy asks for each part anew.
EXPIRES_SECONDS = 3600
#: Where the query of a small file has an entry of its metadata.
_METADATA = "metadata["


def _text(value: object) -> str:
    """As JavaScript says it, which is how the metadata of a small file arrives; nothing is the empty text."""
    if value is None or value in ("null", "undefined"):
        return ""
    if not isinstance(value, str | int | float):
        raise PydanticCustomError("scalar", "must be text, a number, true or false")
    return str(value).lower() if isinstance(value, bool) else str(value)


Scalar = Annotated[str, BeforeValidator(_text), WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]
PartNumber = Annotated[int, Field(ge=1, le=S3_MAX_PARTS, examples=[1])]


class UppyFile(Question):
    """The file that is about to be uploaded."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"filename": "poster.png", "type": "image/png", "metadata": {"name": "poster.png"}}]
        }
    )

    filename: str = Field(description="Name of the file.", examples=["poster.png"])
    type: str | None = Field(default=None, description="As `contentType` of an upload URL.", examples=["image/png"])
    metadata: dict[str, Scalar] = Field(
        default_factory=dict,
        description="As of an upload URL; what is empty, and what repeats the name and the type, is left out.",
        examples=[{"name": "poster.png", "type": "image/png", "relativePath": None, "album": "summer"}],
    )

    def to_upload(self, *, max_bytes: int) -> UploadRequest:
        """What the core is asked. Raises `InvalidRequest`, `UnsupportedContentType`."""
        given = {"filename": self.filename, "contentType": self.type, "metadata": self._own_metadata()}
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
    """Which upload is meant, beside its `uploadId`."""

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
        """Without quotes, by number."""
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
        """The key is among the fields."""
        form = cast("PostForm", submission.upload.post)  # what may be uploaded more than once has one
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
        """Under the id of its job."""
        return cls(
            upload_id=job.processing_id,
            key=job.original_key,
            unique_id=job.unique_id,
            processing_id=job.processing_id,
        )


class PartUrlAnswer(Answer):
    """Where one part may be PUT."""

    url: Url
    expires: int = Field(description="Seconds that the URL holds.", examples=[EXPIRES_SECONDS])

    @classmethod
    def of(cls, signed: SignedUrl) -> Self:
        """The same time."""
        return cls(url=signed.url, expires=signed.expires_in_seconds)


class ListedPart(Answer):
    """A part that has arrived."""

    model_config = ConfigDict(alias_generator=to_pascal)

    part_number: PartNumber
    size: int = Field(description="In bytes.", examples=[5242880])
    e_tag: str = Field(examples=['"9f86d081884c7d659a2feaa0c55ad015"'])


class ListedParts(RootModel[list[ListedPart]]):
    """What has arrived so far, by number."""

    @classmethod
    def of(cls, parts: Sequence[Part]) -> Self:
        """With quotes around the ETags, as S3 lists them."""
        return cls([ListedPart(part_number=part.number, size=part.size, e_tag=f'"{part.etag}"') for part in parts])

    def to_json(self) -> bytes:
        """The body."""
        return self.model_dump_json(by_alias=True).encode()


class FinishedAnswer(Heard):
    """The file is whole, and its job is queued."""

    location: Url = Field(description="The variant of the original's own size, once the job is completed.")
    key: SourceKey
    unique_id: UniqueId
    processing_id: ProcessingId

    @classmethod
    def of(cls, image: Image, base_url: str) -> Self:
        """`base_url` is where the processed bucket is public, without a slash at the end."""
        unique_id, processing_id = image.unique_id, image.job_ids[0]
        location = f"{base_url}/{variant_key(unique_id, processing_id, FULL_SIZE.file_name)}"
        return cls(location=location, key=image.key, unique_id=unique_id, processing_id=processing_id)
