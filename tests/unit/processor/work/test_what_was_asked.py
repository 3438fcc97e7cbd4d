"""What was asked for travels with a job, and what is made of it is shown as soon as it is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from processor.catalog.presets import Choice
from processor.errors import CorruptImage, LeaseLost, TimedOut
from processor.events import JobRequested
from processor.formats.info import ImageInfo
from processor.images import Rendered, Variant, job_prefix
from processor.jobs import JobStatus, Maker
from processor.manifest import document
from processor.pipeline.engine import Engine, EngineConfig
from processor.ports.renderer import NO_TICKET, Ticket
from processor.recipes import STANDARD, Effect, Recipe, VariantSpec, standard
from processor.work import progress
from processor.work.conversion import Converter
from processor.work.outcomes import Outcome, OutcomeKind
from tests import corpus
from tests.unit.world import PICTURE, TENANT, ScriptedRenderer, World
from tests.waiting import eventually

SHARP = Effect.of("sharpen", {"sigma": 0.8})
#: Nothing of it is like the standard.
OTHER = Recipe(
    name="covers",
    version=3,
    specs=(
        VariantSpec(name="tiny", format="webp", quality=31, effort=0, box=(16, 16), effects=(SHARP,)),
        VariantSpec(name="cover", format="webp", quality=62, effort=1, box=(90, 40)),
    ),
)


@pytest.fixture
def world() -> World:
    return World()


@dataclass
class OneByOne(ScriptedRenderer):
    """Makes the next variant when it is told to, and may find in the end that the picture is broken."""

    picture: ImageInfo = PICTURE
    backwards: bool = False
    go: asyncio.Queue[Exception | None] = field(default_factory=asyncio.Queue)

    async def render(self, data: bytes, recipe: Recipe, ticket: Ticket = NO_TICKET) -> Rendered:
        await ticket.begin(self.picture)
        made = []
        for spec in reversed(recipe.specs) if self.backwards else recipe.specs:
            failure = await self.go.get()
            if failure is not None:
                raise failure
            made.append(Variant(spec=spec, data=spec.name.encode() + data, width=4, height=3))
            ticket.ready(made[-1])
        return Rendered(source=self.picture, variants=tuple(made))


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine(EngineConfig(threads=1, memory_budget_bytes=128 * 1024 * 1024))
    yield engine
    await engine.close()


async def for_ever() -> None:
    await asyncio.Event().wait()


def begun(world: World, times: int) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return len(world.renderer.rendered) == times

    return check


def note_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds in ("WORTH_A_NOTE_SECONDS", "NOTE_SECONDS"):
        monkeypatch.setattr(progress, seconds, 0)


def release(world: World, *, service: str) -> Converter:
    """Another release of the same service."""
    converter = world.another_converter()
    converter.maker = Maker(encoder="libvips 8.18", service=service)
    return converter


async def test_another_recipe_is_made_with_its_own_names_boxes_and_qualities(world: World, engine: Engine) -> None:
    world.catalog = replace(world.catalog, choice=Choice(standard=OTHER))
    world.uploads = replace(world.uploads, choice=Choice(standard=OTHER), max_bytes=10_000_000)
    converter = world.another_converter()
    converter.renderer, converter.max_bytes = engine, 10_000_000
    submission, event = await world.uploaded(corpus.jpeg(corpus.photo(160, 120)))

    outcome = await converter.convert(event)

    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert (outcome.kind, job.recipe) == (OutcomeKind.COMPLETED, OTHER)
    assert [(each.name, each.width, each.height, each.quality) for each in job.variants] == [
        ("tiny", 16, 12, 31),
        ("cover", 53, 40, 62),
    ]
    keys = [found.key for found in await world.processed.list(job_prefix(job.unique_id, job.processing_id))]
    assert [key.rpartition("/")[2] for key in keys] == ["cover.webp", "manifest.json", "tiny.webp"]
    again = await world.catalog.reprocess(TENANT, job.unique_id)
    assert again.recipe == OTHER


async def test_an_effect_travels_with_the_job_to_the_bytes_and_the_manifest(world: World, engine: Engine) -> None:
    plain = replace(OTHER, specs=tuple(replace(spec, effects=()) for spec in OTHER.specs))
    made, picture = {}, corpus.jpeg(corpus.photo(60, 40))
    for recipe in (plain, OTHER):
        world.uploads = replace(world.uploads, choice=Choice(standard=recipe), max_bytes=10_000_000)
        converter = world.another_converter()  # which has another recipe itself
        converter.renderer, converter.max_bytes = engine, 10_000_000
        submission, event = await world.uploaded(picture)
        assert (await converter.convert(event)).kind is OutcomeKind.COMPLETED
        job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
        bodies = {each.name: await world.processed.fetch(each.key, max_bytes=10_000) for each in job.variants}
        made[recipe] = bodies, json.loads(document(job))

    (before, told_before), (after, told_after) = made[plain], made[OTHER]
    assert [name for name in before if before[name] != after[name]] == ["tiny"]
    assert told_after["recipe"] == OTHER.reference != told_before["recipe"]
    assert told_after["variants"]["tiny"]["effects"] == [{"name": "sharpen", "sigma": 0.8}]
    assert "effects" not in told_after["variants"]["cover"]
    assert "effects" not in told_before["variants"]["tiny"]


async def test_a_worker_with_another_setting_makes_what_was_asked_for(world: World) -> None:
    submission, event = await world.uploaded()
    converter = world.another_converter()
    converter.recipe = OTHER

    await converter.convert(event)

    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert [variant.name for variant in job.variants] == [spec.name for spec in STANDARD.specs]


async def test_each_variant_is_stored_before_the_next_is_made_and_shown_before_the_job_is_done(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_at_once(monkeypatch)
    world.renderer = renderer = OneByOne()
    submission, event = await world.uploaded()
    work = asyncio.create_task(world.another_converter().convert(event))
    names = [spec.name for spec in STANDARD.specs]

    for number, name in enumerate(names[:-1], start=1):
        renderer.go.put_nowait(None)

        async def shown(number: int = number) -> bool:
            return len((await world.catalog.status(TENANT, submission.job.processing_id)).variants) == number

        await eventually(shown)
        job = await world.catalog.status(TENANT, submission.job.processing_id)
        assert job.status is JobStatus.PROCESSING
        assert [variant.name for variant in job.variants] == names[:number]
        assert (await world.processed.head(job.variants[-1].key)).size == len(f"{name}photo")
    renderer.go.put_nowait(None)
    assert (await work).kind is OutcomeKind.COMPLETED
    job = await world.catalog.status(TENANT, submission.job.processing_id)
    assert [variant.name for variant in job.variants] == names


async def shown(world: World, processing_id: str, count: int) -> list[str]:
    """The names of the variants that a client sees, once there are so many."""

    async def enough() -> bool:
        return len((await world.catalog.status(TENANT, processing_id)).variants) == count

    await eventually(enough)
    return [variant.name for variant in (await world.catalog.status(TENANT, processing_id)).variants]


async def test_the_first_variant_of_a_large_picture_is_shown_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "WORTH_A_NOTE_SECONDS", 3600)
    large = ImageInfo(format="jpeg", width=4000, height=progress.WORTH_A_NOTE_PIXELS // 4000)
    world.renderer = renderer = OneByOne(picture=large)
    submission, event = await world.uploaded()
    work = asyncio.create_task(world.another_converter().convert(event))

    renderer.go.put_nowait(None)

    assert await shown(world, submission.job.processing_id, 1) == ["thumbnail"]
    for _ in STANDARD.specs[1:]:
        renderer.go.put_nowait(None)
    assert (await work).kind is OutcomeKind.COMPLETED


async def test_variants_are_shown_in_the_order_of_the_recipe_whichever_is_there_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_at_once(monkeypatch)
    world.renderer = renderer = OneByOne(backwards=True)
    submission, event = await world.uploaded()
    work = asyncio.create_task(world.another_converter().convert(event))
    names = [spec.name for spec in STANDARD.specs]

    for count in range(1, len(names)):
        renderer.go.put_nowait(None)
        assert await shown(world, submission.job.processing_id, count) == names[-count:]
    renderer.go.put_nowait(None)
    await work

    assert await shown(world, submission.job.processing_id, len(names)) == names


async def test_a_record_is_told_no_more_often_than_it_is_to_be(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "WORTH_A_NOTE_PIXELS", 0)
    world.renderer = renderer = OneByOne()
    submission, event = await world.uploaded()
    work = asyncio.create_task(world.another_converter().convert(event))
    renderer.go.put_nowait(None)
    assert await shown(world, submission.job.processing_id, 1) == ["thumbnail"]

    async def note(*_: object) -> None:
        raise AssertionError("a call more")

    monkeypatch.setattr(world.jobs, "note", note)
    for _ in STANDARD.specs[1:]:
        renderer.go.put_nowait(None)

    assert (await work).kind is OutcomeKind.COMPLETED


async def test_a_lease_that_is_found_lost_while_variants_are_shown_ends_the_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_at_once(monkeypatch)
    world.renderer = renderer = OneByOne()
    _, event = await world.uploaded()
    lost = asyncio.Event()

    async def note(*_: object) -> None:
        lost.set()
        raise LeaseLost

    monkeypatch.setattr(world.jobs, "note", note)
    work = asyncio.create_task(world.another_converter().convert(event))
    renderer.go.put_nowait(None)
    await lost.wait()
    for _ in STANDARD.specs[1:]:
        renderer.go.put_nowait(None)

    assert (await work).kind is OutcomeKind.SUPERSEDED


async def test_a_quick_job_is_not_noted_on_its_way(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def note(*_: object) -> None:
        raise AssertionError("a call more")

    monkeypatch.setattr(world.jobs, "note", note)
    _, event = await world.uploaded()

    assert (await world.converter.convert(event)).kind is OutcomeKind.COMPLETED


@pytest.mark.parametrize("failure", [CorruptImage(), TimedOut()])
async def test_of_a_picture_that_is_refused_in_the_end_nothing_stays(
    world: World, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_at_once(monkeypatch)
    world.renderer = renderer = OneByOne()
    submission, event = await world.uploaded()
    for step in (None, None, failure):
        renderer.go.put_nowait(step)

    outcome = await world.another_converter().convert(event)

    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert (outcome.kind, job.status, job.variants) == (OutcomeKind.FAILED, JobStatus.FAILED, ())
    assert await world.processed.list(job_prefix(job.unique_id, job.processing_id)) == []


# -- another release -------------------------------------------------------------------------------------------------


async def test_what_another_release_began_is_a_new_job_and_its_keys_never_hold_other_bytes(world: World) -> None:
    world.renderer = renderer = OneByOne()
    submission, event = await world.uploaded()
    old = asyncio.create_task(release(world, service="1.0").convert(event))
    renderer.go.put_nowait(None)

    async def stored() -> bool:
        return bool(await world.processed.list(job_prefix(submission.job.unique_id, submission.job.processing_id)))

    await eventually(stored)
    old.cancel()
    await asyncio.gather(old, return_exceptions=True)
    world.renderer = ScriptedRenderer()

    outcome = await release(world, service="2.0").convert(event)

    before = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert outcome.kind is OutcomeKind.COMPLETED
    assert outcome.processing_id != before.processing_id
    assert (before.status, before.superseded_by) == (JobStatus.FAILED, outcome.processing_id)
    assert before.variants == ()
    assert await world.processed.list(job_prefix(before.unique_id, before.processing_id)) == []
    now = await world.catalog.status(TENANT, outcome.processing_id or "")
    assert (now.status, now.recipe) == (JobStatus.COMPLETED, STANDARD)


async def test_the_same_release_goes_on_under_the_same_id(world: World) -> None:
    submission, event = await world.uploaded()
    other = release(world, service="1.0")
    world.renderer.during = for_ever
    first = asyncio.create_task(other.convert(event))
    await eventually(begun(world, 1))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    world.renderer.during = None

    outcome = await other.convert(event)

    assert (outcome.kind, outcome.processing_id) == (OutcomeKind.COMPLETED, submission.job.processing_id)


async def test_a_new_job_whose_maker_died_at_once_is_found_by_the_message_of_the_old_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission, event = await world.uploaded()
    job = submission.job
    await world.converter.convert(event)
    again = await world.catalog.reprocess(TENANT, job.unique_id)
    world.renderer.during = for_ever
    message = JobRequested(unique_id=again.unique_id, processing_id=again.processing_id)
    first = asyncio.create_task(release(world, service="1.0").convert(message))
    await eventually(begun(world, 2))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    world.renderer.during = None
    dying = release(world, service="2.0")

    async def die(*_: object) -> Outcome:
        raise asyncio.CancelledError

    monkeypatch.setattr(Converter, "_work", die)
    await asyncio.gather(dying.convert(message), return_exceptions=True)
    monkeypatch.undo()

    outcome = await release(world, service="2.0").convert(message)

    image = await world.jobs.image_of_any_tenant(job.unique_id)
    assert (outcome.kind, outcome.processing_id) == (OutcomeKind.COMPLETED, image.current_job)
    assert outcome.processing_id not in (job.processing_id, again.processing_id)


async def test_a_record_of_the_release_before_is_made_as_usual_or_anew_when_it_was_begun(world: World) -> None:
    submission, event = await world.uploaded()
    converter = world.another_converter()
    converter.recipe = standard(effort=4)
    key = submission.job.processing_id
    world.jobs._jobs[key] = replace(world.jobs._jobs[key], recipe=None)

    outcome = await converter.convert(event)
    assert (outcome.kind, outcome.processing_id) == (OutcomeKind.COMPLETED, key)

    submission, event = await world.uploaded()
    key = submission.job.processing_id
    world.jobs._jobs[key] = replace(world.jobs._jobs[key], recipe=None, attempts=1)
    outcome = await converter.convert(event)
    assert outcome.kind is OutcomeKind.COMPLETED
    assert outcome.processing_id != key
