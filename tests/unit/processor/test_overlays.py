"""The assets that a recipe names are there when it is made, or the job says what is missing."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace

import pytest

from processor import overlays
from processor.assets import RECIPE, asset_key
from processor.errors import AssetMissing
from processor.events import JobRequested
from processor.images import Rendered
from processor.jobs import Job, JobStatus
from processor.overlays import Overlays
from processor.pipeline.engine import Engine, EngineConfig
from processor.ports.renderer import NO_TICKET, Ticket
from processor.recipes import FURTHER, STANDARD, Effect, Recipe, VariantSpec
from processor.stores.memory.objects import MemoryObjectStore
from processor.work.outcomes import OutcomeKind
from tests import corpus
from tests.unit.processor.pipeline.compare import opened
from tests.unit.world import TENANT, ScriptedRenderer, World

LOGO = b"a logo"
DIGEST = hashlib.sha256(LOGO).hexdigest()
MARK = Effect.of("watermark", {"asset": DIGEST})
MARKED = Recipe(
    name="marked", version=1, specs=(VariantSpec(name="shown", format="webp", quality=80, effects=(MARK,)),)
)


@dataclass
class Given(ScriptedRenderer):
    """Notes the assets that it is given."""

    assets: list[Mapping[str, bytes]] = field(default_factory=list)

    async def render(self, data: bytes, recipe: Recipe, ticket: Ticket = NO_TICKET) -> Rendered:
        self.assets.append(ticket.assets)
        return await super().render(data, recipe, ticket)


@dataclass
class Counting(MemoryObjectStore):
    """Counts what is fetched."""

    fetched: list[str] = field(default_factory=list)

    async def fetch(self, key: str, *, max_bytes: int, etag: str | None = None) -> bytes:
        self.fetched.append(key)
        return await super().fetch(key, max_bytes=max_bytes, etag=etag)


async def store(objects: MemoryObjectStore, data: bytes, digest: str = "", tenant: str = TENANT) -> None:
    key = asset_key(tenant, digest or hashlib.sha256(data).hexdigest())
    await objects.store(key, data, content_type="image/webp", cache_control="private", metadata={})


def requested(job: Job) -> JobRequested:
    return JobRequested(unique_id=job.unique_id, processing_id=job.processing_id)


def marked_world(recipe: Recipe = MARKED) -> tuple[World, Given]:
    world = World(recipe=recipe)
    renderer = world.converter.renderer = Given()
    return world, renderer


async def test_the_renderer_is_given_the_files_that_the_recipe_names() -> None:
    world, renderer = marked_world()
    await store(world.source, LOGO)
    _, event = await world.uploaded()

    assert (await world.converter.convert(event)).kind is OutcomeKind.COMPLETED
    assert renderer.assets == [{DIGEST: LOGO}]


async def test_nothing_is_fetched_for_a_recipe_that_names_none() -> None:
    world, renderer = marked_world(STANDARD)
    _, event = await world.uploaded()

    await world.converter.convert(event)

    assert renderer.assets == [{}]


@pytest.mark.parametrize("there", [None, b"another file under its key"])
async def test_a_job_whose_asset_is_gone_fails_and_runs_when_it_is_back(there: bytes | None) -> None:
    world, renderer = marked_world()
    if there is not None:
        await store(world.source, there, DIGEST)
    submission, event = await world.uploaded()

    assert (await world.converter.convert(event)).kind is OutcomeKind.FAILED
    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert (job.status, job.error and job.error.code) == (JobStatus.FAILED, "asset_missing")
    assert not renderer.assets  # nobody saw the picture without its mark

    await store(world.source, LOGO)
    again = await world.catalog.reprocess(TENANT, job.unique_id)
    assert (await world.converter.convert(requested(again))).kind is OutcomeKind.COMPLETED


async def test_an_asset_of_another_tenant_is_none() -> None:
    world, _ = marked_world()
    await store(world.source, LOGO, tenant="somebody-else")
    submission, event = await world.uploaded()

    await world.converter.convert(event)

    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert job.error is not None
    assert job.error.code == "asset_missing"


async def test_further_formats_have_the_mark_too_or_say_why_not() -> None:
    further = tuple(replace(spec, effects=(MARK,)) for spec in FURTHER["avif"])
    recipe = replace(STANDARD, further=further)
    world = World(recipe=recipe)
    spare = world.spare = Given()
    world.converter = world.another_converter()
    submission, event = await world.uploaded()
    await world.converter.convert(event)

    await world.converter.make_further(requested(submission.job))

    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert [each.error and each.error.code for each in job.further] == ["asset_missing"]
    assert not spare.assets


async def test_a_file_that_was_fetched_is_kept_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Counting("source")
    files = [bytes([number]) * 100 for number in range(3)]
    recipes = []
    for data in files:
        await store(source, data)
        effect = Effect.of("watermark", {"asset": hashlib.sha256(data).hexdigest()})
        recipes.append(replace(MARKED, specs=(replace(MARKED.specs[0], effects=(effect,)),)))
    monkeypatch.setattr(overlays, "KEPT_BYTES", 250)
    kept = Overlays(source=source)

    for index in (0, 0, 1, 0, 2, 0, 1):
        found = await kept.of(TENANT, recipes[index].assets)
        assert list(found.values()) == [files[index]]

    keys = [asset_key(TENANT, hashlib.sha256(data).hexdigest()) for data in files]
    assert source.fetched == [keys[number] for number in (0, 1, 2, 1)]


async def test_what_is_missing_is_looked_for_again() -> None:
    source = Counting("source")
    missing = Overlays(source=source)
    for _ in range(2):
        with pytest.raises(AssetMissing):
            await missing.of(TENANT, MARKED.assets)
    await store(source, LOGO)

    assert await missing.of(TENANT, MARKED.assets) == {DIGEST: LOGO}


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine(EngineConfig(threads=1, memory_budget_bytes=128 * 1024 * 1024))
    yield engine
    await engine.close()


async def test_from_an_upload_to_a_mark_in_the_picture(engine: Engine) -> None:
    logo = (await engine.render(corpus.png(corpus.flat(300, 100, (255, 0, 0))), RECIPE)).variants[0].data
    effect = Effect.of("watermark", {"asset": hashlib.sha256(logo).hexdigest(), "opacity": 1})
    recipe = replace(MARKED, specs=(replace(MARKED.specs[0], effects=(effect,)),))
    world = World(recipe=recipe)
    world.uploads = replace(world.uploads, max_bytes=10_000_000)
    converter = world.another_converter()
    converter.renderer, converter.max_bytes = engine, 10_000_000
    await store(world.source, logo)
    submission, event = await world.uploaded(corpus.png(corpus.flat(400, 400, (0, 0, 255))))

    await converter.convert(event)

    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    (shown,) = job.variants
    picture = opened(await world.processed.fetch(shown.key, max_bytes=10**6))
    red, _, blue = picture.getpoint(350, 370)
    assert red > 200
    assert blue < 60
