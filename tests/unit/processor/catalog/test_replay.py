"""A job that is made again makes the same, or says what is different; a bundle has all that it takes."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.assets import asset_key
from processor.catalog.replay import Case, case_of, differences, packed, replayed, stripped, unpacked
from processor.errors import CorruptImage, JobNotFound, NotReplayable
from processor.images import Rendered
from processor.pipeline.engine import Engine, EngineConfig
from processor.pipeline.lettering import lettered
from processor.ports.renderer import NO_TICKET, Ticket
from processor.ports.stores import AllStores
from processor.recipes import STANDARD, Effect, Recipe, VariantSpec
from tests import corpus
from tests.corpus import metadata as said
from tests.unit.world import MAKER, TENANT, World


class Drifted:
    """Makes other bytes of one variant, as another version of an encoder does; or fails."""

    def __init__(self, world: World, error: Exception | None = None) -> None:
        self._renderer, self._error = world.converter.renderer, error

    async def render(self, data: bytes, recipe: Recipe, ticket: Ticket = NO_TICKET) -> Rendered:
        if self._error:
            raise self._error
        made = await self._renderer.render(data, recipe, ticket)
        first, *others = made.variants
        return replace(made, variants=(replace(first, data=first.data + b"!"), *others))


def stores_of(world: World) -> AllStores:
    return AllStores(
        jobs=world.jobs, source=world.source, processed=world.processed, queue=world.queue, dead_letters=None
    )


async def ended(world: World, body: bytes = b"photo") -> Case:
    submission, event = await world.uploaded(body)
    await world.converter.convert(event)
    return await case_of(stores_of(world), submission.job.processing_id, [], max_bytes=10**6)


async def test_a_completed_job_makes_the_same_again() -> None:
    world = World()
    case = await ended(world)
    assert case.source == b"photo"
    now = await replayed(case, world.converter.renderer, MAKER)
    assert differences(case.expected, now) == []
    assert set(now.files) == {spec.file_name for spec in STANDARD.specs}
    assert now.files["large.webp"][0] == hashlib.sha256(b"webp of photo").hexdigest()


async def test_other_bytes_and_another_end_are_told_by_name() -> None:
    world = World()
    case = await ended(world)
    (found,) = differences(case.expected, await replayed(case, Drifted(world), MAKER))
    assert found.name == "thumbnail.webp"
    assert (found.before[:8], found.now[:8]) == ("13 bytes", "14 bytes")
    (found,) = differences(case.expected, await replayed(case, Drifted(world, CorruptImage()), MAKER))
    assert (found.name, found.before, found.now) == ("the job", "completed", "corrupt_image")
    failing = replace(case, stored=replace(case.stored, files={}, error="corrupt_image"))
    assert differences(failing.expected, await replayed(failing, Drifted(world, CorruptImage()), MAKER)) == []


async def test_what_cannot_be_made_again_says_why() -> None:
    world = World()
    stores = stores_of(world)
    with pytest.raises(JobNotFound):
        await case_of(stores, "img_1_a", [], max_bytes=10)
    submission, event = await world.uploaded(b"photo")
    with pytest.raises(NotReplayable, match="not ended"):
        await case_of(stores, submission.job.processing_id, [], max_bytes=10)
    await world.converter.convert(event)
    await world.source.put(submission.job.original_key, b"another")
    with pytest.raises(NotReplayable, match="another file"):
        await case_of(stores, submission.job.processing_id, [], max_bytes=10)


async def test_a_bundle_comes_back_as_it_was_and_names_neither_image_nor_tenant() -> None:
    world = World()
    case = await ended(world)
    bundle = packed(case)
    assert unpacked(bundle, max_bytes=10) == case
    job = await world.jobs.job_of_any_tenant(case.processing_id)
    with zipfile.ZipFile(BytesIO(bundle)) as file:
        told = file.read("case.json").decode()
        assert file.namelist() == ["case.json", "source"]
    for name in (job.unique_id, job.original_key, job.filename):
        assert name not in told
    assert "tenant" not in told


async def test_a_bundle_without_metadata_is_compared_with_what_its_own_file_made() -> None:
    world = World()
    photograph = said.jpeg(corpus.jpeg(corpus.photo(40, 30)), xmp=said.xmp({"dc:description": "secret caption"}))
    case = await ended(world, photograph)
    bare = await stripped(case, world.converter.renderer, MAKER)
    assert b"secret caption" in case.source
    assert b"secret caption" not in packed(bare)
    assert b"secret caption" not in unpacked(packed(bare), max_bytes=10**6).source
    again = unpacked(packed(bare), max_bytes=10**6)
    assert (again.is_stripped, again.stored, again.made) == (True, case.stored, bare.made)
    assert differences(again.expected, await replayed(again, world.converter.renderer, MAKER)) == []
    with pytest.raises(NotReplayable, match="cannot be removed"):
        await stripped(replace(case, source=b"photo"), world.converter.renderer, MAKER)


async def test_a_watermark_is_laid_over_again_and_goes_with_the_bundle() -> None:
    mark = lettered("© Ada")
    digest = hashlib.sha256(mark).hexdigest()
    effect = Effect.of("watermark", {"asset": digest, "least": 1})
    spec = VariantSpec(name="shown", format="webp", quality=80, effects=(effect,))
    world = World(recipe=Recipe(name="marked", version=1, specs=(spec,)))
    engine = world.converter.renderer = Engine(EngineConfig(threads=1, memory_budget_bytes=2**29))
    await world.source.put(asset_key(TENANT, digest), mark)
    case = await ended(world, corpus.png(corpus.flat(200, 100, (0, 0, 255))))

    bundle = packed(case)
    again = unpacked(bundle, max_bytes=10**6)
    assert again == case
    assert again.assets == {digest: mark}
    assert differences(case.expected, await replayed(again, engine, MAKER)) == []

    damaged = BytesIO()
    with zipfile.ZipFile(BytesIO(bundle)) as file, zipfile.ZipFile(damaged, "w") as other:
        for name in file.namelist():
            other.writestr(name, lettered("© Eve") if digest in name else file.read(name))
    with pytest.raises(NotReplayable):
        unpacked(damaged.getvalue(), max_bytes=10**6)

    await world.source.purge(asset_key(TENANT, digest))
    with pytest.raises(NotReplayable, match="asset"):
        await case_of(stores_of(world), case.processing_id, [], max_bytes=10**6)


def bundle_of(told: Any, source: bytes = b"photo") -> bytes:
    written = BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("case.json", told if isinstance(told, bytes) else json.dumps(told))
        file.writestr("source", source)
    return written.getvalue()


@given(st.binary(max_size=200))
def test_no_bytes_are_taken_for_a_bundle(data: bytes) -> None:
    with pytest.raises(NotReplayable):
        unpacked(data, max_bytes=100)


@pytest.mark.parametrize("told", [b"{", [], {}, {"recipe": 1}, {"recipe": "x", "sourceSha256": ""}, b"[" * 100_000])
def test_no_case_of_another_shape_is_taken_for_one(told: Any) -> None:
    with pytest.raises(NotReplayable):
        unpacked(bundle_of(told), max_bytes=100)


def test_a_bundle_that_unfolds_to_more_than_it_may_is_refused() -> None:
    with pytest.raises(NotReplayable):
        unpacked(bundle_of({}, bytes(50_000_000)), max_bytes=1000)
    with pytest.raises(NotReplayable):
        unpacked(bundle_of(b" " * 50_000_000), max_bytes=1000)
