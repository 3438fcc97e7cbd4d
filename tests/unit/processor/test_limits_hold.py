"""Limits hold whatever happens in between: any order of uploads, conversions, deletes and losses counts right."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor import clock
from processor.catalog.uploads import UploadRequest
from processor.errors import Conflict, DailyLimitReached, ImageDeleted, ImageLimitReached, ImageNotFound, NotUploaded
from processor.events import Event
from processor.formats.info import ImageInfo
from processor.images import Rendered, source_key, unique_id_of
from processor.jobs import Image, Job, JobStatus, Source, Terms
from processor.ports.renderer import NO_TICKET, Ticket
from processor.recipes import Recipe
from processor.stores.memory import MemoryJobStore
from processor.usage import MEGAPIXEL, Limits, Usage
from tests.searching import searching
from tests.unit import world as worlds
from tests.unit.world import TENANT, ScriptedRenderer, World, events_of

MOST = Limits(
    requests_per_second=1,
    request_burst=1,
    tenant_requests_per_second=1,
    tenant_request_burst=1,
    bytes_per_day=100,
    megapixels_per_day=6,
    images=3,
)
#: What every file shows.
LARGE = ImageInfo(format="jpeg", width=600, height=1000)


class Crash(Exception):
    """Stands for a worker that vanished in the middle of its work."""


#: What a tenant is told who asks for what there is not, or for too much.
EXPECTED = (DailyLimitReached, ImageLimitReached, ImageNotFound, ImageDeleted, NotUploaded, Conflict, Crash)


class Witness(MemoryJobStore):
    """Notes whose uploads were let in."""

    def __init__(self) -> None:
        super().__init__()
        self.let_in: set[str] = set()
        #: What others do just before a change is written.
        self.others: Callable[[], Awaitable[None]] | None = None

    async def accept(self, image: Image, job: Job, source: Source, expires_at: int, **how: Any) -> Job:
        await self._be_overtaken()
        accepted = await super().accept(image, job, source, expires_at, **how)
        self._note(accepted)
        return accepted

    async def replace(self, image: Image, old: Job | None, new: Job, **how: Any) -> None:
        await self._be_overtaken()
        await super().replace(image, old, new, **how)
        self._note(new)

    def _note(self, job: Job) -> None:
        if not job.uncounted:
            self.let_in.add(job.unique_id)

    async def _be_overtaken(self) -> None:
        others, self.others = self.others, None
        if others is not None:
            await others()


@dataclass
class Large(ScriptedRenderer):
    """Counts what is worked on, whether it comes to an end or not."""

    pixels: int = 0

    async def render(self, data: bytes, recipe: Recipe, ticket: Ticket = NO_TICKET) -> Rendered:
        async def begin(info: ImageInfo) -> None:
            await ticket.begin(LARGE)
            self.pixels += LARGE.pixels

        return await super().render(data, recipe, replace(ticket, begin=begin))


@dataclass
class Story:
    """A tenant who does whatever comes to mind, and a service that crashes now and then."""

    chance: random.Random
    jobs: Witness = field(default_factory=Witness)
    renderer: Large = field(default_factory=Large)
    events: list[Event] = field(default_factory=list)
    #: Id and announced size of every image that a URL was issued for.
    images: dict[str, int | None] = field(default_factory=dict)
    #: Bytes that were uploaded, whatever became of them.
    came: int = 0

    def __post_init__(self) -> None:
        self.world = World(jobs=self.jobs, renderer=self.renderer, suspects=self.renderer)
        self.world.quota.defaults = MOST
        self.files = self.world.large_files()
        self.renderer.during = self.interrupt

    @property
    def steps(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What can happen."""
        uploads = (self.issue, self.issue_parts, self.upload, self.upload)
        return (*uploads, self.convert, self.convert, self.again, self.delete)

    async def step(self, number: int) -> None:
        with suppress(*EXPECTED):
            await self.steps[number % len(self.steps)]()

    async def issue(self) -> None:
        size = self.chance.choice([None, 10, 30])
        terms = Terms(content_type="image/jpeg", size=size)
        request = UploadRequest(filename="a.jpg", extension="jpg", terms=terms, expires_in_seconds=60)
        self.images[(await self.world.uploads.submit(TENANT, request)).job.unique_id] = size

    async def issue_parts(self) -> None:
        terms = Terms(content_type="image/jpeg")
        request = UploadRequest(filename="a.jpg", extension="jpg", terms=terms, expires_in_seconds=60)
        begun = await self.files.begin(TENANT, request, 20)
        if self.chance.random() < 0.5:
            await self.files.abort(TENANT, begun.job.unique_id)
        else:
            self.images[begun.job.unique_id] = 20

    async def upload(self) -> None:
        if not self.images:
            return
        unique_id = self.chance.choice(list(self.images))
        size = self.images[unique_id] or self.chance.randint(1, 40)
        self.came += size
        self.events.append(await self.world.source.put(source_key(unique_id, "jpg"), self.chance.randbytes(size)))

    async def convert(self) -> None:
        """Now and then by two workers at once."""
        if not self.events:
            return
        event = self.chance.choice(self.events)
        if self.chance.random() < 0.3:
            self.jobs.others = self.interfere
        outcome = await self.world.another_converter().convert(event)
        self.jobs.others = None
        if outcome.settles and event in self.events:
            self.events.remove(event)

    async def interfere(self) -> None:
        await self.step(self.chance.choice([4, 6, 7]))

    async def again(self) -> None:
        if self.images:
            queued = len(self.world.queue.bodies)
            await self.world.catalog.reprocess(TENANT, self.chance.choice(list(self.images)))
            for body in self.world.queue.bodies[queued:]:
                self.events.extend(events_of(body))

    async def delete(self) -> None:
        if self.images:
            await self.world.catalog.delete(TENANT, self.chance.choice(list(self.images)))

    async def interrupt(self) -> None:
        """In the middle of a render."""
        await self.step(self.chance.choice([2, 6, 7, 0]))
        if self.chance.random() < 0.2:
            raise Crash

    async def end(self) -> None:
        """Every message is delivered until it has come to its end."""
        self.renderer.during = None
        while self.events:
            await self.step(4)

    async def used(self) -> Usage:
        return (await self.world.quota.store.get(TENANT)).usage

    async def stored(self) -> set[str]:
        """Images of which an upload was let in, until they are deleted."""
        return {each for each in self.jobs.let_in if (await self.jobs.image_of_any_tenant(each)).deleted_at is None}

    async def waiting(self) -> list[int | None]:
        """Announced sizes of the uploads that have not come."""
        found = []
        for unique_id, size in self.images.items():
            image = await self.jobs.image_of_any_tenant(unique_id)
            if (
                image.deleted_at is None
                and (await self.jobs.job_of_any_tenant(image.current_job)).status is JobStatus.PENDING
            ):
                found.append(size)
        return found


@searching(150)
@given(st.lists(st.integers(0, 7), min_size=10, max_size=40), st.integers(0, 2**32))
def test_no_order_of_events_passes_a_limit_or_makes_a_count_drift(numbers: list[int], seed: int) -> None:
    asyncio.run(_tell(numbers, random.Random(seed)))


async def _tell(numbers: list[int], chance: random.Random) -> None:
    with pytest.MonkeyPatch.context() as patch:
        now = clock.now()
        patch.setattr(clock, "now", lambda: now)  # no midnight in between
        patch.setattr(worlds, "PICTURE", LARGE)
        story = Story(chance)
        for number in numbers:
            await story.step(number)
            used = await story.used()
            assert used.images + used.open <= MOST.images
            assert used.pixels < MOST.megapixels_per_day * MEGAPIXEL + LARGE.pixels  # the last may pass it
        await story.end()

        used, waiting = await story.used(), await story.waiting()
        stored = await story.stored()
        sources = {unique_id_of(found.key) for found in await story.world.source.list("")}
        assert used.pixels == story.renderer.pixels
        assert used.images == len(stored)
        assert sources <= stored  # what was refused is gone
        assert used.open == len(waiting)
        assert used.bytes == story.came + sum(size or 0 for size in waiting)  # also what nobody looked at in time
