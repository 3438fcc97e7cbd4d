"""What is admitted with how much, what never is, and what belongs where it can be killed."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import TimedOut, TooLargeForMemory
from processor.formats.info import ImageInfo
from processor.images import Rendered
from processor.pipeline import encode, render, watch
from processor.pipeline.engine import Engine, EngineConfig
from processor.pipeline.estimate import least_bytes, share, working_bytes
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.silence import must_be_killable
from processor.ports.renderer import NO_TICKET, Ticket
from processor.recipes import STANDARD_VARIANTS, Recipe, VariantSpec, standard
from tests import corpus
from tests.corpus import hostile
from tests.unit.processor.pipeline.compare import opened, rendered
from tests.waiting import PATIENCE_SECONDS

FAST = standard(effort=0)
MIB = 1024 * 1024
JPEG = ImageInfo(format="jpeg", width=4000, height=3000)
PNG_ALPHA = ImageInfo(format="png", width=4000, height=3000, has_alpha=True, bands=4)

INFOS = st.builds(
    ImageInfo,
    format=st.sampled_from(["jpeg", "png", "webp", "gif"]),
    width=st.integers(1, 32_767),
    height=st.integers(1, 32_767),
    frames=st.integers(1, 500),
    has_alpha=st.booleans(),
    bands=st.integers(1, 4),
    orientation=st.integers(1, 8),
    decoder_bytes=st.integers(0, 10**9),
)


@given(INFOS, st.integers(0, 10**8), st.integers(1, 10**11))
def test_nothing_is_admitted_with_more_than_there_is_or_less_than_it_takes_at_least(
    info: ImageInfo, file_bytes: int, budget_bytes: int
) -> None:
    least, working = least_bytes(info, file_bytes), working_bytes(info, file_bytes)
    assert file_bytes < least <= working
    if least > budget_bytes:
        with pytest.raises(TooLargeForMemory) as refusal:
            share(info, file_bytes, budget_bytes)
        assert (refusal.value.limit, refusal.value.actual) == (budget_bytes, least)
    else:
        assert share(info, file_bytes, budget_bytes) == min(working, budget_bytes)


@given(INFOS)
def test_more_pixels_never_weigh_less(info: ImageInfo) -> None:
    assert working_bytes(replace(info, height=info.height + 1), 0) >= working_bytes(replace(info, frames=1), 0)


async def test_what_cannot_fit_is_refused_by_its_header_with_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(*_: object) -> Rendered:
        raise AssertionError("a pixel was decoded")

    monkeypatch.setattr("processor.pipeline.engine.Rendering.first", decoded)
    engine = Engine(EngineConfig(threads=1, memory_budget_bytes=64 * MIB))

    data = corpus.png(pyvips.Image.black(4000, 3000, bands=3).copy(interpretation="srgb"))
    begun: list[ImageInfo] = []

    async def begin(info: ImageInfo) -> None:
        begun.append(info)

    with pytest.raises(TooLargeForMemory) as refusal:
        await engine.render(data, FAST, Ticket(begin=begin))

    assert refusal.value.limit == 64 * MIB
    assert refusal.value.actual is not None
    assert refusal.value.actual > 64 * MIB
    assert refusal.value.message == (
        f"Converting the image takes {refusal.value.actual:,} bytes of memory; the service has 67,108,864."
    )
    assert begun == []
    assert engine.load.free_bytes == 64 * MIB
    await engine.close()


@pytest.mark.parametrize(
    ("info", "timeout_seconds", "outside"),
    [
        (JPEG, 1, False),
        (replace(JPEG, scans=10, decoder_bytes=1), 60, False),
        (replace(JPEG, scans=100, decoder_bytes=1), 2, True),
        (replace(JPEG, width=12_000, height=9_000, scans=100, decoder_bytes=1), 60, False),
        (replace(JPEG, width=12_000, height=9_000, scans=100, decoder_bytes=1), 30, True),
        (replace(JPEG, format="webp", width=12_000, height=9_000), 60, False),
        (replace(JPEG, format="webp", width=12_000, height=9_000), 5, True),
        (replace(JPEG, format="webp", width=500, height=500, frames=400), 5, True),
        (replace(JPEG, format="png", decoder_bytes=800_000_000), 60, False),
        (replace(JPEG, format="png", decoder_bytes=800_000_000), 10, True),
        (PNG_ALPHA, 3600, True),  # in the end of its work, however much time it has
        (replace(PNG_ALPHA, width=2000), 3600, False),
    ],
)
def test_what_could_be_deaf_for_more_than_a_second_beyond_its_time_belongs_where_it_can_be_killed(
    info: ImageInfo, timeout_seconds: float, outside: bool
) -> None:
    assert must_be_killable(info, timeout_seconds, STANDARD_VARIANTS) is outside


class Outside:
    """Notes what it is given."""

    def __init__(self) -> None:
        self.given: list[bytes] = []

    async def render(self, data: bytes, recipe: Recipe, ticket: Ticket = NO_TICKET) -> Rendered:
        self.given.append(data)
        return Rendered(source=ImageInfo(format="png", width=1, height=1), variants=())


@pytest.mark.parametrize(("budget_bytes", "expected"), [(64 * MIB, 1), (512 * MIB, 0)])
async def test_what_fits_only_if_its_pixels_are_kind_is_tried_outside(budget_bytes: int, expected: int) -> None:
    outside = Outside()
    engine = Engine(EngineConfig(threads=1, memory_budget_bytes=budget_bytes), outside=outside)
    data = corpus.png(corpus.with_alpha(corpus.flat(1500, 1000, (1, 2, 3))))

    await engine.render(data, FAST)

    assert len(outside.given) == expected
    await engine.close()


async def test_what_belongs_outside_leaves_the_threads_alone() -> None:
    outside = Outside()
    limits = FileLimits(timeout_seconds=0.1)
    engine = Engine(EngineConfig(threads=1, memory_budget_bytes=512 * MIB, limits=limits), outside=outside)
    data = hostile.jpeg_of_scans(3000, 2000, 100)

    await asyncio.gather(*(engine.render(data, FAST) for _ in range(3)))

    assert outside.given == [data] * 3
    await engine.close()


@pytest.mark.parametrize("name", ["png-alpha", "webp-animated"])
def test_the_time_limit_is_heard_while_a_reduced_size_is_encoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [corpus.photo(900, 700, seed=seed) for seed in range(3)]
    data = corpus.animated(frames, ".webp", delays=(50,) * 3) if name == "webp-animated" else corpus.png(frames[0])
    deadline = Deadline(3600)
    true_encode, finished = encode.write, []
    look, looked = watch._Guard.stop_late, threading.Semaphore(0)

    def noted(guard: watch._Guard) -> None:
        look(guard)
        looked.release()

    def late(image: pyvips.Image, spec: VariantSpec, keep: int) -> bytes:
        deadline._at = 0.0  # the time is up when the first codec begins
        monkeypatch.setattr(watch._Guard, "stop_late", noted)
        for _ in range(len(watch._WATCHMAN._guards)):  # a picture as small as this one is done before the next look
            assert looked.acquire(timeout=PATIENCE_SECONDS)
        finished.append(len(true_encode(image, spec, keep)))
        return b""

    monkeypatch.setattr(encode, "write", late)
    recipe = Recipe(
        name="small", version=1, specs=(VariantSpec(name="small", format="webp", quality=80, box=(500, 500)),)
    )
    with pytest.raises(TimedOut):
        render.render(data, render.inspect(data, FileLimits()), recipe, deadline)
    assert not finished


def test_alpha_that_hides_nothing_makes_no_difference_to_a_byte() -> None:
    picture = corpus.photo(700, 500)

    solid, without = rendered(corpus.png(picture.bandjoin(255))), rendered(corpus.png(picture))

    assert solid.variants == without.variants
    assert opened(solid.variants[-1]).bands == 3


def test_alpha_that_hides_one_pixel_stays() -> None:
    alpha = corpus.flat(700, 500, (255,)).insert(corpus.flat(1, 1, (0,)), 9, 9)
    picture = corpus.photo(700, 500).bandjoin(alpha).copy(interpretation="srgb")

    assert opened(rendered(corpus.png(picture)).variants[-1]).bands == 4
