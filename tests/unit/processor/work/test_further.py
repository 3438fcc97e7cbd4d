"""Further formats of a completed job: made behind everything else, and never lost, whatever happens in between."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from processor import clock
from processor.catalog.presets import Choice
from processor.catalog.reconcile import Action, Finding, FindingKind, Reconciler
from processor.catalog.verify import Verifier
from processor.errors import Busy, DecoderCrashed, TooLargeForMemory, Unavailable
from processor.events import JobRequested, SourceArrived
from processor.formats import encoding_of
from processor.images import image_prefix, variant_key
from processor.jobs import Job, JobStatus
from processor.manifest import is_manifest, manifest_key, stored_variants
from processor.probe import Probes
from processor.recipes import FURTHER, STANDARD
from processor.work.outcomes import Outcome, OutcomeKind
from tests.unit.processor.work.test_conversion import Killed
from tests.unit.world import PICTURE, TENANT, Noted, World

RECIPE = replace(STANDARD, further=FURTHER["avif"])
NAMES = [spec.name for spec in STANDARD.specs]


@pytest.fixture
def world() -> World:
    return World(recipe=RECIPE)


async def _completed(world: World) -> tuple[Job, JobRequested, SourceArrived]:
    submission, event = await world.uploaded()
    outcome = await world.converter.convert(event)
    assert (outcome.kind, outcome.owes) == (OutcomeKind.COMPLETED, True)
    job = submission.job
    return await _job(world, job), JobRequested(unique_id=job.unique_id, processing_id=job.processing_id), event


async def _job(world: World, job: Job) -> Job:
    return await world.jobs.job_of_any_tenant(job.processing_id)


async def _keys(world: World, job: Job) -> list[str]:
    return [found.key async for found in world.processed.walk(image_prefix(job.unique_id))]


def _avif_keys(job: Job) -> list[str]:
    return [variant_key(job.unique_id, job.processing_id, f"{name}.avif") for name in NAMES]


# -- the straight way --------------------------------------------------------------------------------------------


async def test_a_job_is_completed_when_its_own_format_is_there_and_says_what_is_to_follow(world: World) -> None:
    job, _, _ = await _completed(world)

    assert job.status is JobStatus.COMPLETED
    assert [variant.content_type for variant in job.variants] == ["image/webp"] * 4
    assert (job.owed, job.further, job.lease) == (("avif",), (), None)
    assert world.spare.rendered == []


async def test_what_is_owed_is_made_of_the_same_file_and_stored_beside_what_is_there(world: World) -> None:
    before, owed, _ = await _completed(world)

    outcome = await world.converter.make_further(owed)

    job = await _job(world, before)
    (made,) = job.further
    assert (outcome.kind, outcome.formats) == (OutcomeKind.ADDED, {"avif": None})
    assert outcome.format_seconds["avif"] >= 0
    assert (job.status, job.owed, job.lease) == (JobStatus.COMPLETED, (), None)
    assert job.variants == before.variants
    assert [variant.name for variant in made.variants] == NAMES
    assert [variant.key for variant in made.variants] == _avif_keys(job)
    assert {variant.content_type for variant in made.variants} == {"image/avif"}
    assert world.spare.rendered == world.renderer.rendered
    assert [spec.format for spec in world.spare.recipes[0].specs] == ["avif"] * 4
    for variant in made.variants:
        assert (await world.processed.head(variant.key)).content_type == "image/avif"


async def test_without_a_further_format_nothing_is_owed_and_the_record_and_the_manifest_do_not_speak_of_any() -> None:
    world = World()
    submission, event = await world.uploaded()

    outcome = await world.converter.convert(event)

    job = await _job(world, submission.job)
    key = manifest_key(job.unique_id, job.processing_id)
    assert (outcome.owes, job.owed, job.further) == (False, (), ())
    assert "further" not in json.loads(await world.processed.fetch(key, max_bytes=10_000))


async def test_each_format_has_a_manifest_and_all_that_is_stored_is_verified(world: World) -> None:
    job, owed, _ = await _completed(world)
    await world.converter.make_further(owed)
    verifier = Verifier(stores=world.stores)
    assert [difference async for difference in verifier.verify(job.unique_id)] == []

    key = manifest_key(job.unique_id, job.processing_id, "avif")
    manifest = json.loads(await world.processed.fetch(key, max_bytes=10_000))
    assert list(manifest["variants"]) == sorted(NAMES)
    assert (manifest["format"], manifest["recipe"]) == ("avif", RECIPE.reference)
    assert manifest["variants"]["thumbnail"]["effort"] == RECIPE.further[0].effort
    assert is_manifest(key)
    await world.processed.purge(_avif_keys(job)[0])
    await world.processed.purge(key)
    assert {difference.key async for difference in verifier.verify(job.unique_id)} == {key, _avif_keys(job)[0]}


async def test_when_the_record_has_expired_the_bucket_tells_of_both_formats(world: World) -> None:
    job, owed, _ = await _completed(world)
    before = await stored_variants(world.processed, job.unique_id, job.processing_id)
    await world.converter.make_further(owed)

    shown = await stored_variants(world.processed, job.unique_id, job.processing_id)

    assert before.further == ()
    assert [variant.name for variant in shown.variants] == sorted(NAMES)
    assert [(made.format, len(made.variants)) for made in shown.further] == [("avif", 4)]


async def test_an_animation_completes_and_the_record_says_why_it_has_no_further_format(world: World) -> None:
    world.renderer.picture = replace(PICTURE, frames=12)
    submission, event = await world.uploaded()

    outcome = await world.converter.convert(event)

    job = await _job(world, submission.job)
    assert (outcome.kind, outcome.owes) == (OutcomeKind.COMPLETED, False)
    assert [(made.format, made.error and made.error.code) for made in job.further] == [("avif", "stills_only")]


async def test_what_is_too_large_for_the_format_is_left_out_and_the_rest_is_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, owed, _ = await _completed(world)
    most = encoding_of("avif").most_pixels
    assert most
    # As the renderer of the test makes them, all have 4 x 3 pixels.
    large = tuple(
        replace(variant, width=most + 1, height=1) if variant.name == "webp" else variant for variant in job.variants
    )
    world.jobs._jobs[job.processing_id] = replace(job, variants=large)

    await world.converter.make_further(owed)

    (made,) = (await _job(world, job)).further
    assert [variant.name for variant in made.variants] == NAMES[:-1]


# -- what goes wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [DecoderCrashed(), TooLargeForMemory(limit=5, actual=7)])
async def test_a_format_that_cannot_be_made_fails_by_itself(world: World, error: Exception) -> None:
    before, owed, _ = await _completed(world)

    async def fail() -> None:
        raise error

    world.spare.during = fail
    outcome = await world.converter.make_further(owed)

    job = await _job(world, before)
    assert outcome.formats == {"avif": error.code}  # type: ignore[attr-defined]
    assert (job.status, job.variants, job.error, job.owed) == (JobStatus.COMPLETED, before.variants, None, ())
    assert [made.error and made.error.code for made in job.further] == [error.code]  # type: ignore[attr-defined]
    assert (await world.converter.make_further(owed)).kind is OutcomeKind.DUPLICATE


@pytest.mark.parametrize("gone", [True, False])
async def test_another_file_or_none_is_not_what_the_job_completed_over(world: World, gone: bool) -> None:
    before, owed, _ = await _completed(world)
    if gone:
        await world.source.purge(before.original_key)
    else:
        await world.source.put(before.original_key, b"another")

    await world.converter.make_further(owed)

    job = await _job(world, before)
    assert [made.error and made.error.code for made in job.further] == ["source_missing"]
    assert job.status is JobStatus.COMPLETED


@pytest.mark.parametrize("error", [Unavailable(), RuntimeError("a defect")])
async def test_what_is_nobodys_fault_is_tried_again_and_the_job_is_free_at_once(world: World, error: Exception) -> None:
    before, owed, _ = await _completed(world)

    async def fail() -> None:
        raise error

    world.spare.during = fail
    with pytest.raises(type(error)):
        await world.converter.make_further(owed)
    world.spare.during = None

    assert (await _job(world, before)).lease is None
    assert (await world.converter.make_further(owed)).kind is OutcomeKind.ADDED


async def test_who_needs_the_machine_puts_it_off(world: World) -> None:
    before, owed, _ = await _completed(world)

    async def give_way() -> None:
        raise Busy

    world.spare.during = give_way
    outcome = await world.converter.make_further(owed)

    assert (outcome.kind, outcome.settles) == (OutcomeKind.BUSY, False)
    job = await _job(world, before)
    assert (job.lease, job.owed, job.attempts) == (None, ("avif",), before.attempts)


# -- twice, late, in the middle of something else ----------------------------------------------------------------


async def test_a_worker_that_dies_between_the_formats_leaves_a_message_that_leads_to_what_is_owed(world: World) -> None:
    job, _, event = await _completed(world)  # and nobody settled the message

    again = await world.another_converter().convert(event)

    assert (again.kind, again.owes) == (OutcomeKind.DUPLICATE, True)
    assert again.processing_id == job.processing_id


async def test_a_worker_that_dies_in_the_middle_of_it_is_followed_by_another_that_writes_the_same(world: World) -> None:
    before, owed, _ = await _completed(world)

    async def die() -> None:
        raise Killed

    world.spare.during = die
    jobs = world.jobs
    dying = world.another_converter(lease_seconds=0)

    async def no_release(*_: object) -> None:
        """Nothing of it is tidied up."""

    released, jobs.release = jobs.release, no_release  # type: ignore[method-assign,assignment]
    with pytest.raises(Killed):
        await dying.make_further(owed)
    jobs.release = released  # type: ignore[method-assign]
    world.spare.during = None
    await asyncio.sleep(0.01)  # the lease is over
    outcome = await world.converter.make_further(owed)

    assert outcome.kind is OutcomeKind.ADDED
    assert (await _job(world, before)).attempts == before.attempts + 2


async def test_two_workers_never_make_it_at_once(world: World) -> None:
    _, owed, _ = await _completed(world)
    seen: list[Outcome] = []

    async def look() -> None:
        seen.append(await world.another_converter().make_further(owed))

    world.spare.during = look
    assert (await world.converter.make_further(owed)).kind is OutcomeKind.ADDED

    assert seen[0].kind is OutcomeKind.BUSY
    assert seen[0].retry_after_seconds > 1
    assert len(world.spare.rendered) == 1


async def test_a_delete_in_the_middle_leaves_nothing_behind(world: World) -> None:
    job, owed, _ = await _completed(world)

    async def delete() -> None:
        await world.catalog.delete(TENANT, job.unique_id)

    world.spare.during = delete
    outcome = await world.converter.make_further(owed)

    assert outcome.kind is OutcomeKind.SUPERSEDED
    assert await _keys(world, job) == []
    assert (await world.converter.make_further(owed)).kind is OutcomeKind.DELETED


async def test_a_job_that_lost_its_place_owes_nothing_and_keeps_what_it_had(world: World) -> None:
    old, owed, _ = await _completed(world)
    keys = await _keys(world, old)

    async def again() -> None:
        await world.catalog.reprocess(TENANT, old.unique_id)

    world.spare.during = again
    outcome = await world.converter.make_further(owed)

    job = await _job(world, old)
    assert outcome.kind is OutcomeKind.SUPERSEDED
    assert (job.status, job.owed, job.further, job.lease) == (JobStatus.COMPLETED, (), (), None)
    assert job.superseded_by is not None
    assert await _keys(world, old) == keys
    shown = await world.catalog.processed_images(TENANT, old.unique_id)
    assert (shown.variants, shown.further) == (old.variants, ())


async def test_another_recipe_is_another_job_with_the_formats_of_its_own(world: World) -> None:
    old, owed, _ = await _completed(world)
    await world.converter.make_further(owed)
    world.recipe = STANDARD
    plain = replace(world.catalog, choice=Choice(standard=STANDARD))

    new = await plain.reprocess(TENANT, old.unique_id)
    meanwhile = await world.catalog.processed_images(TENANT, old.unique_id)
    outcome = await world.converter.convert(JobRequested(unique_id=new.unique_id, processing_id=new.processing_id))

    assert [made.format for made in meanwhile.further] == ["avif"]
    assert (outcome.kind, outcome.owes) == (OutcomeKind.COMPLETED, False)
    assert (await world.catalog.processed_images(TENANT, old.unique_id)).further == ()


async def test_a_lease_that_is_lost_calls_the_render_off(world: World) -> None:
    job, owed, _ = await _completed(world)
    begun = asyncio.Event()

    async def wait() -> None:
        begun.set()
        await asyncio.Event().wait()

    world.spare.during = wait
    run = asyncio.create_task(world.converter.make_further(owed))
    await begun.wait()
    await world.catalog.delete(TENANT, job.unique_id)
    await world.converter.renew_leases()

    assert (await run).kind is OutcomeKind.SUPERSEDED
    assert await _keys(world, job) == []


async def test_a_delete_counts_the_variants_of_all_formats_and_names_their_manifests_apart(world: World) -> None:
    job, owed, _ = await _completed(world)
    await world.converter.make_further(owed)

    erasure = await world.catalog.delete(TENANT, job.unique_id)

    assert len(erasure.variants) == 8
    assert len(erasure.manifests) == 2


async def test_what_is_owed_and_forgotten_is_found_by_the_reconciler_and_queued(world: World) -> None:
    job, _, _ = await _completed(world)
    reconciler = Reconciler(stores=world.stores, source_bucket="source", grace=timedelta(0))

    findings = [finding async for finding in reconciler.findings()]

    assert findings == [Finding(kind=FindingKind.OWED, action=Action.QUEUED, where=job.original_key)]
    (body,) = world.queue.bodies
    assert job.processing_id in body
    held = replace(await _job(world, job), lease=world.converter.leases.new())
    world.jobs._jobs[job.processing_id] = held
    assert [finding async for finding in reconciler.findings()] == []


async def test_a_record_that_changes_says_when(world: World) -> None:
    before, owed, _ = await _completed(world)
    started = clock.now()

    await world.converter.make_further(owed)

    assert (await _job(world, before)).updated_at >= started


async def test_probes_hear_of_every_step() -> None:
    noted = Noted()
    world = World(recipe=RECIPE, probes=Probes((noted,)))
    _, owed, _ = await _completed(world)
    noted.spans.clear()

    await world.converter.make_further(owed)

    assert noted.names == ["download", "render", *["store"] * 4, "record", "job"]
