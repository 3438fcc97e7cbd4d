"""What is held for a review: nobody sees it, until somebody has decided; and a process may die over it anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MethodType
from typing import Any

import pytest

from processor.catalog.previews import Previews
from processor.catalog.reconcile import Action, FindingKind, Reconciler
from processor.catalog.replay import case_of, packed
from processor.catalog.similar import similar_images
from processor.catalog.verify import Verifier
from processor.errors import (
    ImageDeleted,
    NeedsReview,
    NotInReview,
    NotReplayable,
    ObjectNotFound,
    ReviewDecided,
    ReviewRejected,
    Unavailable,
)
from processor.events import JobRequested, SourceArrived
from processor.facts import Facts
from processor.images import HELD_PREFIX, VARIANT_PREFIX, Rendered, job_prefix
from processor.jobs import Decision, End, Job, JobStatus
from processor.manifest import manifest_key
from processor.moments import Kind
from processor.notices import notices_of
from processor.ports.jobs import JobQuery
from processor.recipes import FURTHER, STANDARD, Recipe
from processor.reviews import CHECK_FAILED, Check, Held, PresetReview, Reviews
from processor.storing import Shelf
from processor.work.outcomes import OutcomeKind
from tests.unit.world import TENANT, World, events_of

REVIEWED = replace(STANDARD, review=True)
FACTS = Facts.of({"blurhash": "L8D9e]-;~q_3", "likeness": "252d6d8dddc4c4b0"}, ("blurhash", "likeness"))
BY = "key:reviewer"


@dataclass
class Noticed:
    """A listener that remembers ends and what the journal tells."""

    ends: list[End] = field(default_factory=list)

    async def ended(self, job: Job, end: End) -> None:
        self.ends.append(end)


def world_of(recipe: Recipe = REVIEWED, **more: Any) -> World:
    world = World(recipe=recipe, **more)
    world.renderer.facts = FACTS
    return world


def reviews_of(world: World) -> Reviews:
    return Reviews(
        stores=replace(world.stores, listeners=world.listeners),
        shelf=Shelf(processed=world.processed),
        retention=timedelta(days=30),
    )


async def held_image(world: World) -> tuple[Job, SourceArrived]:
    submission, event = await world.uploaded()
    outcome = await world.converter.convert(event)
    assert outcome.kind is OutcomeKind.HELD
    return await world.jobs.job_of_any_tenant(submission.job.processing_id), event


async def decide(world: World, job: Job, decision: Decision, comment: str = "") -> Job:
    return await reviews_of(world).decide(TENANT, job.unique_id, job.processing_id, decision, by=BY, comment=comment)


async def keys(world: World, prefix: str) -> list[str]:
    return [found.key for found in await world.processed.list(prefix)]


# -- held


async def test_what_a_preset_holds_lies_where_nothing_serves_and_is_in_no_field_that_answers_show() -> None:
    noticed = Noticed()
    world = world_of(listeners=[noticed])
    job, _ = await held_image(world)
    assert (job.status, job.variants, job.facts, job.owed) == (JobStatus.NEEDS_REVIEW, (), Facts(), ())
    assert job.review is not None
    assert (job.review.reason, job.review.facts, job.review.decision) == ("preset", FACTS, None)
    assert await keys(world, VARIANT_PREFIX) == []
    assert await keys(world, HELD_PREFIX) == sorted(variant.key for variant in job.review.variants)
    assert [notice.kind for notice in notices_of(job)][-1] is Kind.NEEDS_REVIEW
    assert notices_of(job)[-1].reason == "preset"
    assert all(not notice.variants for notice in notices_of(job))
    assert noticed.ends == [End.NEEDS_REVIEW]


async def test_a_held_image_is_shown_to_nobody_and_found_by_no_likeness() -> None:
    world = world_of()
    job, _ = await held_image(world)
    with pytest.raises(NeedsReview):
        await world.catalog.processed_images(TENANT, job.unique_id)
    with pytest.raises(NeedsReview):
        await similar_images(world.catalog, TENANT, job.unique_id, distance=10, limit=10)
    with pytest.raises(NeedsReview):
        await Previews(stores=world.stores, renderer=world.renderer).of_image(TENANT, STANDARD, job.unique_id)
    assert await world.jobs.find_completed(TENANT, job.manifest.sha256 if job.manifest else "") == ()
    page = await world.catalog.list(JobQuery(tenant=TENANT, limit=10, status=JobStatus.NEEDS_REVIEW))
    assert [each.processing_id for each in page.jobs] == [job.processing_id]


async def test_no_follower_hears_of_a_held_variant() -> None:
    """Also with a slow rest of the work, which others hear about as it happens."""
    heard: list[Job] = []

    class Follows(Noticed):
        async def moved(self, job: Job, record: object) -> None:
            heard.append(job)

    world = world_of(listeners=[Follows()])
    await held_image(world)
    assert all(not job.variants for job in heard)


# -- decided


async def test_an_approved_image_is_shown_as_if_it_had_never_been_held() -> None:
    noticed = Noticed()
    world = world_of(replace(REVIEWED, further=FURTHER["avif"]), listeners=[noticed])
    job, _ = await held_image(world)
    approved = await decide(world, job, Decision.APPROVED)
    assert approved == await world.jobs.job_of_any_tenant(job.processing_id)
    assert (approved.status, approved.facts, approved.owed) == (JobStatus.COMPLETED, FACTS, ("avif",))
    prefix = job_prefix(job.unique_id, job.processing_id)
    assert {variant.key for variant in approved.variants} | {manifest_key(job.unique_id, job.processing_id)} == set(
        await keys(world, prefix)
    )
    assert await keys(world, HELD_PREFIX) == []
    shown = await world.catalog.processed_images(TENANT, job.unique_id)
    assert shown.variants == approved.variants
    assert approved.review is not None
    assert (approved.review.decision, approved.review.decided_by) == (Decision.APPROVED, BY)
    assert noticed.ends == [End.NEEDS_REVIEW, End.COMPLETED]
    assert [difference async for difference in Verifier(stores=world.stores).verify(job.unique_id)] == []


async def test_events_of_an_image_keep_their_ids_when_it_is_approved() -> None:
    world = world_of()
    job, _ = await held_image(world)
    before = notices_of(job)
    approved = await decide(world, job, Decision.APPROVED)
    after = notices_of(approved)
    assert after[: len(before)] == before
    assert [notice.kind for notice in after[len(before) :]] == [Kind.VARIANT] * 4 + [Kind.COMPLETED]
    assert [notice.id for notice in after] == sorted(notice.id for notice in after)


async def test_a_rejected_image_leaves_nothing_and_is_never_made_again_without_a_review() -> None:
    noticed = Noticed()
    world = world_of(listeners=[noticed])
    job, event = await held_image(world)
    rejected = await decide(world, job, Decision.REJECTED, "A face.")
    assert (rejected.status, rejected.variants, rejected.facts) == (JobStatus.REJECTED, (), Facts())
    assert await keys(world, "") == []
    assert notices_of(rejected)[-1].kind is Kind.REJECTED
    assert notices_of(rejected)[-1].reason == "A face."
    assert noticed.ends == [End.NEEDS_REVIEW, End.REJECTED]
    with pytest.raises(ReviewRejected):
        await world.catalog.processed_images(TENANT, job.unique_id)
    assert (await world.converter.convert(event)).kind is OutcomeKind.DUPLICATE
    world.choice.standard = STANDARD  # another preset, that asks for no review
    again = await world.catalog.reprocess(TENANT, job.unique_id, preset="standard")
    assert (await _worked_off(world)) == [OutcomeKind.DUPLICATE, OutcomeKind.HELD]
    assert (await world.jobs.job_of_any_tenant(again.processing_id)).status is JobStatus.NEEDS_REVIEW


async def test_another_preset_is_no_way_around_a_review_however_often_it_is_asked_for() -> None:
    world = world_of()
    job, _ = await held_image(world)
    world.choice.standard = replace(STANDARD, version=STANDARD.version + 1)
    first = await world.catalog.reprocess(TENANT, job.unique_id, preset="standard")
    second = await world.catalog.reprocess(TENANT, job.unique_id, preset="standard")
    assert first.processing_id == second.processing_id != job.processing_id
    await _worked_off(world)
    assert (await world.jobs.job_of_any_tenant(first.processing_id)).status is JobStatus.NEEDS_REVIEW
    assert await keys(world, VARIANT_PREFIX) == []
    assert not await keys(world, job_prefix(job.unique_id, job.processing_id, HELD_PREFIX))


async def test_the_same_decision_again_changes_nothing_and_another_is_refused() -> None:
    for decision, other in ((Decision.APPROVED, Decision.REJECTED), (Decision.REJECTED, Decision.APPROVED)):
        world = world_of()
        job, _ = await held_image(world)
        once = await decide(world, job, decision)
        assert await decide(world, job, decision) == once
        with pytest.raises(ReviewDecided):
            await decide(world, job, other)
        assert await world.jobs.job_of_any_tenant(job.processing_id) == once


async def test_two_reviewers_at_once_come_to_one_decision() -> None:
    for _ in range(5):
        world = world_of()
        job, _ = await held_image(world)
        said = await asyncio.gather(
            *(decide(world, job, decision) for decision in (Decision.APPROVED, Decision.REJECTED) * 2),
            return_exceptions=True,
        )
        now = await world.jobs.job_of_any_tenant(job.processing_id)
        assert now.status in (JobStatus.COMPLETED, JobStatus.REJECTED)
        assert {type(each) for each in said} == {Job, ReviewDecided}
        assert await keys(world, HELD_PREFIX) == []
        assert bool(await keys(world, VARIANT_PREFIX)) is (now.status is JobStatus.COMPLETED)


async def test_nobody_approves_what_they_have_not_seen() -> None:
    world = world_of()
    job, _ = await held_image(world)
    newer = await world.source.put(job.original_key, b"another photo")
    await world.converter.convert(newer)
    with pytest.raises(NotInReview):
        await decide(world, job, Decision.APPROVED)
    assert await keys(world, VARIANT_PREFIX) == []
    old = await world.jobs.job_of_any_tenant(job.processing_id)
    assert (old.status, old.review) == (JobStatus.FAILED, None)
    assert not await keys(world, job_prefix(job.unique_id, job.processing_id, HELD_PREFIX))


async def test_what_needs_no_review_cannot_be_decided_about() -> None:
    world = world_of(STANDARD)
    submission, event = await world.uploaded()
    with pytest.raises(NotInReview):
        await decide(world, submission.job, Decision.APPROVED)
    await world.converter.convert(event)
    with pytest.raises(NotInReview):
        await decide(world, submission.job, Decision.APPROVED)


async def test_a_deleted_image_takes_what_is_held_with_it() -> None:
    world = world_of()
    job, _ = await held_image(world)
    erasure = await world.catalog.delete(TENANT, job.unique_id)
    assert set(erasure.variants) == {variant.key for variant in (job.review.variants if job.review else ())}
    assert await keys(world, "") == []
    with pytest.raises(ImageDeleted):
        await decide(world, job, Decision.APPROVED)


# -- checks


@dataclass
class Detector:
    """A check that says or raises what it is told."""

    says: Held | BaseException | None = None
    seen: list[Rendered] = field(default_factory=list)
    stored_by_then: list[str] = field(default_factory=list)
    world: World | None = None

    def concerns(self, recipe: Recipe) -> bool:
        return recipe.name == "standard"

    async def check(self, job: Job, made: Rendered) -> Held | None:
        self.seen.append(made)
        if self.world is not None:
            self.stored_by_then += await keys(self.world, "")
        if isinstance(self.says, BaseException):
            raise self.says
        return self.says


def checked_world(*checks: Check, recipe: Recipe = STANDARD) -> World:
    world = world_of(recipe)
    world.converter.checks = (*checks, PresetReview())
    return world


@pytest.mark.parametrize(
    ("says", "reason"),
    [(Held(reason="faces_found_again"), "faces_found_again"), (ValueError("broken"), CHECK_FAILED)],
)
async def test_a_check_that_finds_something_or_breaks_holds_the_image(says: Held | BaseException, reason: str) -> None:
    world = checked_world(detector := Detector(says))
    detector.world = world
    job, _ = await held_image(world)
    assert job.review is not None
    assert job.review.reason == reason
    assert detector.stored_by_then == []
    assert detector.seen[0].variants[0].data


async def test_a_check_that_takes_too_long_holds_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Detector):
        async def check(self, job: Job, made: Rendered) -> Held | None:
            await asyncio.Event().wait()
            return None

    monkeypatch.setattr("processor.reviews.CHECK_SECONDS", 0.01)
    job, _ = await held_image(checked_world(Slow()))
    assert job.review is not None
    assert job.review.reason == CHECK_FAILED


async def test_what_passes_every_check_is_shown_at_once() -> None:
    world = checked_world(Detector())
    submission, event = await world.uploaded()
    assert (await world.converter.convert(event)).kind is OutcomeKind.COMPLETED
    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert (job.review, len(job.variants), await keys(world, HELD_PREFIX)) == (None, 4, [])


async def test_a_check_that_cannot_reach_what_it_needs_decides_nothing() -> None:
    world = checked_world(Detector(Unavailable()))
    submission, event = await world.uploaded()
    with pytest.raises(Unavailable):
        await world.converter.convert(event)
    assert (await world.jobs.job_of_any_tenant(submission.job.processing_id)).status is JobStatus.PROCESSING
    assert await keys(world, "") == []


@pytest.mark.parametrize("held_first", [True, False])
async def test_whoever_takes_over_and_comes_to_another_verdict_leaves_one_whole_state(*, held_first: bool) -> None:
    verdicts = [Held(reason="moderation"), None] if held_first else [None, Held(reason="moderation")]
    world = checked_world(detector := Detector(verdicts[0]))
    submission, event = await world.uploaded()
    finish = world.jobs.finish
    world.jobs.finish = _raising(Unavailable())  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await world.converter.convert(event)
    world.jobs.finish = finish  # type: ignore[method-assign]
    detector.says = verdicts[1]
    await world.converter.convert(event)
    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert job.status is (JobStatus.COMPLETED if held_first else JobStatus.NEEDS_REVIEW)
    empty, full = (HELD_PREFIX, VARIANT_PREFIX) if held_first else (VARIANT_PREFIX, HELD_PREFIX)
    assert await keys(world, empty) == []
    assert await keys(world, full)
    if not held_first:
        assert world.edge.forgotten  # what was there for a moment may be in a cache


def _raising(error: BaseException) -> Any:
    async def call(*_: object, **__: object) -> None:
        raise error

    return call


# -- a process dies


class Death(BaseException):
    """The process is gone."""


@dataclass
class Fate:
    """Lets a process live through so many calls to its stores, and die before or after the next."""

    lives: int
    after: bool
    done: int = 0

    def around(self, call: Any) -> Any:
        async def meet(*args: Any, **kwargs: Any) -> Any:
            if self.done > self.lives:
                raise Death
            self.done += 1
            if self.done > self.lives and not self.after:
                raise Death
            result = await call(*args, **kwargs)
            if self.done > self.lives:
                raise Death
            return result

        return meet


class Mortal:
    """A store whose every call may be the last."""

    def __init__(self, store: Any, fate: Fate) -> None:
        self._store, self._fate = store, fate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return (
            self._fate.around(found) if isinstance(found, MethodType) and asyncio.iscoroutinefunction(found) else found
        )


async def _dying(world: World, job: Job, decision: Decision, fate: Fate) -> bool:
    """Whether the process died over it."""
    stores = replace(
        world.stores,
        jobs=Mortal(world.jobs, fate),
        processed=Mortal(world.processed, fate),
        queue=Mortal(world.queue, fate),
    )
    reviews = Reviews(stores=stores, shelf=Shelf(processed=stores.processed), retention=timedelta(days=30))
    try:
        await reviews.decide(TENANT, job.unique_id, job.processing_id, decision, by=BY)
    except Death:
        return True
    return False


def _fates() -> Iterator[Fate]:
    for lives in range(40):
        for after in (False, True):
            yield Fate(lives=lives, after=after)


async def _worked_off(world: World) -> list[OutcomeKind]:
    """Everything in the queue, also what is delayed."""
    events = [event for body in world.queue.bodies for event in events_of(body)]
    outcomes = [(await world.another_converter().convert(event)).kind for event in events]
    world.queue._letters.clear()
    return outcomes


async def _reconciled(world: World) -> list[tuple[FindingKind, Action]]:
    found = [
        (finding.kind, finding.action)
        async for finding in Reconciler(stores=world.stores, source_bucket="source", grace=timedelta(0)).findings()
    ]
    await _worked_off(world)
    return found


@pytest.mark.parametrize("decision", Decision)
@pytest.mark.parametrize("rescue", ["the queue", "the reconciler", "the reviewer"])
async def test_a_process_may_die_between_any_two_lines_of_a_decision(decision: Decision, rescue: str) -> None:
    deaths = 0
    for fate in _fates():
        world = world_of()
        job, _ = await held_image(world)
        if not await _dying(world, job, decision, fate):
            break
        deaths += 1
        await _look_half_way(world, job)
        if rescue == "the queue":
            await _worked_off(world)
        if rescue == "the reconciler":
            world.queue._letters.clear()
            await _reconciled(world)
        if rescue == "the reviewer":
            await decide(world, job, decision)
        await _look_whole(world, job, decision, forgotten=rescue != "the reviewer")
    else:
        pytest.fail("it never came to its end")
    assert deaths >= 8


async def _look_half_way(world: World, job: Job) -> None:
    """Before the record says so, nobody is sent to a variant."""
    now = await world.jobs.job_of_any_tenant(job.processing_id)
    if now.status is not JobStatus.COMPLETED:
        assert not now.variants
        with pytest.raises((NeedsReview, ReviewRejected)):
            await world.catalog.processed_images(TENANT, job.unique_id)
    for variant in now.variants:
        await world.processed.head(variant.key)
    if not now.is_decided or now.status is JobStatus.REJECTED:
        assert await keys(world, VARIANT_PREFIX) == []


async def _look_whole(world: World, job: Job, decision: Decision, *, forgotten: bool) -> None:
    """What was decided is done, all of it. If it died before anything was noted, the image waits as before."""
    now = await world.jobs.job_of_any_tenant(job.processing_id)
    if not now.is_decided and forgotten:
        assert now == job
        await decide(world, job, decision)
        now = await world.jobs.job_of_any_tenant(job.processing_id)
    if await keys(world, HELD_PREFIX):  # the message was lost with the process
        assert forgotten
        await _reconciled(world)
        now = await world.jobs.job_of_any_tenant(job.processing_id)
    assert await keys(world, HELD_PREFIX) == []
    public = await keys(world, VARIANT_PREFIX)
    if decision is Decision.REJECTED:
        assert (now.status, public) == (JobStatus.REJECTED, [])
        return
    assert now.status is JobStatus.COMPLETED
    assert [moment.kind for moment in now.moments].count(Kind.COMPLETED) == 1
    assert set(public) == {variant.key for variant in now.variants} | {manifest_key(job.unique_id, job.processing_id)}
    assert [difference async for difference in Verifier(stores=world.stores).verify(job.unique_id)] == []


@pytest.mark.parametrize("what", ["a delete", "another upload", "another job"])
async def test_whatever_comes_between_two_lines_of_an_approval_leaves_nothing_that_nobody_knows(what: str) -> None:
    for lives in range(40):
        world = world_of()
        job, _ = await held_image(world)
        died = await _dying(world, job, Decision.APPROVED, Fate(lives=lives, after=True))
        if what == "a delete":
            await world.catalog.delete(TENANT, job.unique_id)
        if what == "another upload":
            await world.converter.convert(await world.source.put(job.original_key, b"another photo"))
        if what == "another job":
            await world.catalog.reprocess(TENANT, job.unique_id, preset="standard")
        await _worked_off(world)
        await _reconciled(world)
        with suppress(ImageDeleted, NotInReview):
            await decide(world, job, Decision.APPROVED)
        await _nothing_is_astray(world)
        if not died:
            return
    pytest.fail("it never came to its end")


async def _nothing_is_astray(world: World) -> None:
    """Every object is named by a record, and every record names objects that are there."""
    named = set()
    for job in world.jobs.living_jobs():
        held = job.review.variants if job.review else ()
        for variant in (*job.variants, *held):
            named.add(variant.key)
            await world.processed.head(variant.key)
        if job.status is JobStatus.COMPLETED:
            named.add(manifest_key(job.unique_id, job.processing_id))
    assert set(await keys(world, "")) == named


# -- what else looks at stored variants


async def test_verify_and_replay_know_what_is_held() -> None:
    world = world_of()
    job, _ = await held_image(world)
    verifier = Verifier(stores=world.stores)
    assert [unique_id async for unique_id in verifier.images()] == [job.unique_id]
    assert [difference async for difference in verifier.verify(job.unique_id)] == []
    assert job.review is not None
    case = await case_of(world.stores, job.processing_id, [], max_bytes=1000)
    assert sorted(case.stored.files) == sorted(f"{variant.name}.webp" for variant in job.review.variants)
    await world.processed.purge(job.review.variants[0].key)
    assert [difference.problem async for difference in verifier.verify(job.unique_id)] == ["missing"]
    await decide(world, job, Decision.REJECTED)
    with pytest.raises(NotReplayable):
        await case_of(world.stores, job.processing_id, [], max_bytes=1000)


async def test_no_bundle_carries_the_source_of_an_image_away_that_nobody_has_approved() -> None:
    world = world_of(STANDARD)
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    shown = submission.job.processing_id
    packed(await case_of(world.stores, shown, [], max_bytes=1000))
    world.choice.standard = REVIEWED
    held = await world.catalog.reprocess(TENANT, submission.job.unique_id, preset="standard")
    for convert in (False, True):
        if convert:
            await _worked_off(world)
        for processing_id in (shown, *([held.processing_id] if convert else [])):
            case = await case_of(world.stores, processing_id, [], max_bytes=1000)
            with pytest.raises(NotReplayable, match="not approved"):
                packed(case)
    await decide(world, await world.jobs.job_of_any_tenant(held.processing_id), Decision.APPROVED)
    packed(await case_of(world.stores, held.processing_id, [], max_bytes=1000))


async def test_the_reconciler_leaves_what_waits_alone_and_removes_what_nobody_can_approve() -> None:
    world = world_of()
    job, _ = await held_image(world)
    assert await _reconciled(world) == []
    await world.processed.store(
        job_prefix(job.unique_id, job.processing_id) + "webp.webp",
        b"left by a worker that came to another verdict",
        content_type="image/webp",
        cache_control="",
        metadata={},
    )
    assert await _reconciled(world) == [(FindingKind.ORPHAN, Action.REMOVED)]
    assert await keys(world, VARIANT_PREFIX) == []
    world.jobs._jobs.clear()  # as if the record had expired
    assert await _reconciled(world) == [(FindingKind.ORPHAN, Action.REMOVED)]
    with pytest.raises(ObjectNotFound):
        await world.processed.head((job.review.variants if job.review else ())[0].key)


async def test_a_request_for_a_held_job_is_a_duplicate() -> None:
    world = world_of()
    job, event = await held_image(world)
    again = JobRequested(unique_id=job.unique_id, processing_id=job.processing_id)
    for each in (event, again):
        assert (await world.converter.convert(each)).kind is OutcomeKind.DUPLICATE
    assert (await world.catalog.reprocess(TENANT, job.unique_id)).processing_id == job.processing_id
    assert await world.jobs.job_of_any_tenant(job.processing_id) == job
