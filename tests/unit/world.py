"""The use cases over the in-memory stores, with a renderer that can be told what to do."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from processor.catalog.images import Catalog
from processor.catalog.parts import LargeFiles
from processor.catalog.presets import Choice
from processor.catalog.unsized import UnsizedFiles
from processor.catalog.uploads import Submission, UploadRequest, Uploads
from processor.erasure import Eraser
from processor.errors import Throttled, Unavailable
from processor.events import Event, SourceArrived, Unreadable, parse
from processor.facts import Facts
from processor.formats.info import ImageInfo
from processor.images import Rendered, Variant
from processor.jobs import Maker, Terms
from processor.ports.listener import Listener
from processor.ports.queue import Message
from processor.ports.renderer import NO_TICKET, Ticket
from processor.ports.room import Room
from processor.ports.stores import AllStores
from processor.probe import NO_PROBES, Probes, Span
from processor.recipes import STANDARD, Recipe
from processor.stores.memory import (
    MemoryEdge,
    MemoryJobStore,
    MemoryObjectStore,
    MemoryPresetStore,
    MemoryQueue,
    MemoryUsageStore,
)
from processor.usage import Limits, Quota
from processor.work.conversion import Converter

TENANT = "default"
LIMITS = Limits(
    requests_per_second=1,
    request_burst=1,
    tenant_requests_per_second=1,
    tenant_request_burst=1,
    bytes_per_day=10_000,
    megapixels_per_day=1,
    images=100,
)
#: What every file is to the renderer.
PICTURE = ImageInfo(format="jpeg", width=4, height=3)
MAKER = Maker(encoder="libvips 8.18", service="1.0")


def events_of(body: str) -> list[Event]:
    """What a message holds, all of it readable."""
    events = parse(body)
    assert not any(isinstance(event, Unreadable) for event in events)
    return [event for event in events if not isinstance(event, Unreadable)]


#: The longest that the queue of the tests waits for a message.
POLL_SECONDS = 0.05


class RecordingQueue(MemoryQueue):
    """Remembers what was asked of it, and fails while it is told to."""

    def __init__(self, *, max_receive_count: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(max_receive_count=max_receive_count, clock=clock)
        self.asked: list[int] = []
        self.settled: list[int] = []
        self.visibilities: list[int] = []
        self.failing = False

    @property
    def bodies(self) -> list[str]:
        """What lies in the queue, visible or not."""
        return [letter.body for letter in self._letters.values()]

    async def receive(self, limit: int, *, wait_seconds: float, visibility_seconds: int) -> list[Message]:
        self.asked.append(limit)
        self._fail()
        # Whoever stops waits for the poll that is under way.
        short = min(wait_seconds, POLL_SECONDS)
        return await super().receive(limit, wait_seconds=short, visibility_seconds=visibility_seconds)

    async def send(self, body: str, *, delay_seconds: int = 0, reason: str = "", tries: int = 0) -> None:
        self._fail()
        await super().send(body, delay_seconds=delay_seconds, reason=reason, tries=tries)

    async def settle(self, receipts: Sequence[str]) -> None:
        self._fail()
        self.settled.append(len(receipts))
        await super().settle(receipts)

    async def set_visibility(self, receipts: Sequence[str], seconds: int) -> None:
        self.visibilities.append(seconds)
        await super().set_visibility(receipts, seconds)

    def _fail(self) -> None:
        if self.failing:
            raise Unavailable


@dataclass
class Noted:
    """A probe that remembers every step that has ended."""

    spans: list[Span] = field(default_factory=list)

    @property
    def messages(self) -> Counter[str]:
        """What became of messages."""
        return Counter(span.facts.get("end", "nothing") for span in self.spans if span.name == "message")

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def begun(self, span: Span) -> None:
        """It is noted at its end."""

    def ended(self, span: Span) -> None:
        self.spans.append(span)


class FlakyEdge(MemoryEdge):
    """Takes no orders while it is told that it has too many."""

    busy = False

    async def invalidate(self, prefix: str) -> str:
        if self.busy:
            raise Throttled
        return await super().invalidate(prefix)


@dataclass
class ScriptedRenderer:
    """Makes variants out of nothing; `during` runs in the middle of it, and `instead` is what it says of each."""

    during: Callable[[], Awaitable[None]] | None = None
    instead: str | None = None
    picture: ImageInfo = PICTURE
    rendered: list[bytes] = field(default_factory=list)
    recipes: list[Recipe] = field(default_factory=list)
    facts: Facts = field(default_factory=Facts)

    async def render(self, data: bytes, recipe: Recipe, ticket: Ticket = NO_TICKET) -> Rendered:
        await ticket.begin(self.picture)
        self.rendered.append(data)
        self.recipes.append(recipe)
        if self.during is not None:
            await self.during()
        made, instead = b"webp of " + data, self.instead
        variants = tuple(Variant(spec=spec, data=made, width=4, height=3, instead=instead) for spec in recipe.specs)
        for variant in variants:
            ticket.ready(variant)
        return Rendered(source=self.picture, variants=variants, facts=self.facts)


@dataclass
class World:
    """One service's worth of everything; `another_converter` is another pod's."""

    queue: RecordingQueue = field(default_factory=RecordingQueue)
    jobs: MemoryJobStore = field(default_factory=MemoryJobStore)
    renderer: ScriptedRenderer = field(default_factory=ScriptedRenderer)
    suspects: ScriptedRenderer = field(default_factory=ScriptedRenderer)
    spare: ScriptedRenderer = field(default_factory=ScriptedRenderer)
    recipe: Recipe = STANDARD
    listeners: Sequence[Listener] = ()
    probes: Probes = NO_PROBES

    def __post_init__(self) -> None:
        self.source = MemoryObjectStore("source")
        self.processed = MemoryObjectStore("processed")
        self.edge = FlakyEdge()
        self.quota = Quota(store=MemoryUsageStore(), defaults=LIMITS, monotonic=itertools.count(step=60).__next__)
        self.presets = MemoryPresetStore()
        self.choice = Choice(standard=self.recipe, store=self.presets)
        self.stores = AllStores(
            jobs=self.jobs,
            source=self.source,
            processed=self.processed,
            queue=self.queue,
            edge=self.edge,
            listeners=self.listeners,
        )
        self.uploads = Uploads(stores=self.stores, quota=self.quota, max_bytes=1000, choice=self.choice)
        self.catalog = Catalog(stores=self.stores, quota=self.quota, retention=timedelta(days=30), choice=self.choice)
        self.converter = self.another_converter()

    def another_converter(self, lease_seconds: int = 60, room: Room | None = None) -> Converter:
        return Converter(
            jobs=self.jobs,
            source=self.source,
            processed=self.processed,
            renderer=self.renderer,
            suspect_renderer=self.suspects,
            spare_renderer=self.spare,
            recipe=self.recipe,
            eraser=Eraser(stores=self.stores, quota=self.quota),
            room=room,
            source_bucket="source",
            max_bytes=1000,
            retention=timedelta(days=30),
            lease_seconds=lease_seconds,
            quota=self.quota,
            maker=MAKER,
            listeners=self.listeners,
            probes=self.probes,
        )

    def large_files(self) -> LargeFiles:
        return LargeFiles(stores=self.stores, quota=self.quota, catalog=self.catalog, choice=self.choice)

    def unsized_files(self) -> UnsizedFiles:
        return UnsizedFiles(
            stores=self.stores, quota=self.quota, catalog=self.catalog, choice=self.choice, max_bytes=1000
        )

    async def submitted(self, tenant: str = TENANT, *, preset: str | None = None) -> Submission:
        request = UploadRequest(
            filename="a.jpg",
            extension="jpg",
            terms=Terms(content_type="image/jpeg"),
            expires_in_seconds=3600,
            metadata={"k": "v"},
            preset=preset,
        )
        return await self.uploads.submit(tenant, request)

    async def uploaded(self, body: bytes = b"photo") -> tuple[Submission, SourceArrived]:
        submission = await self.submitted()
        return submission, await self.source.put(submission.job.original_key, body)
