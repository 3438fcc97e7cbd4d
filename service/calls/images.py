"""One image: convert it again, show its variants, delete it."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Self

from aiohttp import web
from pydantic import ConfigDict, Field
from structlog.contextvars import bind_contextvars

from processor.erasure import Erasure
from processor.errors import (
    Busy,
    DailyLimitReached,
    ImageNotFound,
    NeedsReview,
    NotUploaded,
    PresetNotFound,
    ReviewRejected,
    TooManyJobs,
)
from processor.jobs import Job, Shown
from processor.manifest import manifest_key
from processor.recipes import STANDARD
from service.auth.middleware import tenant_of
from service.calls import groups, samples
from service.calls.facts import FactsAnswer, FactsQuery, shown
from service.calls.files import PresetName
from service.calls.names import EXAMPLE_KEY, UNIQUE_ID, ProcessingId, SourceKey, UniqueId, unique_id_in
from service.calls.pages import PagesAnswer
from service.calls.use_cases import CATALOG
from service.calls.variants import VariantAnswer
from service.http.body import optional_json_body
from service.http.call import call, reply
from service.http.rendering import render
from service.http.wire import Answer, Heard, Question, Time, is_none, read_query
from service.limits.long_bodies import asked_by


class ProcessAnswer(Heard):
    """The new job."""

    message: str = "Processing started"
    unique_id: UniqueId
    key: SourceKey
    processing_id: ProcessingId
    preset: str = Field(description="The preset of the job.", examples=["avatar"])
    preset_version: int | None = Field(
        description="Its version. Null: the job is one of an earlier release, which had no versions.", examples=[3]
    )

    @classmethod
    def of(cls, job: Job) -> Self:
        """The answer with all that a client needs to follow the job."""
        return cls(
            unique_id=job.unique_id,
            key=job.original_key,
            processing_id=job.processing_id,
            preset=job.shown.preset or STANDARD.name,
            preset_version=job.shown.preset_version,
        )


class ProcessRequest(Question):
    """How to convert the image."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"preset": "standard"}]})

    preset: PresetName | None = Field(
        default=None,
        description="Name of the preset, in its newest version; by default the one that the image has.",
    )


class ProcessedImage(VariantAnswer):
    """A stored variant with its name and age."""

    size_type: str = Field(examples=["thumbnail"])
    last_modified: Time


class ProcessedAnswer(PagesAnswer):
    """The variants that can be shown now."""

    unique_id: UniqueId
    processed_images: list[ProcessedImage]
    count: int
    preset: str | None = Field(
        default=None,
        exclude_if=is_none,
        description="The preset that they were made with. Not there while there are none.",
        examples=["standard"],
    )
    preset_version: int | None = Field(
        default=None,
        exclude_if=is_none,
        description="Its version. Not there if neither the record nor the manifest says it.",
        examples=[3],
    )
    facts: FactsAnswer

    @classmethod
    def of(cls, unique_id: str, shown: Shown) -> Self:
        images = [
            ProcessedImage.with_formats(variant, shown.further, size_type=variant.name, last_modified=variant.stored_at)
            for variant in shown.variants
        ]
        return cls(
            unique_id=unique_id,
            processed_images=images,
            count=len(images),
            preset=shown.preset or (STANDARD.name if images else None),
            preset_version=shown.preset_version,
            facts=dict(shown.facts.for_tenant),
            **PagesAnswer.told(shown),
        )


class Receipt(Answer):
    """The keys that were removed, in all versions, and the time at which the buckets were found empty."""

    sources: list[str] = Field(description="Keys in the source bucket.", examples=[[EXAMPLE_KEY]])
    variants: list[str] = Field(description="Keys in the processed bucket.")
    manifests: list[str] = Field(description="Keys of the manifests beside them.")
    invalidation: str | None = Field(
        description="Id of the order to CloudFront to forget the variants; null where none is configured.",
        examples=["I2J0I21PCUYOIK"],
    )
    erased_at: Time


class DeleteAnswer(Answer):
    """The deleted image."""

    message: str = "Image deleted"
    unique_id: UniqueId
    deleted_processed_images: int = Field(description="How many variants there were.", examples=[4])
    receipt: Receipt

    @classmethod
    def of(cls, unique_id: str, erasure: Erasure) -> Self:
        """The answer from a receipt. It has every key, so that the client can check them."""
        receipt = Receipt(
            sources=list(erasure.sources),
            variants=list(erasure.variants),
            manifests=list(erasure.manifests),
            invalidation=erasure.invalidation,
            erased_at=erasure.erased_at,
        )
        return cls(unique_id=unique_id, deleted_processed_images=len(erasure.variants), receipt=receipt)


PROCESS = ProcessAnswer.of(replace(samples.PENDING, processing_id=samples.NEW_ID))
PROCESSED = ProcessedAnswer.of(samples.UNIQUE_ID, samples.COMPLETED.shown)
DELETE = DeleteAnswer.of(
    samples.UNIQUE_ID,
    Erasure(
        sources=(samples.COMPLETED.original_key,),
        variants=tuple(variant.key for variant in samples.COMPLETED.variants),
        manifests=(manifest_key(samples.UNIQUE_ID, samples.COMPLETED.processing_id),),
        invalidation="I2J0I21PCUYOIK",
        erased_at=samples.DONE_AT,
    ),
)
ABORTED_UPLOAD = DeleteAnswer.of(
    samples.UNIQUE_ID, Erasure(sources=(), variants=(), manifests=(), invalidation=None, erased_at=samples.DONE_AT)
)


@call(
    "processImage",
    groups.IMAGES,
    reply("The new job", PROCESS, status=HTTPStatus.ACCEPTED),
    path=(UNIQUE_ID,),
    body=ProcessRequest,
    body_required=False,
    problems=(ImageNotFound, PresetNotFound, NotUploaded, TooManyJobs, DailyLimitReached, Busy),
)
async def process(request: web.Request) -> web.Response:
    """Convert an uploaded image again.

    Makes a new job, with another preset if one is named. If a job for the same file and preset has not ended yet, the
    answer names that one. The variants of the last
    completed job are shown until the new one has completed. After five jobs of an image in a minute, each further one
    waits for some seconds.
    """
    unique_id = unique_id_in(request)
    asked = await asked_by(request, ProcessRequest, await optional_json_body(request))
    job = await request.app[CATALOG].reprocess(tenant_of(request), unique_id, preset=asked.preset)
    bind_contextvars(processingId=job.processing_id)
    return render(request, ProcessAnswer.of(job).ignoring(asked.ignored), HTTPStatus.ACCEPTED)


@call(
    "listProcessedImages",
    groups.IMAGES,
    reply("The variants", PROCESSED),
    path=(UNIQUE_ID,),
    query=FactsQuery,
    problems=(ImageNotFound, NeedsReview, ReviewRejected),
)
async def processed(request: web.Request) -> web.Response:
    """List the variants of an image."""
    unique_id, query = unique_id_in(request), read_query(FactsQuery, request.query)
    stored = await request.app[CATALOG].processed_images(tenant_of(request), unique_id)
    answer = ProcessedAnswer.of(unique_id, stored)
    return render(request, answer.model_copy(update={"facts": dict(shown(request, stored.facts, query))}))


@call("deleteImage", groups.IMAGES, reply("What is gone", DELETE), path=(UNIQUE_ID,), problems=(ImageNotFound,))
async def delete(request: web.Request) -> web.Response:
    """Delete an image for ever."""
    unique_id = unique_id_in(request)
    erasure = await request.app[CATALOG].delete(tenant_of(request), unique_id)
    return render(request, DeleteAnswer.of(unique_id, erasure))
