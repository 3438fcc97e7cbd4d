"""What is counted is at least what is stored and worked on, and at most that and what was in hand when somebody died.

Clients and workers run the real use cases over the in-memory stores, each in a process of its own. Before each call of
a store an actor waits for its turn; the search decides who goes next, who dies there without a word, and whose answer
is lost after the call was carried out. Whoever neither died nor lost an answer leaves the counts exact.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor import clock, races
from processor.catalog.images import Catalog
from processor.catalog.parts import LargeFiles
from processor.catalog.unsized import UnsizedFiles
from processor.catalog.uploads import UploadRequest, Uploads
from processor.errors import Busy, ObjectNotFound
from processor.formats.info import ImageInfo
from processor.images import Rendered, unique_id_of
from processor.jobs import Image, Job, JobStatus, Terms
from processor.ports.objects import MultipartUpload
from processor.ports.renderer import NO_TICKET, Ticket
from processor.ports.stores import Stores
from processor.recipes import Recipe
from processor.usage import MEGAPIXEL, Limits, Quota, Usage
from processor.work.conversion import Converter
from tests.searching import searching
from tests.unit.turns import Stage
from tests.unit.world import MAKER, TENANT, ScriptedRenderer, World, events_of

MOST = Limits(
    requests_per_second=1,
    request_burst=1,
    tenant_requests_per_second=1,
    tenant_request_burst=1,
    bytes_per_day=400,
    megapixels_per_day=5,
    images=3,
)
#: Largest file, in bytes.
LARGEST = 100
#: What every file shows.
LARGE = ImageInfo(format="jpeg", width=600, height=1000)
ANNOUNCED = (None, 10, 30)


@dataclass
class Worked(ScriptedRenderer):
    """Counts what is worked on, whether it comes to an end or not."""

    pixels: int = 0

    async def render(self, data: bytes, recipe: Recipe, ticket: Ticket = NO_TICKET) -> Rendered:
        async def begin(_: ImageInfo) -> None:
            await ticket.begin(LARGE)
            self.pixels += LARGE.pixels

        return await super().render(data, recipe, replace(ticket, begin=begin))


def _uploads(catalog: Catalog) -> Uploads:
    return Uploads(stores=catalog.stores, quota=catalog.quota, max_bytes=LARGEST)


def _large_files(catalog: Catalog) -> LargeFiles:
    return LargeFiles(stores=catalog.stores, catalog=catalog, quota=catalog.quota)


def _unsized_files(catalog: Catalog) -> UnsizedFiles:
    return UnsizedFiles(stores=catalog.stores, catalog=catalog, quota=catalog.quota, max_bytes=LARGEST)


@dataclass
class Story(Stage):
    """A tenant, its clients and its workers."""

    world: World = field(default_factory=World)
    renderer: Worked = field(default_factory=Worked)
    #: Bytes that came for each image, in one piece or in parts.
    came: dict[str, int] = field(default_factory=dict)
    bodies: Iterator[int] = field(default_factory=itertools.count)
    #: Uploads in parts that somebody has begun to abort or to delete.
    ended: set[str] = field(default_factory=set)
    #: What an answer that was lost, or a death, may leave counted.
    faults: int = 0

    def __post_init__(self) -> None:
        self.world.source.queue = self.world.queue
        self.world.quota.defaults = MOST

    # -- what may happen next

    async def turn(self, number: int) -> None:
        self._release(number)

    async def kill(self, number: int) -> None:
        self._release(number, kill=True)

    async def lose(self, number: int) -> None:
        self._release(number, lose=True)

    async def submit(self, number: int) -> None:
        request = self._request(ANNOUNCED[number % 3])
        self.act(lambda catalog, _: _uploads(catalog).submit(TENANT, request))

    async def begin(self, number: int) -> None:
        """An upload in parts, of a size that is announced or not."""
        if number % 2:
            self.act(lambda catalog, _: _large_files(catalog).begin(TENANT, self._request(20), 20))
        else:
            self.act(lambda catalog, _: _unsized_files(catalog).start(TENANT, self._request(None)))

    async def upload(self, number: int) -> None:
        """One piece, to whatever key a URL was issued for: pending, stored, refused or deleted."""
        images = [image for image in self._images() if not self._parts_of(image)]
        if images:
            image = images[number % len(images)]
            size = self._job_terms(image).size or (1, 7, 40)[number % 3]
            body = (b"%d" % (next(self.bodies) if number % 4 else 0)).rjust(size, b"x")
            self._note(image.unique_id, len(body))
            await self.world.source.put(image.key, body)

    async def send_part(self, number: int) -> None:
        images = [image for image in self._images() if self._parts_of(image)]
        if not images:
            return
        image = images[number % len(images)]
        upload = self._parts_of(image)
        assert upload is not None
        with contextlib.suppress(ObjectNotFound):
            if not await self.world.source.list_parts(upload):
                await self.world.source.put_part(upload, 1, (b"%d" % number).rjust(20, b"x"))
                self._note(image.unique_id, 20)

    async def complete(self, number: int) -> None:
        if image := self._any(number):
            self.act(lambda catalog, _: _large_files(catalog).complete(TENANT, image.unique_id))

    async def abort(self, number: int) -> None:
        if image := self._any(number):
            self._note_end(image)
            self.act(lambda catalog, _: _large_files(catalog).abort(TENANT, image.unique_id))

    async def deliver(self, number: int) -> None:
        letters = list(self.world.queue._letters.values())
        if letters:
            letter = letters[number % len(letters)]

            async def work(converter: Converter) -> None:
                outcomes = [await converter.convert(event) for event in events_of(letter.body)]
                if all(outcome.settles for outcome in outcomes):
                    self.world.queue._letters.pop(letter.message_id, None)

            self.act(lambda _, converter: work(converter))

    async def process(self, number: int) -> None:
        if image := self._any(number):
            self.act(lambda catalog, _: catalog.reprocess(TENANT, image.unique_id))

    async def delete(self, number: int) -> None:
        if image := self._any(number):
            self._note_end(image)
            self.act(lambda catalog, _: catalog.delete(TENANT, image.unique_id))

    async def pass_time(self, _: int = 0) -> None:
        """Every lease runs out."""
        for processing_id, job in list(self.world.jobs._jobs.items()):
            if job.lease is not None:
                self.world.jobs._jobs[processing_id] = replace(job, lease=replace(job.lease, expires_at=0.0))

    # -- how it happens

    def _request(self, size: int | None) -> UploadRequest:
        terms = Terms(content_type="image/jpeg", size=size)
        return UploadRequest(filename="a.jpg", extension="jpg", terms=terms, expires_in_seconds=60)

    def _images(self) -> list[Image]:
        return list(self.world.jobs._images.values())

    def _any(self, number: int) -> Image | None:
        images = self._images()
        return images[number % len(images)] if images else None

    def _job_terms(self, image: Image) -> Terms:
        job = self.world.jobs._jobs.get(image.current_job)
        return job.terms if job is not None and job.terms is not None else Terms(content_type="image/jpeg", size=8)

    def _parts_of(self, image: Image) -> MultipartUpload | None:
        multipart = self._job_terms(image).multipart
        return MultipartUpload(key=image.key, upload_id=multipart) if multipart else None

    def _note_end(self, image: Image) -> None:
        """Of two who end an upload in parts at once, the second does not know how much had come of it."""
        if self._parts_of(image):
            self.faults += image.unique_id in self.ended
            self.ended.add(image.unique_id)

    def _note(self, unique_id: str, size: int) -> None:
        self.came[unique_id] = self.came.get(unique_id, 0) + size

    def _release(self, number: int, **how: bool) -> None:
        waiting = sorted(self.scheduler.waiting)
        if waiting:
            self.faults += bool(how)
            self.scheduler.release(waiting[number % len(waiting)], **how)

    def act(self, deed: Callable[[Catalog, Converter], Awaitable[object]]) -> None:
        world, turned = self.world, self.turned
        quota = Quota(store=turned(world.quota.store), defaults=MOST, monotonic=itertools.count(step=60).__next__)
        stores: dict[str, Any] = {"jobs": turned(world.jobs), "source": turned(world.source)}
        stores |= {"processed": world.processed}
        ports, retention = Stores(**stores, queue=turned(world.queue)), timedelta(days=30)
        catalog = Catalog(stores=ports, quota=quota, retention=retention)
        converter = Converter(
            **stores,
            quota=quota,
            max_bytes=LARGEST,
            retention=retention,
            eraser=catalog.eraser,
            renderer=self.renderer,
            suspect_renderer=self.renderer,
            source_bucket="source",
            lease_seconds=60,
            maker=MAKER,
        )

        self.play(deed(catalog, converter))

    async def settle(self) -> None:
        """The rest goes well: who waits goes on, deletes are finished, every message is delivered until it is done."""
        await self.end()
        for image in self._images():
            if image.deleted_at is not None and image.erased_at is None:
                await self.world.catalog.delete(TENANT, image.unique_id)
        converter = replace(self.world.converter, renderer=self.renderer, suspect_renderer=self.renderer)
        for _ in range(20):
            await self.pass_time()
            for letter in list(self.world.queue._letters.values()):
                with contextlib.suppress(Busy):
                    for event in events_of(letter.body):
                        if (await converter.convert(event)).settles:
                            self.world.queue._letters.pop(letter.message_id, None)
        assert not self.world.queue.count

    # -- what must hold

    async def used(self) -> Usage:
        return (await self.world.quota.store.get(TENANT)).usage

    def _current(self) -> list[Job]:
        living = [image for image in self._images() if image.deleted_at is None]
        return [self.world.jobs._jobs[image.current_job] for image in living]

    def truth(self) -> Usage:
        """What is stored, waited for and worked on, by the records; and the bytes that have come or may."""
        waiting = [job for job in self._current() if job.status is JobStatus.PENDING]
        promised = 0
        for job in waiting:
            assert job.terms is not None
            largest = LARGEST if job.terms.multipart and job.terms.size is None else 0
            promised += max(0, (job.terms.size or largest) - self.came.get(job.unique_id, 0))
        return Usage(
            bytes=sum(self.came.values()) + promised,
            pixels=self.renderer.pixels,
            open=len(waiting),
            images=sum(not job.uncounted for job in self._current()),
        )

    async def check_always(self) -> None:
        """No limit is passed by what there is, whatever is counted; and no count is below what there may be."""
        used, truth = await self.used(), self.truth()
        assert min(used.bytes, used.pixels, used.open, used.images) >= 0
        assert truth.images + truth.open <= MOST.images
        assert truth.pixels < MOST.megapixels_per_day * MEGAPIXEL + LARGE.pixels  # the last may pass it
        assert used.pixels >= truth.pixels
        assert used.images >= truth.images
        assert used.open >= truth.open

    async def check(self) -> None:
        await self.check_always()
        used, truth = await self.used(), self.truth()
        stored = {unique_id_of(found.key) for found in await self.world.source.list("")}
        assert stored <= {job.unique_id for job in self._current() if not job.uncounted}  # what was refused is gone
        over = {name: getattr(used, name) - getattr(truth, name) for name in ("bytes", "pixels", "open", "images")}
        most = max((LARGEST, *self.came.values()))
        assert 0 <= over["bytes"] <= self.faults * most, over
        assert 0 <= over["pixels"] <= self.faults * LARGE.pixels, over
        assert 0 <= over["open"] <= self.faults, over
        assert 0 <= over["images"] <= self.faults, over


DEEDS = ("submit", "begin", "upload", "upload", "send_part", "complete", "abort", "deliver", "deliver", "process")
STEPS = st.lists(
    st.tuples(st.sampled_from(("turn",) * 25 + ("kill", "lose", "delete", "pass_time", *DEEDS)), st.integers(0, 11)),
    min_size=10,
    max_size=120,
)


async def _tell(steps: list[tuple[str, int]]) -> None:
    story = Story()
    for deed, number in (("submit", 1), ("turn", 0), ("turn", 0), ("turn", 0), ("turn", 0), *steps):
        await story.quiet()
        await getattr(story, deed)(number)
        await story.quiet()
        await story.check_always()
    await story.settle()
    await story.check()


@pytest.fixture(autouse=True, scope="module")
def _no_pauses_and_no_midnight() -> Iterator[None]:
    now = clock.now()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(races, "RACE_PAUSE_SECONDS", 0)
        patch.setattr(clock, "now", lambda: now)
        yield


@given(STEPS)
@searching(300)
def test_what_is_counted_is_what_there_is_and_what_the_dead_had_in_hand(steps: list[tuple[str, int]]) -> None:
    asyncio.run(_tell(steps))
