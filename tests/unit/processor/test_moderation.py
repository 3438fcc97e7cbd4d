"""A picture with a score that is too high for its preset, or not known, is seen by nobody before a reviewer agrees."""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import pyvips

from processor.bulk.operations import matches
from processor.catalog.previews import Previews
from processor.errors import LookingFailed, LookingOff, NeedsReview, TimedOut
from processor.facts import FOR_REVIEWER, Facts
from processor.images import HELD_PREFIX, VARIANT_PREFIX
from processor.jobs import Decision, Job, JobStatus
from processor.moderation import Unscored, reason_to_hold
from processor.pipeline import view
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.moderating import SCORE_SECONDS, scored
from processor.pipeline.render import inspect, render
from processor.pipeline.view import View
from processor.ports.bulk import BulkFilter
from processor.recipes import FURTHER, MODERATION, STANDARD, VEIL, Recipe, recipe_after
from processor.work.moderated import Moderated
from tests import corpus
from tests.unit.processor.test_hidden_faces import (
    Pictures,
    dies_at,
    objects,
    request_of,
    reviews_of,
    secret,
    uploaded,
    worked_off,
)
from tests.unit.world import TENANT, World

MODERATED = replace(STANDARD, name="shop", version=3, moderation=(("nsfw", 0.8),))


class Scorer:
    """Stands in for the model of all pods: says one score after the other, and then the last again."""

    def __init__(self, *says: float | Exception) -> None:
        self.says, self.seen = list(says), 0

    def __call__(self, square: bytes) -> float:
        says = self.says[min(self.seen, len(self.says) - 1)]
        self.seen += 1
        if isinstance(says, Exception):
            raise says
        return says


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch) -> Scorer:
    made = Scorer(0.1)
    monkeypatch.setattr(view, "nsfw_score", made)
    return made


def world_of(recipe: Recipe = MODERATED) -> World:
    return World(recipe=recipe, renderer=Pictures(), suspects=Pictures(), spare=Pictures())


async def converted(world: World) -> Job:
    job, event = await uploaded(world)
    await world.converter.convert(event)
    return await world.jobs.job_of_any_tenant(job.processing_id)


def reason_of(job: Job) -> str:
    assert job.status is JobStatus.NEEDS_REVIEW
    assert job.review is not None
    return job.review.reason


# -- the recipe


@pytest.mark.parametrize("review", [True, False])
@pytest.mark.parametrize("moderation", [(), (("nsfw", 0.8),), (("drugs", 0.5), ("nsfw", 1e-05))])
def test_a_moderation_is_a_part_of_the_recipe(review: bool, moderation: tuple[tuple[str, float], ...]) -> None:
    recipe = replace(STANDARD, review=review, moderation=moderation)
    assert Recipe.from_text(recipe.to_text()) == recipe
    assert (recipe.digest == STANDARD.digest) is not recipe.may_be_held
    assert recipe.in_format("avif").moderation == ()


def test_a_release_that_knows_reviews_alone_holds_everything() -> None:
    """It takes what it does not know for an analysis, which it skips, and sees the mark of a review."""
    assert '"!review"' in MODERATED.to_text()


def test_another_file_of_an_image_is_moderated_as_the_one_before() -> None:
    assert recipe_after(MODERATED, STANDARD) == MODERATED
    made = replace(STANDARD, moderation=MODERATED.moderation)
    assert recipe_after(made, STANDARD) == made


def test_an_image_with_another_threshold_is_of_another_version() -> None:
    stricter = replace(MODERATED, moderation=(("nsfw", 0.5),))
    older = BulkFilter(status=JobStatus.COMPLETED, preset="shop", unlike=stricter.reference)
    assert matches(older, _job(MODERATED))
    assert not matches(older, _job(stricter))


def _job(recipe: Recipe) -> Job:
    from service.calls import samples  # noqa: PLC0415 - a completed job of an example

    return replace(samples.COMPLETED, recipe=recipe)


# -- the verdict


HELD_BACK: Sequence[tuple[Mapping[str, Any], str | None]] = [
    ({"nsfw": 0.79}, None),
    ({"nsfw": 0}, None),
    ({"nsfw": 0.8}, "nsfw"),
    ({"nsfw": 1}, "nsfw"),
    ({}, Unscored.FAILED),
    ({"nsfw": None}, Unscored.FAILED),
    ({"nsfw": "0.1"}, Unscored.FAILED),
    ({"nsfw": False}, Unscored.FAILED),
    ({"nsfw": -0.1}, Unscored.FAILED),
    ({"nsfw": 1.1}, Unscored.FAILED),
    ({"nsfw": float("nan")}, Unscored.FAILED),
    ({MODERATION: {"reasons": ["score_late"]}}, Unscored.LATE),
    ({MODERATION: {"reasons": ["score_missing"]}}, Unscored.MISSING),
    ({MODERATION: {"reasons": ["something"]}}, Unscored.FAILED),
    ({MODERATION: {"reasons": []}}, Unscored.FAILED),
    ({MODERATION: "passed"}, Unscored.FAILED),
]


@pytest.mark.parametrize(("known", "reason"), HELD_BACK)
def test_only_a_score_below_the_threshold_lets_a_picture_pass(known: Mapping[str, Any], reason: str | None) -> None:
    assert reason_to_hold(MODERATED, Facts(own=known)) == reason


def test_every_score_must_be_below_its_own_threshold() -> None:
    recipe = replace(STANDARD, moderation=(("drugs", 0.5), ("nsfw", 0.8)))
    assert reason_to_hold(recipe, Facts(own={"nsfw": 0.1})) == Unscored.FAILED
    assert reason_to_hold(recipe, Facts(own={"nsfw": 0.9, "drugs": 0.1})) == "nsfw"
    assert reason_to_hold(recipe, Facts(own={"nsfw": 0.1, "drugs": 0.1})) is None


async def test_a_job_that_does_not_say_what_it_is_made_by_is_held(scorer: Scorer) -> None:
    made = render(corpus.png(corpus.flat(8, 8, (1, 2, 3))), *_inspected(), MODERATED, Deadline(60))
    held = await Moderated().check(replace(_job(MODERATED), recipe=None), made)
    assert held is not None
    assert held.reason == Unscored.FAILED


def _inspected() -> tuple[Any]:
    return (inspect(corpus.png(corpus.flat(8, 8, (1, 2, 3))), FileLimits()),)


# -- the looks


def frames(count: int) -> pyvips.Image:
    picture = corpus.flat(8, 8 * count, (1, 2, 3)).copy()
    picture.set_type(pyvips.GValue.gint_type, "page-height", 8)
    return picture


def test_the_score_of_an_animation_is_the_highest_of_all_frames(scorer: Scorer) -> None:
    scorer.says = [0.1, 0.7, 0.2]
    picture = frames(3)
    found = scored(MODERATED, picture, View(picture), Deadline(60))
    assert (found.scores, found.reasons, found.frames, scorer.seen) == ({"nsfw": 0.7}, (), 3, 3)


def test_one_frame_that_is_too_much_is_enough(scorer: Scorer) -> None:
    scorer.says = [0.1, 0.85, 0.2]
    picture = frames(3)
    found = scored(MODERATED, picture, View(picture), Deadline(60))
    assert (found.scores, found.reasons, scorer.seen) == ({"nsfw": 0.85}, ("nsfw",), 2)


@pytest.mark.parametrize(
    ("says", "reason"),
    [(LookingOff(), Unscored.MISSING), (LookingFailed(), Unscored.FAILED), (OSError(), Unscored.FAILED)],
)
@pytest.mark.parametrize("good", [0, 2])
def test_a_frame_without_a_score_leaves_none(scorer: Scorer, says: Exception, reason: Unscored, good: int) -> None:
    scorer.says = [*[0.1] * good, says]
    picture = frames(3)
    found = scored(MODERATED, picture, View(picture), Deadline(60))
    assert (found.scores, found.reasons) == ({}, (reason,))
    assert reason_to_hold(MODERATED, Facts(own=found.facts)) == reason


def test_frames_that_take_too_long_leave_no_score(scorer: Scorer) -> None:
    picture = frames(3)
    clock = itertools.count(step=SCORE_SECONDS * 0.6).__next__
    found = scored(MODERATED, picture, View(picture), Deadline(60), clock)
    assert (found.scores, found.reasons, found.frames) == ({}, (Unscored.LATE,), 2)


def test_a_score_of_a_later_release_is_none_here(scorer: Scorer) -> None:
    picture = frames(1)
    found = scored(replace(STANDARD, moderation=(("drugs", 0.5),)), picture, View(picture), Deadline(60))
    assert found.reasons == (Unscored.MISSING,)


def test_a_machine_without_memory_and_a_time_that_is_over_are_no_matter_of_the_score(scorer: Scorer) -> None:
    picture = frames(1)
    scorer.says = [MemoryError()]
    with pytest.raises(MemoryError):
        scored(MODERATED, picture, View(picture), Deadline(60))
    over = Deadline(0)
    over.start()
    with pytest.raises(TimedOut):
        scored(MODERATED, picture, View(picture), over)


# -- the job


async def test_a_picture_below_the_threshold_is_shown_and_its_score_is_for_the_tenant_alone(scorer: Scorer) -> None:
    world = world_of()
    job = await converted(world)
    assert (job.status, job.review) == (JobStatus.COMPLETED, None)
    assert job.facts.own["nsfw"] == 0.1
    assert job.facts.own[MODERATION]["decision"] == "passed"
    assert job.facts.own[MODERATION]["models"]["nsfw"].startswith("Open NSFW ")
    assert not job.facts.for_reviewer
    manifest = next(file for key, file in (await objects(world)).items() if key.endswith(".json"))
    assert b"nsfw" not in manifest
    assert VEIL.encode() not in manifest


@pytest.mark.parametrize(
    ("says", "reason"), [(0.93, "nsfw"), (LookingOff(), "score_missing"), (LookingFailed(), "score_failed")]
)
async def test_any_other_picture_waits_for_a_reviewer_who_may_approve_it(
    scorer: Scorer, says: float | Exception, reason: str
) -> None:
    scorer.says = [says]
    world = world_of(replace(MODERATED, further=FURTHER["avif"]))
    job = await converted(world)
    assert reason_of(job) == reason
    assert job.review is not None
    assert job.facts == Facts()
    assert await objects(world, VARIANT_PREFIX) == {}
    assert len(await objects(world, HELD_PREFIX)) == len(STANDARD.specs)
    assert set(job.review.facts.for_reviewer) == FOR_REVIEWER
    assert job.review.facts.for_reviewer[VEIL].startswith("data:image/webp;base64,")
    assert VEIL not in job.review.facts.for_tenant

    approved = await reviews_of(world).decide(TENANT, job.unique_id, job.processing_id, Decision.APPROVED, by="key:r")
    assert approved.status is JobStatus.COMPLETED
    assert not approved.facts.for_reviewer
    assert approved.facts.own[MODERATION]["reasons"] == [reason]
    await world.converter.make_further(request_of(job))
    now = await world.jobs.job_of_any_tenant(job.processing_id)
    assert [made.error for made in now.further] == [None]


async def test_a_preset_that_asks_for_both_holds_what_has_a_low_score(scorer: Scorer) -> None:
    job = await converted(world_of(replace(MODERATED, review=True)))
    assert reason_of(job) == "preset"
    assert job.review is not None
    assert job.review.facts.for_reviewer


async def test_a_pod_without_the_model_shows_nothing_of_what_another_one_left(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in range(100):
        world, scorer.says = world_of(), [0.1]
        job, event = await uploaded(world)
        with monkeypatch.context() as patched:
            died = await dies_at(step, world, event, patched)
        scorer.says = [LookingOff()]
        for _ in range(2):
            await world.another_converter(lease_seconds=0).convert(event)
        now = await world.jobs.job_of_any_tenant(job.processing_id)
        if now.status is JobStatus.NEEDS_REVIEW:
            assert reason_of(now) == Unscored.MISSING
            assert await objects(world, VARIANT_PREFIX) == {}
        else:
            assert now.facts.own["nsfw"] == 0.1
        if not died:
            assert step > len(STANDARD.specs)
            return
    pytest.fail("it never came to its end")


# -- ways around it


@pytest.mark.parametrize("died", [True, False])
async def test_no_other_preset_shows_what_is_not_decided_about(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch, died: bool
) -> None:
    scorer.says = [0.93]
    world = world_of()
    job, event = await uploaded(world)
    if died:
        with monkeypatch.context() as patched:
            assert await dies_at(0, world, event, patched)
    else:
        await world.converter.convert(event)
    previews = Previews(stores=world.stores, renderer=world.renderer)
    with pytest.raises(NeedsReview):
        await previews.of_image(TENANT, STANDARD, job.unique_id)
    world.choice.standard = STANDARD
    new = await world.catalog.reprocess(TENANT, job.unique_id, preset="standard")
    await worked_off(world)
    now = await world.jobs.job_of_any_tenant(new.processing_id)
    assert now.recipe is not None
    assert (now.recipe.name, reason_of(now)) == ("standard", "preset")
    assert await objects(world, VARIANT_PREFIX) == {}


async def test_another_file_in_its_place_is_looked_at_too(scorer: Scorer) -> None:
    world = world_of()
    job = await converted(world)
    assert job.status is JobStatus.COMPLETED
    scorer.says = [0.93]
    event = await world.source.put(job.original_key, secret() + b"more")
    await world.converter.convert(event)
    image = await world.jobs.get_image(TENANT, job.unique_id)
    assert reason_of(await world.jobs.job_of_any_tenant(image.current_job)) == "nsfw"


async def test_bytes_that_another_preset_has_shown_are_no_duplicate_of_moderated_ones(scorer: Scorer) -> None:
    world = world_of(STANDARD)
    job = await converted(world)
    assert job.status is JobStatus.COMPLETED
    checksum = base64.b64encode(hashlib.sha256(secret()).digest()).decode()
    assert await world.uploads.find_duplicate(TENANT, checksum) == job
    world.choice.standard = replace(STANDARD, moderation=MODERATED.moderation)
    assert await world.uploads.find_duplicate(TENANT, checksum) is None
