"""What answers look like: the core's values in the wire's camelCase, with public URLs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

from processor import clock
from processor.catalog.images import Submission
from processor.catalog.parts import MultipartSubmission, PartsState
from processor.catalog.redrive import Attempt, Redrive
from processor.erasure import Erasure
from processor.images import StoredVariant, variant_key
from processor.jobs import Failure, Image, Job, JobStatus, Timings
from processor.ports.queue import QueueDepth
from processor.recipes import STANDARD
from service.observe.health import State

_UNIQUE_ID = "6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e"
_PROCESSING_ID = "img_1767323045678_9f86d081884c7d65"
_KEY = f"uploads/{_UNIQUE_ID}.jpg"
_URL = f"https://images.example.com/processed/{_UNIQUE_ID}/{_PROCESSING_ID}/webp.webp"

Time = Annotated[
    datetime,
    PlainSerializer(clock.to_iso, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-01-02T03:04:05.678Z"]}),
]
Url = Annotated[str, Field(json_schema_extra={"format": "uri"}, examples=[_URL])]
UniqueId = Annotated[str, Field(json_schema_extra={"format": "uuid"}, examples=[_UNIQUE_ID])]
ProcessingId = Annotated[str, Field(examples=[_PROCESSING_ID])]
SourceKey = Annotated[str, Field(examples=[_KEY])]


#: Schemas of a map by variant: these names are always meant, others may come.
VARIANT_NAMES = tuple(spec.name for spec in STANDARD.specs)


def _named(schema: dict[str, Any]) -> None:
    schema["properties"] = dict.fromkeys(VARIANT_NAMES, schema["additionalProperties"])


def _is_none(value: object) -> bool:
    return value is None


class Answer(BaseModel):
    """The habits that all answers share."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    def to_json(self) -> bytes:
        """The body."""
        return self.model_dump_json(by_alias=True).encode()


class Heard(Answer):
    """What answers a body or a query, and names what was not understood of it."""

    ignored: list[str] | None = Field(
        default=None,
        exclude_if=_is_none,
        description="Fields of the request that mean nothing here; absent when there are none.",
    )

    def ignoring(self, names: Sequence[str]) -> Self:
        """The same, with the names of these fields."""
        return self.model_copy(update={"ignored": list(names)}) if names else self


class PostForm(Answer):
    """The same upload as an HTML form: every field, then the file in a field named `file`."""

    url: Url
    fields: dict[str, str]


class UploadUrlAnswer(Heard):
    """Where and how to upload, and where the variants are going to be."""

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
    processed_image_url: Url = Field(description="The variant of the original's own size, once the job is completed.")
    processed_image_urls: dict[str, Url] = Field(
        description="Every variant by name, once the job is completed.", json_schema_extra=_named
    )
    duplicate_of: UniqueId | None = Field(
        description="The image that holds these bytes already, when `dedupe` was asked for; all ids and URLs are its."
    )

    @classmethod
    def of(cls, submission: Submission, *, base_url: str) -> Self:
        """`base_url` is where the processed bucket is public, without a slash at the end."""
        post, upload = submission.upload.post, submission.upload
        return cls(
            upload_url=upload.url,
            headers=dict(upload.headers),
            post=None if post is None else PostForm(url=post.url, fields=dict(post.fields)),
            duplicate_of=None,
            expires_in=upload.expires_in_seconds,
            **_places(submission.job, base_url),
        )

    @classmethod
    def of_duplicate(cls, job: Job, *, base_url: str) -> Self:
        """The completed job that makes an upload needless."""
        return cls(
            upload_url=None,
            headers={},
            post=None,
            duplicate_of=job.unique_id,
            expires_in=0,
            **_places(job, base_url),
        )


def _places(job: Job, base_url: str) -> dict[str, Any]:
    """Where everything of a job is, or is going to be."""
    recipe = job.recipe or STANDARD
    urls = {
        spec.name: f"{base_url}/{variant_key(job.unique_id, job.processing_id, spec.file_name)}"
        for spec in recipe.specs
    }
    return {
        "key": job.original_key,
        "unique_id": job.unique_id,
        "processing_id": job.processing_id,
        "processed_image_url": urls[recipe.full_size.name],
        "processed_image_urls": urls,
    }


class PartAnswer(Answer):
    """One part: `size` bytes of the file, from `(partNumber - 1) * partSize` on."""

    part_number: int = Field(examples=[1])
    size: int = Field(description="Exact size in bytes; S3 refuses any other.", examples=[8388608])
    url: Url = Field(description="Send the part here with PUT.")
    headers: dict[str, str] = Field(description="What the PUT must send.", examples=[{"Content-Length": "8388608"}])


class MultipartAnswer(Heard):
    """Where and how to upload the parts of a file, and where the variants are going to be."""

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
    processed_image_url: Url = Field(description="The variant of the original's own size, once the job is completed.")
    processed_image_urls: dict[str, Url] = Field(
        description="Every variant by name, once the job is completed.", json_schema_extra=_named
    )
    duplicate_of: UniqueId | None = Field(
        default=None,
        description="The image that holds these bytes already, when `dedupe` was asked for; all ids and URLs are its.",
    )

    @classmethod
    def of(cls, submission: MultipartSubmission, *, base_url: str) -> Self:
        """`base_url` as for the upload in one piece."""
        parts = [
            PartAnswer(part_number=part.number, size=part.size, url=part.url, headers=dict(part.headers))
            for part in submission.parts
        ]
        return cls(
            part_size=submission.part_size,
            parts=parts,
            expires_in=submission.expires_in_seconds,
            **_places(submission.job, base_url),
        )

    @classmethod
    def of_duplicate(cls, job: Job, *, part_size: int, base_url: str) -> Self:
        """The completed job that makes an upload needless."""
        return cls(part_size=part_size, parts=[], duplicate_of=job.unique_id, expires_in=0, **_places(job, base_url))

    def without_urls(self) -> Self:
        """The same image, for which there is nothing to upload any more."""
        return self.model_copy(update={"parts": [], "expires_in": 0})


class ArrivedPart(Answer):
    """A part that is there."""

    part_number: int = Field(examples=[1])
    size: int = Field(description="In bytes.", examples=[8388608])


class PartsAnswer(Answer):
    """How far an upload in parts has come."""

    unique_id: UniqueId
    processing_id: ProcessingId
    key: SourceKey
    size: int = Field(description="Of the whole file, as announced.", examples=[20971520])
    part_size: int = Field(description="Bytes of every part but the last.", examples=[8388608])
    parts: list[ArrivedPart] = Field(description="Those that are there, whole.")
    missing_parts: list[int] = Field(description="Numbers of the others; ask for their URLs.", examples=[[2, 3]])

    @classmethod
    def of(cls, state: PartsState) -> Self:
        """The same numbers."""
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
    """The file is whole, and its job is queued."""

    message: str = "Upload completed"
    unique_id: UniqueId
    processing_id: ProcessingId
    key: SourceKey

    @classmethod
    def of(cls, image: Image) -> Self:
        """The ids are those that were answered when the upload began."""
        return cls(unique_id=image.unique_id, processing_id=image.job_ids[0], key=image.key)


class VariantAnswer(Answer):
    """A stored variant; `size` in bytes, `width` and `height` in pixels."""

    key: str
    url: Url
    width: int
    height: int
    size: int
    content_type: str = Field(examples=["image/webp"])
    sha256: str = Field(description="SHA-256 of the variant, in hex.")

    @classmethod
    def of(cls, variant: StoredVariant, base_url: str, **further: Any) -> Self:
        """`base_url` as for the upload."""
        return cls(
            key=variant.key,
            url=f"{base_url}/{variant.key}",
            width=variant.width,
            height=variant.height,
            size=variant.size,
            content_type=variant.content_type,
            sha256=variant.sha256,
            **further,
        )


class FailureAnswer(Answer):
    """Why a job failed."""

    code: str = Field(description="Stable, for programs.", examples=["corrupt_image"])
    message: str = Field(description="For people.", examples=["The image is damaged or incomplete."])
    limit: int | None = Field(
        default=None,
        exclude_if=_is_none,
        description="What the service accepts, where the file has more: bytes, frames, pixels of the longer side or of "
        "all frames together, by the code.",
        examples=[500],
    )
    actual: int | None = Field(
        default=None, exclude_if=_is_none, description="What the file has; beside `limit`.", examples=[600]
    )

    @classmethod
    def of(cls, failure: Failure) -> Self:
        """The same words and numbers."""
        return cls(code=failure.code, message=failure.message, limit=failure.limit, actual=failure.actual)


class TimingsAnswer(Answer):
    """How long the steps took, in milliseconds."""

    download: int
    process: int
    upload: int
    total: int

    @classmethod
    def of(cls, timings: Timings) -> Self:
        """The same numbers."""
        return cls(download=timings.download, process=timings.process, upload=timings.upload, total=timings.total)


class JobAnswer(Answer):
    """How far a job has come, and what came out of it."""

    processing_id: ProcessingId
    unique_id: UniqueId
    original_key: SourceKey
    filename: str = Field(examples=["photo.jpg"])
    metadata: dict[str, str] = Field(description="As given with the upload.", examples=[{"album": "summer"}])
    status: JobStatus = Field(
        description="`pending`: nothing is uploaded yet. `uploaded`: queued. `completed` and `failed` are final; only "
        "a job that failed for want of its file, a dependency or a limit is taken up again when the file comes again."
    )
    timestamp: Time = Field(description="When the job was made.")
    listed_at: Time = Field(
        description="When the image was made. Lists are sorted by this, and `from` and `to` choose by it. It stays the "
        "same when the image is processed or uploaded again."
    )
    updated_at: Time
    processed_images: dict[str, VariantAnswer] = Field(
        description="The variants by name: those that are stored so far, and all of them once it is completed.",
        json_schema_extra=_named,
    )
    error: FailureAnswer | None = Field(description="Only of a failed job.")
    timings: TimingsAnswer | None = Field(description="Once the job has run.")
    superseded_by: ProcessingId | None = Field(
        description="The image's current job, when it took this one's place: other bytes were uploaded under the same "
        "key, or the image was to be processed again. Null for the current job."
    )

    @classmethod
    def of(cls, job: Job, base_url: str) -> Self:
        """`base_url` as for the upload."""
        return cls(
            processing_id=job.processing_id,
            unique_id=job.unique_id,
            original_key=job.original_key,
            filename=job.filename,
            metadata=dict(job.metadata),
            status=job.status,
            timestamp=job.created_at,
            listed_at=job.listed_at,
            updated_at=job.updated_at,
            processed_images={variant.name: VariantAnswer.of(variant, base_url) for variant in job.variants},
            error=None if job.error is None else FailureAnswer.of(job.error),
            timings=None if job.timings is None else TimingsAnswer.of(job.timings),
            superseded_by=job.superseded_by,
        )


class ListAnswer(Heard):
    """A page of images, each as its current job."""

    images: list[JobAnswer]
    count: int = Field(description="How many there are on this page.")
    last_evaluated_key: str | None = Field(description="`lastKey` of the next page; null at the end.")

    @classmethod
    def of(cls, jobs: Sequence[Job], last_evaluated_key: str | None, base_url: str) -> Self:
        """`base_url` as for the upload."""
        images = [JobAnswer.of(job, base_url) for job in jobs]
        return cls(images=images, count=len(images), last_evaluated_key=last_evaluated_key)


class DepthAnswer(Answer):
    """About how many messages a queue holds."""

    waiting: int = Field(description="Not being handled now.", examples=[3])
    in_flight: int = Field(description="Being handled or moved now.", examples=[0])

    @classmethod
    def of(cls, depth: QueueDepth) -> Self:
        """The same numbers."""
        return cls(waiting=depth.waiting, in_flight=depth.in_flight)


class FailedAnswer(ListAnswer):
    """A page of images whose current job failed."""

    dead_letters: DepthAnswer | None = Field(
        description="What is in the dead-letter queue of all tenants, for administrators; else null, and also "
        "where the service does not know that queue."
    )

    @classmethod
    def of(
        cls,
        jobs: Sequence[Job],
        last_evaluated_key: str | None,
        base_url: str,
        dead_letters: QueueDepth | None = None,
    ) -> Self:
        """`base_url` as for the upload."""
        images = [JobAnswer.of(job, base_url) for job in jobs]
        return cls(
            images=images,
            count=len(images),
            last_evaluated_key=last_evaluated_key,
            dead_letters=None if dead_letters is None else DepthAnswer.of(dead_letters),
        )


class RedrivenImage(Answer):
    """What became of one failed image."""

    unique_id: UniqueId
    processing_id: ProcessingId = Field(description="The failed job.")
    code: str | None = Field(description="Why it failed.", examples=["unavailable"])
    new_processing_id: str | None = Field(description="The new job; null in a dry run, and when there is none.")
    refused: str | None = Field(
        description="Code of the problem that stood against a new job: `not_uploaded` when the file is gone, "
        "`image_not_found` when the image was deleted, `record_changed` when something else took the job up first."
    )

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        """The same ids."""
        return cls(
            unique_id=attempt.job.unique_id,
            processing_id=attempt.job.processing_id,
            code=None if attempt.job.error is None else attempt.job.error.code,
            new_processing_id=attempt.new_processing_id,
            refused=attempt.refused,
        )


class RedriveAnswer(Heard):
    """What was redriven, or would be."""

    dry_run: bool
    matched: int = Field(description="How many failed images were found.", examples=[2])
    redriven: int = Field(description="How many of them have a new job.", examples=[1])
    images: list[RedrivenImage]
    messages: int = Field(
        description="How many dead letters were moved back to the queue; in a dry run, how many at most would be.",
        examples=[3],
    )
    last_evaluated_key: str | None = Field(description="`lastKey` of the next call; null at the end.")

    @classmethod
    def of(cls, redrive: Redrive, last_evaluated_key: str | None, *, dry_run: bool) -> Self:
        """The same numbers."""
        return cls(
            dry_run=dry_run,
            matched=len(redrive.attempts),
            redriven=redrive.redriven,
            images=[RedrivenImage.of(attempt) for attempt in redrive.attempts],
            messages=redrive.messages,
            last_evaluated_key=last_evaluated_key,
        )


class ProcessAnswer(Answer):
    """The new job."""

    message: str = "Processing started"
    unique_id: UniqueId
    key: SourceKey
    processing_id: ProcessingId

    @classmethod
    def of(cls, job: Job) -> Self:
        """What a client needs to follow the job."""
        return cls(unique_id=job.unique_id, key=job.original_key, processing_id=job.processing_id)


class ProcessedImage(VariantAnswer):
    """A stored variant with its name and age."""

    size_type: str = Field(examples=["thumbnail"])
    last_modified: Time


class ProcessedAnswer(Answer):
    """The variants that can be shown now."""

    unique_id: UniqueId
    processed_images: list[ProcessedImage]
    count: int

    @classmethod
    def of(cls, unique_id: str, variants: Sequence[StoredVariant], base_url: str) -> Self:
        """`base_url` as for the upload."""
        images = [
            ProcessedImage.of(variant, base_url, size_type=variant.name, last_modified=variant.stored_at)
            for variant in variants
        ]
        return cls(unique_id=unique_id, processed_images=images, count=len(images))


class Receipt(Answer):
    """What was removed, every version of it, and when it was seen that nothing was left."""

    sources: list[str] = Field(description="Keys in the source bucket.", examples=[[_KEY]])
    variants: list[str] = Field(description="Keys in the processed bucket.")
    manifests: list[str] = Field(description="Keys of the manifests beside them.")
    invalidation: str | None = Field(
        description="Id of the order to CloudFront to forget the variants; null where none is configured.",
        examples=["I2J0I21PCUYOIK"],
    )
    erased_at: Time


class DeleteAnswer(Answer):
    """What is gone."""

    message: str = "Image deleted"
    unique_id: UniqueId
    deleted_processed_images: int = Field(description="How many variants there were.", examples=[4])
    receipt: Receipt

    @classmethod
    def of(cls, unique_id: str, erasure: Erasure) -> Self:
        """The receipt names every key, so that it can be checked."""
        receipt = Receipt(
            sources=list(erasure.sources),
            variants=list(erasure.variants),
            manifests=list(erasure.manifests),
            invalidation=erasure.invalidation,
            erased_at=erasure.erased_at,
        )
        return cls(unique_id=unique_id, deleted_processed_images=len(erasure.variants), receipt=receipt)


class HealthAnswer(Answer):
    """Whether the service can work."""

    status: Literal["healthy", "unhealthy", "draining"]
    service: str = Field(default="image-service")
    stage: str = Field(examples=["prod"])
    timestamp: Time
    checks: dict[str, State] = Field(description="What the service needs, by name; empty while draining.")

    @classmethod
    def of(cls, states: Mapping[str, State], *, draining: bool, stage: str) -> Self:
        """Unhealthy as soon as one check fails."""
        well = all(state == "ok" for state in states.values())
        status: Literal["healthy", "unhealthy", "draining"] = "healthy" if well else "unhealthy"
        return cls(status="draining" if draining else status, stage=stage, timestamp=clock.now(), checks=dict(states))
