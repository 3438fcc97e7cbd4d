"""What presets expect of their store."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace

import pytest

from processor import clock
from processor.errors import Busy, PresetNotFound, RecordChanged
from processor.fits import Cover, Gravity
from processor.ports.presets import KEPT_VERSIONS, Preset, PresetHeads, PresetStore
from processor.recipes import FURTHER, STANDARD, Recipe, sharpened
from processor.stores.memory import MemoryPresetStore
from processor.stores.presets import DynamoPresetStore
from processor.stores.table import Table
from tests.contract.conftest import Backend

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOW = clock.from_iso("2026-05-04T03:02:01.234Z")
#: A recipe with everything that a recipe can have.
FULL = replace(
    sharpened(STANDARD, [0.8, 0, 0, 0]),
    name="avatar",
    version=1,
    specs=(replace(STANDARD.specs[0], fit=Cover(gravity=Gravity.ATTENTION)), *STANDARD.specs[1:]),
    further=FURTHER["avif"],
)


@pytest.fixture
def presets(backend: Backend) -> PresetStore:
    if backend.service and backend.made:
        return DynamoPresetStore(Table(backend.service, backend.made.names.table))
    return MemoryPresetStore()


@pytest.fixture
def tenant() -> str:
    return f"tenant-{secrets.token_hex(4)}"


async def added(presets: PresetStore, tenant: str, recipe: Recipe = FULL) -> Preset:
    heads = await presets.heads(tenant)
    new = replace(recipe, version=heads.next_version(recipe.name))
    preset = Preset(recipe=new, created_at=NOW, created_by="key:a")
    await presets.write(tenant, heads, heads.with_new(recipe.name), preset)
    return preset


async def test_a_version_is_found_as_it_was_written_by_its_own_tenant_alone(presets: PresetStore, tenant: str) -> None:
    preset = await added(presets, tenant)
    assert await presets.get(tenant, "avatar", 1) == preset
    assert (await presets.heads(tenant)).get("avatar") is not None
    other = f"{tenant}-2"
    assert await presets.heads(other) == PresetHeads()
    with pytest.raises(PresetNotFound):
        await presets.get(other, "avatar", 1)
    assert await presets.get_all(other, [("avatar", 1)]) == ()


async def test_versions_are_read_at_once_in_the_order_asked_for(presets: PresetStore, tenant: str) -> None:
    for _ in range(3):
        await added(presets, tenant)
    await added(presets, tenant, replace(FULL, name="banner"))
    found = await presets.get_all(tenant, [("banner", 1), ("avatar", 3), ("avatar", 9), ("avatar", 1)])
    assert [(each.name, each.version) for each in found] == [("banner", 1), ("avatar", 3), ("avatar", 1)]


async def test_a_default_is_kept_and_taken_back(presets: PresetStore, tenant: str) -> None:
    await added(presets, tenant)
    heads = await presets.heads(tenant)
    await presets.write(tenant, heads, replace(heads, default="avatar"))
    chosen = await presets.heads(tenant)
    assert (chosen.default, chosen.version) == ("avatar", heads.version + 1)
    await presets.write(tenant, chosen, replace(chosen, default=None))
    assert (await presets.heads(tenant)).default is None


async def test_of_two_writers_who_saw_the_same_one_writes_and_the_other_hears_of_it(
    backend: Backend, presets: PresetStore, tenant: str
) -> None:
    backend.skip_on("moto", because="it checks a condition and writes in two steps, between which others get in")
    seen = await presets.heads(tenant)

    async def write(name: str) -> bool:
        preset = Preset(recipe=replace(FULL, name=name), created_at=NOW)
        try:
            await presets.write(tenant, seen, seen.with_new(name), preset)
        except (RecordChanged, Busy):
            return False
        return True

    written = await asyncio.gather(write("one"), write("two"))
    assert sorted(written) == [False, True]
    heads = await presets.heads(tenant)
    assert [head.name for head in heads.all] == [["two", "one"][written[0]]]
    loser = "two" if written[0] else "one"
    with pytest.raises(PresetNotFound):
        await presets.get(tenant, loser, 1)


async def test_the_oldest_version_goes_when_there_are_too_many(presets: PresetStore, tenant: str) -> None:
    for _ in range(KEPT_VERSIONS + 1):
        await added(presets, tenant)
    head = (await presets.heads(tenant)).get("avatar")
    assert head is not None
    assert list(head.versions) == list(range(2, KEPT_VERSIONS + 2))
    with pytest.raises(PresetNotFound):
        await presets.get(tenant, "avatar", 1)
    assert (await presets.get(tenant, "avatar", 2)).version == 2


async def test_a_deleted_preset_leaves_nothing_and_its_versions_are_not_given_again(
    presets: PresetStore, tenant: str
) -> None:
    for _ in range(KEPT_VERSIONS):
        await added(presets, tenant)
    await added(presets, tenant, replace(FULL, name="banner"))
    heads = await presets.heads(tenant)
    await presets.write(tenant, heads, heads.without("avatar"))
    left = await presets.heads(tenant)
    assert [head.name for head in left.all] == ["banner"]
    assert await presets.get_all(tenant, [("avatar", number) for number in range(1, KEPT_VERSIONS + 1)]) == ()
    assert (await added(presets, tenant)).version == KEPT_VERSIONS + 1
    assert (await presets.get(tenant, "banner", 1)).name == "banner"
