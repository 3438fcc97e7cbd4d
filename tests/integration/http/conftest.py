"""The real application over stores that live in this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from openapi_schema_validator import OAS31Validator, oas31_format_checker

from processor import clock
from processor.catalog import Catalog
from processor.errors import ImageNotFound, JobNotFound, ObjectNotFound, RecordChanged
from processor.images import STANDARD_VARIANTS, StoredVariant, variant_key
from processor.jobs import Image, Job, JobStatus, Source, Timings
from processor.ports import JobPage, JobQuery, ObjectInfo, PresignedUpload, UploadTerms
from service.app import create_app
from service.config import Settings
from service.cursor import CursorSigner
from service.health import Health
from service.keys import CATALOG, CURSORS, HEALTH, LOCAL_VIEWER
from service.openapi import document

Client = TestClient[web.Request, web.Application]
CDN = "https://cdn.example.com"


@dataclass
class FakeObjects:
    objects: dict[str, tuple[bytes, ObjectInfo]] = field(default_factory=dict)
    presigned: list[UploadTerms] = field(default_factory=list)
    broken: Exception | None = None

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken

    async def presign_upload(self, terms: UploadTerms) -> PresignedUpload:
        self._check()
        self.presigned.append(terms)
        return PresignedUpload(
            url=f"https://bucket.example.com/{terms.key}?signature=s",
            headers={"Content-Type": terms.content_type},
            post_url="https://bucket.example.com/",
            post_fields={"key": terms.key, "Content-Type": terms.content_type, "policy": "p"},
        )

    async def head(self, key: str) -> ObjectInfo:
        self._check()
        if key not in self.objects:
            raise ObjectNotFound
        return self.objects[key][1]

    async def fetch(self, key: str, *, max_bytes: int, etag: str | None = None) -> bytes:
        await self.head(key)
        return self.objects[key][0]

    async def store(
        self, key: str, body: bytes, *, content_type: str, cache_control: str, metadata: Mapping[str, str]
    ) -> None:
        info = ObjectInfo(
            key=key,
            size=len(body),
            etag="e",
            last_modified=clock.now(),
            content_type=content_type,
            metadata=dict(metadata),
        )
        self.objects[key] = (body, info)

    async def purge(self, prefix: str) -> tuple[str, ...]:
        keys = tuple(sorted(key for key in self.objects if key.startswith(prefix)))
        for key in keys:
            del self.objects[key]
        return keys

    async def list(self, prefix: str) -> list[ObjectInfo]:
        return [info for key, (_, info) in sorted(self.objects.items()) if key.startswith(prefix)]

    async def ping(self) -> None:
        self._check()


@dataclass
class FakeJobs:
    images: dict[str, Image] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    queries: list[JobQuery] = field(default_factory=list)
    broken: Exception | None = None

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken

    async def create(self, image: Image, job: Job) -> None:
        self._check()
        self.images[image.unique_id] = image
        self.jobs[job.processing_id] = job

    async def get_image(self, unique_id: str) -> Image:
        self._check()
        if unique_id not in self.images:
            raise ImageNotFound
        return self.images[unique_id]

    async def get_job(self, processing_id: str) -> Job:
        self._check()
        if processing_id not in self.jobs:
            raise JobNotFound
        return self.jobs[processing_id]

    async def replace(self, image: Image, old: Job | None, new: Job) -> None:
        self._check()
        self.images[image.unique_id] = replace(
            image, current_job=new.processing_id, job_ids=(*image.job_ids, new.processing_id)
        )
        self.jobs[new.processing_id] = new

    async def tombstone(self, image: Image, deleted_at: datetime, expires_at: int) -> Image:
        if image.deleted_at is not None:
            raise RecordChanged
        self.jobs.pop(image.current_job, None)
        self.images[image.unique_id] = replace(image, deleted_at=deleted_at, expires_at=expires_at)
        return self.images[image.unique_id]

    async def forget_jobs(self, image: Image, erased_at: datetime) -> None:
        for processing_id in image.job_ids:
            self.jobs.pop(processing_id, None)
        self.images[image.unique_id] = replace(image, erased_at=erased_at)

    async def list(self, query: JobQuery) -> JobPage:
        self._check()
        self.queries.append(query)
        current = {image.current_job for image in self.images.values()}
        found = [
            job
            for processing_id, job in self.jobs.items()
            if processing_id in current
            and job.tenant == query.tenant
            and query.status in (None, job.status)
            and (query.created_from is None or job.created_at >= query.created_from)
            and (query.created_to is None or job.created_at <= query.created_to)
        ]
        found.sort(key=lambda job: job.processing_id, reverse=query.newest_first)
        places = [job.processing_id for job in found]
        start = places.index(query.after) + 1 if query.after else 0
        page = found[start : start + query.limit]
        more = start + query.limit < len(found)
        return JobPage(jobs=tuple(page), next_after=page[-1].processing_id if more else None)

    async def signing_key(self, name: str) -> bytes:
        return b"k" * 32

    async def ping(self) -> None:
        self._check()


@dataclass
class FakeQueue:
    sent: list[str] = field(default_factory=list)
    broken: Exception | None = None

    async def send(self, body: str) -> None:
        if self.broken is not None:
            raise self.broken
        self.sent.append(body)

    async def ping(self) -> None:
        if self.broken is not None:
            raise self.broken


@dataclass
class World:
    """What is behind the API, and what a worker would have done to it."""

    jobs: FakeJobs = field(default_factory=FakeJobs)
    source: FakeObjects = field(default_factory=FakeObjects)
    processed: FakeObjects = field(default_factory=FakeObjects)
    queue: FakeQueue = field(default_factory=FakeQueue)

    def catalog(self) -> Catalog:
        stores: dict[str, Any] = vars(self)
        return Catalog(**stores, max_bytes=1000, retention=timedelta(days=30))

    async def upload(self, processing_id: str) -> Job:
        """The source arrived: the job is queued."""
        job = self.jobs.jobs[processing_id]
        await self.source.store(job.original_key, b"source", content_type="", cache_control="", metadata={})
        job = replace(job, status=JobStatus.UPLOADED, source=Source(etag="e", size=6, sequencer="1"))
        self.jobs.jobs[processing_id] = job
        return job

    async def complete(self, processing_id: str) -> Job:
        """The variants are stored."""
        job = await self.upload(processing_id)
        variants = []
        for spec in STANDARD_VARIANTS:
            key = variant_key(job.unique_id, processing_id, spec.name)
            await self.processed.store(key, b"webp", content_type="image/webp", cache_control="", metadata={})
            variants.append(
                StoredVariant(
                    name=spec.name,
                    key=key,
                    width=30,
                    height=20,
                    size=4,
                    content_type="image/webp",
                    stored_at=datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
                )
            )
        timings = Timings(download=1, process=2, upload=3, total=6)
        job = replace(job, status=JobStatus.COMPLETED, variants=tuple(variants), timings=timings)
        self.jobs.jobs[processing_id] = job
        return job


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def serve(world: World, aiohttp_client: Any) -> Callable[..., Awaitable[Client]]:
    """Starts the application over `world`, with settings that differ where the test says so."""

    async def start(*, local_viewer: bool = False, **settings: Any) -> Client:
        app = create_app(make_settings(**settings), local_viewer=local_viewer)
        app[CATALOG] = world.catalog()
        app[CURSORS] = CursorSigner(world.catalog().jobs)
        app[HEALTH] = Health({"table": world.jobs.ping, "queue": world.queue.ping}, fresh_seconds=0)
        app[LOCAL_VIEWER] = world.catalog().processed
        client: Client = await aiohttp_client(app)
        return client

    return start


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


def hold_against_document(method: str, path: str, status: int, content_type: str, body: Any) -> None:
    """An answer that the document does not describe is a mistake in one of the two."""
    described = document()
    operation = next(
        item[method.lower()]
        for template, item in described["paths"].items()
        if method.lower() in item
        and path.startswith(template.partition("{")[0])
        and ("{" in template or path == template)
    )
    response = operation["responses"][str(status)]
    if "$ref" in response:
        response = described["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"][content_type]["schema"]
    OAS31Validator({**described, **schema}, format_checker=oas31_format_checker).validate(body)
