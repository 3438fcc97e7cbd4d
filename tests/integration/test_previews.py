"""Previews in a child process: with little memory, bounded in time, whatever the picture is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from processor.catalog.previews import Previews
from processor.errors import PictureRefused, PresetUnusable
from processor.fits import Contain
from processor.ports.stores import AllStores
from processor.recipes import FURTHER, STANDARD, Recipe, VariantSpec
from processor.stores.memory import MemoryJobStore, MemoryObjectStore, MemoryQueue
from service import wiring
from service.calls.viewer import sample_picture
from service.config import Settings
from service.wiring import LEAST_PREVIEW_BYTES, MOST_PREVIEW_BYTES, make_preview_renderer, preview_budget_bytes
from tests import corpus
from tests.unit.service.test_config import REQUIRED

MIB = 1024 * 1024
#: A process that serves the API, in the smallest container of the documents.
SETTINGS = Settings.from_env(REQUIRED | {"ROLES": "api"})
#: A box that is as large as a document allows.
LARGE = Recipe(
    name="large",
    version=1,
    specs=(VariantSpec(name="l", format="webp", quality=80, box=(4096, 4096), fit=Contain(colour="#102030")),),
)


@pytest.fixture
async def previews(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Previews]:
    monkeypatch.setattr(wiring, "memory_limit_bytes", lambda: 256 * MIB)
    stores = AllStores(
        jobs=MemoryJobStore(),
        source=MemoryObjectStore("source"),
        processed=MemoryObjectStore("processed"),
        queue=MemoryQueue(),
    )
    renderer = make_preview_renderer(SETTINGS)
    yield Previews(stores=stores, renderer=renderer)
    await renderer.close()


def test_a_preview_gets_what_the_container_leaves_within_bounds() -> None:
    limits = [None, 128 * MIB, 256 * MIB, 400 * MIB, 4096 * MIB]
    assert [preview_budget_bytes(limit) for limit in limits] == [
        *(MOST_PREVIEW_BYTES, LEAST_PREVIEW_BYTES, LEAST_PREVIEW_BYTES),
        *(144 * MIB, MOST_PREVIEW_BYTES),
    ]


@pytest.mark.slow
async def test_the_test_picture_of_the_standard_preset_fits_into_the_smallest_process(previews: Previews) -> None:
    recipe = replace(STANDARD, further=FURTHER["avif"])
    await previews.try_out("acme", recipe, sample_picture())
    made = await previews.of_picture("acme", recipe, corpus.jpeg(corpus.photo(320, 240)))
    assert [(each.name, each.width) for each in made.variants] == [
        *(("thumbnail", 300), ("medium", 320), ("large", 320), ("webp", 320)),
    ]
    assert [(each.name, each.spec.format) for each in made.further] == [(spec.name, "avif") for spec in STANDARD.specs]


async def test_what_takes_more_memory_than_there_is_is_refused_with_both_numbers(previews: Previews) -> None:
    with pytest.raises(PictureRefused, match="too_large_for_memory") as caught:
        await previews.of_picture("acme", LARGE, sample_picture())
    assert caught.value.limit is not None
    with pytest.raises(PresetUnusable, match="too_large_for_memory"):
        await previews.try_out("acme", LARGE, sample_picture())
    await previews.try_out("acme", STANDARD, sample_picture())


async def test_an_animation_has_no_further_format(previews: Previews) -> None:
    recipe = replace(STANDARD, further=FURTHER["avif"])
    made = await previews.of_picture("acme", recipe, corpus.SAMPLES["gif-animated"].make())
    assert (len(made.variants), made.further) == (4, ())


@pytest.mark.parametrize("name", ["jpeg-cut", "heic-cut", "gif-of-many-pixels", "png-65000-square", "text", "empty"])
async def test_a_picture_that_no_job_can_convert_is_refused_with_the_code_of_the_job(
    previews: Previews, name: str
) -> None:
    sample = corpus.SAMPLES[name]
    with pytest.raises(PictureRefused) as caught:
        await previews.of_picture("acme", STANDARD, sample.make())
    assert caught.value.why is not None
    assert caught.value.why.code in (sample.code, "too_large_for_memory")


async def test_whoever_hangs_up_ends_the_child(previews: Previews) -> None:
    picture = corpus.jpeg(corpus.photo(1200, 900))
    slow = replace(STANDARD, specs=tuple(replace(spec, effort=6) for spec in STANDARD.specs))
    preview = asyncio.create_task(previews.of_picture("acme", slow, picture))
    await asyncio.sleep(0)
    preview.cancel()
    with pytest.raises(asyncio.CancelledError):
        await preview
    await previews.try_out("acme", STANDARD, sample_picture())
