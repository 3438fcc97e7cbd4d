"""Every difference between what is recorded and what is stored is found."""

from __future__ import annotations

import pytest

from processor.catalog.verify import Verifier
from processor.errors import ImageNotFound
from processor.images import variant_key
from processor.manifest import manifest_key
from tests.unit.processor.test_manifest import completed
from tests.unit.world import TENANT, World


@pytest.fixture
def world() -> World:
    return World()


async def _problems(world: World, unique_id: str) -> list[tuple[str, str]]:
    verifier = Verifier(stores=world.stores)
    return [(found.key.rpartition("/")[2], found.problem) async for found in verifier.verify(unique_id)]


async def test_what_was_stored_verifies(world: World) -> None:
    job = await completed(world)
    assert await _problems(world, job.unique_id) == []


async def test_every_kind_of_damage_is_reported(world: World) -> None:
    job = await completed(world)
    await world.processed.put(
        variant_key(job.unique_id, job.processing_id, "medium.webp"), b"other", content_type="image/webp"
    )
    await world.processed.put(
        variant_key(job.unique_id, job.processing_id, "large.webp"), b"webp of photo", content_type="text/html"
    )
    await world.processed.purge(variant_key(job.unique_id, job.processing_id, "thumbnail.webp"))
    await world.processed.put(manifest_key(job.unique_id, job.processing_id), b"{}")

    assert await _problems(world, job.unique_id) == [
        ("manifest.json", "not what the record says"),
        ("thumbnail.webp", "missing"),
        ("medium.webp", "other bytes: 5 where 13 were stored"),
        ("large.webp", "content type text/html"),
    ]
    await world.processed.purge(manifest_key(job.unique_id, job.processing_id))
    assert (await _problems(world, job.unique_id))[0] == ("manifest.json", "missing")


async def test_an_image_whose_record_has_expired_is_verified_by_its_manifest(world: World) -> None:
    job = await completed(world)
    del world.jobs._jobs[job.processing_id]
    assert await _problems(world, job.unique_id) == []
    await world.processed.purge(variant_key(job.unique_id, job.processing_id, "webp.webp"))
    assert await _problems(world, job.unique_id) == [("webp.webp", "missing")]


async def test_there_is_nothing_to_verify_before_there_is_a_result(world: World) -> None:
    submission = await world.submitted()
    assert await _problems(world, submission.job.unique_id) == []
    with pytest.raises(ImageNotFound):
        await _problems(world, "11111111-1111-4111-8111-111111111111")


async def test_every_living_image_with_variants_is_found_once(world: World) -> None:
    jobs = [await completed(world) for _ in range(3)]
    await world.submitted()
    await world.catalog.delete(TENANT, jobs[0].unique_id)
    await world.processed.put(f"processed/{jobs[0].unique_id}/img_1_late/webp.webp", b"late")
    await world.processed.put("processed/11111111-1111-4111-8111-111111111111/img_1_a/webp.webp", b"stray")
    verifier = Verifier(stores=world.stores)
    found = [unique_id async for unique_id in verifier.images()]
    assert found == sorted(job.unique_id for job in jobs[1:])
