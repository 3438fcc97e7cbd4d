"""A URL once more, and no upload at all."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

import pytest

from processor.errors import AlreadyUploaded, ImageDeleted, ImageNotFound
from tests.unit.world import TENANT, World


@pytest.fixture
def world() -> World:
    return World()


async def test_a_pending_upload_is_signed_anew_under_the_same_ids_and_lives_as_long_as_the_new_url(
    world: World,
) -> None:
    first = await world.submitted()
    again = await world.uploads.refresh(TENANT, first.job.unique_id, 40_000)
    assert (again.job.unique_id, again.job.processing_id) == (first.job.unique_id, first.job.processing_id)
    assert again.upload == replace(first.upload, expires_in_seconds=40_000)
    assert again.job.expires_at > first.job.expires_at + 30_000
    sooner = await world.uploads.refresh(TENANT, first.job.unique_id, 60)
    assert sooner.job.expires_at == again.job.expires_at


async def test_what_has_come_is_not_signed_anew_and_what_is_anothers_is_not_there(world: World) -> None:
    submission, event = await world.uploaded()
    with pytest.raises(ImageNotFound):
        await world.uploads.refresh("stranger", submission.job.unique_id, 60)
    await world.converter.convert(event)
    with pytest.raises(AlreadyUploaded):
        await world.uploads.refresh(TENANT, submission.job.unique_id, 60)
    await world.catalog.delete(TENANT, submission.job.unique_id)
    with pytest.raises(ImageDeleted):
        await world.uploads.refresh(TENANT, submission.job.unique_id, 60)


def _checksum(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


async def test_known_bytes_are_found_in_the_same_tenant_while_they_are_shown(world: World) -> None:
    submission, event = await world.uploaded(b"known")
    assert await world.uploads.find_duplicate(TENANT, _checksum(b"known")) is None
    await world.converter.convert(event)
    found = await world.uploads.find_duplicate(TENANT, _checksum(b"known"))
    assert found is not None
    assert found.processing_id == submission.job.processing_id
    assert await world.uploads.find_duplicate("stranger", _checksum(b"known")) is None
    assert await world.uploads.find_duplicate(TENANT, _checksum(b"other")) is None
    await world.catalog.delete(TENANT, submission.job.unique_id)
    assert await world.uploads.find_duplicate(TENANT, _checksum(b"known")) is None


async def test_an_index_that_lags_names_no_image_that_is_gone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    submission, event = await world.uploaded(b"known")
    await world.converter.convert(event)
    image = await world.jobs.image_of_any_tenant(submission.job.unique_id)

    async def lagging(*_: object) -> tuple[str, ...]:
        return ("img_0_gone", submission.job.processing_id)

    monkeypatch.setattr(world.jobs, "find_completed", lagging)
    assert await world.uploads.find_duplicate(TENANT, _checksum(b"known")) is not None
    world.jobs._images[image.unique_id] = replace(image, deleted_at=image.created_at)
    assert await world.uploads.find_duplicate(TENANT, _checksum(b"known")) is None
