"""What the pixels look like afterwards: upright, in sRGB, with alpha, frame by frame."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import pyvips

from processor.pipeline.decode import load, probe
from processor.pipeline.roll import page_height
from processor.pipeline.steps.fit import fit
from processor.pipeline.steps.orient import orient
from processor.recipes import VariantSpec
from tests import corpus
from tests.unit.processor.pipeline.compare import FINE, colour_at, difference, opened, rendered, variant

#: Mean absolute difference that a lossy round trip through JPEG and WebP may leave.
LOSSY = 3.0
#: The same where nothing but the last encoder may lose anything.
CLOSE = 2.0


@pytest.mark.parametrize("orientation", corpus.ORIENTATIONS)
@pytest.mark.parametrize("make", [corpus.jpeg, corpus.png, corpus.webp])
def test_every_orientation_comes_out_upright(make: Callable[..., bytes], orientation: int) -> None:
    picture = corpus.quarters()

    result = rendered(make(picture, orientation=orientation), specs=FINE)

    assert result.source.orientation == orientation
    assert (result.variants[0].width, result.variants[0].height) == (picture.width, picture.height)
    assert difference(opened(result.variants[0]), picture) < LOSSY


@pytest.mark.parametrize("orientation", corpus.ORIENTATIONS)
def test_a_turned_image_is_fitted_as_it_is_seen(orientation: int) -> None:
    small = variant(
        corpus.jpeg(corpus.photo(400, 200), orientation=orientation),
        VariantSpec(name="s", format="webp", quality=80, box=(100, 100)),
    )

    assert (small.width, small.height) == (100, 50)


@pytest.mark.parametrize("orientation", corpus.ORIENTATIONS)
def test_an_animation_is_turned_frame_by_frame(orientation: int) -> None:
    upright = [corpus.quarters(), corpus.quarters().invert()]
    lying = [corpus.as_orientation(frame, orientation) for frame in upright]
    data = corpus.animated(lying, ".webp", delays=(100, 100), Q=100)
    roll = load(data, probe(data), lambda image: image, lambda: None).copy()
    roll.set_type(pyvips.GValue.gint_type, "orientation", orientation)

    turned = orient(roll.copy_memory())

    assert page_height(turned) == upright[0].height
    for number, frame in enumerate(upright):
        seen = turned.crop(0, number * frame.height, frame.width, frame.height)
        assert difference(seen, frame) < LOSSY


def test_display_p3_becomes_the_srgb_it_came_from() -> None:
    picture = corpus.photo(160, 120)

    assert difference(opened(variant(corpus.p3_jpeg(picture))), picture) < CLOSE


def test_p3_pixels_taken_for_srgb_would_be_noticed() -> None:
    """The test above has teeth: without the profile the same file is off by more than it allows."""
    colourful = corpus.flat(64, 64, (230, 60, 40))
    stripped = corpus.jpeg(colourful.icc_transform("p3", input_profile="srgb"), quality=100, keep="none")

    assert difference(opened(variant(corpus.p3_jpeg(colourful))), colourful) < CLOSE
    assert difference(opened(variant(stripped)), colourful) > 5 * CLOSE


@pytest.mark.parametrize("profile", [True, False])
def test_cmyk_becomes_srgb_with_and_without_a_profile(profile: bool) -> None:
    muted = corpus.flat(64, 64, (150, 110, 90))  # within reach of the inks

    image = opened(variant(corpus.cmyk_jpeg(muted, profile=profile)))

    assert image.bands == 3
    assert difference(image, muted) < 6


def test_an_unusable_profile_is_no_reason_to_refuse() -> None:
    picture = corpus.photo(160, 120)

    image = opened(variant(corpus.damage.with_broken_profile(corpus.jpeg(picture, quality=100))))

    assert difference(image, picture) < LOSSY


@pytest.mark.parametrize(
    "name", ["png-sixteen-bit", "png-sixteen-bit-alpha", "png-interlaced", "jpeg-progressive", "webp-lossless"]
)
def test_depth_and_layout_of_the_source_do_not_show(name: str) -> None:
    image = opened(variant(corpus.SAMPLES[name].make()))

    assert difference(image, corpus.photo(160, 120)) < LOSSY


@pytest.mark.parametrize("name", ["jpeg-grey", "png-grey", "png-sixteen-bit-grey"])
def test_grey_stays_grey(name: str) -> None:
    image = opened(variant(corpus.SAMPLES[name].make()))
    grey = corpus.photo(160, 120).colourspace("b-w").colourspace("srgb")

    assert difference(image, grey) < LOSSY


def test_a_mislabelled_file_is_what_its_bytes_say() -> None:
    assert rendered(corpus.SAMPLES["mislabelled"].make(), specs=FINE).source.format == "png"


@pytest.mark.parametrize("name", ["png-alpha", "png-sixteen-bit-alpha", "webp-alpha", "png-grey-alpha"])
def test_alpha_is_kept_in_every_size(name: str) -> None:
    for output in rendered(corpus.SAMPLES[name].make()).variants:
        image = opened(output)
        assert image.hasalpha()
        assert colour_at(image, 0, 5)[3] < 8
        assert colour_at(image, image.width - 1, 5)[3] > 247


def test_what_is_invisible_does_not_bleed_into_what_is_seen() -> None:
    solid = corpus.flat(100, 200, (200, 30, 30, 255))
    hidden = corpus.flat(100, 200, (0, 255, 0, 0))
    picture = corpus.as_srgb(solid.join(hidden, "horizontal"))

    shrunk = fit(picture, 33, 33)

    edge = [colour_at(shrunk, x, 16) for x in range(33)]
    assert all(green < 45 for _, green, _, alpha in edge if alpha > 16)


def test_frames_do_not_run_into_each_other() -> None:
    frames = [corpus.flat(90, 90, grey) for grey in ((0, 0, 0), (255, 255, 255), (0, 0, 0))]
    roll = corpus.as_srgb(pyvips.Image.arrayjoin(frames, across=1)).copy()
    roll.set_type(pyvips.GValue.gint_type, "page-height", 90)

    shrunk = fit(roll, 31, 31)

    assert (page_height(shrunk), shrunk.height) == (31, 93)
    assert [shrunk.crop(0, 31 * number, 31, 31).avg() for number in range(3)] == [0, 255, 0]


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_an_animation_keeps_frames_delays_and_loop_in_every_size(suffix: str) -> None:
    result = rendered(corpus.animation(suffix, width=400, height=340))

    assert result.source.frames == len(corpus.DELAYS_MS)
    assert (result.variants[0].width, result.variants[0].height) == (300, 255)
    for output in result.variants:
        image = opened(output)
        assert image.get("n-pages") == len(corpus.DELAYS_MS)
        assert image.get("delay") == list(corpus.DELAYS_MS)
        assert image.get("loop") == corpus.LOOP
        assert image.get("page-height") == output.height
        greys = [colour_at(image, 5, 5 + number * output.height)[0] for number in range(len(corpus.DELAYS_MS))]
        assert greys == pytest.approx([40, 50, 60, 70], abs=4)


def test_sizes_made_from_sizes_are_as_good_as_sizes_made_from_the_original() -> None:
    picture = corpus.photo(2400, 1800)
    large = fit(picture, 1440, 1080).copy_memory()
    medium = fit(large, 800, 600).copy_memory()

    assert difference(medium, fit(picture, 800, 600)) < 1
    assert difference(fit(medium, 300, 225), fit(picture, 300, 225)) < 1
