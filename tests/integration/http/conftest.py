"""The real application over stores that live in this process."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from openapi_schema_validator import OAS31Validator, oas31_format_checker

from processor import clock
from processor.bulk.backfill import Backfills
from processor.bulk.jobs import BulkJobs
from processor.catalog import redrive
from processor.catalog.assets import Assets
from processor.catalog.feeds import Feeds
from processor.catalog.images import Catalog
from processor.catalog.parts import LargeFiles
from processor.catalog.presets import Choice, Presets
from processor.catalog.previews import Previews
from processor.catalog.unsized import UnsizedFiles
from processor.catalog.uploads import UploadRequest, Uploads
from processor.catalog.waiting import Waiting
from processor.errors import Unavailable
from processor.facts import Facts
from processor.images import HELD_PREFIX, Rendered, StoredVariant, variant_key
from processor.jobs import Failure, Job, JobStatus, Lease, Manifest, Terms, Timings, withheld
from processor.jobs import Source as JobSource
from processor.pipeline.cost import estimate
from processor.pipeline.engine import set_up_libvips
from processor.pipeline.lettering import lettered
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.ports.jobs import JobPage, JobQuery
from processor.ports.objects import PresignedUpload, UploadTerms
from processor.ports.queue import QueueDepth
from processor.ports.renderer import NO_TICKET, Ticket
from processor.ports.stores import AllStores
from processor.recipes import STANDARD_VARIANTS, Recipe
from processor.reviews import Reviews
from processor.stores.memory import (
    MemoryBulkStore,
    MemoryChanges,
    MemoryCostStore,
    MemoryJobStore,
    MemoryKeyStore,
    MemoryObjectStore,
    MemoryPresetStore,
    MemoryQueue,
    MemoryReplayStore,
    MemoryUsageStore,
    MemoryWebhookStore,
)
from processor.storing import Shelf
from processor.usage import Quota
from processor.webhooks.directory import Directory
from processor.webhooks.registry import Webhooks
from service.app import create_app
from service.auth.api_keys import KEY_STORE, ApiKeyVerifier
from service.auth.authenticator import AUTHENTICATOR, Authenticator, Open
from service.calls import events, samples
from service.calls.assets import ASSETS
from service.calls.bulk import BULK
from service.calls.events import FEEDS, as_message
from service.calls.presets import BACKFILLS, PRESETS, PREVIEWS
from service.calls.reviews import REVIEWS
from service.calls.usage import COSTS
from service.calls.use_cases import CATALOG, LARGE_FILES, STORES, UNSIZED_FILES, UPLOADS, WAITING
from service.calls.viewer import LOCAL_VIEWER
from service.calls.webhooks import WEBHOOKS
from service.config import SETTINGS, Settings
from service.http.cursor import CURSORS, CursorSigner
from service.http.protocol import SERVER_OPTIONS
from service.idempotency import REPLAYS, STILL_THERE
from service.limits.middleware import QUOTA
from service.observe.health import HEALTH, LIVENESS, READINESS, Health
from service.observe.probes import PROBES
from service.openapi import document

Client = TestClient[web.Request, web.Application]
CDN = "https://cdn.example.com"


class Jobs(MemoryJobStore):
    """Remembers what was listed, and fails while it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.queries: list[JobQuery] = []
        self.broken: Exception | None = None

    @property
    def count(self) -> int:
        """Records of jobs."""
        return len(self._jobs)

    async def job_of_any_tenant(self, processing_id: str) -> Job:
        _check(self.broken)
        return await super().job_of_any_tenant(processing_id)

    async def list(self, query: JobQuery) -> JobPage:
        _check(self.broken)
        self.queries.append(query)
        return await super().list(query)

    async def ping(self) -> None:
        _check(self.broken)


class Queue(MemoryQueue):
    """Fails while it is told to."""

    broken: Exception | None = None

    async def send(self, body: str, *, delay_seconds: int = 0, reason: str = "", tries: int = 0) -> None:
        _check(self.broken)
        await super().send(body, delay_seconds=delay_seconds, reason=reason, tries=tries)

    async def depth(self) -> QueueDepth:
        _check(self.broken)
        return await super().depth()


@dataclass(kw_only=True)
class Source(MemoryObjectStore):
    """Remembers what was signed."""

    presigned: list[UploadTerms] = field(default_factory=list)

    async def presign_upload(self, terms: UploadTerms) -> PresignedUpload:
        self.presigned.append(terms)
        return await super().presign_upload(terms)


@dataclass
class InThread:
    """The real pipeline, in a thread of this process. It fails, or waits, while it is told to."""

    broken: Exception | None = None
    gate: asyncio.Event | None = None

    async def render(self, data: bytes, recipe: Recipe, ticket: Ticket = NO_TICKET) -> Rendered:
        _check(self.broken)
        if self.gate is not None:
            await self.gate.wait()
        limits = FileLimits()
        set_up_libvips()
        info = inspect(data, limits)
        deadline = Deadline(limits.timeout_seconds)
        return await asyncio.to_thread(render, data, info, recipe, deadline, assets=ticket.assets)


MANIFEST = Manifest(
    etag="e",
    sha256=hashlib.sha256(b"source").hexdigest(),
    size=6,
    format="jpeg",
    width=30,
    height=20,
    frames=1,
    encoder="libvips 8",
    effort=2,
    service="0",
)


def _check(broken: Exception | None) -> None:
    if broken is not None:
        raise broken


@dataclass
class World:
    """What is behind the API, and what a worker would have done to it."""

    jobs: Jobs = field(default_factory=Jobs)
    source: Source = field(default_factory=lambda: Source("source"))
    processed: MemoryObjectStore = field(default_factory=lambda: MemoryObjectStore("processed"))
    queue: Queue = field(default_factory=Queue)
    dead_letters: Queue | None = field(default_factory=Queue)
    renderer: InThread = field(default_factory=InThread)
    keys: MemoryKeyStore = field(default_factory=MemoryKeyStore)
    bulk: MemoryBulkStore = field(default_factory=MemoryBulkStore)
    quota: Quota = field(default_factory=lambda: Quota(store=MemoryUsageStore(), defaults=make_settings().limits))

    worker_died: bool = False
    webhooks: Webhooks = field(init=False)

    def __post_init__(self) -> None:
        """The webhooks have their own store, and the same queue."""
        store = MemoryWebhookStore()
        self.webhooks = Webhooks(store=store, queue=self.queue, directory=Directory(store=store))
        self.presets = MemoryPresetStore()
        self.choice = Choice(store=self.presets)

    async def worker_lives(self) -> None:
        """The liveness check."""
        if self.worker_died:
            raise Unavailable

    def stores(self) -> AllStores:
        return AllStores(
            jobs=self.jobs,
            source=self.source,
            processed=self.processed,
            queue=self.queue,
            dead_letters=self.dead_letters,
        )

    def uploads(self) -> Uploads:
        return Uploads(stores=self.stores(), quota=self.quota, max_bytes=1000, choice=self.choice)

    async def submit(self, tenant: str, preset: str | None = None) -> Job:
        """What the API does for another tenant than the tests'."""
        request = UploadRequest(
            filename="a.jpg",
            extension="jpg",
            terms=Terms(content_type="image/jpeg"),
            expires_in_seconds=60,
            preset=preset,
        )
        return (await self.uploads().submit(tenant, request)).job

    async def upload(self, processing_id: str) -> Job:
        """The source arrived: the job is queued."""
        job = await self.jobs.job_of_any_tenant(processing_id)
        image = await self.jobs.image_of_any_tenant(job.unique_id)
        event = await self.source.put(job.original_key, b"source")
        source = JobSource(etag=event.etag, size=len(b"source"))
        return await self.jobs.accept(image, job, source, job.expires_at)

    async def complete(self, processing_id: str, **brought: Any) -> Job:
        """The variants are stored, and the run brought this too."""
        job = await self.upload(processing_id)
        variants = []
        for spec in STANDARD_VARIANTS:
            key = variant_key(job.unique_id, processing_id, spec.file_name)
            await self.processed.put(key, b"webp", content_type="image/webp")
            variants.append(
                StoredVariant(
                    name=spec.name,
                    key=key,
                    width=30,
                    height=20,
                    size=4,
                    content_type="image/webp",
                    quality=80,
                    sha256="0" * 64,
                    stored_at=datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
                )
            )
        outcome = replace(
            job,
            status=JobStatus.COMPLETED,
            variants=tuple(variants),
            timings=Timings(download=1, process=2, upload=3, total=6),
            manifest=MANIFEST,
        )
        return await self._finish(replace(outcome, **brought))

    async def hold(self, processing_id: str, **brought: Any) -> Job:
        """The same, but the variants wait for a review."""
        job = await self.upload(processing_id)
        variants = [
            replace(each, key=variant_key(job.unique_id, processing_id, f"{each.name}.webp", HELD_PREFIX))
            for each in samples.COMPLETED.variants
        ]
        for variant in variants:
            await self.processed.put(variant.key, b"webp", content_type="image/webp")
        made = replace(job, variants=tuple(variants), manifest=MANIFEST)
        return await self._finish(withheld(replace(made, **brought), "preset", clock.now()))

    async def moderated(self, processing_id: str, facts: Facts) -> Job:
        """The same, of an image whose preset has a moderation."""
        job = await self.hold(processing_id, facts=facts)
        assert job.recipe is not None
        assert job.review is not None
        recipe = replace(job.recipe, moderation=(("nsfw", 0.8),))
        held = replace(job, recipe=recipe, review=replace(job.review, reason="nsfw"))
        self.jobs._jobs[processing_id] = held
        return held

    async def fail(self, processing_id: str, code: str = "corrupt_image", **numbers: int) -> Job:
        """The job ended with an error."""
        await self.upload(processing_id)
        return await self.fail_again(processing_id, code, **numbers)

    async def fail_again(self, processing_id: str, code: str = "corrupt_image", **numbers: int) -> Job:
        """A job over a source that was there before ended with an error."""
        job = await self.jobs.job_of_any_tenant(processing_id)
        error = Failure(code=code, message="The image is damaged.", **numbers)
        return await self._finish(replace(job, status=JobStatus.FAILED, error=error))

    async def _finish(self, job: Job) -> Job:
        lease = Lease(token="t", owner="worker", expires_at=time.time() + 60)
        await self.jobs.claim(job.processing_id, lease, clock.now(), "tests")
        await self.jobs.finish(job, lease)
        return await self.jobs.job_of_any_tenant(job.processing_id)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(redrive, "POLL_SECONDS", 0)
    return World()


@pytest.fixture(autouse=True)
def short_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that asks for any call need not wait for the end of one that has none."""
    monkeypatch.setattr(events, "STREAM_SECONDS", 0.2)


@pytest.fixture
def serve(world: World, aiohttp_client: Any) -> Callable[..., Awaitable[Client]]:
    """Starts the application over `world`, with settings that differ where the test says so."""

    async def start(**how: Any) -> Client:
        client: Client = await aiohttp_client(make_application(world, **how), server_kwargs=SERVER_OPTIONS)
        return client

    return start


def make_application(
    world: World, *, local_viewer: bool = False, locked: bool = False, **settings: Any
) -> web.Application:
    """The application over `world`; `locked` asks callers for keys."""
    app = create_app(make_settings(**settings), local_viewer=local_viewer)
    stores, quota = world.stores(), world.quota
    choice = world.choice
    catalog = Catalog(stores=stores, quota=quota, retention=timedelta(days=30), choice=choice)
    app[STORES] = stores
    app[UPLOADS] = world.uploads()
    app[CATALOG] = catalog
    app[BULK] = BulkJobs(store=world.bulk)
    changes = MemoryChanges(world.jobs)
    app[WAITING] = Waiting(changes=changes)
    app[FEEDS] = Feeds(changes=changes, encode=partial(as_message, public_url=CDN), probes=app[PROBES])
    app[LARGE_FILES] = LargeFiles(stores=stores, quota=quota, catalog=catalog, choice=choice)
    app[UNSIZED_FILES] = UnsizedFiles(stores=stores, quota=quota, catalog=catalog, choice=choice, max_bytes=1000)
    app[PRESETS] = Presets(store=world.presets, choice=choice, jobs=stores.jobs)
    app[REVIEWS] = Reviews(stores=stores, shelf=Shelf(processed=stores.processed), retention=timedelta(days=30))
    app[BACKFILLS] = Backfills(jobs=stores.jobs, bulk=app[BULK], choice=choice, estimate=estimate)
    app[PREVIEWS] = Previews(stores=stores, renderer=world.renderer)
    app[ASSETS] = Assets(source=world.source, presets=world.presets, previews=app[PREVIEWS], letter=lettered)
    app[CURSORS] = CursorSigner(stores.jobs)
    app[AUTHENTICATOR] = Authenticator(bearer=None, api_key=ApiKeyVerifier(world.keys)) if locked else Open()
    app[KEY_STORE] = world.keys
    world.quota.defaults = app[SETTINGS].limits
    app[QUOTA] = world.quota
    app[REPLAYS], app[STILL_THERE] = MemoryReplayStore(), app[CATALOG].current_job
    app[HEALTH] = Health({"table": world.jobs.ping, "queue": world.queue.ping}, fresh_seconds=0)
    app[LIVENESS] = Health({"worker": world.worker_lives}, fresh_seconds=0)
    app[READINESS] = Health({"worker": world.worker_lives, "queue": world.queue.ping}, fresh_seconds=0)
    app[LOCAL_VIEWER] = stores.processed
    app[WEBHOOKS] = world.webhooks
    app[COSTS] = MemoryCostStore(world.jobs)
    return app


@pytest.fixture
async def client(serve: Callable[..., Awaitable[Client]]) -> Client:
    return await serve()


def make_settings(**changes: Any) -> Settings:
    return Settings(
        **{
            "stage": "test",
            "source_bucket": "source",
            "processed_bucket": "processed",
            "processing_table": "table",
            "queue_url": "https://queue.example.com/q",
            "cloudfront_url": CDN,
            "max_upload_bytes": 1000,
        }
        | changes
    )


Ask = Callable[..., Awaitable[tuple[int, Mapping[str, str], Any]]]


@pytest.fixture
def ask(client: Client) -> Ask:
    """Calls the API and holds the answer against the OpenAPI document before anybody looks at it."""

    async def call(method: str, path: str, **options: Any) -> tuple[int, Mapping[str, str], Any]:
        async with client.request(method, path, **options) as response:
            body = await response.json(content_type=None)
            hold_against_document(method, path.partition("?")[0], response.status, response.content_type, body)
            return response.status, response.headers, body

    return call


@pytest.fixture
def submit(ask: Ask) -> Callable[..., Awaitable[Any]]:
    """A new upload URL, as answered."""

    async def submit(**fields: Any) -> Any:
        status, _, body = await ask("POST", "/images/upload-url", json={"filename": "a.jpg"} | fields)
        assert status == 200
        return body

    return submit


def hold_against_document(method: str, path: str, status: int, content_type: str, body: Any) -> None:
    """An answer that the document does not describe is a mistake in one of the two."""
    described = document()
    operation = next(
        item[method.lower()]
        for template, item in described["paths"].items()
        if method.lower() in item and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
    )
    response = operation["responses"][str(status)]
    if "$ref" in response:
        response = described["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"][content_type]["schema"]
    OAS31Validator({**described, **schema}, format_checker=oas31_format_checker).validate(body)
