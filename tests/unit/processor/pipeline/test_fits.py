"""Pictures in boxes of another shape: cropped to them, or set into them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from processor.fits import LOOKING, Contain, Cover, Fit, Gravity, read_fit
from processor.formats.info import ImageInfo
from processor.images import Variant
from processor.pipeline.estimate import least_bytes, working_bytes
from processor.pipeline.geometry import cover_size, shown_size, target_size
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.pipeline.roll import page_height
from processor.pipeline.steps.box import fit_into
from processor.recipes import STANDARD, Recipe, VariantSpec
from tests import corpus
from tests.unit.processor.pipeline.compare import opened

RED, BLUE = (220, 20, 20), (20, 20, 220)
FITS = ["cover", "cover:north", "cover:attention", "contain:#ffffff", "contain:transparent", "contain:#204060:south"]
GOOD = [name for name, sample in corpus.SAMPLES.items() if sample.code is None]
sides = st.integers(1, 4000)


def spec(text: str, box: tuple[int, int] = (60, 60)) -> VariantSpec:
    return VariantSpec(name="avatar", format="webp", quality=90, effort=0, box=box, fit=read_fit(text))


def made(data: bytes, *specs: VariantSpec) -> tuple[Variant, ...]:
    recipe = Recipe(name="test", version=1, specs=specs)
    return render(data, inspect(data, FileLimits()), recipe, Deadline(60)).variants


def halves(*, upright: bool) -> bytes:
    """Red above or left of blue, twice as long as wide."""
    areas = [flat(120, 120, *colour) for colour in (RED, BLUE)]
    picture = pyvips.Image.arrayjoin(areas, across=1 if upright else 2).copy(interpretation="srgb")
    return corpus.png(picture)


def flat(width: int, height: int, *colour: int) -> pyvips.Image:
    return pyvips.Image.black(width, height).linear([1], list(colour)).cast("uchar").copy(interpretation="srgb")


def at(picture: pyvips.Image, x: float, y: float) -> list[float]:
    """The samples at these fractions of the sides."""
    return [*picture(round(x * (picture.width - 1)), round(y * (picture.height - 1)))]


# -- sizes ------------------------------------------------------------------------------------------------------------


@given(sides, sides, sides, sides)
def test_what_covers_a_box_has_its_shape_left_to_cut_out_and_is_never_enlarged(
    width: int, height: int, across: int, down: int
) -> None:
    got = cover_size(width, height, (across, down))

    assert min(width, across) <= got[0] <= width
    assert min(height, down) <= got[1] <= height
    if width >= across and height >= down:
        assert got[0] == across or got[1] == down


@given(sides, sides, st.tuples(sides, sides), st.sampled_from(FITS))
def test_a_file_has_the_box_as_far_as_the_picture_fills_it(
    width: int, height: int, box: tuple[int, int], text: str
) -> None:
    info = ImageInfo(format="png", width=width, height=height)
    asked = spec(text, box)

    shown, picture = shown_size(info, asked), target_size(info, asked)

    if isinstance(asked.fit, Contain):
        assert shown == box
        assert picture[0] <= box[0]
        assert picture[1] <= box[1]
    else:
        assert shown == (min(picture[0], box[0]), min(picture[1], box[1]))


@pytest.mark.parametrize("sample", GOOD)
def test_every_kind_of_picture_fits_with_all_its_frames(sample: str) -> None:
    data = corpus.SAMPLES[sample].make()
    info = inspect(data, FileLimits())
    asked = [replace(spec(text), name=f"v{at}") for at, text in enumerate(("cover:attention", "contain:transparent"))]

    for variant in made(data, *asked):
        picture = opened(variant.data)
        assert (
            (picture.width, page_height(picture)) == (variant.width, variant.height) == shown_size(info, variant.spec)
        )
        assert (picture.height > page_height(picture)) <= (info.frames > 1)


# -- what is seen -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "upright", "colours"),
    [
        ("cover", True, (RED, BLUE)),
        ("cover:north", True, (RED, RED)),
        ("cover:south", True, (BLUE, BLUE)),
        ("cover:west", False, (RED, RED)),
        ("cover:east", False, (BLUE, BLUE)),
    ],
)
def test_gravity_says_what_stays(text: str, upright: bool, colours: tuple[tuple[int, ...], ...]) -> None:
    (variant,) = made(halves(upright=upright), spec(text))

    picture = opened(variant.data)
    near, far = (
        (at(picture, 0.5, 0.1), at(picture, 0.5, 0.9)) if upright else (at(picture, 0.1, 0.5), at(picture, 0.9, 0.5))
    )
    assert near == pytest.approx(colours[0], abs=12)
    assert far == pytest.approx(colours[1], abs=12)


@pytest.mark.parametrize("left", [10, 240])
def test_what_people_look_at_stays(left: int) -> None:
    grey = flat(300, 60, 128, 128, 128)
    skin = flat(40, 40, 224, 172, 105)
    data = corpus.png(grey.insert(skin, left, 10))

    (variant,) = made(data, spec("cover:attention"))

    picture = opened(variant.data)
    warm = (picture[0] - picture[2] > 60).avg() / 255 * picture.width * picture.height
    assert warm > 0.9 * 40 * 40


@pytest.mark.parametrize(("text", "rim"), [("contain:#ffffff", [255, 255, 255]), ("contain:#204060", [32, 64, 96])])
def test_the_rest_of_the_box_has_the_colour(text: str, rim: list[int]) -> None:
    (variant,) = made(halves(upright=True), spec(text))

    picture = opened(variant.data)
    assert at(picture, 0.0, 0.5) == pytest.approx(rim, abs=6)
    assert at(picture, 0.5, 0.1) == pytest.approx(RED, abs=12)


def test_a_grey_picture_can_have_a_colour_around_it() -> None:
    grey = corpus.png(pyvips.Image.black(30, 60, bands=1).copy(interpretation="b-w"))
    (variant,) = made(grey, spec("contain:#ff8000"))
    assert at(opened(variant.data), 0.0, 0.5)[:3] == pytest.approx([255, 128, 0], abs=12)


def test_around_a_picture_it_can_be_transparent() -> None:
    (variant,) = made(halves(upright=True), spec("contain:transparent"))

    picture = opened(variant.data)
    assert at(picture, 0.0, 0.5)[3] == 0
    assert at(picture, 0.5, 0.1)[3] == 255


@pytest.mark.parametrize("gravity", sorted(set(Gravity) - LOOKING))
def test_a_small_picture_lies_where_it_is_asked_to(gravity: Gravity) -> None:
    small = (pyvips.Image.black(10, 10) + 255).cast("uchar").copy(interpretation="b-w")

    boxed = fit_into(small, (30, 30), Contain(colour="#000000", gravity=gravity))

    x, y = {"west": (0, 1), "east": (2, 1), "north": (1, 0), "south": (1, 2)}.get(gravity, (1, 1))
    assert boxed.crop(x * 10, y * 10, 10, 10).avg() == 255
    assert boxed.avg() == pytest.approx(255 / 9)


@pytest.mark.parametrize("fit", [Cover(gravity=Gravity.ATTENTION), Contain(colour="#00ff00")])
def test_all_frames_of_an_animation_are_cut_at_the_same_place(fit: Fit) -> None:
    first = flat(90, 30, 90, 90, 90)
    skin = flat(20, 20, 224, 172, 105)
    frames = [first.insert(skin, 65, 5), first.insert(skin, 5, 5)]
    tall = pyvips.Image.arrayjoin(frames, across=1).copy()
    tall.set_type(pyvips.GValue.gint_type, "page-height", 30)

    boxed = fit_into(tall, (30, 30), fit) if isinstance(fit, Cover) else fit_into(tall, (90, 40), fit)

    assert boxed.height == 2 * page_height(boxed)
    alone = [fit_into(frame, (30, 30) if isinstance(fit, Cover) else (90, 40), fit) for frame in frames[:1]]
    assert (boxed.crop(0, 0, boxed.width, page_height(boxed)) - alone[0]).abs().max() == 0
    if isinstance(fit, Cover):  # the second frame has its patch elsewhere, and is cut where the first is
        second = boxed.crop(0, page_height(boxed), boxed.width, page_height(boxed))
        assert (second - [90, 90, 90]).abs().max() == 0


# -- beside other rules -----------------------------------------------------------------------------------------------


def test_a_box_that_the_source_has_is_no_reason_to_keep_the_sources_bytes() -> None:
    data = made(halves(upright=True), VariantSpec(name="whole", format="webp", quality=30, effort=4))[0].data
    (variant,) = made(data, spec("cover", (120, 240)))
    assert variant.instead is None


def test_files_of_other_boxes_are_other_files() -> None:
    small = corpus.png(corpus.photo(50, 40))
    one, other = made(small, spec("contain:#ffffff", (60, 60)), replace(spec("contain:#ffffff", (80, 60)), name="b"))
    assert (one.width, other.width) == (60, 80)


@given(st.integers(1, 3000), st.integers(1, 3000), st.booleans(), st.sampled_from(FITS[3:]))
def test_what_is_set_into_a_box_takes_no_less_than_the_picture(
    width: int, height: int, has_alpha: bool, text: str
) -> None:
    info = ImageInfo(format="png", width=width, height=height, bands=4 if has_alpha else 3, has_alpha=has_alpha)
    plain = Recipe(name="test", version=1, specs=(replace(spec("inside", (1920, 1080)), fit=None), STANDARD.specs[-1]))
    boxed = replace(plain, specs=(spec(text, (1920, 1080)), STANDARD.specs[-1]))

    for estimate in (least_bytes, working_bytes):
        assert estimate(info, 0, boxed) >= estimate(info, 0, plain)
