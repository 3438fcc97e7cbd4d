"""Reviews: what is held until somebody has looked at it, and what they decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self

from aiohttp import web
from pydantic import AfterValidator, ConfigDict, Field
from structlog.contextvars import bind_contextvars

from processor import clock
from processor.errors import ImageNotFound, JobNotFound, NotInReview, ReviewDecided
from processor.jobs import Decision, Job, JobStatus, Review
from processor.ports.jobs import JobQuery, known_job
from processor.ports.objects import SignedUrl
from processor.recipes import STANDARD, VEIL
from processor.reviews import PRESET, Reviews
from service.auth.middleware import subject_of, tenant_of
from service.calls import groups, samples
from service.calls.facts import FactsAnswer
from service.calls.jobs import JobAnswer
from service.calls.listing import PageQuery, page_of
from service.calls.names import UNIQUE_ID, ProcessingId, UniqueId, Url, processing_id_of, unique_id_in
from service.calls.use_cases import CATALOG, STORES
from service.http.body import json_body
from service.http.call import call, reply
from service.http.problems import InvalidCursor
from service.http.rendering import render
from service.http.wire import Answer, Heard, Question, Time, is_none, printable, read_query
from service.limits.long_bodies import asked_by

REVIEWS = web.AppKey("reviews", Reviews)

#: How long a reviewer's URL of a held variant holds, in seconds: for one look.
LOOK_SECONDS = 300
#: Longest comment of a reviewer, in characters.
MAX_COMMENT = 500


class ReviewsQuery(PageQuery):
    """Which held images to list."""

    order: Literal["asc", "desc"] = Field(default="asc", description="`asc`: the image that was made first.")

    def to_query(self, tenant: str) -> JobQuery:
        """The query for the catalog, without the position. Raises `InvalidRequest`."""
        return self.job_query(tenant, JobStatus.NEEDS_REVIEW)


class ReviewQuery(Question):
    """How to show an image."""

    clear: bool = Field(default=False, description="Whether to show clearly what is shown blurred first.")


class HeldImage(Answer):
    """An image that waits for a review."""

    unique_id: UniqueId
    processing_id: ProcessingId = Field(description="The job to decide about.")
    filename: str = Field(examples=["photo.jpg"])
    metadata: dict[str, str] = Field(description="As given with the upload.", examples=[{"album": "summer"}])
    preset: str = Field(examples=["avatar"])
    preset_version: int | None = Field(examples=[3])
    reason: str = Field(
        description="`preset`: the preset asks for a review. `check_failed`: a check broke. `nsfw`: the score is too "
        "high for the preset. `score_missing`, `score_failed`, `score_late`: it is not known. Others name what a check "
        "has found; more may be added.",
        examples=[PRESET],
    )
    asked_at: Time = Field(description="Since when it waits.")
    listed_at: Time
    approved: bool = Field(description="Whether it is approved, and is about to be published.")

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(**_held(job, _review_of(job)))


def _held(job: Job, review: Review) -> dict[str, object]:
    return {
        "unique_id": job.unique_id,
        "processing_id": job.processing_id,
        "filename": job.filename,
        "metadata": dict(job.metadata),
        "preset": job.shown.preset or STANDARD.name,
        "preset_version": job.shown.preset_version,
        "reason": review.reason,
        "asked_at": review.asked_at,
        "listed_at": job.listed_at,
        "approved": review.decision is Decision.APPROVED,
    }


class HeldVariant(Answer):
    """A variant, for the eyes of a reviewer."""

    name: str = Field(examples=["thumbnail"])
    url: Url | None = Field(
        description="Reads the file without credentials, until it expires. Show it to nobody. Null: the picture is "
        "shown `blurred` first; `clear=true` asks for the URL."
    )
    expires_at: Time | None
    width: int
    height: int
    size: int = Field(description="In bytes.")
    content_type: str = Field(examples=["image/webp"])
    sha256: str = Field(description="SHA-256 of the variant, in hex.")


class HeldAnswer(HeldImage):
    """An image that waits for a review, with what was made of it."""

    variants: list[HeldVariant] = Field(description="Smallest first.")
    facts: FactsAnswer
    blurred: str | None = Field(
        default=None,
        exclude_if=is_none,
        description="Of an image with a moderation: a rendition of some 30 pixels as a `data:` URI. The variants have "
        "URLs only with `clear=true`.",
        examples=["data:image/webp;base64,UklGRj4AAABXRUJQVlA4IDIAAABQAQCdASoQAAsABABoJZwABHQAAP54OaA1JOXZjJyR"],
    )

    @classmethod
    def with_urls(cls, job: Job, urls: Mapping[str, SignedUrl], now: datetime) -> Self:
        """`urls` has one for each variant that is shown clearly, by name."""
        review = _review_of(job)
        variants = [
            HeldVariant(
                name=variant.name,
                url=urls[variant.name].url if variant.name in urls else None,
                expires_at=now + timedelta(seconds=urls[variant.name].expires_in_seconds)
                if variant.name in urls
                else None,
                width=variant.width,
                height=variant.height,
                size=variant.size,
                content_type=variant.content_type,
                sha256=variant.sha256,
            )
            for variant in review.variants
        ]
        veil = review.facts.for_reviewer.get(VEIL)
        facts = dict(review.facts.for_tenant)
        return cls(
            **_held(job, review), variants=variants, facts=facts, blurred=veil if isinstance(veil, str) else None
        )


class HeldList(Heard):
    """A page of images that wait for a review."""

    images: list[HeldImage]
    count: int = Field(description="How many there are on this page.")
    last_evaluated_key: str | None = Field(description="`lastKey` of the next page; null at the end.")

    @classmethod
    def of(cls, jobs: Sequence[Job], last_evaluated_key: str | None) -> Self:
        images = [HeldImage.of(job) for job in jobs if job.review is not None]
        return cls(images=images, count=len(images), last_evaluated_key=last_evaluated_key)


class ReviewRequest(Question):
    """What becomes of a held image."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"decision": "approve", "processingId": samples.PENDING.processing_id},
                {"decision": "reject", "processingId": samples.PENDING.processing_id, "comment": "A face is seen."},
            ]
        }
    )
    other_words: ClassVar[Mapping[str, str]] = {"jobId": "processingId", "note": "comment", "reason": "comment"}

    decision: Literal["approve", "reject"]
    processing_id: ProcessingId = Field(
        description="The job that was looked at: if the image has another one by now, nobody has seen that."
    )
    comment: Annotated[str, Field(max_length=MAX_COMMENT), AfterValidator(printable)] = Field(
        default="", description="A word for the owner.", examples=["A face is seen."]
    )

    @property
    def said(self) -> Decision:
        return Decision.APPROVED if self.decision == "approve" else Decision.REJECTED


def _review_of(job: Job) -> Review:
    """Raises `NotInReview`."""
    if job.review is None:
        raise NotInReview
    return job.review


def _is_blurred(job: Job) -> bool:
    """Whether a reviewer sees it blurred first: whatever holds it, it may be of the kind that its preset looks for."""
    return job.recipe is not None and bool(job.recipe.moderation)


_URLS = {
    variant.name: SignedUrl(
        url=f"{samples.PROCESSED_BUCKET}{variant.key}?X-Amz-Expires={LOOK_SECONDS}&X-Amz-Signature=...",
        expires_in_seconds=LOOK_SECONDS,
    )
    for variant in samples.HELD_VARIANTS
}
HELD = HeldAnswer.with_urls(samples.HELD, _URLS, samples.DONE_AT)
MODERATED = HeldAnswer.with_urls(samples.MODERATED, {}, samples.DONE_AT)
HELD_LIST = HeldList.of([samples.HELD], None)
DECIDED = {"approved": JobAnswer.of(samples.APPROVED), "rejected": JobAnswer.of(samples.REJECTED)}


@call("listReviews", groups.REVIEWS, reply("A page", HELD_LIST), query=ReviewsQuery, problems=(InvalidCursor,))
async def list_reviews(request: web.Request) -> web.Response:
    """List images that wait for a review, oldest first.

    The order is that of `listedAt`. A list lags a moment behind other calls.
    """
    asked = read_query(ReviewsQuery, request.query)
    query = asked.to_query(tenant_of(request))
    return await page_of(
        request, query, asked.last_key, lambda jobs, last_key: HeldList.of(jobs, last_key).ignoring(asked.ignored)
    )


@call(
    "showReview",
    groups.REVIEWS,
    reply("The image, with URLs for one look", {"held": HELD, "moderated": MODERATED}),
    path=(UNIQUE_ID,),
    query=ReviewQuery,
    problems=(ImageNotFound, NotInReview),
)
async def show_review(request: web.Request) -> web.Response:
    """Look at what is held of an image.

    Each URL reads one variant from the private bucket and expires after five minutes; ask again for others. An image
    that a moderation has looked at is shown blurred first: it has URLs only with `clear=true`.
    """
    query = read_query(ReviewQuery, request.query)
    tenant, unique_id, stores = tenant_of(request), unique_id_in(request), request.app[STORES]
    job = await known_job(stores.jobs, tenant, await request.app[CATALOG].current_job(tenant, unique_id))
    if job is None or job.status is not JobStatus.NEEDS_REVIEW:
        raise NotInReview
    now = clock.now()
    review = _review_of(job)
    urls = {
        variant.name: await stores.processed.presign_download(variant.key, expires_in_seconds=LOOK_SECONDS)
        for variant in (review.variants if query.clear or not _is_blurred(job) else ())
    }
    return render(request, HeldAnswer.with_urls(job, urls, now))


@call(
    "decideReview",
    groups.REVIEWS,
    reply("The job, as it is now", DECIDED),
    path=(UNIQUE_ID,),
    body=ReviewRequest,
    problems=(ImageNotFound, JobNotFound, NotInReview, ReviewDecided),
)
async def decide(request: web.Request) -> web.Response:
    """Approve or reject a held image.

    `approve` moves the variants to their public keys, and the job is `completed`. `reject` deletes them, and the job is
    `rejected`. The same decision again changes nothing. If the service fails after it has noted a decision, it does the
    rest by itself.
    """
    asked = await asked_by(request, ReviewRequest, await json_body(request))
    tenant, unique_id = tenant_of(request), unique_id_in(request)
    processing_id = processing_id_of(asked.processing_id)
    bind_contextvars(processingId=processing_id)
    job = await request.app[REVIEWS].decide(
        tenant, unique_id, processing_id, asked.said, by=subject_of(request), comment=asked.comment
    )
    return render(request, JobAnswer.of(job))
