"""A large JPEG is read shrunk for the small variants, and once more into the encoder if its own size is to be made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import CorruptImage, ImageRejected, TimedOut
from processor.formats.info import ImageInfo
from processor.images import Rendered
from processor.pipeline import decode, encode, geometry, jpeg, passes, watch
from processor.pipeline.engine import Engine, EngineConfig
from processor.pipeline.estimate import least_bytes, working_bytes
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import Rendering, inspect, render
from processor.probe import Probes, Span
from processor.recipes import STANDARD, Recipe, VariantSpec, standard
from processor.sandbox.renderer import ChildRenderer
from service.machine import OWN_BYTES
from tests import corpus
from tests.searching import searching
from tests.unit.processor.pipeline.compare import difference, opened
from tests.waiting import PATIENCE_SECONDS

MIB = 1024 * 1024
LIMITS = FileLimits()
LARGE = ImageInfo(format="jpeg", width=12_500, height=8_000)
#: Mean absolute difference in steps of 255, of pixels that were shrunk in another way and then compressed.
SHRUNK = 2.0
#: Where the decoder leaves out up to 7 lines or columns, which do not make one. In large pictures that is less.
CUT = 4.0


def recipe_of(*boxes: int) -> Recipe:
    """The picture's own size, and squares into which it is to fit."""
    small = [VariantSpec(name=f"in-{box}", format="webp", quality=95, effort=1, box=(box, box)) for box in boxes]
    own = VariantSpec(name="own", format="webp", quality=85, effort=1)
    return Recipe(name="test", version=1, specs=(*small, own), analyses=("colour",))


def small(recipe: Recipe) -> Recipe:
    """The same without the picture's own size."""
    return replace(recipe, specs=tuple(spec for spec in recipe.specs if spec.box))


#: By what the decoder shrinks a picture of 480 x 320 for it.
RECIPES = {2: recipe_of(60, 120), 4: recipe_of(60), 8: recipe_of(36)}
FILES: Mapping[str, Callable[[], bytes]] = {
    "even": lambda: corpus.jpeg(corpus.photo(480, 320)),
    "odd": lambda: corpus.jpeg(corpus.photo(481, 323)),
    "coarse colours": lambda: corpus.jpeg(corpus.photo(480, 328), subsample_mode="on"),
    "coarse colours, odd": lambda: corpus.jpeg(corpus.photo(485, 331), subsample_mode="on"),
    "tall": lambda: corpus.jpeg(corpus.photo(323, 485)),
    "grey": lambda: corpus.jpeg(corpus.photo(480, 320).colourspace("b-w")),
    "cmyk": lambda: corpus.cmyk_jpeg(corpus.photo(480, 320), profile=False),
    "another profile": lambda: corpus.p3_jpeg(corpus.photo(480, 320)),
    "without its end": lambda: corpus.jpeg(corpus.photo(480, 320))[:-2],
    "turned": lambda: corpus.jpeg(corpus.photo(480, 320), orientation=6),
    "upside down": lambda: corpus.jpeg(corpus.photo(480, 320), orientation=3),
}
UNEVEN = {"odd", "coarse colours, odd", "tall"}


@pytest.fixture(autouse=True)
def large_ones_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture of 480 x 320 takes long."""
    monkeypatch.setattr(geometry, "LONG_PIXELS", 20_000)


@cache
def _made(make: Callable[[], bytes]) -> bytes:
    return make()


def file(files: Mapping[str, Callable[[], bytes]], name: str) -> bytes:
    return _made(files[name])


def rendered(data: bytes, recipe: Recipe) -> Rendered:
    return render(data, inspect(data, LIMITS), recipe, Deadline(60))


def in_one_pass(data: bytes, recipe: Recipe) -> Rendered:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "SHRINKS", ())
        return rendered(data, recipe)


@pytest.mark.parametrize("shrink", RECIPES)
@pytest.mark.parametrize("name", FILES)
def test_the_own_size_is_the_same_file_and_the_small_ones_are_the_same_picture(name: str, shrink: int) -> None:
    data, recipe = file(FILES, name), RECIPES[shrink]
    assert passes.shrink(inspect(data, LIMITS), recipe) == shrink

    held, found = in_one_pass(data, recipe), rendered(data, recipe)

    assert found.variants[-1] == held.variants[-1]
    for one, other in zip(found.variants[:-1], held.variants[:-1], strict=True):
        assert (one.width, one.height) == (other.width, other.height)
        assert one.data != other.data
        assert difference(opened(one), opened(other)) < (CUT if name in UNEVEN else SHRUNK)


@pytest.mark.parametrize("shrink", RECIPES)
@pytest.mark.parametrize("name", FILES)
def test_a_picture_of_which_only_small_variants_are_made_is_read_once_and_shrunk(name: str, shrink: int) -> None:
    data, recipe = file(FILES, name), RECIPES[shrink]
    used = passes.shrink(inspect(data, LIMITS), small(recipe))
    assert used <= shrink  # as far as the warnings about the last lines are seen

    found = rendered(data, small(recipe)).variants
    if used == shrink:
        assert [each.data for each in found] == [each.data for each in rendered(data, recipe).variants[:-1]]
    for one, other in zip(found, in_one_pass(data, recipe).variants[:-1], strict=True):
        assert (one.width, one.height) == (other.width, other.height)
        assert difference(opened(one), opened(other)) < (CUT if name in UNEVEN else SHRUNK)


@pytest.mark.parametrize(
    ("coarse", "height", "shrinks"),
    [
        ("on", 320, (8, 4, 2)),  # 20 rows of blocks of 16 lines
        ("on", 288, (4, 2)),  # 18
        ("on", 272, (2,)),  # 17
        ("on", 271, (2,)),
        ("on", 258, (2,)),
        ("off", 320, (8, 4, 2)),  # 40 rows of blocks of 8 lines
        ("off", 288, (4, 2)),  # 36
        ("off", 272, (2,)),  # 34
        ("off", 264, ()),  # 33
    ],
)
def test_a_picture_is_shrunk_as_far_as_libvips_looks_for_warnings_about_its_last_lines(
    coarse: str, height: int, shrinks: tuple[int, ...]
) -> None:
    photo = corpus.photo(480, height)

    assert inspect(corpus.jpeg(photo, subsample_mode=coarse), LIMITS).shrinks == shrinks
    assert inspect(corpus.jpeg(photo, subsample_mode=coarse, interlace=True), LIMITS).shrinks == (8, 4, 2)


@searching(60)
@given(
    coarse=st.sampled_from(["on", "off"]),
    height=st.integers(250, 330),
    progressive=st.booleans(),
    shrink=st.sampled_from(list(RECIPES)),
    at=st.one_of(st.floats(0, 0.999), st.floats(0.97, 0.999)),
    byte=st.integers(0, 255),
    cut=st.booleans(),
)
def test_damage_is_damage_if_a_picture_is_only_read_shrunk(
    coarse: str, height: int, shrink: int, at: float, byte: int, *, progressive: bool, cut: bool
) -> None:
    """Wherever it lies: what is refused of a picture that is read whole is refused, and nothing else."""
    sound = _photo(height, coarse, progressive=progressive)
    data, recipe = damaged(sound, at, byte, cut=cut), small(RECIPES[shrink])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geometry, "LONG_PIXELS", 20_000)
        assert _verdict(rendered, data, recipe) == _verdict(in_one_pass, data, recipe)
        assert _verdict(rendered, sound, recipe) is None


@pytest.mark.parametrize("recipe", [*RECIPES.values(), *map(small, RECIPES.values())])
@pytest.mark.parametrize("height", [264, 271, 272, 320])
@pytest.mark.parametrize("coarse", ["on", "off"])
def test_a_second_scan_that_is_none_hides_no_damage(coarse: str, height: int, recipe: Recipe) -> None:
    """libjpeg stops at its marker, after it has given the last lines without their data."""
    sound = _photo(height, coarse, progressive=False)
    start = sound.index(b"\xff\xda")
    data = sound[:-60] + sound[start : start + 14] + sound[-60:]
    assert len(jpeg.read(data).scans) == 2

    assert _verdict(rendered, data, recipe) is _verdict(in_one_pass, data, recipe) is CorruptImage


@cache
def _photo(height: int, coarse: str, *, progressive: bool) -> bytes:
    return corpus.jpeg(corpus.photo(480, height), subsample_mode=coarse, interlace=progressive)


def _verdict(how: Callable[[bytes, Recipe], Rendered], data: bytes, recipe: Recipe) -> type[ImageRejected] | None:
    try:
        how(data, recipe)
    except ImageRejected as refusal:
        return type(refusal)
    return None


def test_a_sound_picture_that_is_only_read_shrunk_is_read_once() -> None:
    for height in range(250, 290):
        for coarse in ("on", "off"):
            data = _photo(height, coarse, progressive=False)
            factor = passes.shrink(inspect(data, LIMITS), small(RECIPES[8]))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(decode, "_lost_pixels", _never)
                rendered(data, small(RECIPES[8]))
            assert factor > 1 or coarse == "off"


def _never(*_: object) -> bool:
    raise AssertionError("it is compared as if it were damaged")


@pytest.mark.parametrize("specs", [STANDARD.specs[:1], STANDARD.specs[:3]])
@pytest.mark.parametrize("scans", [1, 8])
def test_what_is_only_read_shrunk_takes_the_memory_of_what_is_read(
    specs: tuple[VariantSpec, ...], scans: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(geometry, "LONG_PIXELS", 3_000_000)
    recipe = replace(STANDARD, specs=specs)
    whole = replace(LARGE, scans=scans)
    shrunk = replace(whole, shrinks=(8, 4, 2))

    held = passes.as_held(shrunk, recipe)

    assert held.pixels * 12 < whole.pixels
    compared = 3 * whole.pixels if scans > 1 else 0  # all scans are decoded twice if a decoder warns
    assert compared < working_bytes(shrunk, 0, recipe) < compared + working_bytes(whole, 0, recipe) / 4
    assert working_bytes(whole, 0, recipe) > 3 * whole.pixels


@pytest.mark.parametrize(
    "name",
    [
        "even",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("coarse colours, odd", "another profile", "turned", "without its end")
        ),
    ],
)
async def test_the_files_are_the_same_every_time_and_whoever_makes_them(name: str) -> None:
    data, recipe = file(FILES, name), RECIPES[2]
    alone = rendered(data, recipe)
    for threads in (1, 2):
        config = EngineConfig(threads=threads, memory_budget_bytes=10**9)
        engine = Engine(config)
        several = [await engine.render(data, recipe) for _ in range(2)]
        assert several == [alone] * 2
        await engine.close()


async def test_a_child_makes_the_same_files() -> None:
    """Of the size from which on the child, which knows of no patch, reads a picture twice."""
    data = corpus.jpeg(corpus.photo(2400, 1600))
    recipe = recipe_of(300)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geometry, "LONG_PIXELS", 3_000_000)
        assert passes.shrink(inspect(data, LIMITS), recipe) == 4
        alone = rendered(data, recipe)
        child = ChildRenderer(EngineConfig(threads=1, memory_budget_bytes=10**9))
        assert await child.render(data, recipe) == alone
        await child.close()


PROGRESSIVE: Mapping[str, Callable[[], bytes]] = {
    "even": lambda: corpus.jpeg(corpus.photo(480, 320), interlace=True),
    "fine colours": lambda: corpus.jpeg(corpus.photo(480, 320), interlace=True, subsample_mode="off"),
    "odd": lambda: corpus.jpeg(corpus.photo(481, 323), interlace=True),
    "grey": lambda: corpus.jpeg(corpus.photo(480, 320).colourspace("b-w"), interlace=True),
    "cmyk": lambda: corpus.jpeg(corpus.photo(480, 320).colourspace("cmyk"), interlace=True),
    "another profile": lambda: corpus.jpeg(corpus.photo(480, 320), interlace=True, profile="p3"),
    "turned": lambda: corpus.jpeg(corpus.photo(480, 320), interlace=True, orientation=6),
}


def from_all_scans(data: bytes, recipe: Recipe) -> Rendered:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "is_from_means", lambda *_: False)
        return rendered(data, recipe)


@pytest.mark.parametrize("name", PROGRESSIVE)
def test_of_a_progressive_file_the_smallest_is_the_same_picture_and_the_others_are_the_same_files(name: str) -> None:
    data = file(PROGRESSIVE, name)

    held, found = from_all_scans(data, recipe_of(36, 60)), rendered(data, recipe_of(36, 60))

    assert found.variants[1:] == held.variants[1:]
    one, other = found.variants[0], held.variants[0]
    assert (one.width, one.height) == (other.width, other.height)
    assert one.data != other.data
    assert difference(opened(one), opened(other)) < (CUT if name in UNEVEN else SHRUNK)


@pytest.mark.parametrize("name", PROGRESSIVE)
async def test_progressive_files_give_the_same_every_time_and_whoever_makes_them(name: str) -> None:
    data, recipe = file(PROGRESSIVE, name), recipe_of(36, 60)
    alone = rendered(data, recipe)
    engine = Engine(EngineConfig(threads=2, memory_budget_bytes=10**9))
    assert [await engine.render(data, recipe) for _ in range(2)] == [alone] * 2
    await engine.close()


class Steps:
    """A probe that keeps the spans."""

    def __init__(self) -> None:
        self.ended_spans: list[tuple[str, dict[str, Any]]] = []

    def begun(self, span: Span) -> None:
        """Only their ends count."""

    def ended(self, span: Span) -> None:
        self.ended_spans.append((span.name, span.facts))


def steps_of(data: bytes, recipe: Recipe) -> list[str]:
    """What is done, and what the long work may begin after."""
    steps = Steps()
    rendering = Rendering(data, inspect(data, LIMITS), recipe, Deadline(60), probes=Probes((steps,)))
    rendering.first(lambda: steps.ended_spans.append(("rest may begin", {})))
    rendering.rest()
    return [" ".join((name, *(str(fact) for fact in facts.values()))) for name, facts in steps.ended_spans]


def test_small_variants_do_not_wait_for_the_whole_picture_nor_long_work_for_them() -> None:
    shrunk = ["decode jpeg 2", "rest may begin", "resize", "analyse colour", "encode in-60", "encode in-120"]

    assert steps_of(file(FILES, "even"), RECIPES[2]) == [*shrunk, "encode own"]
    assert steps_of(file(FILES, "turned"), RECIPES[2]) == [*shrunk, "decode jpeg", "resize", "encode own"]


def test_the_smallest_of_a_progressive_picture_does_not_wait_for_all_of_its_scans() -> None:
    means = ["decode jpeg 8", "resize", "analyse colour", "encode in-36"]
    whole = ["decode jpeg", "rest may begin", "resize"]

    assert steps_of(file(PROGRESSIVE, "even"), recipe_of(36, 60)) == [*means, *whole, "encode in-60", "encode own"]
    assert steps_of(file(PROGRESSIVE, "even"), recipe_of(36)) == [*means, *whole, "encode own"]
    assert steps_of(file(PROGRESSIVE, "even"), recipe_of(60))[0] == "decode jpeg"


def test_where_the_means_cannot_be_had_all_variants_come_from_the_whole() -> None:
    """Of a file that decoders only warn of."""
    data, recipe = corpus.damage.with_stray_bytes(file(PROGRESSIVE, "even")), recipe_of(36, 60)

    assert rendered(data, recipe) == from_all_scans(data, recipe)
    assert steps_of(data, recipe)[:2] == ["decode jpeg 8", "decode jpeg"]


def test_a_picture_that_goes_through_is_not_held() -> None:
    data = file(FILES, "even")
    rendering = Rendering(data, inspect(data, LIMITS), RECIPES[2], Deadline(60))
    rendering.first()
    rendering.rest()

    assert sorted(rendering._images) == [(60, 40), (120, 80)]


def damaged(data: bytes, at: float, byte: int, *, cut: bool) -> bytes:
    """With another byte somewhere in its data, or without what follows."""
    start = data.index(b"\xff\xda") + 14
    place = start + int((len(data) - start) * at)
    return data[:place] if cut else data[:place] + bytes([byte]) + data[place + 1 :]


@searching(30)
@given(
    name=st.sampled_from(list(PROGRESSIVE)),
    at=st.floats(0, 0.999),
    byte=st.integers(0, 255),
    cut=st.booleans(),
)
def test_damage_to_a_progressive_picture_is_damage_wherever_it_lies(
    name: str, at: float, byte: int, *, cut: bool
) -> None:
    data, recipe = damaged(file(PROGRESSIVE, name), at, byte, cut=cut), recipe_of(36, 60)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geometry, "LONG_PIXELS", 20_000)
        held, found = own_or_refusal(from_all_scans, data, recipe), own_or_refusal(rendered, data, recipe)

    assert found == held


@searching(60)
@given(
    name=st.sampled_from(["even", "odd", "coarse colours", "coarse colours, odd", "tall", "turned"]),
    shrink=st.sampled_from(list(RECIPES)),
    at=st.one_of(st.floats(0, 0.999), st.floats(0.97, 0.999)),
    byte=st.integers(0, 255),
    cut=st.booleans(),
)
def test_damage_is_damage_however_often_a_picture_is_read(
    name: str, shrink: int, at: float, byte: int, *, cut: bool
) -> None:
    """Wherever it lies: what is refused of a picture that is held is refused, and nothing else."""
    data, recipe = damaged(file(FILES, name), at, byte, cut=cut), RECIPES[shrink]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geometry, "LONG_PIXELS", 20_000)
        held, found = own_or_refusal(in_one_pass, data, recipe), own_or_refusal(rendered, data, recipe)

    assert found == held


def own_or_refusal(how: Any, data: bytes, recipe: Recipe) -> object:
    try:
        return how(data, recipe).variants[-1]
    except ImageRejected as refusal:
        return type(refusal)


@pytest.mark.parametrize("name", ["even", "coarse colours"])
@pytest.mark.parametrize("part", [0.3, 0.9, 0.999])
def test_nothing_is_shown_of_a_picture_that_was_cut_early_and_all_of_them_are_refused(name: str, part: float) -> None:
    told: list[str] = []
    whole = file(FILES, name)
    data = whole[: int(len(whole) * part)]

    with pytest.raises(CorruptImage):
        render(data, inspect(data, LIMITS), RECIPES[2], Deadline(60), lambda variant: told.append(variant.name))

    assert not told or part > 0.99


@pytest.mark.parametrize("progressive", [False, True])
def test_the_deadline_holds_while_a_picture_is_compared_with_what_more_data_would_give(*, progressive: bool) -> None:
    picture = corpus.photo(512, 512).replicate(8, 8)
    data = corpus.damage.with_stray_bytes(corpus.jpeg(picture, interlace=progressive))
    deadline = Deadline(0.001)
    deadline.start()

    with pytest.raises(pyvips.Error):
        decode._lost_pixels(data, jpeg.read(data), partial(watch.watched, deadline=deadline))


def test_the_deadline_holds_while_the_whole_picture_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data, deadline = file(FILES, "even"), Deadline(60)
    write, look, looked = encode.write, watch._Guard.stop_late, threading.Semaphore(0)

    def noted(guard: watch._Guard) -> None:
        look(guard)
        looked.release()

    def late(image: Any, spec: VariantSpec, keep: int) -> bytes:
        if spec.name == "own":
            monkeypatch.setattr(deadline, "_at", 0.0)
            monkeypatch.setattr(watch._Guard, "stop_late", noted)
            for _ in range(len(watch._WATCHMAN._guards)):  # a picture as small as this one is done before the next look
                assert looked.acquire(timeout=PATIENCE_SECONDS)
        return write(image, spec, keep)

    monkeypatch.setattr(encode, "write", late)
    with pytest.raises(TimedOut):
        render(data, inspect(data, LIMITS), RECIPES[2], deadline)


@pytest.mark.parametrize(
    ("info", "specs", "shrink"),
    [
        (LARGE, STANDARD.specs, 4),
        (replace(LARGE, width=6000, height=4000), STANDARD.specs, 2),
        (replace(LARGE, width=4000, height=6000, orientation=6), STANDARD.specs, 2),
        (replace(LARGE, width=4000, height=3000), STANDARD.specs, 1),  # too small for one of them
        (replace(LARGE, format="png"), STANDARD.specs, 1),
        (replace(LARGE, scans=8), STANDARD.specs, 1),
        (replace(LARGE, width=17_000), STANDARD.specs, 1),  # WebP cannot hold it, so that all sizes are smaller ones
        (LARGE, STANDARD.specs[3:], 1),
        (LARGE, STANDARD.specs[:3], 1),  # its decoder does not see all damage if it shrinks
        (replace(LARGE, shrinks=(8, 4, 2)), STANDARD.specs[:3], 4),
        (replace(LARGE, shrinks=(8, 2)), STANDARD.specs[:3], 2),
        (replace(LARGE, shrinks=(8, 4, 2)), STANDARD.specs[:1], 8),
        (replace(LARGE, shrinks=(8, 4, 2), scans=8), STANDARD.specs[:1], 8),
        (replace(LARGE, width=1400, height=900, shrinks=(8, 4, 2)), STANDARD.specs[:1], 2),
        (replace(LARGE, width=1400, height=900, shrinks=(8, 4, 2)), STANDARD.specs, 1),
        (LARGE, (*STANDARD.specs, replace(STANDARD.specs[2], name="huge", box=(6000, 6000))), 1),
    ],
)
def test_what_is_read_twice(
    info: ImageInfo, specs: Sequence[VariantSpec], shrink: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(geometry, "LONG_PIXELS", 3_000_000)

    assert passes.shrink(info, replace(STANDARD, specs=tuple(specs))) == shrink


@pytest.mark.parametrize(
    ("info", "size", "early"),
    [
        (replace(LARGE, scans=8), (300, 192), True),
        (replace(LARGE, scans=8), (1042, 667), False),
        (replace(LARGE, scans=8, width=2400, height=1600), (200, 133), True),
        (replace(LARGE, scans=8, width=2400, height=1600), (201, 134), False),
        (replace(LARGE, scans=8, width=1600, height=2400, orientation=6), (200, 133), True),
        (replace(LARGE, scans=8, width=1800, height=1200), (100, 67), False),  # soon read as a whole
        (LARGE, (300, 192), False),
        (replace(LARGE, format="png", scans=8), (300, 192), False),
    ],
)
def test_what_is_made_of_means(
    info: ImageInfo, size: geometry.Size, monkeypatch: pytest.MonkeyPatch, *, early: bool
) -> None:
    monkeypatch.setattr(geometry, "LONG_PIXELS", 3_000_000)

    assert passes.is_from_means(info, size, STANDARD) == early


@pytest.mark.parametrize(
    ("info", "recipe"),
    [(replace(LARGE, orientation=6), STANDARD), (replace(LARGE, scans=8), STANDARD), (LARGE, standard(0))],
)
def test_what_has_to_be_there_as_a_whole_is_held(
    info: ImageInfo, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(geometry, "LONG_PIXELS", 3_000_000)

    assert passes.is_streamed(LARGE, STANDARD)
    assert not passes.is_streamed(info, recipe)
    assert working_bytes(info, 0, recipe) > working_bytes(LARGE, 0, recipe if recipe is STANDARD else standard(1))


def test_a_jpeg_of_100_megapixels_works_in_a_pod_of_1_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "LONG_PIXELS", 3_000_000)
    budget = 1024 * MIB - OWN_BYTES - LIMITS.max_bytes

    assert working_bytes(LARGE, 40 * MIB) <= budget
    assert least_bytes(replace(LARGE, orientation=6), 40 * MIB) > budget
