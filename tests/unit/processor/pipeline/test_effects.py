"""What a recipe may have done to the picture of a variant, and that nothing else comes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import NotConvertible, TimedOut
from processor.facts import Facts
from processor.formats.info import ImageInfo
from processor.images import Rendered
from processor.pipeline import effects, geometry, passes
from processor.pipeline.effects import EFFECTS, change_of, check_effects, watermark
from processor.pipeline.effects.given import Given
from processor.pipeline.effects.sharpen import LEAST_SIGMA, MOST_SIGMA, Sharpen
from processor.pipeline.engine import Engine, EngineConfig
from processor.pipeline.estimate import least_bytes, working_bytes
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.pipeline.roll import page_height
from processor.ports.renderer import Ticket
from processor.recipes import BLUR_FACES, STANDARD, Effect, Recipe, Value, VariantSpec, sharpened, standard
from processor.sandbox.renderer import ChildRenderer
from tests import corpus
from tests.in_part import one_in
from tests.unit.processor.pipeline.compare import opened

#: A mark without colour, which leaves grey pictures grey.
MARK = corpus.webp(corpus.flat(60, 20, (255, 255, 255)).bandjoin(200), lossless=True)
DIGEST = hashlib.sha256(MARK).hexdigest()
ASSETS = {DIGEST: MARK}
#: Of each effect, parameters that it takes.
EXAMPLES: Mapping[str, Mapping[str, Value]] = {"sharpen": {"sigma": 0.8}, "watermark": {"asset": DIGEST, "least": 1}}
#: All but the one that all variants have, which `test_hiding` is about.
OF_ONE_VARIANT = sorted(EFFECTS.keys() - {BLUR_FACES})
SHARP = Effect.of("sharpen", EXAMPLES["sharpen"])
GOOD = [name for name, sample in corpus.SAMPLES.items() if sample.code is None]
FAST = standard(effort=0)
#: A size of its own, and the source's.
TWO = replace(FAST, specs=(FAST.specs[0], FAST.specs[-1]))
LIMITS = FileLimits()


def rendered(data: bytes, recipe: Recipe, *, seconds: float = 60) -> Rendered:
    return render(data, inspect(data, LIMITS), recipe, Deadline(seconds), assets=ASSETS)


def with_effects(*asked: Effect, recipe: Recipe = FAST) -> Recipe:
    return replace(recipe, specs=tuple(replace(spec, effects=asked) for spec in recipe.specs))


def edge(*samples: tuple[float, ...], width: int = 40, height: int = 30) -> pyvips.Image:
    """Flat areas side by side."""
    areas = [(pyvips.Image.black(width, height) + list(area)).cast("uchar") for area in samples]
    kind = "srgb" if len(samples[0]) >= 3 else "b-w"
    return pyvips.Image.arrayjoin(areas).copy(interpretation=kind).copy_memory()


# -- every effect -----------------------------------------------------------------------------------------------------


def test_every_effect_has_an_example_here() -> None:
    assert sorted(EXAMPLES) == OF_ONE_VARIANT


@pytest.mark.parametrize("name", OF_ONE_VARIANT)
@pytest.mark.parametrize("sample", one_in(8, GOOD))
def test_an_effect_changes_neither_the_size_nor_the_frames_of_any_kind_of_picture(sample: str, name: str) -> None:
    data = corpus.SAMPLES[sample].make()
    plain, changed = rendered(data, TWO), rendered(data, with_effects(Effect.of(name, EXAMPLES[name]), recipe=TWO))

    assert [(each.name, each.width, each.height) for each in changed.variants] == [
        (each.name, each.width, each.height) for each in plain.variants
    ]
    for one, other in zip(plain.variants, changed.variants, strict=True):
        assert page_height(opened(one)) == page_height(opened(other))
        assert opened(one).hasalpha() == opened(other).hasalpha()
    assert changed.facts == plain.facts


@pytest.mark.parametrize("name", OF_ONE_VARIANT)
def test_an_effect_is_seen_where_it_is_asked_for_and_nowhere_else(name: str) -> None:
    data = corpus.jpeg(corpus.photo(700, 500))
    thumbnail, *others = FAST.specs
    recipe = replace(FAST, specs=(replace(thumbnail, effects=(Effect.of(name, EXAMPLES[name]),)), *others))

    plain, changed = rendered(data, FAST), rendered(data, recipe)

    assert [one.data == other.data for one, other in zip(plain.variants, changed.variants, strict=True)] == [
        False,
        *[True for _ in others],
    ]


@pytest.mark.parametrize("name", OF_ONE_VARIANT)
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_frames_are_changed_each_by_itself(name: str, bands: int) -> None:
    frames = [edge((value,) * bands, (255 - value,) * bands) for value in (20, 120, 240)]
    roll = pyvips.Image.arrayjoin(frames, across=1).copy()
    roll.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    change = change_of(Effect.of(name, EXAMPLES[name]))

    together = change(roll, Given(assets=ASSETS))
    alone = pyvips.Image.arrayjoin([change(frame, Given(assets=ASSETS)) for frame in frames], across=1)

    assert together.write_to_memory() == alone.write_to_memory()
    assert (together.format, together.bands, together.interpretation) == (roll.format, bands, roll.interpretation)
    assert page_height(together) == page_height(roll)


# -- asking for one ---------------------------------------------------------------------------------------------------

WRONG = [
    Effect.of("of-a-later-release"),
    Effect.of("sharpen"),
    Effect.of("sharpen", {"sigma": 1, "halo": 2}),
    Effect.of("sharpen", {"sigma": 0}),
    Effect.of("sharpen", {"sigma": LEAST_SIGMA - 0.01}),
    Effect.of("sharpen", {"sigma": MOST_SIGMA + 0.01}),
    Effect.of("sharpen", {"sigma": "1"}),
    Effect.of("watermark"),
    Effect.of("watermark", {"asset": "../secret"}),
    Effect.of("watermark", {"asset": DIGEST, "position": "above"}),
    Effect.of("watermark", {"asset": DIGEST, "scale": 0}),
    Effect.of("watermark", {"asset": DIGEST, "opacity": 1.1}),
    Effect.of("watermark", {"asset": DIGEST, "margin": -0.1}),
    Effect.of("watermark", {"asset": DIGEST, "least": "all"}),
]


@pytest.mark.parametrize("effect", WRONG, ids=str)
def test_what_is_not_known_is_refused(effect: Effect) -> None:
    with pytest.raises(ValueError, match="|".join((effect.name, *dict(effect.parameters)))):
        check_effects(with_effects(effect))


def test_the_standard_recipe_asks_for_none() -> None:
    assert not any(spec.effects for spec in STANDARD.specs)
    check_effects(STANDARD)


@pytest.mark.parametrize("kind", [Engine, ChildRenderer])
async def test_a_variant_is_never_made_without_the_effect_that_was_asked_for(
    kind: type[Engine | ChildRenderer],
) -> None:
    renderer = kind(EngineConfig(threads=1, memory_budget_bytes=10**9))
    try:
        with pytest.raises(ValueError, match="of-a-later-release"):  # and so another release may make it
            await renderer.render(corpus.jpeg(), with_effects(WRONG[0]))
    finally:
        await renderer.close()


# -- beside everything else that a render does ------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """An effect that notes what it is called with."""

    facts: ClassVar[list[Facts]] = []

    def __call__(self, picture: pyvips.Image, given: Given) -> pyvips.Image:
        self.facts.append(given.facts)
        return picture

    def held_bytes(self, _size: tuple[int, int]) -> int:
        return 0


@pytest.mark.parametrize("size", [(60, 40), (2400, 1600)])
async def test_an_effect_is_told_what_the_analyses_found_also_of_a_variant_that_takes_long(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effects, "EFFECTS", {"seen": Seen})
    monkeypatch.setattr(Seen, "facts", [])
    engine = Engine(EngineConfig(threads=2, memory_budget_bytes=10**9))
    try:
        made = await engine.render(corpus.png(corpus.flat(*size, (18, 52, 86))), with_effects(Effect.of("seen")))
    finally:
        await engine.close()

    assert made.facts.everything.keys() == set(FAST.analyses)
    assert made.facts.found["colour"] == "#123456"
    assert Seen.facts == [made.facts] * len({(each.width, each.spec.unnamed) for each in made.variants})


@dataclass(frozen=True)
class Broken:
    """An effect that libvips cannot compute."""

    def __call__(self, picture: pyvips.Image, _given: Given) -> pyvips.Image:
        return picture.crop(picture.width, 0, 1, 1)

    def held_bytes(self, _size: tuple[int, int]) -> int:
        return 0


def test_what_breaks_in_an_effect_is_the_pictures_fault_or_the_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    data = corpus.jpeg(corpus.photo(400, 300))
    monkeypatch.setattr(effects, "EFFECTS", {"broken": Broken})
    with pytest.raises(NotConvertible):
        rendered(data, with_effects(Effect.of("broken")))

    deadline = Deadline(3600)

    def late(_: Broken, picture: pyvips.Image, _given: Given) -> pyvips.Image:
        deadline._at = 0.0
        return picture.gaussblur(3)

    monkeypatch.setattr(Broken, "__call__", late)
    with pytest.raises(TimedOut):
        render(data, inspect(data, LIMITS), with_effects(Effect.of("broken")), deadline)


def test_the_source_does_not_take_the_place_of_a_picture_that_was_to_be_changed() -> None:
    source = corpus.webp(corpus.photo(200, 150), quality=20, keep="none")
    full = VariantSpec(name="webp", format="webp", quality=90, effort=0)

    (plain,) = rendered(source, Recipe(name="plain", version=1, specs=(full,))).variants
    (changed,) = rendered(source, Recipe(name="sharp", version=1, specs=(replace(full, effects=(SHARP,)),))).variants

    assert (plain.instead, plain.data) == ("source", source)
    assert changed.instead != "source"
    assert changed.data != source


def test_a_large_jpeg_is_held_where_its_own_size_is_to_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = corpus.jpeg(corpus.photo(1500, 1000))
    specs = tuple(spec for spec in STANDARD.specs if spec.name in ("thumbnail", "webp"))
    plain = replace(STANDARD, specs=specs)
    small, whole = sharpened(plain, [0.8, 0]), sharpened(plain, [0.8])
    once = {recipe: rendered(data, recipe) for recipe in (small, whole)}

    monkeypatch.setattr(geometry, "LONG_PIXELS", 1_000_000)

    info = inspect(data, LIMITS)
    assert passes.is_streamed(info, small)
    assert passes.shrink(info, whole) > 1
    assert not passes.is_streamed(info, whole)
    for recipe, made in once.items():
        thumbnail, own = rendered(data, recipe).variants
        assert own == made.variants[-1]
        assert thumbnail.data != made.variants[0].data


@pytest.mark.parametrize("frames", [1, 30])
@pytest.mark.parametrize("name", [None, *(spec.name for spec in STANDARD.specs)])
def test_what_an_effect_makes_is_reserved_by_its_size(name: str | None, frames: int) -> None:
    info = ImageInfo(format="png", width=2000, height=1500, frames=frames)
    specs = tuple(replace(spec, effects=(SHARP,)) if spec.name == name else spec for spec in STANDARD.specs)
    recipe = replace(STANDARD, specs=specs)

    size = {None: (0, 0), "thumbnail": (300, 225), "medium": (800, 600), "large": (1440, 1080)}
    width, height = size.get(name, (2000, 1500))
    pixels = width * height * frames
    buffers = 2 * change_of(SHARP).held_bytes((width, height)) if name else 0

    for estimate in (least_bytes, working_bytes):
        more = estimate(info, 0, recipe) - estimate(info, 0)
        if frames == 1:
            assert more == pytest.approx(pixels * 3 + buffers, abs=1)
        else:  # there are two for a moment, one of them in frames; and perhaps decoding takes the most
            assert 0 <= more <= pixels * 3 * 2 + buffers


@given(st.sets(st.sampled_from([spec.name for spec in STANDARD.specs])), st.integers(1, 50), st.integers(100, 5000))
def test_more_effects_never_take_less(names: set[str], frames: int, width: int) -> None:
    info = ImageInfo(format="gif", width=width, height=width, frames=frames)
    none, some, every = (
        replace(STANDARD, specs=tuple(replace(s, effects=(SHARP,) if s.name in those else ()) for s in STANDARD.specs))
        for those in (set(), names, {spec.name for spec in STANDARD.specs})
    )

    taken = [working_bytes(info, 0, recipe) for recipe in (none, some, every)]

    assert taken == sorted(taken)


# -- sharpen ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [LEAST_SIGMA, 1, MOST_SIGMA])
def test_edges_stand_out_and_flat_areas_stay_as_they_are(sigma: float) -> None:
    picture = edge((60, 60, 60), (180, 180, 180))

    sharp = Sharpen(sigma=sigma)(picture, Given())

    row = [sharp.getpoint(x, 15)[0] for x in range(80)]
    assert row[40] > 180
    assert row[39] <= 60
    assert row[:20] == [60.0] * 20
    assert row[60:] == [180.0] * 20


def test_colours_stay_as_they_are() -> None:
    sharp = Sharpen(sigma=1)(edge((200, 30, 30), (30, 30, 200)), Given())

    assert sharp.getpoint(5, 5) == [200, 30, 30]
    assert sharp.getpoint(75, 5) == [30, 30, 200]


def test_what_is_invisible_does_not_shine_through_at_edges() -> None:
    seen = [
        Sharpen(sigma=2)(edge((120, 120, 120, 255), (*hidden, 0)), Given()).crop(0, 0, 40, 30)
        for hidden in ((0, 0, 0), (255, 255, 255), (255, 0, 255))
    ]

    assert len({bytes(each.write_to_memory()) for each in seen}) == 1


# -- watermark --------------------------------------------------------------------------------------------------------

RED = corpus.png(corpus.flat(40, 40, (255, 0, 0)))
RED_DIGEST = hashlib.sha256(RED).hexdigest()


def marked(picture: pyvips.Image, **parameters: Value) -> pyvips.Image:
    asked = {"asset": RED_DIGEST, "opacity": 1, "margin": 0, "least": 1, **parameters}
    return change_of(Effect.of("watermark", asked))(picture, Given(assets={RED_DIGEST: RED}))


def red_area(picture: pyvips.Image) -> tuple[int, ...]:
    """Left, top, width and height of what is red."""
    red = (picture[0] - picture[1]).cast("float") > 128
    return tuple(map(int, red.find_trim(threshold=10, background=[0])))


@pytest.mark.parametrize(
    ("position", "area"),
    [
        ("northwest", (0, 0, 100, 100)),
        ("north", (200, 0, 100, 100)),
        ("northeast", (400, 0, 100, 100)),
        ("west", (0, 150, 100, 100)),
        ("centre", (200, 150, 100, 100)),
        ("east", (400, 150, 100, 100)),
        ("southwest", (0, 300, 100, 100)),
        ("south", (200, 300, 100, 100)),
        ("southeast", (400, 300, 100, 100)),
    ],
)
def test_the_mark_is_where_it_is_asked_for_and_in_proportion(position: str, area: tuple[int, ...]) -> None:
    assert red_area(marked(edge((80, 80, 80), width=500, height=400), position=position, scale=0.25)) == area


def test_the_margin_is_a_share_of_the_shorter_side() -> None:
    marks = marked(edge((80, 80, 80), width=500, height=400), position="southeast", scale=0.25, margin=0.05)

    assert red_area(marks) == (390, 290, 90, 90)


def test_a_tiled_mark_is_everywhere_and_the_margin_parts_the_marks() -> None:
    tiled = marked(edge((80, 80, 80), width=500, height=400), position="tiled", scale=0.1, margin=0.05)

    rows = [tiled.getpoint(x, 200) for x in range(500)]
    changes = sum(one != other for one, other in pairwise(rows))
    across = 500 // (36 + 20)
    assert 2 * (across - 1) <= changes <= 2 * (across + 1)


@pytest.mark.parametrize("opacity", [0.25, 0.5, 1])
@pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255), (10, 200, 90)])
def test_the_mark_is_as_solid_as_it_is_asked_for(ground: tuple[int, int, int], opacity: float) -> None:
    seen = marked(edge(ground, width=400, height=400), position="centre", opacity=opacity).getpoint(200, 200)

    assert seen == pytest.approx(
        [opacity * mark + (1 - opacity) * under for mark, under in zip((255, 0, 0), ground, strict=True)], abs=2
    )


def test_a_mark_shows_on_what_is_transparent() -> None:
    seen = marked(edge((9, 9, 9, 0), width=400, height=400), position="centre")

    assert seen.getpoint(200, 200) == [255, 0, 0, 255]
    assert seen.getpoint(2, 2) == [9, 9, 9, 0]


def test_a_coloured_mark_keeps_its_colour_on_a_grey_picture() -> None:
    seen = marked(edge((90,), width=400, height=400), position="centre")

    assert seen.getpoint(200, 200) == [255, 0, 0]
    assert seen.getpoint(2, 2) == [90, 90, 90]


@pytest.mark.parametrize(("side", "is_marked"), [(159, False), (160, True)])
def test_a_picture_with_a_side_below_the_least_stays_as_it_is(side: int, is_marked: bool) -> None:
    picture = edge((80, 80, 80), width=400, height=side)

    changed = marked(picture, least=160)

    assert (changed.write_to_memory() != picture.write_to_memory()) == is_marked


@given(
    st.sampled_from(sorted({*watermark.PLACES, watermark.TILED})),
    st.floats(0.01, 1),
    st.floats(0, 0.25),
    st.integers(1, 60),
    st.integers(1, 60),
)
def test_any_mark_fits_any_picture(position: str, scale: float, margin: float, width: int, height: int) -> None:
    picture = edge((80, 80, 80), width=width, height=height)

    changed = marked(picture, position=position, scale=scale, margin=margin)

    assert (changed.width, changed.height, changed.bands) == (width, height, 3)
    changed.avg()


@pytest.mark.parametrize("kind", [Engine, ChildRenderer])
async def test_both_renderers_draw_the_same_mark(kind: type[Engine | ChildRenderer]) -> None:
    data, recipe = corpus.jpeg(corpus.photo(700, 500)), with_effects(Effect.of("watermark", EXAMPLES["watermark"]))
    renderer = kind(EngineConfig(threads=1, memory_budget_bytes=10**9))
    try:
        made = await renderer.render(data, recipe, Ticket(assets=ASSETS))
    finally:
        await renderer.close()

    assert made.variants == rendered(data, recipe).variants
