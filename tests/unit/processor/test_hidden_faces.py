"""Whoever looks for a face that a preset hides finds it in no bucket, record or answer, whatever happens to its job."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
import pyvips

from processor.catalog.previews import Previews
from processor.catalog.replay import case_of, packed, replayed
from processor.errors import LookingFailed, LookingOff, NeedsReview, NotReplayable, TimedOut, TrussError
from processor.events import JobRequested, SourceArrived
from processor.faces import Face
from processor.facts import Facts
from processor.hiding import EVERYTHING, Doubt
from processor.images import HELD_PREFIX, VARIANT_PREFIX, Rendered, job_prefix
from processor.jobs import Decision, Job, JobStatus, Shown
from processor.pipeline import effects, view
from processor.pipeline.effects import check_effects
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.ports.renderer import NO_TICKET, Ticket
from processor.recipes import BLUR_FACES, FURTHER, STANDARD, Recipe, blurring, hiding_faces
from processor.reviews import Reviews
from processor.storing import Shelf
from processor.work.outcomes import OutcomeKind
from tests import corpus
from tests.unit.world import MAKER, TENANT, ScriptedRenderer, World, events_of

HIDING = hiding_faces(replace(STANDARD, name="street", further=FURTHER["avif"]), blurring("pixels"))
OPEN = replace(STANDARD, further=FURTHER["avif"])
FACE = Face(0.25, 0.25, 0.5, 0.5, 0.9)
SIDE = 64
#: What stands for a face is as red, at least, where it can be seen; what is left of it when it is hidden is not.
RED = 170


def secret(side: int = SIDE) -> bytes:
    """Grey, with a red and black pattern where the face is: what shows plain red shows the face."""
    stripes = pyvips.Image.xyz(side // 2, side // 2)[0] % 8 < 4
    part = corpus.as_srgb(stripes.ifthenelse([255, 0, 0], [0, 0, 0]))
    return corpus.png(corpus.flat(side, side, (128, 128, 128)).insert(part, side // 4, side // 4))


def shows_the_face(file: bytes) -> bool:
    picture = pyvips.Image.new_from_buffer(file, "")
    if picture.width < SIDE / 2 or picture.bands < 3:
        return False
    return float((picture[0] - (picture[1] + picture[2]) / 2).max()) > RED


@dataclass
class Pictures(ScriptedRenderer):
    """Converts for real. It has taken note of what it was asked for."""

    tickets: list[Ticket] = field(default_factory=list)

    async def render(self, data: bytes, recipe: Recipe, ticket: Ticket = NO_TICKET) -> Rendered:
        self.tickets.append(ticket)
        info = inspect(data, FileLimits())
        await ticket.begin(info)
        check_effects(recipe)
        return render(data, info, recipe, Deadline(60), ticket.ready, assets=ticket.assets, hidden=ticket.hidden)


class Looks:
    """Stands in for the model of all pods."""

    def __init__(self) -> None:
        self.found: Sequence[Face] = (FACE,)
        self.error: Exception | None = None

    def __call__(self, rgb: bytes, width: int, height: int, least: float = 0.4) -> tuple[Face, ...]:
        if self.error is not None:
            raise self.error
        picture = pyvips.Image.new_from_memory(rgb, width, height, 3, "uchar")
        there = float((picture[0] - (picture[1] + picture[2]) / 2).max()) > RED
        return tuple(face for face in self.found if there and face.score > least)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    made = Looks()
    monkeypatch.setattr(view, "find_faces", made)
    return made


def world_of(recipe: Recipe = HIDING) -> World:
    return World(recipe=recipe, renderer=Pictures(), suspects=Pictures(), spare=Pictures())


def request_of(job: Job) -> JobRequested:
    return JobRequested(unique_id=job.unique_id, processing_id=job.processing_id)


async def uploaded(world: World) -> tuple[Job, SourceArrived]:
    submission, event = await world.uploaded(secret())
    return submission.job, event


async def converted(world: World) -> Job:
    job, event = await uploaded(world)
    await world.converter.convert(event)
    return await world.jobs.job_of_any_tenant(job.processing_id)


async def worked_off(world: World) -> None:
    for body in world.queue.bodies:
        for event in events_of(body):
            await world.converter.convert(event)


async def objects(world: World, prefix: str = "") -> dict[str, bytes]:
    return {
        each.key: await world.processed.fetch(each.key, max_bytes=10**6) for each in await world.processed.list(prefix)
    }


async def check_closed(world: World) -> None:
    """No object that anybody could ever read, not even a reviewer, and no record, shows the face."""
    for key, file in (await objects(world)).items():
        assert file != secret(), key
        if key.endswith(".json"):
            check_text(file.decode())
        else:
            assert not shows_the_face(file), key


def check_text(text: str) -> None:
    for inline in re.findall(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", text):
        picture = pyvips.Image.new_from_buffer(base64.b64decode(inline), "")
        assert float((picture[0] - (picture[1] + picture[2]) / 2).max()) < RED


def check_record(job: Job) -> None:
    facts = job.review.facts if job.review else job.facts
    check_text(json.dumps(facts.found))


def reviews_of(world: World) -> Reviews:
    return Reviews(stores=world.stores, shelf=Shelf(processed=world.processed), retention=timedelta(days=30))


# -- shown


def test_the_secret_can_be_seen_where_nothing_hides_it() -> None:
    made = render(secret(), inspect(secret(), FileLimits()), OPEN, Deadline(60))
    assert all(shows_the_face(variant.data) for variant in made.variants)


async def test_a_picture_is_shown_when_its_faces_are_hidden_and_its_record_says_how(looks: Looks) -> None:
    world = world_of()
    job = await converted(world)
    assert job.status is JobStatus.COMPLETED
    fact = job.facts.found[BLUR_FACES]
    assert (fact["decision"], fact["model"], fact["frames"], fact["reasons"]) == ("blurred", "CenterFace", 1, [])
    assert fact["boxes"] == [[0.25, 0.25, 0.5, 0.5, 0.9]]
    assert re.fullmatch(r"[0-9a-f]{16}", fact["version"])
    manifest = (await objects(world, VARIANT_PREFIX))[f"{job_prefix(job.unique_id, job.processing_id)}manifest.json"]
    assert json.loads(manifest)["facts"][BLUR_FACES] == fact
    await check_closed(world)
    check_record(job)


async def test_another_format_hides_what_the_first_render_hid_and_needs_no_model(looks: Looks) -> None:
    world = world_of()
    job = await converted(world)
    looks.error = LookingOff()
    assert job.owed == ("avif",)
    await world.converter.make_further(request_of(job))
    now = await world.jobs.job_of_any_tenant(job.processing_id)
    assert [made.error for made in now.further] == [None]
    assert len([key for key in await objects(world) if key.endswith(".avif")]) == 4
    await check_closed(world)


async def test_a_record_that_does_not_say_what_was_hidden_lets_another_format_hide_everything(looks: Looks) -> None:
    world = world_of()
    job = await converted(world)
    world.jobs._jobs[job.processing_id] = replace(job, facts=Facts())
    await world.converter.make_further(request_of(job))
    assert isinstance(world.spare, Pictures)
    assert [ticket.hidden for ticket in world.spare.tickets] == [(EVERYTHING,)]
    await check_closed(world)


# -- held


@pytest.mark.parametrize(
    ("error", "found", "reason"),
    [
        (LookingOff(), (), Doubt.MISSING),
        (LookingFailed(), (), Doubt.FAILED),
        (OSError(), (), Doubt.FAILED),
        (None, (replace(FACE, score=0.35),), Doubt.UNSURE),
        (None, (FACE, Face(0.1, 0.1, 0.05, 0.05, 0.9)), Doubt.SMALL),
    ],
)
async def test_what_nobody_is_sure_of_is_held_and_even_a_reviewer_sees_it_hidden(
    error: Exception | None, found: Sequence[Face], reason: Doubt, looks: Looks
) -> None:
    looks.error, looks.found = error, found
    world = world_of()
    job = await converted(world)
    assert job.status is JobStatus.NEEDS_REVIEW
    assert job.review is not None
    assert job.review.reason == reason
    assert await objects(world, VARIANT_PREFIX) == {}
    assert len(await objects(world, HELD_PREFIX)) == len(STANDARD.specs)
    await check_closed(world)
    check_record(job)

    looks.error = LookingOff()
    approved = await reviews_of(world).decide(TENANT, job.unique_id, job.processing_id, Decision.APPROVED, by="key:r")
    assert approved.status is JobStatus.COMPLETED
    await world.converter.make_further(request_of(job))
    assert len(await objects(world, VARIANT_PREFIX)) == 2 * len(STANDARD.specs) + 2
    await check_closed(world)


# -- crashes and races


class Died(Exception):
    """The process is gone."""


async def test_a_pod_may_die_at_any_step_and_one_without_a_model_may_take_over(
    looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one has stored, hidden, goes when the other holds the image."""
    for step in range(100):
        world, looks.error = world_of(), None
        job, event = await uploaded(world)
        with monkeypatch.context() as patched:
            died = await dies_at(step, world, event, patched)
        await check_closed(world)
        looks.error = LookingOff()
        for _ in range(2):
            await world.another_converter(lease_seconds=0).convert(event)
        await check_closed(world)
        now = await world.jobs.job_of_any_tenant(job.processing_id)
        if now.status is JobStatus.NEEDS_REVIEW:
            assert await objects(world, VARIANT_PREFIX) == {}
        if not died:
            assert step > len(STANDARD.specs)
            return
    pytest.fail("it never came to its end")


async def dies_at(step: int, world: World, event: SourceArrived, patched: pytest.MonkeyPatch) -> bool:
    """Whether the process died before it was done: when it asked the bucket for so many things."""
    left = iter(range(step))

    def dying(real: Any) -> Any:
        async def call(*args: Any, **more: Any) -> Any:
            if next(left, None) is None:
                raise Died
            return await real(*args, **more)

        return call

    for name in ("store", "purge"):
        patched.setattr(world.processed, name, dying(getattr(world.processed, name)))
    try:
        await world.converter.convert(event)
    except Died:
        return True
    return False


# -- ways around it


async def test_another_preset_is_no_way_around_what_was_hidden(looks: Looks) -> None:
    world = world_of()
    job = await converted(world)
    world.choice.standard = OPEN
    for _ in range(2):
        new = await world.catalog.reprocess(TENANT, job.unique_id, preset="standard")
        await worked_off(world)
        now = await world.jobs.job_of_any_tenant(new.processing_id)
        assert now.status is JobStatus.COMPLETED
        assert now.recipe is not None
        assert now.recipe.hiding == blurring("pixels")
    await check_closed(world)


async def test_nor_is_another_file_that_is_uploaded_in_its_place(looks: Looks) -> None:
    world = world_of()
    job = await converted(world)
    world.choice.standard = OPEN
    world.converter.recipe = OPEN
    again = await world.catalog.reprocess(TENANT, job.unique_id, preset="standard")
    await worked_off(world)
    event = await world.source.put(again.original_key, secret() + b"more")
    outcome = await world.converter.convert(event)
    assert outcome.kind is OutcomeKind.COMPLETED
    await check_closed(world)


async def test_nor_is_waiting_until_the_record_has_expired(looks: Looks) -> None:
    world = world_of()
    job = await converted(world)
    world.choice.standard = OPEN
    del world.jobs._jobs[job.processing_id]
    new = await world.catalog.reprocess(TENANT, job.unique_id, preset="standard")
    assert new.recipe is not None
    assert new.recipe.hiding == blurring("pixels")


async def test_nor_is_a_job_that_failed_and_whose_record_has_expired(looks: Looks) -> None:
    world = world_of()
    job = await converted(world)
    world.choice.standard = OPEN
    failed = await world.catalog.reprocess(TENANT, job.unique_id, preset="standard")
    del world.jobs._jobs[job.processing_id], world.jobs._jobs[failed.processing_id]
    new = await world.catalog.reprocess(TENANT, job.unique_id, preset="standard")
    assert new.recipe is not None
    assert new.recipe.hiding == blurring("pixels")


async def test_no_bundle_of_an_older_job_shows_what_a_newer_one_hides(looks: Looks) -> None:
    world = world_of()
    world.choice.standard = OPEN
    world.converter.recipe = OPEN
    older = await converted(world)
    world.choice.standard = world.converter.recipe = replace(HIDING, name=OPEN.name)
    await world.catalog.reprocess(TENANT, older.unique_id, preset="standard")
    await worked_off(world)
    case = await case_of(world.stores, older.processing_id, [], max_bytes=10**6)
    with pytest.raises(NotReplayable, match="hides faces"):
        packed(case)


async def test_a_preview_of_it_hides_the_same_and_is_refused_where_that_is_not_sure(looks: Looks) -> None:
    world = world_of()
    job = await converted(world)
    previews = Previews(stores=world.stores, renderer=world.renderer)
    made = await previews.of_image(TENANT, OPEN, job.unique_id)
    assert len(made.variants) == len(made.further) == len(STANDARD.specs)
    assert not any(shows_the_face(variant.data) for variant in (*made.variants, *made.further))
    for looks.found, looks.error in (((replace(FACE, score=0.35),), None), ((FACE,), LookingOff())):
        with pytest.raises(NeedsReview):
            await previews.of_image(TENANT, OPEN, job.unique_id)


async def test_it_can_be_made_again_but_no_bundle_carries_its_source_away(looks: Looks) -> None:
    world = world_of()
    job = await converted(world)
    await world.converter.make_further(request_of(job))
    case = await case_of(world.stores, job.processing_id, [], max_bytes=10**6)
    assert (await replayed(case, Pictures(), MAKER)).files == case.stored.files
    with pytest.raises(NotReplayable, match="hides faces"):
        packed(case)


async def test_what_was_shown_before_is_gone_when_the_faces_are_hidden(looks: Looks) -> None:
    world = world_of(OPEN)
    job = await converted(world)
    exposed = job_prefix(job.unique_id, job.processing_id)
    assert any(shows_the_face(file) for key, file in (await objects(world)).items() if key.endswith(".webp"))
    world.choice.standard = replace(HIDING, name="standard", version=STANDARD.version + 1)
    new = await world.catalog.reprocess(TENANT, job.unique_id, preset="standard")
    await worked_off(world)
    assert (await world.jobs.job_of_any_tenant(new.processing_id)).status is JobStatus.COMPLETED
    assert await objects(world, exposed) == {}
    assert exposed in world.edge.forgotten
    await check_closed(world)


@pytest.mark.parametrize("private", [False, True])
async def test_it_is_gone_as_soon_as_a_reviewer_has_to_decide(looks: Looks, private: bool) -> None:
    world = world_of(replace(OPEN, private=private))
    job = await converted(world)
    assert await objects(world, job.prefix)
    looks.found = (replace(FACE, score=0.35),)
    world.choice.standard = replace(HIDING, name="standard", version=STANDARD.version + 1)
    new = await world.catalog.reprocess(TENANT, job.unique_id, preset="standard")
    shown = await world.catalog.processed_images(TENANT, job.unique_id)
    assert shown.variants == job.variants  # as long as nobody has looked for faces, viewers see what they saw
    await worked_off(world)
    held = await world.jobs.job_of_any_tenant(new.processing_id)
    assert held.status is JobStatus.NEEDS_REVIEW
    assert set(await objects(world)) == set(await objects(world, HELD_PREFIX))
    assert private or job.prefix in world.edge.forgotten
    await check_closed(world)
    with pytest.raises(NeedsReview):
        await world.catalog.processed_images(TENANT, job.unique_id)
    older = await world.catalog.status(TENANT, job.processing_id)
    assert (older.variants, older.facts) == ((), Facts())
    assert (await world.catalog.history(TENANT, job.unique_id, limit=1))[0] == [held]
    listed, after = await world.catalog.history(TENANT, job.unique_id, limit=10)
    assert (listed[0], after) == (held, None)
    assert listed[1:] == [replace(older, superseded_by=new.processing_id)]
    assert (await world.catalog.history(TENANT, job.unique_id, limit=1, after=new.processing_id))[0] == listed[1:]
    await reviews_of(world).decide(TENANT, job.unique_id, new.processing_id, Decision.APPROVED, by="key:r")
    assert await objects(world, job_prefix(job.unique_id, job.processing_id)) == {}
    await check_closed(world)


async def test_it_is_gone_too_when_the_hidden_one_cannot_be_made(looks: Looks) -> None:
    class Refusing(Pictures):
        async def render(self, data: bytes, recipe: Recipe, ticket: Ticket = NO_TICKET) -> Rendered:
            raise TimedOut(limit=60)

    world = world_of(OPEN)
    job = await converted(world)
    world.converter.renderer = Refusing()
    world.choice.standard = replace(HIDING, name="standard", version=STANDARD.version + 1)
    await world.catalog.reprocess(TENANT, job.unique_id, preset="standard")
    await worked_off(world)
    assert await objects(world) == {}
    assert job.prefix in world.edge.forgotten
    assert await world.catalog.processed_images(TENANT, job.unique_id) == Shown()
    again = await world.catalog.reprocess(TENANT, job.unique_id)
    assert again.recipe is not None
    assert again.recipe.hiding == blurring("pixels")


@pytest.mark.parametrize("found", [(FACE,), (replace(FACE, score=0.35),)], ids=["completed", "held"])
async def test_it_is_gone_too_when_the_worker_dies_over_that(looks: Looks, found: Sequence[Face]) -> None:
    world = world_of(OPEN)
    job = await converted(world)
    looks.found = found
    world.choice.standard = replace(HIDING, name="standard", version=STANDARD.version + 1)
    await world.catalog.reprocess(TENANT, job.unique_id, preset="standard")
    world.edge.busy = True
    with pytest.raises(TrussError):
        await worked_off(world)
    world.edge.busy = False
    await worked_off(world)
    assert job_prefix(job.unique_id, job.processing_id) in world.edge.forgotten
    await check_closed(world)


async def test_a_deleted_image_leaves_nothing(looks: Looks) -> None:
    looks.error = LookingOff()
    world = world_of()
    job = await converted(world)
    await world.catalog.delete(TENANT, job.unique_id)
    assert await objects(world) == {}


async def test_a_release_that_does_not_know_the_effect_makes_nothing(
    looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of()
    job, event = await uploaded(world)
    monkeypatch.setattr(
        effects, "EFFECTS", {name: made for name, made in effects.EFFECTS.items() if name != BLUR_FACES}
    )
    with pytest.raises(ValueError, match="there is no effect blurFaces"):
        await world.converter.convert(event)
    assert await objects(world) == {}
    assert (await world.jobs.job_of_any_tenant(job.processing_id)).status is not JobStatus.COMPLETED
