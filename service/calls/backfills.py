"""Calls that plan a backfill, and start it: images with an older version of a preset are converted again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Self

from aiohttp import web
from pydantic import Field
from structlog.contextvars import bind_contextvars

from processor.bulk.backfill import LOOKED_AT, SHOWN, Cost, Plan
from processor.bulk.operations import BACKFILL
from processor.catalog.previews import Preview
from processor.errors import BulkInProgress, PresetNotFound, TrussError
from processor.jobs import Job
from processor.ports.bulk import BulkFilter
from processor.recipes import STANDARD
from service.auth.middleware import subject_of, tenant_of
from service.calls import groups, samples
from service.calls.bulk import RUNNING, BulkJobAnswer
from service.calls.names import ProcessingId, PublicUrl, UniqueId
from service.calls.presets import (
    BACKFILLS,
    MAX_SHOWN_BYTES,
    PRESET_NAME,
    PREVIEW,
    PREVIEWS,
    PreviewFile,
    files_of,
    name_in,
)
from service.calls.variants import PresetVersionNumber
from service.http.call import call, reply
from service.http.middleware import request_id_of
from service.http.problems import ProblemDocument, TooManyPreviews, problem_of
from service.http.rendering import ALWAYS_ASIDE, render, render_rows
from service.http.wire import Answer, Question, is_none, read_query
from service.limits.long_pages import page_turn
from service.limits.middleware import count_work
from service.limits.open_calls import PREVIEWS as PREVIEW_PLACES

#: What an image of a plan would become: its files, why there are none, or nothing if nobody asked.
After = list[PreviewFile] | ProblemDocument | None


class PlanQuery(Question):
    """What the plan shows."""

    after: bool = Field(
        default=True, description="Whether `samples` show what they would become. Without, the plan comes sooner."
    )


class PlannedImage(Answer):
    """An image with another version: what it is, and what it would become."""

    unique_id: UniqueId
    processing_id: ProcessingId
    preset_version: int | None = Field(description="Null: of an earlier release, which had no versions.", examples=[2])
    processed_images: dict[str, PublicUrl] = Field(description="Before: its variants as they are, by name.")
    after: list[PreviewFile] | None = Field(
        description="What they would become, stored nowhere. Null if it was not asked for, or `problem` says why not."
    )
    problem: ProblemDocument | None = Field(
        default=None, exclude_if=is_none, description="Why what it would become is not shown; not there if it is."
    )

    @classmethod
    def of(cls, job: Job, after: After) -> Self:
        problem = after if isinstance(after, ProblemDocument) else None
        return cls(
            unique_id=job.unique_id,
            processing_id=job.processing_id,
            preset_version=job.shown.preset_version,
            processed_images={variant.name: variant.key for variant in job.variants},
            after=None if isinstance(after, ProblemDocument) else after,
            problem=problem,
        )


class EstimateAnswer(Answer):
    """An estimate, from the tenant's own images."""

    cpu_seconds: float = Field(examples=[980.5])
    bytes: int = Field(description="Of the new files. The old ones stay, too.", examples=[1503238553])
    dollars: float = Field(
        description="CPU and requests, in US dollars, at list prices of us-east-1.", examples=[0.0393]
    )
    dollars_a_month: float = Field(description="To store the new files in S3 Standard.", examples=[0.0346])

    @classmethod
    def of(cls, cost: Cost) -> Self:
        return cls(
            cpu_seconds=round(cost.cpu_seconds, 1),
            bytes=cost.bytes,
            dollars=round(cost.dollars, 4),
            dollars_a_month=round(cost.dollars_a_month, 4),
        )


class PlanAnswer(Answer):
    """What a backfill would do."""

    preset: str = Field(examples=["avatar"])
    preset_version: PresetVersionNumber
    images: int = Field(description="Completed images with another version of the preset.", examples=[1210])
    looked_at: int = Field(description="How many images were looked at, newest first.", examples=[4980])
    complete: bool = Field(
        description=f"Whether these are all. False: there are more than {LOOKED_AT:,} completed images, and `images` "
        "and the cost are of those that were looked at. The backfill itself finds all."
    )
    sampled: int = Field(description="How many records the estimate is made of.", examples=[200])
    cost: EstimateAnswer
    samples: list[PlannedImage] = Field(description=f"Up to {SHOWN} of the images, before and after.")

    @classmethod
    def of(cls, plan: Plan, afters: Sequence[After]) -> Self:
        return cls(
            preset=plan.recipe.name,
            preset_version=plan.recipe.version,
            images=plan.images,
            looked_at=plan.looked_at,
            complete=plan.complete,
            sampled=plan.sampled,
            cost=EstimateAnswer.of(plan.cost),
            samples=[PlannedImage.of(job, after) for job, after in zip(plan.samples, afters, strict=True)],
        )


PLAN = PlanAnswer.of(
    Plan(
        recipe=STANDARD,
        images=1210,
        looked_at=4980,
        complete=True,
        sampled=200,
        cost=Cost(cpu_seconds=980.5, bytes=1503238553, dollars=0.0393, dollars_a_month=0.0346),
        samples=(samples.COMPLETED,),
    ),
    [PREVIEW.variants],
)
_STARTED = BulkJobAnswer.of(
    replace(RUNNING, operation=BACKFILL, preset="avatar", filter=BulkFilter(status=samples.COMPLETED.status))
)


@call(
    "planBackfill",
    groups.PRESETS,
    reply("The plan", PLAN),
    path=(PRESET_NAME,),
    query=PlanQuery,
    problems=(PresetNotFound,),
    anew=True,
)
async def plan(request: web.Request) -> web.Response:
    """Say how many images have another version of a preset, and what a backfill would cost. Nothing is changed.

    CPU time is estimated for the pictures that are in the records of some of these images, and bytes from the size of
    their variants. Images whose records have expired are not among them. `samples` show some images before and after:
    these previews take 30 seconds together at most, and count as one of those that a process makes at once.
    """
    tenant, wants_after = tenant_of(request), read_query(PlanQuery, request.query).after
    async with page_turn(request):
        found = await request.app[BACKFILLS].plan(tenant, name_in(request))
        count_work(request, read_bytes=found.read_bytes)
    if not wants_after:
        return render(request, PlanAnswer.of(found, [None] * len(found.samples)))
    previews = await _previews(request, found)
    request_id = request_id_of(request)
    return await render_rows(
        request, lambda: PlanAnswer.of(found, _afters(previews, request_id)), rows=ALWAYS_ASIDE, tenant=tenant
    )


async def _previews(request: web.Request, found: Plan) -> Sequence[Preview | TrussError]:
    """Of the samples. Where no place is left for previews, that is the reason why there are none."""
    tenant, ids = tenant_of(request), [job.unique_id for job in found.samples]
    try:
        with request.app[PREVIEW_PLACES].place(tenant):
            return await request.app[PREVIEWS].of_images(tenant, found.recipe, ids)
    except TooManyPreviews as error:
        return [error] * len(ids)


def _afters(previews: Sequence[Preview | TrussError], request_id: str) -> Sequence[After]:
    """Each image has an equal share of the bytes that an answer shows."""
    share = MAX_SHOWN_BYTES // max(1, len(previews))
    return [
        problem_of(made).document(request_id) if isinstance(made, TrussError) else files_of(made, share)
        for made in previews
    ]


@call(
    "startBackfill",
    groups.PRESETS,
    reply("The bulk job", _STARTED, status=HTTPStatus.ACCEPTED),
    path=(PRESET_NAME,),
    problems=(PresetNotFound, BulkInProgress),
)
async def start(request: web.Request) -> web.Response:
    """Convert all images that have another version of a preset again, with the newest version, in the background.

    It is a bulk job: `GET /images/batch/{batchId}` tells how far it is, `PATCH` pauses it, `DELETE` cancels it. It
    waits before each image until no upload waits, 30 seconds at most. An image shows its old variants until all new
    ones are there. A tenant may have one backfill at a time.
    """
    by = subject_of(request)
    job = await request.app[BACKFILLS].start(tenant_of(request), name_in(request), by=by)
    bind_contextvars(batchId=job.bulk_id)
    return render(request, BulkJobAnswer.of(job), HTTPStatus.ACCEPTED)
