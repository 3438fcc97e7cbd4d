"""Presets: versions that never change, a default, and images that keep what they were made with."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import replace

import pytest

from processor.catalog import presets as module
from processor.catalog.presets import MAX_PRESETS, Choice, Presets
from processor.catalog.uploads import UploadRequest
from processor.errors import (
    PresetBuiltIn,
    PresetChanged,
    PresetInUse,
    PresetNotFound,
    TooManyPresets,
    Unavailable,
)
from processor.events import JobRequested
from processor.images import job_prefix
from processor.jobs import Job, JobStatus, Terms
from processor.ports.presets import Preset, PresetHeads
from processor.recipes import FURTHER, STANDARD, Recipe, VariantSpec
from processor.stores.memory import MemoryPresetStore
from tests.unit.world import TENANT, World

AVATAR = Recipe(
    name="avatar",
    version=1,
    specs=(VariantSpec(name="square", format="webp", quality=80, box=(64, 64)),),
)
BANNER = replace(AVATAR, name="banner", specs=(VariantSpec(name="wide", format="webp", quality=70, box=(90, 10)),))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def presets(world: World) -> Presets:
    return Presets(store=world.presets, choice=world.choice, jobs=world.jobs)


def anything(_: Preset | None) -> bool:
    return True


async def save(presets: Presets, recipe: Recipe = AVATAR, tenant: str = TENANT) -> Preset:
    saved, _ = await presets.save(tenant, recipe, by="key:a", expected=anything)
    return saved


def changed(recipe: Recipe, quality: int) -> Recipe:
    return replace(recipe, specs=tuple(replace(spec, quality=quality) for spec in recipe.specs))


async def completed(world: World, preset: str | None = None) -> Job:
    submission = await world.submitted(preset=preset)
    event = await world.source.put(submission.job.original_key, b"photo")
    await world.converter.convert(event)
    return await world.jobs.job_of_any_tenant(submission.job.processing_id)


async def made(world: World, job: Job) -> Job:
    """A job that was asked for, converted."""
    await world.converter.convert(JobRequested(unique_id=job.unique_id, processing_id=job.processing_id))
    return await world.jobs.job_of_any_tenant(job.processing_id)


# -- documents ------------------------------------------------------------------------------------------------------


async def test_another_content_is_a_new_version_and_the_same_content_is_none(presets: Presets) -> None:
    first = await save(presets)
    assert (first.version, (await save(presets)).version) == (1, 1)
    second = await save(presets, changed(AVATAR, 90))
    assert (second.version, await presets.get(TENANT, "avatar")) == (2, second)
    assert await presets.get(TENANT, "avatar", 1) == first
    assert [each.version for each in await presets.history(TENANT, "avatar")] == [2, 1]
    assert (await save(presets)).version == 3  # back to what it was: a change, too


async def test_presets_belong_to_their_tenant(presets: Presets) -> None:
    await save(presets)
    for call in (presets.get("other", "avatar"), presets.history("other", "avatar")):
        with pytest.raises(PresetNotFound):
            await call
    assert [each.name for each in (await presets.list("other"))[1]] == ["standard"]
    assert (await save(presets, BANNER, tenant="other")).version == 1


async def test_the_standard_preset_is_there_and_can_be_neither_changed_nor_deleted(presets: Presets) -> None:
    _, (only,) = await presets.list(TENANT)
    assert only.recipe == STANDARD
    assert await presets.get(TENANT, "standard") == await presets.get(TENANT, "standard", STANDARD.version) == only
    assert await presets.history(TENANT, "standard") == (only,)
    with pytest.raises(PresetNotFound):
        await presets.get(TENANT, "standard", STANDARD.version + 1)
    with pytest.raises(PresetBuiltIn):
        await save(presets, replace(AVATAR, name="standard"))
    with pytest.raises(PresetBuiltIn):
        await presets.remove(TENANT, "standard", force=True, expected=anything)


async def test_a_writer_who_has_not_seen_the_newest_version_is_told(presets: Presets) -> None:
    await save(presets)

    def first_only(present: Preset | None) -> bool:
        return present is not None and present.version == 1

    await presets.save(TENANT, changed(AVATAR, 90), by="", expected=first_only)
    for call in (
        presets.save(TENANT, changed(AVATAR, 91), by="", expected=first_only),
        presets.remove(TENANT, "avatar", force=True, expected=first_only),
        presets.check(TENANT, "avatar", first_only),
    ):
        with pytest.raises(PresetChanged):
            await call
    assert (await presets.get(TENANT, "avatar")).version == 2


async def test_writers_at_once_both_have_their_version(presets: Presets) -> None:
    saved = await asyncio.gather(*(save(presets, changed(AVATAR, quality)) for quality in (71, 72, 73)))
    assert sorted(each.version for each in saved) == [1, 2, 3]


async def test_a_tenant_has_only_so_many(presets: Presets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PRESETS", 2)
    await save(presets)
    await save(presets, BANNER)
    with pytest.raises(TooManyPresets):
        await save(presets, replace(AVATAR, name="third"))
    assert (await save(presets, changed(AVATAR, 60))).version == 2
    with pytest.raises(PresetNotFound):
        await presets.remove(TENANT, "third", force=False, expected=anything)
    assert MAX_PRESETS > 2


# -- the choice of an upload ---------------------------------------------------------------------------------------


async def test_an_upload_has_the_newest_version_of_its_preset_and_keeps_it(world: World, presets: Presets) -> None:
    await save(presets)
    await save(presets, changed(AVATAR, 90))
    submission = await world.submitted(preset="avatar")
    await save(presets, changed(AVATAR, 95))
    event = await world.source.put(submission.job.original_key, b"photo")
    await world.converter.convert(event)
    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert job.recipe is not None
    assert (job.status, job.recipe.name, job.recipe.version) == (JobStatus.COMPLETED, "avatar", 2)
    assert [(each.name, each.quality) for each in job.variants] == [("square", 90)]
    shown = await world.catalog.processed_images(TENANT, job.unique_id)
    assert (shown.preset, shown.preset_version) == ("avatar", 2)


@pytest.mark.parametrize("preset", ["avatar", "", "Standard", "standard@6"])
async def test_an_unknown_preset_is_refused_before_anything_is_recorded(world: World, preset: str) -> None:
    with pytest.raises(PresetNotFound):
        await world.submitted(preset=preset)
    assert not world.jobs._jobs


async def test_every_way_to_upload_takes_a_preset(world: World, presets: Presets) -> None:
    await save(presets)
    request = replace(_request(), preset="avatar")
    jobs = [
        (await world.uploads.submit(TENANT, request)).job,
        (await world.large_files().begin(TENANT, request, 100)).job,
        await world.unsized_files().start(TENANT, request),
    ]
    assert [job.recipe and job.recipe.reference for job in jobs] == [AVATAR.reference] * 3


async def test_the_default_is_for_uploads_that_name_none_and_leaves_images_alone(
    world: World, presets: Presets
) -> None:
    before = await completed(world)
    await save(presets)
    await presets.choose(TENANT, default="avatar")
    assert (await completed(world)).shown.preset == "avatar"
    assert (await completed(world, "standard")).shown.preset == "standard"
    again = await world.catalog.reprocess(TENANT, before.unique_id)
    assert again.shown.preset == "standard"
    with pytest.raises(PresetNotFound):
        await presets.choose(TENANT, default="nothing")
    await presets.choose(TENANT, default="standard")
    assert (await completed(world)).shown.preset == "standard"


async def test_a_default_that_was_deleted_elsewhere_a_moment_ago_stops_no_upload(world: World) -> None:
    store = MemoryPresetStore()
    elsewhere = Presets(store=store, choice=Choice(store=store), jobs=world.jobs)
    here = Choice(store=store)
    await save(elsewhere)
    await elsewhere.choose(TENANT, default="avatar")
    assert (await here.of_upload(TENANT, None)).name == "avatar"
    await elsewhere.choose(TENANT, default="standard")
    await elsewhere.remove(TENANT, "avatar", force=True, expected=anything)
    assert await here.of_upload(TENANT, None) == STANDARD


class Counting(MemoryPresetStore):
    """Counts the reads."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    async def heads(self, tenant: str) -> PresetHeads:
        self.reads.append("heads")
        return await super().heads(tenant)

    async def get(self, tenant: str, name: str, version: int) -> Preset:
        self.reads.append(f"{tenant} {name} {version}")
        return await super().get(tenant, name, version)


async def test_an_upload_with_a_preset_reads_one_record_once_its_version_is_known(world: World) -> None:
    store = Counting()
    presets = Presets(store=store, choice=Choice(store=store), jobs=world.jobs)
    await save(presets)
    await presets.choose(TENANT, default="avatar")
    for name in ("avatar", None):
        await presets.choice.of_upload(TENANT, name)
        store.reads.clear()
        assert (await presets.choice.of_upload(TENANT, name)).version == 1
        assert store.reads == ["heads"]

    await save(presets, changed(AVATAR, 90))
    store.reads.clear()
    assert (await presets.choice.of_upload(TENANT, "avatar")).version == 2
    assert store.reads == ["heads", f"{TENANT} avatar 2"]


async def test_a_process_remembers_a_bounded_number_of_versions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED_VERSIONS", 2)
    store = Counting()
    presets = Presets(store=store, choice=Choice(store=store), jobs=world.jobs)
    tenants = ("a", "b", "c")
    for tenant in tenants:
        await save(presets, tenant=tenant)
    for tenant in (*tenants, "c", "a"):
        await presets.choice.of_upload(tenant, "avatar")
    store.reads.clear()
    for tenant in ("a", "c"):  # the last two that were asked for
        await presets.choice.of_upload(tenant, "avatar")
    assert store.reads == ["heads", "heads"]
    await presets.choice.of_upload("b", "avatar")
    assert store.reads[-1] == "b avatar 1"


async def test_a_remembered_version_of_a_deleted_preset_is_not_found(world: World, presets: Presets) -> None:
    await save(presets)
    await world.choice.of_upload(TENANT, "avatar")
    await presets.remove(TENANT, "avatar", force=True, expected=anything)
    with pytest.raises(PresetNotFound):
        await world.choice.of_upload(TENANT, "avatar")
    await save(presets, changed(AVATAR, 90))
    found = await world.choice.of_upload(TENANT, "avatar")
    assert (found.version, found.specs[0].quality) == (2, 90)


async def test_the_records_being_away_is_told_and_not_taken_for_no_preset(world: World) -> None:
    class Away(MemoryPresetStore):
        async def heads(self, tenant: str) -> PresetHeads:
            raise Unavailable

    choice = Choice(store=Away())
    for name in (None, "avatar"):
        with pytest.raises(Unavailable):
            await choice.of_upload(TENANT, name)


# -- images that exist ---------------------------------------------------------------------------------------------


async def test_an_image_is_processed_again_with_the_newest_version_of_its_own_preset(
    world: World, presets: Presets
) -> None:
    await save(presets)
    job = await completed(world, "avatar")
    await save(presets, changed(AVATAR, 90))
    again = await made(world, await world.catalog.reprocess(TENANT, job.unique_id))
    assert (again.shown.preset, again.shown.preset_version) == ("avatar", 2)


async def test_another_preset_shows_its_variants_alone_and_the_old_ones_until_it_is_done(
    world: World, presets: Presets
) -> None:
    await save(presets)
    await save(presets, BANNER)
    old = await completed(world, "avatar")
    new = await world.catalog.reprocess(TENANT, old.unique_id, preset="banner")
    meanwhile = await world.catalog.processed_images(TENANT, old.unique_id)
    assert (meanwhile.preset, [each.name for each in meanwhile.variants]) == ("avatar", ["square"])
    await made(world, new)
    shown = await world.catalog.processed_images(TENANT, old.unique_id)
    assert (shown.preset, [each.name for each in shown.variants]) == ("banner", ["wide"])
    # What caches hold stays, as with every new job, and goes with the image: nothing is left behind.
    assert await world.processed.list(job_prefix(old.unique_id, old.processing_id))
    await world.catalog.delete(TENANT, old.unique_id)
    assert await world.processed.list("processed/") == []


async def test_a_job_under_way_with_another_preset_is_replaced_and_one_with_the_same_is_not(
    world: World, presets: Presets
) -> None:
    await save(presets)
    job = await completed(world)
    first = await world.catalog.reprocess(TENANT, job.unique_id, preset="avatar")
    assert await world.catalog.reprocess(TENANT, job.unique_id, preset="avatar") == first
    assert await world.catalog.reprocess(TENANT, job.unique_id) == first
    second = await world.catalog.reprocess(TENANT, job.unique_id, preset="standard")
    assert second.processing_id != first.processing_id
    over = await world.jobs.get_job(TENANT, first.processing_id)
    assert (over.status, over.superseded_by) == (JobStatus.FAILED, second.processing_id)
    assert (await world.catalog.processed_images(TENANT, job.unique_id)).variants == job.variants


async def test_requests_at_once_for_two_presets_are_not_taken_for_one(world: World, presets: Presets) -> None:
    await save(presets)
    await save(presets, BANNER)
    job = await completed(world)
    jobs = await asyncio.gather(
        *(world.catalog.reprocess(TENANT, job.unique_id, preset=name) for name in ("avatar", "banner"))
    )
    assert [each.shown.preset for each in jobs] == ["avatar", "banner"]


async def test_another_file_under_the_same_key_is_made_with_the_same_preset(world: World, presets: Presets) -> None:
    await save(presets)
    job = await completed(world, "avatar")
    await world.converter.convert(await world.source.put(job.original_key, b"another photo"))
    image = await world.jobs.get_image(TENANT, job.unique_id)
    newest = await world.jobs.get_job(TENANT, image.current_job)
    assert newest.processing_id != job.processing_id
    assert newest.recipe == job.recipe


async def test_an_image_whose_record_has_expired_still_has_its_preset(world: World, presets: Presets) -> None:
    await save(presets)
    job = await completed(world, "avatar")
    del world.jobs._jobs[job.processing_id]
    shown = await world.catalog.processed_images(TENANT, job.unique_id)
    assert (shown.preset, shown.preset_version) == ("avatar", 1)
    again = await world.catalog.reprocess(TENANT, job.unique_id)
    assert again.shown.preset == "avatar"


async def test_a_known_file_is_no_duplicate_for_another_preset_or_version(world: World, presets: Presets) -> None:
    await save(presets)
    standard, avatar = await completed(world), await completed(world, "avatar")
    digest = _checksum(b"photo")
    found = await world.uploads.find_duplicate(TENANT, digest)
    assert found is not None
    assert found.unique_id == standard.unique_id
    found = await world.uploads.find_duplicate(TENANT, digest, "avatar")
    assert found is not None
    assert found.unique_id == avatar.unique_id
    await save(presets, changed(AVATAR, 90))
    assert await world.uploads.find_duplicate(TENANT, digest, "avatar") is None


# -- what is in use ------------------------------------------------------------------------------------------------


async def test_what_images_or_the_default_use_is_not_deleted_until_somebody_insists(
    world: World, presets: Presets
) -> None:
    await save(presets)
    job = await completed(world, "avatar")
    with pytest.raises(PresetInUse, match=job.unique_id):
        await presets.remove(TENANT, "avatar", force=False, expected=anything)
    await presets.choose(TENANT, default="avatar")
    with pytest.raises(PresetInUse, match="default"):
        await presets.remove(TENANT, "avatar", force=True, expected=anything)
    await presets.choose(TENANT, default="standard")
    await presets.remove(TENANT, "avatar", force=True, expected=anything)
    again = await made(world, await world.catalog.reprocess(TENANT, job.unique_id))
    assert (again.recipe, [each.name for each in again.variants]) == (job.recipe, ["square"])


async def test_what_no_image_has_any_more_is_deleted(world: World, presets: Presets) -> None:
    await save(presets)
    job = await completed(world, "avatar")
    await made(world, await world.catalog.reprocess(TENANT, job.unique_id, preset="standard"))
    await presets.remove(TENANT, "avatar", force=False, expected=anything)
    for call in (
        presets.get(TENANT, "avatar"),
        presets.get(TENANT, "avatar", 1),
        presets.remove(TENANT, "avatar", force=False, expected=anything),
    ):
        with pytest.raises(PresetNotFound):
            await call
    assert (await save(presets)).version == 2  # version 1 is in records of jobs


async def test_where_there_are_too_many_images_to_look_at_nobody_says_that_none_uses_it(
    world: World, presets: Presets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOKED_AT", 2)
    monkeypatch.setattr(module, "PAGE", 2)
    await save(presets)
    for _ in range(3):
        await completed(world)
    with pytest.raises(PresetInUse, match="more"):
        await presets.remove(TENANT, "avatar", force=False, expected=anything)
    await presets.remove(TENANT, "avatar", force=True, expected=anything)


async def test_further_formats_of_a_preset_follow_like_those_of_the_standard_one(
    world: World, presets: Presets
) -> None:
    avif = replace(FURTHER["avif"][0], name="square", box=(64, 64))
    await save(presets, replace(AVATAR, further=(avif,)))
    job = await completed(world, "avatar")
    assert job.owed == ("avif",)
    await world.converter.make_further(JobRequested(unique_id=job.unique_id, processing_id=job.processing_id))
    shown = await world.catalog.processed_images(TENANT, job.unique_id)
    assert [(each.format, [variant.name for variant in each.variants]) for each in shown.further] == [
        ("avif", ["square"])
    ]


def _request() -> UploadRequest:
    terms = Terms(content_type="image/jpeg")
    return UploadRequest(filename="a.jpg", extension="jpg", terms=terms, expires_in_seconds=60)


def _checksum(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()
