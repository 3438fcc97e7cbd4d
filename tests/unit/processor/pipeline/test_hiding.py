"""Faces that are hidden: nothing that leaves a render knows more of them than a few cells."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import LookingFailed, LookingOff, TimedOut
from processor.faces import Face
from processor.facts import MAX_BYTES, Facts
from processor.hiding import EVERYTHING, MOST_BOXES, Doubt, check_hiding, doubt_in, hidden_by, hidden_in
from processor.images import Rendered
from processor.pipeline import view
from processor.pipeline.effects import check_effects
from processor.pipeline.effects.blur_faces import CELLS, GROWTH, LEAST_CELL, BlurFaces
from processor.pipeline.effects.given import Given
from processor.pipeline.hiding import LEAST_FACE, LOOK_SECONDS, SURE_SCORE, Looker
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.pipeline.roll import page_height
from processor.recipes import BLUR_FACES, STANDARD, Recipe, VariantSpec, blurring, hiding_faces, sharpening
from tests import corpus
from tests.unit.processor.pipeline.compare import opened

STYLES = sorted(CELLS)
FACE = Face(0.3, 0.3, 0.3, 0.3, 0.9)
EVERYTHING_SURE = Face(0.0, 0.0, 1.0, 1.0, 0.9, landmarks=((0.5, 0.5),) * 5)
#: The picture outside of faces, and what stands for a face.
GREY, SECRET = (128, 128, 128), (255, 0, 0)
WHOLE = VariantSpec(name="whole", format="webp", quality=100, effort=0)


def hiding(*specs: VariantSpec, style: str = "pixels", analyses: Sequence[str] = (), **more: Any) -> Recipe:
    recipe = Recipe(name="hiding", version=1, specs=specs or (WHOLE,), analyses=tuple(analyses), **more)
    return hiding_faces(recipe, blurring(style))


class Detector:
    """Stands in for the model: finds what it is told to at the first looks, and something else afterwards."""

    def __init__(self, *found: Face, again: Sequence[Face] = (), error: Exception | None = None) -> None:
        self.found, self.again, self.error = found, again, error
        self.seen: list[bytes] = []
        self.looks = 1

    def __call__(self, rgb: bytes, width: int, height: int, least: float = 0.4) -> tuple[Face, ...]:
        self.seen.append(rgb)
        if self.error is not None:
            raise self.error
        found = self.found if len(self.seen) <= self.looks else self.again
        return tuple(face for face in found if face.score > least)


Finds = Callable[..., Detector]


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> Finds:
    def install(*found: Face, **more: Any) -> Detector:
        detector = Detector(*found, **more)
        monkeypatch.setattr(view, "find_faces", detector)
        return detector

    return install


def rendered(data: bytes, recipe: Recipe, **more: Any) -> Rendered:
    return render(data, inspect(data, FileLimits()), recipe, Deadline(60), **more)


def told(made: Rendered) -> Mapping[str, Any]:
    fact: Mapping[str, Any] = made.facts.found[BLUR_FACES]
    return fact


def halves(width: int, height: int, one: Sequence[int], other: Sequence[int]) -> pyvips.Image:
    """Stripes of two colours: what a cell hides. All cells that are a multiple of four wide have the same mean."""
    stripes = pyvips.Image.xyz(width, height)[0] % 4 < 2
    return corpus.as_srgb(stripes.ifthenelse(list(one), list(other)))


def secret(width: int, height: int, face: Face = FACE, inside: Sequence[int] = SECRET) -> pyvips.Image:
    """Grey, with stripes in another colour in the box of a face."""
    left, top = round(face.left * width), round(face.top * height)
    part = halves(round(face.width * width), round(face.height * height), inside, (0, 0, 0))
    return corpus.flat(width, height, GREY).insert(part, left, top).copy_memory()


def reds(picture: pyvips.Image) -> float:
    """The largest share of the secret's colour in any pixel, from 0 to 1."""
    bands = picture.flatten(background=list(GREY)) if picture.hasalpha() else picture
    return float((bands[0] - (bands[1] + bands[2]) / 2).max()) / 255


# -- the effect -------------------------------------------------------------------------------------------------------


boxes = st.builds(
    lambda left, top, width, height: Face(left, top, width, height, 0.9),
    st.floats(-0.1, 0.95),
    st.floats(-0.1, 0.95),
    st.floats(0.01, 0.8),
    st.floats(0.01, 0.8),
)


@given(st.tuples(st.integers(1, 90), st.integers(1, 90)), boxes, st.sampled_from(STYLES), st.booleans())
def test_what_is_left_of_a_face_depends_on_its_cells_alone(
    size: tuple[int, int], face: Face, style: str, has_alpha: bool
) -> None:
    width, height = size
    picture = pyvips.Image.gaussnoise(width, height, mean=128, sigma=60, seed=7).cast("uchar")
    picture = corpus.as_srgb(picture.bandjoin([picture.rot180(), picture.invert()]))
    if has_alpha:
        picture = corpus.as_srgb(picture.bandjoin(picture[0].rot180()))
    made = BlurFaces(style=style)(picture.copy_memory(), Given(hidden=(face,))).copy_memory()

    assert (made.width, made.height, made.bands, made.format) == (width, height, picture.bands, "uchar")
    left, top = max(0, round(face.left * width)), max(0, round(face.top * height))
    right = min(width, round((face.left + face.width) * width))
    bottom = min(height, round((face.top + face.height) * height))
    if right <= left or bottom <= top:
        return
    inside = made.crop(left, top, right - left, bottom - top)
    values = {tuple(inside(x, y)) for x in range(inside.width) for y in range(inside.height)}
    across, down = 1 + 2 * GROWTH, 1 + 2 * GROWTH
    if style == "pixels":
        cells_across = min(CELLS[style], max(1, int((right - left + 2) * across) // LEAST_CELL + 1))
        cells_down = min(CELLS[style], max(1, int((bottom - top + 2) * down) // LEAST_CELL + 1))
        assert len(values) <= cells_across * cells_down


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("size", [(24, 24), (100, 80), (640, 480)])
def test_no_pixel_in_a_face_is_as_it_was(style: str, size: tuple[int, int]) -> None:
    before = secret(*size)
    after = BlurFaces(style=style)(before, Given(hidden=(FACE,))).copy_memory()
    assert reds(before) == 1
    assert reds(after) < 0.75  # a cell is the mean of stripes
    width, height = size
    assert [*after(0, 0)] == [*after(width - 1, height - 1)] == list(GREY)


@pytest.mark.parametrize("style", STYLES)
def test_two_pictures_with_the_same_cells_become_the_same(style: str) -> None:
    """Whoever has the result cannot tell which of them it was."""
    width, height, face = 300, 300, Face(0.2, 0.2, 0.4, 0.4, 0.9)
    left, top, side = 30, 30, 180  # the grown box
    plain = corpus.flat(width, height, GREY)
    cell = side // CELLS[style]
    noise = corpus.as_srgb(
        pyvips.Image.gaussnoise(cell, cell, mean=128, sigma=30, seed=7).cast("uchar").bandjoin([0, 9])
    )
    turned = noise.rot180()
    one, other = (
        plain.insert(each.replicate(CELLS[style], CELLS[style]), left, top).copy_memory() for each in (noise, turned)
    )
    effect, where = BlurFaces(style=style), Given(hidden=(face,))
    assert (one - other).abs().max() > 50
    inner = (left + cell, top + cell, side - 2 * cell, side - 2 * cell)  # no cell mixes with what is around it
    difference = (effect(one, where).crop(*inner) - effect(other, where).crop(*inner)).abs().max()
    assert difference <= 6


def test_faces_that_overlap_are_hidden_both() -> None:
    near, far = Face(0.2, 0.2, 0.4, 0.4, 0.9), Face(0.45, 0.45, 0.4, 0.4, 0.8)
    before = secret(200, 200, Face(0.2, 0.2, 0.65, 0.65, 0.9))
    for faces in ((near, far), (far, near)):
        after = BlurFaces(style="soft")(before, Given(hidden=faces)).copy_memory()
        for face in faces:
            part = after.crop(*(round(200 * each) for each in (face.left, face.top, face.width, face.height)))
            assert reds(part) < 0.75


def test_the_shape_of_what_is_transparent_is_hidden_too() -> None:
    mask = halves(100, 100, (255,), (0,))[0]
    before = corpus.as_srgb(corpus.flat(100, 100, SECRET).bandjoin(mask))
    after = BlurFaces(style="pixels")(before, Given(hidden=(FACE,))).copy_memory()
    alpha = after[3].crop(30, 30, 30, 30)
    assert 90 < alpha.min() <= alpha.max() < 170


def test_other_styles_are_refused() -> None:
    with pytest.raises(ValueError, match="style must be pixels or soft"):
        BlurFaces(style="none")


# -- a recipe hides all or nothing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "recipe",
    [
        replace(hiding(), specs=(*hiding().specs, replace(WHOLE, name="open"))),
        replace(hiding(), further=(replace(WHOLE, format="avif"),)),
        replace(hiding(), specs=(hiding().specs[0], replace(hiding(style="soft").specs[0], name="soft"))),
        replace(hiding(), specs=(replace(WHOLE, effects=(blurring("soft"), blurring("soft"))),)),
    ],
)
def test_a_recipe_with_a_variant_that_shows_what_another_hides_is_refused(recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="all variants must have the same blurFaces"):
        check_effects(recipe)


def test_it_stands_in_the_record_so_that_a_release_that_does_not_know_it_refuses_it() -> None:
    recipe = hiding_faces(STANDARD, blurring("soft"))
    assert Recipe.from_text(recipe.to_text()) == recipe
    assert recipe.to_text().count('["blurFaces",{"style":"soft"}]') == len(STANDARD.specs)
    check_hiding(STANDARD)


# -- every file, every frame ------------------------------------------------------------------------------------------


PICTURE = secret(640, 480)
FILES: Mapping[str, Callable[[], bytes]] = {
    "png": lambda: corpus.png(PICTURE),
    "webp": lambda: corpus.webp(PICTURE, quality=95),
    "jpeg": lambda: corpus.jpeg(secret(1600, 1200), quality=95),
    "large jpeg": lambda: corpus.jpeg(secret(2400, 1800), quality=90),
    "progressive": lambda: corpus.jpeg(secret(2400, 1800), quality=90, interlace=True),
    "small": lambda: corpus.png(secret(60, 60)),
    "alpha": lambda: corpus.png(corpus.as_srgb(PICTURE.bandjoin(254))),
    "tiny webp": lambda: corpus.webp(secret(60, 60), quality=10),
}
ALL = tuple(replace(spec, quality=95) for spec in STANDARD.specs)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", FILES)
def test_no_variant_of_any_file_shows_a_face(name: str, style: str, finds: Finds) -> None:
    finds(FACE).looks = 100
    boxed = replace(ALL[1], name="cut", box=(100, 100))
    made = rendered(FILES[name](), hiding(*ALL, boxed, style=style))
    assert [variant.name for variant in made.variants] == [*(spec.name for spec in ALL), "cut"]
    for variant in made.variants:
        assert reds(opened(variant.data)) < 0.8, variant.name
        assert variant.instead != "source"


@pytest.mark.parametrize("name", ["progressive", "large jpeg", "png"])
def test_the_first_variant_that_is_told_is_hidden_already(name: str, finds: Finds) -> None:
    finds(FACE).looks = 100
    early: list[float] = []
    rendered(FILES[name](), hiding(*ALL), ready=lambda variant: early.append(reds(opened(variant.data))))
    assert len(early) == len(ALL)
    assert max(early) < 0.8


GOOD = [name for name, sample in corpus.SAMPLES.items() if sample.code is None]


@pytest.mark.parametrize(
    "sample",
    [pytest.param(sample, marks=[pytest.mark.slow] if number % 8 else []) for number, sample in enumerate(GOOD)],
)
def test_every_kind_of_picture_keeps_its_size_and_frames(sample: str, finds: Finds) -> None:
    data = corpus.SAMPLES[sample].make()
    specs = replace(WHOLE, name="small", box=(40, 40)), replace(WHOLE, quality=80)
    plain = rendered(data, Recipe(name="plain", version=1, specs=specs))
    for style in STYLES:
        finds(FACE, EVERYTHING_SURE).looks = 10_000
        changed = rendered(data, hiding(*specs, style=style))
        assert told(changed)["decision"] == "held" or told(changed)["reasons"] == []
        for one, other in zip(plain.variants, changed.variants, strict=True):
            assert (one.width, one.height) == (other.width, other.height)
            assert page_height(opened(one.data)) == page_height(opened(other.data))


def test_the_same_in_avif(finds: Finds) -> None:
    finds(FACE).looks = 100
    spec = VariantSpec(name="whole", format="avif", quality=80, effort=0)
    (variant,) = rendered(FILES["png"](), hiding(spec)).variants
    assert reds(pyvips.Image.new_from_buffer(variant.data, "")) < 0.8


def animation(*places: tuple[float, float]) -> pyvips.Image:
    frames = [secret(120, 120, Face(left, top, 0.3, 0.3, 0.9)) for left, top in places]
    tall = pyvips.Image.arrayjoin(frames, across=1).copy()
    for name, value in (("page-height", 120), ("loop", 0)):
        tall.set_type(pyvips.GValue.gint_type, name, value)
    tall.set_type(pyvips.GValue.array_int_type, "delay", [100] * len(places))
    return tall.copy_memory()


class Stripes(Detector):
    """Finds the secret where it is."""

    def __call__(self, rgb: bytes, width: int, height: int, least: float = 0.4) -> tuple[Face, ...]:
        picture = pyvips.Image.new_from_memory(rgb, width, height, 3, "uchar")
        there = (picture[0] - picture[1]) > 150
        if not there.max():
            return ()
        columns, rows = there.project()
        xs = [x for x in range(width) if columns(x, 0)[0]]
        ys = [y for y in range(height) if rows(0, y)[0]]
        box = (xs[0] / width, ys[0] / height, (xs[-1] - xs[0] + 3) / width, (ys[-1] - ys[0] + 1) / height)
        return (Face(*box, 0.9),)


@pytest.mark.parametrize("extension", [".webp", ".gif"])
def test_a_face_that_moves_is_hidden_in_every_frame(extension: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "find_faces", Stripes())
    moving = animation((0.1, 0.1), (0.4, 0.4), (0.6, 0.6))
    options = {"lossless": True} if extension == ".webp" else {}
    made = rendered(moving.write_to_buffer(extension, **options), hiding(replace(WHOLE, box=(100, 100)), WHOLE))
    assert told(made)["frames"] == 3
    assert (told(made)["decision"], len(told(made)["boxes"])) == ("blurred", 3)
    for variant in made.variants:
        frames = opened(variant.data)
        assert frames.height == 3 * page_height(frames)
        assert reds(frames) < 0.8


# -- what else knows of the picture -----------------------------------------------------------------------------------


def test_facts_are_those_of_a_picture_that_came_without_faces(finds: Finds) -> None:
    analyses = ("colour", "colours", "placeholder", "blurhash", "likeness")
    finds(EVERYTHING_SURE).looks = 100
    picture = corpus.photo(480, 320)
    made = rendered(corpus.png(picture), hiding(analyses=analyses))

    bare = BlurFaces(style="pixels")(picture, Given(hidden=(EVERYTHING_SURE,)))
    alike = rendered(corpus.png(bare), Recipe(name="plain", version=1, specs=(WHOLE,), analyses=analyses))
    assert {name: made.facts.found[name] for name in analyses} == alike.facts.found
    shown = rendered(corpus.png(picture), Recipe(name="plain", version=1, specs=(WHOLE,), analyses=analyses))
    assert shown.facts.found["blurhash"] != made.facts.found["blurhash"]


def test_the_fact_of_faces_has_no_features(finds: Finds) -> None:
    finds(FACE, EVERYTHING_SURE).looks = 100
    made = rendered(corpus.png(PICTURE), hiding(analyses=("faces",)))
    assert [face["landmarks"] for face in made.facts.found["faces"]["largest"]] == [[]]


def test_the_placeholder_is_of_the_hidden_picture(finds: Finds) -> None:
    big = Face(0.1, 0.1, 0.8, 0.8, 0.9)
    finds(big).looks = 100
    data = corpus.png(secret(320, 320, big))
    made = rendered(data, hiding(WHOLE, analyses=("placeholder",)))
    text = made.facts.found["placeholder"]
    small = pyvips.Image.new_from_buffer(base64.b64decode(text.partition(",")[2]), "")
    assert reds(small) < 0.75


def test_a_thumbnail_within_the_source_is_in_no_variant(finds: Finds) -> None:
    finds(FACE).looks = 100
    data = FILES["jpeg"]()
    made = rendered(data, replace(hiding(*ALL), keeps=("copyright", "profile")))
    for variant in made.variants:
        assert b"Exif" not in variant.data
        assert b"\xff\xd8\xff" not in variant.data


# -- what is held -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (LookingOff(), Doubt.MISSING),
        (LookingFailed(), Doubt.FAILED),
        (RuntimeError("onnxruntime"), Doubt.FAILED),
        (ValueError("shape"), Doubt.FAILED),
    ],
)
def test_a_picture_that_nobody_looked_at_is_hidden_and_held(error: Exception, reason: Doubt, finds: Finds) -> None:
    finds(error=error)
    made = rendered(corpus.png(PICTURE), hiding(WHOLE, replace(WHOLE, name="small", box=(100, 100))))
    assert told(made)["reasons"] == [reason]
    assert doubt_in(told(made)) is reason
    assert hidden_in(told(made)) == (EVERYTHING,)
    for variant in made.variants:
        assert reds(opened(variant.data)) < 0.8
        colours = opened(variant.data).crop(2, 2, 6, 6)
        assert colours.deviate() < 3


def test_more_faces_than_a_fact_can_tell_of_are_hidden_all_at_once(finds: Finds) -> None:
    crowd = [Face((n % 10) / 10, (n // 10) / 10, 0.08, 0.08, 0.9) for n in range(MOST_BOXES + 1)]
    finds(*crowd).looks = 100
    made = rendered(corpus.png(PICTURE), hiding())
    assert told(made)["reasons"] == [Doubt.MANY]
    assert hidden_in(told(made)) == (EVERYTHING,)


def test_as_many_faces_as_there_may_be_are_all_told(finds: Finds) -> None:
    crowd = [Face((n % 10) / 10.01, (n // 10) / 10.01, 0.0777, 0.0888, 0.9) for n in range(MOST_BOXES)]
    finds(*crowd)
    made = rendered(corpus.png(PICTURE), hiding(analyses=("faces", "colours")))
    assert len(hidden_in(told(made))) == MOST_BOXES
    assert len(made.facts.to_text()) < MAX_BYTES / 2


@pytest.mark.parametrize(
    ("found", "again", "reasons"),
    [
        ([FACE], [], []),
        ([], [], []),
        ([replace(FACE, score=SURE_SCORE - 0.01)], [], [Doubt.UNSURE]),
        ([Face(0.5, 0.5, (LEAST_FACE - 1) / 640, 0.01, 0.9)], [], [Doubt.SMALL]),
        ([FACE], [FACE], [Doubt.AGAIN]),
        ([FACE], [Face(0.35, 0.35, 0.1, 0.1, 0.35)], [Doubt.AGAIN]),
        ([FACE], [Face(0.8, 0.8, 0.1, 0.1, 0.9)], [Doubt.UNSURE]),
        ([FACE, replace(FACE, left=0.7, score=0.35)], [FACE], [Doubt.UNSURE, Doubt.AGAIN]),
    ],
)
def test_what_may_show_a_face_all_the_same_is_held(
    found: Sequence[Face], again: Sequence[Face], reasons: Sequence[Doubt], finds: Finds
) -> None:
    finds(*found, again=again)
    made = rendered(corpus.png(PICTURE), hiding())
    assert told(made)["reasons"] == [doubt.value for doubt in reasons]
    assert doubt_in(told(made)) == (reasons[0] if reasons else None)
    assert told(made)["decision"] == ("held" if reasons else "blurred" if found else "nothing")
    assert len(told(made)["boxes"]) == len(found)


def test_an_animation_that_takes_too_long_to_look_at_is_hidden_and_held(finds: Finds) -> None:
    finds(FACE)
    seconds = iter(range(0, 10_000, 15))
    looker = Looker(Deadline(60), clock=lambda: float(next(seconds)))
    found = looker.find(animation((0.1, 0.1), (0.4, 0.4), (0.6, 0.6)))
    assert LOOK_SECONDS < 30
    assert (found.faces, found.doubts) == ((EVERYTHING,), (Doubt.LATE,))


def test_a_render_that_takes_too_long_makes_nothing(finds: Finds) -> None:
    finds(FACE)
    deadline = Deadline(0.0)
    deadline.start()
    with pytest.raises(TimedOut):
        Looker(deadline).find(PICTURE)


@pytest.mark.parametrize(
    "fact",
    [
        None,
        {},
        {"decision": "nothing"},
        {"decision": "blurred", "reasons": ["x"]},
        {"decision": "held", "reasons": []},
        "x",
    ],
)
def test_a_fact_that_says_nothing_holds(fact: object) -> None:
    assert doubt_in(fact) is Doubt.FAILED


@pytest.mark.parametrize("fact", [None, {}, {"boxes": None}, {"boxes": [1]}, {"boxes": [[1]]}, {"boxes": [["a"] * 5]}])
def test_boxes_that_cannot_be_read_are_taken_for_everything(fact: object) -> None:
    assert hidden_in(fact) == (EVERYTHING,)
    assert hidden_by(hiding(), Facts()) == (EVERYTHING,)
    assert hidden_by(STANDARD, Facts()) is None


# -- who looks, and when ----------------------------------------------------------------------------------------------


def test_what_is_invisible_is_looked_at_as_well(finds: Finds) -> None:
    detector = finds(FACE)
    clear = corpus.as_srgb(secret(100, 100).bandjoin(0))
    rendered(corpus.png(clear), hiding())
    assert any(reds(pyvips.Image.new_from_memory(rgb, 100, 100, 3, "uchar")) == 1 for rgb in detector.seen[:2])


def test_a_large_picture_is_looked_at_as_a_whole_and_in_tiles(finds: Finds) -> None:
    detector = finds()
    rendered(corpus.jpeg(corpus.photo(2000, 1500)), hiding())
    assert len(detector.seen) == 5


def test_a_face_in_a_tile_is_hidden_where_it_is_in_the_picture(finds: Finds) -> None:
    detector = finds()
    detector.looks = 100
    tile = Face(0.5, 0.5, 0.1, 0.1, 0.9)
    calls = iter([(), (), (), (), (tile,), *[()] * 20])
    detector.__class__ = type("Tile", (Detector,), {"__call__": lambda *_: next(calls)})
    made = rendered(corpus.jpeg(corpus.photo(2000, 1500)), hiding())
    (face,) = hidden_in(told(made))
    assert face.left == pytest.approx((1088 - 592 + 296) / 1088, abs=0.01)
    assert face.top == pytest.approx((496 + (816 - 496) / 2) / 816, abs=0.01)


def test_known_boxes_are_hidden_without_another_look(finds: Finds) -> None:
    detector = finds(error=LookingOff())
    made = rendered(corpus.png(PICTURE), hiding(), hidden=(FACE,))
    assert reds(opened(made.variants[0].data)) < 0.8
    assert not detector.seen


def test_another_format_hides_the_same_boxes(finds: Finds) -> None:
    finds(FACE).looks = 100
    recipe = hiding(replace(WHOLE, fit=None, box=(200, 200)), further=(replace(WHOLE, format="avif", box=(200, 200)),))
    first = rendered(corpus.png(PICTURE), recipe)
    finds(error=LookingOff())
    second = rendered(corpus.png(PICTURE), recipe.in_format("avif"), hidden=hidden_in(told(first)))
    one, other = (pyvips.Image.new_from_buffer(each.variants[0].data, "") for each in (first, second))
    assert (one - other).abs().avg() < 4


def test_effects_come_after_hiding(finds: Finds) -> None:
    finds(FACE).looks = 100
    sharp = replace(WHOLE, effects=(sharpening(2.0),))
    made = rendered(corpus.png(PICTURE), hiding(sharp))
    assert reds(opened(made.variants[0].data)) < 0.85
