"""Whatever happens to one image, in whatever order, there is one right result in the end.

Several actors run the real use cases over the in-memory stores. Before each call of a store an actor waits for its
turn; the search decides who goes next, who dies there without a word, and when time passes. Among what happens: other
bytes under the same key, the same bytes again, and events that somebody made up. Afterwards the dust settles without
further faults, and what must hold is checked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor import races
from processor.catalog.images import Catalog
from processor.catalog.reconcile import Reconciler
from processor.erasure import Eraser
from processor.errors import JobNotFound
from processor.events import SourceArrived
from processor.jobs import End, Job, JobStatus, end_of
from processor.manifest import manifest_key
from processor.ports.stores import AllStores
from processor.work.conversion import Converter
from tests.searching import searching
from tests.unit.turns import Stage
from tests.unit.world import MAKER, TENANT, ScriptedRenderer, World, events_of


@dataclass
class Ears:
    """A listener that remembers."""

    heard: set[tuple[str, End]] = field(default_factory=set)

    async def ended(self, job: Job, end: End) -> None:
        self.heard.add((job.processing_id, end))


@dataclass
class Story(Stage):
    """One image, and everybody who does something to it."""

    ears: Ears = field(default_factory=Ears)
    world: World = field(init=False)
    events: list[SourceArrived] = field(default_factory=list)
    uploads: list[bytes] = field(default_factory=list)
    unique_id: str = ""
    key: str = ""
    first_id: str = ""
    asked_again: bool = False

    def __post_init__(self) -> None:
        self.world = World(listeners=(self.ears,))

    async def begin(self) -> None:
        submission = await self.world.submitted()
        self.unique_id, self.key = submission.job.unique_id, submission.job.original_key
        self.first_id = submission.job.processing_id
        await self.forge(0)

    # -- what may happen next

    async def turn(self, number: int) -> None:
        self._release(number, kill=False)

    async def kill(self, number: int) -> None:
        self._release(number, kill=True)

    async def deliver(self, number: int) -> None:
        event = self.events[number % len(self.events)]
        self.act(lambda _, converter: converter.convert(event))

    async def upload(self, _: int) -> None:
        """Bytes that were never there before."""
        await self._put(b"%d" % len(self.uploads))

    async def upload_again(self, number: int) -> None:
        """The bytes that are there, or some that were there before."""
        await self._put(self.uploads[-1 - number % len(self.uploads)] if self.uploads else b"0")

    async def forge(self, number: int) -> None:
        """Somebody sends a message about this image: before its upload, without an ETag, or with one of his own."""
        self.events.append(SourceArrived(bucket="source", key=self.key, etag=("", "f" * 32, "x" * 9000)[number % 3]))

    async def reprocess(self, _: int) -> None:
        self.asked_again = True
        self.act(lambda catalog, _: catalog.reprocess(TENANT, self.unique_id))

    async def delete(self, _: int) -> None:
        self.act(lambda catalog, _: catalog.delete(TENANT, self.unique_id))

    async def pass_time(self, _: int = 0) -> None:
        """Every lease runs out, as if each worker had been paused for long."""
        for processing_id, job in list(self.world.jobs._jobs.items()):
            if job.lease is not None:
                self.world.jobs._jobs[processing_id] = replace(job, lease=replace(job.lease, expires_at=0.0))

    # -- how it happens

    async def _put(self, body: bytes) -> None:
        self.uploads.append(body)
        event = await self.world.source.put(self.key, body)
        self.events.append(event)
        await self.world.queue.send(event.to_message())  # it comes at least once

    def _release(self, number: int, *, kill: bool) -> None:
        waiting = sorted(self.scheduler.waiting)
        if waiting:
            self.scheduler.release(waiting[number % len(waiting)], kill=kill)

    def act(self, deed: Callable[[Catalog, Converter], Awaitable[object]]) -> None:
        behind = (self.world.jobs, self.world.source, self.world.processed, self.world.queue)
        jobs, source, processed, queue = map(self.turned, behind)
        stores: dict[str, Any] = {"jobs": jobs, "source": source, "processed": processed}
        listeners = (self.turned(self.ears),)
        ports = AllStores(**stores, queue=queue, listeners=listeners)
        catalog = Catalog(stores=ports, retention=timedelta(days=30))
        converter = Converter(
            **stores,
            eraser=Eraser(stores=ports),
            renderer=ScriptedRenderer(),
            suspect_renderer=ScriptedRenderer(),
            source_bucket="source",
            max_bytes=1000,
            retention=timedelta(days=30),
            lease_seconds=60,
            maker=MAKER,
            listeners=listeners,
        )

        self.play(deed(catalog, converter))

    async def settle(self) -> None:
        """The rest goes well: every message is delivered until it is settled, then the reconciler runs."""
        await self.end()
        if not self.uploads:
            await self.upload(0)
        await self._deliver_all()
        for _ in range(2):
            reconciler = Reconciler(stores=self.world.stores, source_bucket="source", grace=timedelta(0))
            _ = [finding async for finding in reconciler.findings()]
            await self._deliver_all()

    async def _deliver_all(self) -> None:
        for _ in range(20):
            await self.pass_time()
            for letter in list(self.world.queue._letters.values()):
                for event in events_of(letter.body):
                    if (await self.world.another_converter().convert(event)).settles:
                        self.world.queue._letters.pop(letter.message_id, None)

    async def check(self) -> None:
        image = await self.world.jobs.image_of_any_tenant(self.unique_id)
        stored = {found.key for found in await self.world.processed.list("")}
        left = [job for job in self.world.jobs._jobs.values() if not job.ended]
        assert left == []
        ends = {(job.processing_id, end_of(job)) for job in self.world.jobs._jobs.values()}
        if image.deleted_at is not None:
            ends |= {(image.current_job, End.DELETED)}
        assert ends - self.ears.heard == set()
        if image.deleted_at is not None:
            assert stored == set()
            assert await self.world.source.list("") == []
            return
        current = await self.world.jobs.job_of_any_tenant(image.current_job)
        assert current.status is JobStatus.COMPLETED, current
        for variant in current.variants:
            body = await self.world.processed.fetch(variant.key, max_bytes=1000)
            assert body == b"webp of " + self.uploads[-1]
        assert stored == await self._recorded(image.job_ids)
        for processing_id in image.job_ids:  # whoever holds an id of it is led to the picture
            told = await self.world.catalog.status(TENANT, processing_id)
            assert told.superseded_by == (None if processing_id == image.current_job else image.current_job)
        assert self.first_id == image.job_ids[0]
        if len(set(self.uploads)) == 1 and not self.asked_again:
            assert image.job_ids == (self.first_id,)

    async def _recorded(self, job_ids: tuple[str, ...]) -> set[str]:
        keys = set()
        for processing_id in job_ids:
            with contextlib.suppress(JobNotFound):
                job = await self.world.jobs.job_of_any_tenant(processing_id)
                keys |= {variant.key for variant in job.variants}
                keys |= {manifest_key(job.unique_id, processing_id)} if job.variants else set()
        return keys


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("turn"), st.integers(0, 7)),
        st.tuples(st.just("turn"), st.integers(0, 7)),
        st.tuples(st.just("turn"), st.integers(0, 7)),
        st.tuples(st.just("deliver"), st.integers(0, 7)),
        st.tuples(st.just("kill"), st.integers(0, 7)),
        st.tuples(st.just("upload"), st.just(0)),
        st.tuples(st.just("upload_again"), st.integers(0, 2)),
        st.tuples(st.just("forge"), st.integers(0, 2)),
        st.tuples(st.just("reprocess"), st.just(0)),
        st.tuples(st.just("delete"), st.just(0)),
        st.tuples(st.just("pass_time"), st.just(0)),
    ),
    min_size=5,
    max_size=80,
)


async def _tell(steps: list[tuple[str, int]]) -> None:
    story = Story()
    await story.begin()
    for deed, number in steps:
        await story.quiet()
        await getattr(story, deed)(number)
    await story.quiet()
    await story.settle()
    await story.check()


@pytest.fixture(autouse=True, scope="module")
def _races_without_pauses() -> Iterator[None]:
    """The search decides who waits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(races, "RACE_PAUSE_SECONDS", 0)
        yield


@given(STEPS)
@searching(600)
def test_there_is_one_right_result_whatever_happens(steps: list[tuple[str, int]]) -> None:
    asyncio.run(_tell(steps))
