"""AVIF variants beside the WebP ones of the same recipe, as Pillow's own decoder sees them."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import pyvips
from PIL import Image

from processor.formats import AVIF, encoding_of
from processor.images import Variant
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.recipes import FURTHER, STANDARD, VariantSpec, sharpened
from tests import corpus
from tests.unit.processor.pipeline.compare import difference, rendered
from tests.unit.processor.pipeline.test_fidelity import as_vips

RECIPE = replace(STANDARD, further=FURTHER[AVIF.name])
FINE = VariantSpec(name="fine", format=AVIF.name, quality=90, effort=2)
#: Mean difference in steps of 255 that the loss makes at quality 90, with half the colour.
FINELY = 3.0
#: By how much the loss may move the colour beside an edge of transparency.
BESIDE_AN_EDGE = 12


def made(data: bytes, *specs: VariantSpec) -> tuple[Variant, ...]:
    return rendered(data, specs=specs or RECIPE.further).variants


def seen(variant: Variant) -> pyvips.Image:
    """By Pillow, whose libavif and decoder are its own."""
    with Image.open(io.BytesIO(variant.data), formats=["AVIF"]) as picture:
        assert "icc_profile" not in picture.info
        assert "exif" not in picture.info
        return as_vips(picture)


@pytest.mark.parametrize(
    "name",
    ["jpeg", "jpeg-grey", "jpeg-orientation-6", "jpeg-p3", "png-alpha", "webp", "avif", "very-wide", "very-tall"],
)
def test_every_variant_has_the_size_that_it_has_as_webp(name: str) -> None:
    data = corpus.SAMPLES[name].make()
    sizes = [(each.name, each.width, each.height) for each in rendered(data).variants]

    avif = made(data)

    assert [(each.name, each.width, each.height) for each in avif] == sizes
    for each in avif:
        picture = seen(each)
        assert (picture.width, picture.height) == (each.width, each.height)


def test_a_photograph_is_the_same_picture() -> None:
    original = corpus.photo(320, 240)
    (variant,) = made(corpus.png(original), FINE)
    assert difference(seen(variant), original) < FINELY


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (18, 52, 86)])
def test_a_colour_is_that_colour_for_a_player_that_is_told_nothing_but_the_picture(
    colour: tuple[int, int, int],
) -> None:
    (variant,) = made(corpus.png(corpus.flat(40, 30, colour)), FINE)
    assert seen(variant).getpoint(20, 15) == pytest.approx(colour, abs=2)


def test_a_wide_gamut_is_srgb_in_the_file() -> None:
    data = corpus.p3_jpeg(corpus.flat(40, 30, (200, 60, 40)))
    (avif,), (webp,) = made(data, FINE), rendered(data, specs=(replace(FINE, format="webp", quality=100),)).variants
    expected = pyvips.Image.webpload_buffer(webp.data).getpoint(20, 15)
    assert seen(avif).getpoint(20, 15) == pytest.approx(expected, abs=3)


def test_an_edge_of_transparency_has_no_halo() -> None:
    """A red disc on nothing, whose hidden pixels are green: beside its edge nothing green is to be seen."""
    place = pyvips.Image.xyz(120, 120)
    inside = ((place[0] - 60) ** 2 + (place[1] - 60) ** 2) < 40**2
    red, green = corpus.flat(120, 120, (200, 30, 30)), corpus.flat(120, 120, (30, 200, 30))
    picture = inside.ifthenelse(red, green).bandjoin(inside).copy(interpretation="srgb")

    for spec in (FINE, replace(RECIPE.further[0], name="shrunk", box=(60, 60))):
        (variant,) = made(corpus.png(picture), spec)
        found = seen(variant)
        assert found.bands == 4
        shown = found.flatten(background=(255, 255, 255)).copy_memory()
        assert float((shown[1].cast("int") - shown[0].cast("int")).max()) <= BESIDE_AN_EDGE


def test_soft_transparency_stays_soft() -> None:
    data = corpus.png(corpus.with_alpha(corpus.photo(200, 150)))
    (avif,), (webp,) = made(data, FINE), rendered(data, specs=(replace(FINE, format="webp", quality=100),)).variants
    apart = (seen(avif)[3].cast("int") - pyvips.Image.webpload_buffer(webp.data)[3].cast("int")).abs()
    assert float(apart.avg()) < 1.5


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 5), (17, 16)])
def test_a_tiny_or_odd_picture_is_written_too(size: tuple[int, int]) -> None:
    (variant,) = made(corpus.png(corpus.flat(*size, (90, 120, 160))), FINE)
    assert (seen(variant).width, seen(variant).height) == size


def test_what_is_sharpened_is_sharpened_in_every_format() -> None:
    recipe = sharpened(RECIPE, [0.8])
    assert [spec.effects for spec in recipe.further] == [spec.effects for spec in recipe.specs]
    data = corpus.jpeg(corpus.photo(400, 300))

    def thumbnail(further: tuple[VariantSpec, ...]) -> bytes:
        asked = replace(recipe, further=further).in_format(AVIF.name)
        return render(data, inspect(data, FileLimits()), asked, Deadline(60)).variants[0].data

    assert thumbnail(recipe.further) != thumbnail(RECIPE.further)


def test_the_same_picture_is_the_same_file() -> None:
    data = corpus.jpeg(corpus.photo(320, 240))
    assert [each.data for each in made(data)] == [each.data for each in made(data)]


def test_it_is_written_as_every_player_shows_it() -> None:
    options = encoding_of(AVIF.name).options(60, 2)
    assert (options["bitdepth"], options["subsample_mode"]) == (8, "on")
    (variant,) = made(corpus.jpeg(corpus.photo(64, 64)), FINE)
    configuration = variant.data.index(b"av1C") + 4
    profile, _, flags = variant.data[configuration + 1] >> 5, *variant.data[configuration + 1 : configuration + 3]
    assert profile == 0  # Main: 8 or 10 bits, 4:2:0
    assert flags & 0b0110_0000 == 0  # 8 bits
