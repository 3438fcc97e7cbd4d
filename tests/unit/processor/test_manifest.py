"""What a completed job says of itself, and what it takes for that to be true."""

from __future__ import annotations

import hashlib
import json

import pytest

from processor.catalog.verify import Verifier
from processor.errors import Rejected
from processor.facts import Facts
from processor.images import variant_key
from processor.jobs import Job, Shown
from processor.manifest import document, is_manifest, manifest_key, stored_variants, variants_in
from processor.recipes import STANDARD_VARIANTS
from processor.work.outcomes import OutcomeKind
from tests.unit.world import MAKER, World


@pytest.fixture
def world() -> World:
    return World()


async def completed(world: World, body: bytes = b"photo") -> Job:
    """A job that has ended well."""
    submission, event = await world.uploaded(body)
    assert (await world.converter.convert(event)).kind is OutcomeKind.COMPLETED
    return await world.jobs.job_of_any_tenant(submission.job.processing_id)


async def test_the_manifest_beside_the_variants_tells_what_the_record_tells(world: World) -> None:
    job = await completed(world)
    key = manifest_key(job.unique_id, job.processing_id)
    stored = await world.processed.fetch(key, max_bytes=10_000)
    content = json.loads(stored)

    assert stored == document(job)
    assert (await world.processed.head(key)).content_type == "application/json"
    assert content["source"] == {
        "key": job.original_key,
        "etag": job.source.etag if job.source else None,
        "sha256": hashlib.sha256(b"photo").hexdigest(),
        "size": 5,
        "format": "jpeg",
        "width": 4,
        "height": 3,
        "frames": 1,
    }
    assert content["variants"]["large"] == {
        "key": variant_key(job.unique_id, job.processing_id, "large.webp"),
        "size": 13,
        "sha256": hashlib.sha256(b"webp of photo").hexdigest(),
        "width": 4,
        "height": 3,
        "contentType": "image/webp",
        "quality": 90,
        "effort": 1,
    }
    assert (content["encoder"], content["service"]) == (MAKER.encoder, MAKER.service)


async def test_what_was_found_out_is_in_the_record_and_beside_the_variants(world: World) -> None:
    world.renderer.facts = Facts({"colour": "#aabbcc", "tags": [0.5, None]})
    job = await completed(world)
    stored = await world.processed.fetch(manifest_key(job.unique_id, job.processing_id), max_bytes=10_000)

    assert job.facts == world.renderer.facts
    assert json.loads(stored)["facts"] == {"colour": "#aabbcc", "tags": [0.5, None]}
    assert [found async for found in Verifier(stores=world.stores).verify(job.unique_id)] == []
    assert len(variants_in(stored, job.updated_at)) == len(STANDARD_VARIANTS)


async def test_a_manifest_says_nothing_of_facts_where_there_are_none(world: World) -> None:
    """It is what it was before there were any, byte for byte."""
    job = await completed(world)
    assert "facts" not in json.loads(document(job))


async def test_the_manifest_tells_what_was_made_in_place_of_what_was_asked_for(world: World) -> None:
    world.renderer.instead = "quality 62"
    job = await completed(world)
    variants = json.loads(document(job))["variants"]

    assert (variants["webp"]["quality"], variants["webp"]["instead"]) == (84, "quality 62")
    assert [each.instead for each in job.variants] == ["quality 62"] * len(STANDARD_VARIANTS)
    del world.jobs._jobs[job.processing_id]
    found = (await stored_variants(world.processed, job.unique_id, job.processing_id)).variants
    assert {each.instead for each in found} == {"quality 62"}


async def test_the_variants_of_a_manifest_come_in_the_order_of_their_sizes(world: World) -> None:
    job = await completed(world)
    variants = (await stored_variants(world.processed, job.unique_id, job.processing_id)).variants
    assert {variant.name for variant in variants} == {spec.name for spec in STANDARD_VARIANTS}
    assert {variant.sha256 for variant in variants} == {variant.sha256 for variant in job.variants}
    assert await stored_variants(world.processed, job.unique_id, "img_1_never") == Shown()


@pytest.mark.parametrize("broken", [b"", b"[]", b'{"variants": []}', b'{"variants": {"webp": {}}}'])
async def test_what_is_no_manifest_is_refused(world: World, broken: bytes) -> None:
    job = await completed(world)
    with pytest.raises(Rejected):
        variants_in(broken, job.created_at)


async def test_a_job_that_made_nothing_has_no_manifest(world: World) -> None:
    submission = await world.submitted()
    with pytest.raises(ValueError, match="has no manifest"):
        document(submission.job)
    assert not is_manifest(submission.job.original_key)
