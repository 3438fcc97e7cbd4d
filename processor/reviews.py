"""Images that nobody but a reviewer sees: who holds them, what a reviewer decides, and what follows from that.

docs/adr/0112-held-where-nothing-serves.md says in which order, so that a process may die anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from processor import clock
from processor.endings import Endings
from processor.errors import (
    Busy,
    ImageDeleted,
    NotInReview,
    ObjectNotFound,
    RecordChanged,
    ReviewDecided,
    Unavailable,
)
from processor.events import JobRequested
from processor.exposed import forget_exposed, take_back
from processor.images import HELD_PREFIX, Rendered, job_prefix
from processor.jobs import Decision, Job, JobStatus, epoch, published
from processor.ports.jobs import known_job
from processor.ports.stores import Stores
from processor.races import races
from processor.recipes import Recipe
from processor.storing import Shelf

#: Why an image is held: its preset says so; or a check broke, which is no reason to show what it had to look at.
PRESET, CHECK_FAILED = "preset", "check_failed"
#: The longest that a check may take, in seconds.
CHECK_SECONDS = 30.0
#: After so many seconds a worker looks whether what a reviewer decided was done; by then it is, unless a process died.
LOOK_AFTER_SECONDS = 15

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a check says of an image that nobody but a reviewer may see. `reason` is a stable code in snake_case."""

    reason: str


class Check(Protocol):
    """Looks at what was made, before anybody else can."""

    def concerns(self, recipe: Recipe) -> bool:
        """Whether it looks at images that are made with this recipe. Their variants are stored only afterwards."""
        ...

    async def check(self, job: Job, made: Rendered) -> Held | None:
        """None: as far as this check goes, everybody may see it.

        It has `CHECK_SECONDS`. `Unavailable` and `Busy` mean that the job is tried again. Anything else that it raises
        holds the image as `check_failed`.
        """
        ...


class PresetReview:
    """Holds what is made with a preset that asks for a review."""

    def concerns(self, recipe: Recipe) -> bool:
        return recipe.review

    async def check(self, job: Job, made: Rendered) -> Held | None:  # noqa: ARG002 - the recipe says it all
        return Held(reason=PRESET)


async def verdict(checks: Sequence[Check], job: Job, made: Rendered) -> Held | None:
    """What the first check says that holds the image. Raises `Unavailable`, `Busy`."""
    for check in checks:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                held = await check.check(job, made)
        except (Unavailable, Busy):
            raise
        except Exception:
            log.exception("Check broke", check=type(check).__name__)
            held = Held(reason=CHECK_FAILED)
        if held is not None:
            return held
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviews:
    """What reviewers can do, and what a worker does when somebody died over it."""

    stores: Stores
    shelf: Shelf
    #: How long the records of jobs are kept once they have ended.
    retention: timedelta

    async def decide(
        self, tenant: str, unique_id: str, processing_id: str, decision: Decision, *, by: str, comment: str = ""
    ) -> Job:
        """Decide about a held job and do what follows; the job as it is then. The same decision again changes nothing.

        Raises `ImageNotFound`, `NotInReview`, `ReviewDecided`, `Busy`, `Unavailable`. Whatever it raises once the
        record has the decision, a worker does the rest.
        """
        endings = Endings(jobs=self.stores.jobs, listeners=self.stores.listeners)
        async for _ in races():
            job = await self._held(tenant, unique_id, processing_id)
            if job.review is not None and job.review.decision is not None:
                if job.review.decision is not decision:
                    raise ReviewDecided
                return await self.settle(job, endings)
            try:
                spoken = await endings.decide(job, decision, by=by, comment=comment)
            except (RecordChanged, Busy):
                continue
            await self._have_it_looked_at(spoken)
            return await self.settle(spoken, endings)
        raise Busy

    async def settle(self, job: Job, endings: Endings) -> Job:
        """Do what follows from a decision, as far as it is not done; the job as it is then. Safe to repeat, and to do
        twice at once. Raises `NotInReview` if another job or a delete was faster, `Busy`, `Unavailable`."""
        if job.status is JobStatus.NEEDS_REVIEW:
            job = await self._published(job, endings)
        if job.status is JobStatus.COMPLETED:
            await forget_exposed(self.stores, job)
        await self.stores.processed.purge(job.held_prefix)
        return job

    async def _held(self, tenant: str, unique_id: str, processing_id: str) -> Job:
        """The current job of an image, if it is this one and was held."""
        image = await self.stores.jobs.get_image(tenant, unique_id)
        if image.deleted_at is not None:
            raise ImageDeleted
        if image.current_job != processing_id:
            raise NotInReview
        job = await known_job(self.stores.jobs, tenant, processing_id)
        if job is None or job.review is None:
            raise NotInReview
        return job

    async def _have_it_looked_at(self, job: Job) -> None:
        """Should this process die now, a worker does the rest. Without a message the reconciler does."""
        message = JobRequested(unique_id=job.unique_id, processing_id=job.processing_id)
        try:
            await self.stores.queue.send(message.to_message(), delay_seconds=LOOK_AFTER_SECONDS)
        except (Unavailable, Busy) as error:
            log.warning("Nobody will look after a review", processingId=job.processing_id, code=error.code)

    async def _published(self, job: Job, endings: Endings) -> Job:
        """Copy the variants, then the manifest, then say so in the record: viewers read nothing that is not whole."""
        review = job.review
        held = review.variants if review else ()
        try:
            variants = await asyncio.gather(*(self.shelf.publish(job, variant) for variant in held))
            now = clock.now()
            completed = published(job, variants, now, epoch(now + self.retention))
            await self.shelf.store_manifest(completed)
            await endings.publish(completed)
        except (ObjectNotFound, RecordChanged):
            return await self._overtaken(job)
        return completed

    async def _overtaken(self, job: Job) -> Job:
        """Somebody else has published it, or another job or a delete was faster: then what was copied goes."""
        now = await known_job(self.stores.jobs, job.tenant, job.processing_id)
        if now is not None and now.status is JobStatus.COMPLETED:
            return now
        if now is None or now.status is not JobStatus.NEEDS_REVIEW:
            for prefix in (job.prefix, job.held_prefix):
                await take_back(self.stores, prefix)
        raise NotInReview


async def forget_replaced(stores: Stores, job: Job) -> None:
    """Remove what was held of the job that this one replaced. What is not removed now, the reconciler removes."""
    if job.untold is not None:
        with suppress(Unavailable, Busy):
            await stores.processed.purge(job_prefix(job.unique_id, job.untold, HELD_PREFIX))
