"""Backfills: how many images have another version of a preset, what it costs to convert them again, and the start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from processor.bulk.jobs import BulkJobs
from processor.bulk.operations import BACKFILL, matches
from processor.catalog.presets import Choice
from processor.formats.info import ImageInfo
from processor.jobs import Job, JobStatus, Manifest
from processor.ports.bulk import BulkFilter, BulkJob
from processor.ports.jobs import JobQuery, JobStore
from processor.recipes import Recipe

#: Images that a plan looks at, newest first, and how many of them at once. Beyond, it says that there are more.
LOOKED_AT, PAGE = 5000, 100
#: Images whose records the estimate is made of, and images that a plan shows.
SAMPLED, SHOWN = 200, 3
#: Prices of AWS in us-east-1, in US dollars: an hour of a vCPU (an eighth of a c7a.2xlarge, on demand), a PUT and a GB
#: and month of S3 Standard, a write unit and a read unit of DynamoDB, a request to SQS.
CPU_HOUR, PUT, GB_MONTH, WRITE, READ, REQUEST = 0.41056 / 8, 0.005e-3, 0.023, 0.625e-6, 0.125e-6, 0.40e-6
#: Units and requests of an image besides its files: `docs/performance.md` counts the calls.
WRITES, READS, REQUESTS = 12, 4, 4
_GB = 10**9
#: Tells CPU seconds and pixels of all variants that a recipe makes of a picture.
Estimate = Callable[[Recipe, ImageInfo], tuple[float, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a backfill takes, by the tenant's own images. `bytes` are those of new files, dollars without storage."""

    cpu_seconds: float
    bytes: int
    dollars: float
    dollars_a_month: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a backfill would do."""

    recipe: Recipe
    #: How many images have another version; how many were looked at; whether these are all.
    images: int
    looked_at: int
    complete: bool
    sampled: int
    cost: Cost
    samples: tuple[Job, ...]
    #: How much was read from the store.
    read_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfills:
    """Every call names the tenant."""

    jobs: JobStore
    bulk: BulkJobs
    choice: Choice
    estimate: Estimate

    async def plan(self, tenant: str, name: str) -> Plan:
        """Look at completed images, newest first. Changes nothing. Raises `PresetNotFound`, `Unavailable`."""
        recipe = await self.choice.newest(tenant, name)
        query = JobQuery(tenant=tenant, limit=PAGE, status=JobStatus.COMPLETED)
        images = looked_at = read_bytes = 0
        sample: list[Job] = []
        complete = False
        while looked_at < LOOKED_AT and not complete:
            page = await self.jobs.list(query)
            found = [job for job in page.jobs if matches(_filter(recipe), job)]
            images, looked_at = images + len(found), looked_at + len(page.jobs)
            sample += found[: SAMPLED - len(sample)]
            read_bytes += page.read_bytes
            complete = page.next_after is None
            query = replace(query, after=page.next_after)
        return Plan(
            recipe=recipe,
            images=images,
            looked_at=looked_at,
            complete=complete,
            sampled=len(sample),
            cost=self._cost(recipe, sample, images),
            samples=tuple(sample[:SHOWN]),
            read_bytes=read_bytes,
        )

    async def start(self, tenant: str, name: str, *, by: str) -> BulkJob:
        """Convert them in the background. Raises `PresetNotFound`, `BulkInProgress`, `Busy`, `Unavailable`."""
        recipe = await self.choice.newest(tenant, name)
        return await self.bulk.start(tenant, BACKFILL, _filter(recipe), by=by, preset=name)

    async def is_under_way(self, tenant: str, name: str) -> bool:
        """Whether a backfill of the preset has not ended. Raises `Unavailable`."""
        bulk_id = await self.bulk.store.open_of(tenant, BACKFILL)
        return bulk_id is not None and (await self.bulk.get(tenant, bulk_id)).preset == name

    def _cost(self, recipe: Recipe, sample: Sequence[Job], images: int) -> Cost:
        """The mean of the sampled images, for all of them."""
        pictures = [(_picture(made), _bytes_a_pixel(job)) for job in sample if (made := job.manifest) is not None]
        if not pictures:
            return Cost(cpu_seconds=0, bytes=0, dollars=0, dollars_a_month=0)
        seconds = size = 0.0
        for picture, bytes_a_pixel in pictures:
            each, pixels = self.estimate(recipe, picture)
            seconds, size = seconds + each, size + pixels * bytes_a_pixel
        many = images / len(pictures)
        files = len(recipe.specs) + len(recipe.further) + 1 + len(recipe.further_formats)  # with the manifests
        calls = images * (files * PUT + WRITES * WRITE + READS * READ + REQUESTS * REQUEST)
        return Cost(
            cpu_seconds=seconds * many,
            bytes=round(size * many),
            dollars=seconds * many / 3600 * CPU_HOUR + calls,
            dollars_a_month=size * many / _GB * GB_MONTH,
        )


def _filter(recipe: Recipe) -> BulkFilter:
    return BulkFilter(status=JobStatus.COMPLETED, preset=recipe.name, unlike=recipe.reference)


def _picture(made: Manifest) -> ImageInfo:
    return ImageInfo(format=made.format, width=made.width, height=made.height, frames=made.frames)


def _bytes_a_pixel(job: Job) -> float:
    """Of the variants that the image has now."""
    pixels = sum(variant.pixels for variant in job.variants)
    return sum(variant.size for variant in job.variants) / pixels if pixels else 0.0
