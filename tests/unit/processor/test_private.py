"""Private pictures: their variants lie under a prefix of their own, whatever happens to them."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta

from processor.catalog.reconcile import Reconciler
from processor.catalog.verify import Verifier
from processor.images import HELD_PREFIX, PRIVATE_PREFIX, VARIANT_PREFIX, job_prefix
from processor.jobs import Decision, Job, JobStatus
from processor.manifest import stored_variants
from processor.recipes import FURTHER, STANDARD, Recipe, recipe_after
from processor.work.outcomes import OutcomeKind
from tests.unit.processor.test_reviews import decide, keys
from tests.unit.world import TENANT, World

PRIVATE = replace(STANDARD, private=True, further=FURTHER["avif"])


async def completed(recipe: Recipe = PRIVATE) -> tuple[World, Job]:
    """An image with all that it owes."""
    world = World(recipe=recipe)
    submission, event = await world.uploaded()
    outcome = await world.converter.convert(event)
    assert outcome.kind is OutcomeKind.COMPLETED
    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    return world, job


async def test_everything_of_a_private_picture_lies_under_a_prefix_of_its_own() -> None:
    world, job = await completed()
    assert job.variants
    assert await keys(world, VARIANT_PREFIX) == []
    stored = await keys(world, PRIVATE_PREFIX)
    assert {variant.key for variant in job.variants} < set(stored)
    manifest = json.loads(await world.processed.fetch(f"{job.prefix}manifest.json", max_bytes=100_000))
    assert all(each["key"].startswith(PRIVATE_PREFIX) for each in manifest["variants"].values())


async def test_verify_reconcile_and_an_expired_record_know_where_it_lies() -> None:
    world, job = await completed()
    verifier = Verifier(stores=world.stores)
    assert [unique_id async for unique_id in verifier.images()] == [job.unique_id]
    assert [difference async for difference in verifier.verify(job.unique_id)] == []
    reconciler = Reconciler(stores=world.stores, source_bucket="source", grace=timedelta(0))
    assert [finding.where async for finding in reconciler.findings()] == [job.original_key]  # it owes AVIF
    shown = await stored_variants(world.processed, job.unique_id, job.processing_id)
    assert {variant.key for variant in shown.variants} == {variant.key for variant in job.variants}
    stray = job_prefix(job.unique_id, "img_1_unknown", PRIVATE_PREFIX) + "webp.webp"
    await world.processed.store(stray, b"x", content_type="image/webp", cache_control="", metadata={})
    assert stray.rpartition("/")[0] + "/" in [finding.where async for finding in reconciler.findings()]
    assert stray not in await keys(world, "")


async def test_a_delete_leaves_nothing_of_it() -> None:
    world, job = await completed()
    erasure = await world.catalog.delete(TENANT, job.unique_id)
    assert {variant.key for variant in job.variants} <= set(erasure.variants)
    assert await keys(world, "") == []


async def test_a_private_picture_that_was_held_is_private_when_it_is_approved() -> None:
    world = World(recipe=replace(PRIVATE, review=True))
    submission, event = await world.uploaded()
    assert (await world.converter.convert(event)).kind is OutcomeKind.HELD
    assert {key.split("/")[0] + "/" for key in await keys(world, "")} == {HELD_PREFIX}
    approved = await decide(world, submission.job, Decision.APPROVED)
    assert approved.status is JobStatus.COMPLETED
    assert {key.split("/")[0] + "/" for key in await keys(world, "")} == {PRIVATE_PREFIX}


async def test_another_file_and_another_run_of_a_private_picture_are_private_too() -> None:
    world, job = await completed()
    world.choice.standard = STANDARD  # as if the tenant had become public since
    await world.converter.convert(await world.source.put(job.original_key, b"another photo"))
    image = await world.jobs.image_of_any_tenant(job.unique_id)
    newer = await world.jobs.job_of_any_tenant(image.current_job)
    assert newer.processing_id != job.processing_id
    assert newer.prefix.startswith(PRIVATE_PREFIX)
    assert await keys(world, VARIANT_PREFIX) == []
    assert recipe_after(PRIVATE, STANDARD).private is True


async def test_a_private_picture_whose_record_has_expired_is_made_again_as_a_private_one() -> None:
    world, job = await completed()
    world.choice.standard = STANDARD
    del world.jobs._jobs[job.processing_id]
    again = await world.catalog.reprocess(TENANT, job.unique_id)
    assert again.recipe is not None
    assert again.recipe.private


def test_who_may_see_it_is_a_part_of_a_recipe_and_recipes_without_read_as_before() -> None:
    texts = {each: replace(STANDARD, private=each).to_text() for each in (None, True, False)}
    assert len(set(texts.values())) == 3
    for private, text in texts.items():
        assert Recipe.from_text(text).private is private
    assert "!" not in texts[None]
    assert Recipe.from_text(replace(STANDARD, private=True, review=True).to_text()).review


async def test_a_private_duplicate_is_no_public_one() -> None:
    world, job = await completed()
    assert job.manifest is not None
    world.choice.standard = STANDARD
    checksum = base64.b64encode(bytes.fromhex(job.manifest.sha256)).decode()
    assert await world.uploads.find_duplicate(TENANT, checksum) is None
    world.choice.standard = PRIVATE
    assert await world.uploads.find_duplicate(TENANT, checksum) is not None
