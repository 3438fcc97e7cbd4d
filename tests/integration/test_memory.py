"""The estimate by which images are admitted is what they take, measured in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import pyvips

from benchmarks.memory import ALLOCATORS, NO_LIMITS, cases, measure, picture
from processor.fits import read_fit
from processor.pipeline.estimate import least_bytes
from processor.pipeline.limits import Deadline
from processor.pipeline.render import inspect, render
from processor.pipeline.steps.srgb import PROFILE_FIELD
from processor.recipes import Recipe, VariantSpec, standard
from tests import corpus
from tests.corpus import containers, hostile, metadata
from tests.jemalloc import JEMALLOC, needs_jemalloc

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell what a process held"),
    pytest.mark.slow,
]

#: Size of a picture. What the process needs beside it is small then, and its jitter too.
MEGAPIXELS = 4
#: By how much the estimate may be wrong.
TOLERANCE = 0.1
#: The jitter of what a process holds beside its pictures.
JITTER_BYTES = 8 * 1024 * 1024
CASES = cases(MEGAPIXELS)
#: What the header tells, or takes for what nearly all pictures take.
TOLD = (
    "jpeg",
    "jpeg-noise",
    "jpeg-turned",
    "jpeg-progressive-444",
    "jpeg-cmyk",
    "jpeg-cmyk-progressive",
    "jpeg-grey",
    "png",
    "png-noise",
    "png-flat",
    "png-16-interlaced",
    "png-alpha-noise",
    "png-alpha-of-noise",
    "png-alpha-16",
    "webp",
    "gif",
    "gif-of-three",
    "apng-of-three-noise",
    "webp-of-three",
    "webp-of-three-photos",
    "webp-of-many",
    "webp-tall",
    "webp-of-three-alpha",
    "webp-of-many-noisy-alpha",
)
#: What depends on the alpha that comes out, or on how much is written.
WITHIN_A_RANGE = (
    "png-alpha-smooth",
    "png-alpha-mask",
    "png-palette-mask",
    "gif-mask",
    "apng-of-patches-over",
    "tiff-samples",
    "webp-alpha-mask",
    "webp-of-many-masks",
    "webp-of-many-photos",
    "webp-of-tiny",
    "gif-of-three-photos",
    "gif-of-three-cleared",
    "gif-of-many-photos",
    "gif-of-tiny",
    "gif-of-patches-restored",
    "apng-of-three",
    "apng-of-many-cleared",
    "apng-of-many-alpha",
)
#: What is known when it is decoded, though its header told less, or there was more for the decoder alone.
TOLD_BY_PIXELS = (
    *("png-alpha-solid", "png-alpha-mask", "png-alpha-smooth", "png-alpha-noise", "png-palette-mask"),
    *("webp-alpha-mask", "gif-mask", "avif", "avif-10-444", "tiff-alpha-mask"),
)
#: What takes the most with effort: all that is written is listed first.
LISTED = ("jpeg-noise", "png-noise", "webp-of-three", "apng-of-three-alpha", "webp-of-many-noisy-alpha")


def _small() -> pyvips.Image:
    return picture(0.05)


def _metadata() -> bytes:
    return b"II*\0\x08\0\0\0\0\0" + bytes(30_000_000)


def _webp_of_metadata() -> bytes:
    small = _small()
    return containers.webp_with_metadata(corpus.webp(small), small.width, small.height, exif=_metadata())


#: What is small, or has few pixels, and could take much: metadata, profiles, and copies of a damaged file.
HOSTILE: Mapping[str, Callable[[], bytes]] = {
    "webp-of-metadata": _webp_of_metadata,
    "webp-cut": lambda: _webp_of_metadata()[:-1000],
    "webp-of-profile": lambda: _with_profile(".webp", 130),
    "webp-of-huge-profile": lambda: _with_profile(".webp", 220),
    "png-of-profile": lambda: _with_profile(".png", 130),
    "png-of-huge-profile": lambda: _with_profile(".png", 220),
    "tiff-of-profile": lambda: _with_profile(".tif", 130),
    "avif-of-metadata": lambda: metadata.avif(_small(), exif=_metadata()),
    "avif-narrow": lambda: bytes(
        corpus.photo(512, 16).replicate(30, 1).heifsave_buffer(compression="av1", effort=0, Q=30)
    ),
    "jpeg-of-refuse": lambda: corpus.jpeg(_small())[:-2] + bytes(30_000_000) + b"\xff\xd9",
}


def _preset(*boxes: tuple[int, int] | None, fit: str | None = None) -> Recipe:
    """A variant for each box, each of another quality, so that no two are the same file."""
    fits = None if fit is None else read_fit(fit)
    specs = (
        VariantSpec(name=f"v{number}", format="webp", quality=60 + number, box=box, fit=fits)
        for number, box in enumerate(boxes)
    )
    return Recipe(name="own", version=1, specs=tuple(specs))


#: What tenants may ask for, and the standard recipe has not.
PRESETS = {
    "on-a-clear-ground": _preset((300, 300), (800, 800), (2000, 2000), fit="contain:transparent"),
    "on-a-colour": _preset((300, 300), (800, 800), (2000, 2000), fit="contain:#ff0000"),
    "twelve-of-full-size": _preset(*[None] * 12),
    "a-thumbnail": _preset((300, 300)),
}
#: What takes many blocks of less than 1 MiB, from one thread after the other.
SMALL_BLOCKS = ("gif-of-many", "webp-of-many-alpha", "webp-of-many-noisy-alpha", "apng-of-many-alpha")


@pytest.mark.parametrize("name", TOLD)
def test_the_estimate_is_what_a_picture_takes(name: str) -> None:
    measured = measure(CASES[name]())

    assert measured.estimate >= _least(measured.peak)
    assert measured.estimate <= _most(measured.peak)


@pytest.mark.parametrize("name", ["jpeg", "png-noise", "png-flat", "png-alpha-noise", "gif", "webp-of-three-photos"])
def test_what_a_smaller_picture_takes_is_reserved(name: str) -> None:
    measured = measure(cases(2)[name]())

    assert measured.least <= _most(measured.peak)
    assert measured.peak <= _most(measured.estimate)


@pytest.mark.parametrize("name", WITHIN_A_RANGE)
def test_what_the_pixels_decide_lies_between_the_least_and_the_most(name: str) -> None:
    measured = measure(CASES[name]())

    assert measured.least <= _most(measured.peak)
    assert measured.peak <= _most(measured.estimate)


@pytest.mark.parametrize("name", TOLD_BY_PIXELS)
def test_what_is_kept_once_a_picture_is_decoded_is_what_it_takes_from_then_on(name: str) -> None:
    measured = measure(CASES[name]())

    assert measured.left >= _least(measured.later)
    assert measured.left <= _most(measured.later)


def test_alpha_that_hides_nothing_takes_the_least() -> None:
    measured = measure(CASES["png-alpha-solid"]())

    assert measured.least >= _least(measured.peak)
    assert measured.least <= _most(measured.peak)


@pytest.mark.parametrize("name", LISTED)
def test_the_most_that_more_effort_takes_is_what_noise_takes(name: str) -> None:
    measured = measure(CASES[name](), effort=4)

    assert measured.peak <= _most(measured.estimate)
    assert measured.estimate <= _most(measured.peak)


@needs_jemalloc
@pytest.mark.parametrize("name", SMALL_BLOCKS)
def test_jemalloc_as_in_the_image_keeps_no_more_than_is_reserved(name: str) -> None:
    measured = measure(CASES[name](), allocator=JEMALLOC)

    assert measured.peak <= _most(measured.estimate)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_all_but_pixels_takes_no_more_than_is_reserved(name: str) -> None:
    measured = measure(HOSTILE[name]())

    assert measured.peak <= _most(measured.estimate)


def _with_profile(suffix: str, steps: int) -> bytes:
    image = _small().copy()
    image.set_type(pyvips.GValue.blob_type, PROFILE_FIELD, hostile.profile(steps))
    return bytes(image.write_to_buffer(suffix, keep="icc"))


@pytest.mark.parametrize("name", ["jpeg", "jpeg-flat"])
def test_more_effort_takes_what_lies_between_the_least_and_the_most(name: str) -> None:
    measured = measure(CASES[name](), effort=4)

    assert measured.least < measured.estimate
    assert measured.least <= _most(measured.peak)
    assert measured.peak <= _most(measured.estimate)


@pytest.mark.parametrize(
    "name", ["jpeg", "png-noise", "png-alpha-noise", "gif-of-three", "webp-of-many", "apng-of-many-alpha"]
)
def test_what_effects_take_is_reserved(name: str) -> None:
    measured = measure(CASES[name](), sharpen=0.8)

    assert measured.least > least_of(name)
    assert measured.peak <= _most(measured.estimate)


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("jpeg", "on-a-clear-ground"),
        ("jpeg", "on-a-colour"),
        ("png-alpha-noise", "on-a-clear-ground"),
        ("webp-of-many", "on-a-clear-ground"),
        ("png-alpha-noise", "twelve-of-full-size"),
        ("png-noise", "twelve-of-full-size"),
        ("png-alpha-noise", "a-thumbnail"),
        ("jpeg", "a-thumbnail"),
        ("jpeg-flat", "a-thumbnail"),
        ("jpeg-cmyk", "a-thumbnail"),
    ],
)
def test_what_a_preset_takes_is_reserved_and_not_much_more(name: str, preset: str) -> None:
    measured = measure(CASES[name](), recipe=PRESETS[preset])

    assert measured.least <= _most(measured.peak)
    assert measured.peak <= _most(measured.estimate)
    assert measured.left <= _most(measured.later)


@pytest.mark.parametrize(
    "options", [{"subsample_mode": "on"}, {"subsample_mode": "off"}, {"subsample_mode": "on", "interlace": True}]
)
@pytest.mark.parametrize("megapixels", [4, 24])
def test_what_it_takes_to_compare_a_damaged_jpeg_is_reserved(megapixels: float, options: dict[str, Any]) -> None:
    sound = corpus.jpeg(picture(megapixels), **options)

    measured = measure(corpus.damage.with_stray_bytes(sound), recipe=PRESETS["a-thumbnail"])

    assert measured.peak <= _most(measured.estimate)


@pytest.mark.parametrize(
    ("name", "effort"),
    [("jpeg", 1), ("jpeg-flat", 1), ("jpeg-noise", 3), ("png-alpha-mask", 1), ("png-alpha-of-noise", 2), ("jpeg", 4)],
)
def test_what_avif_takes_lies_between_the_least_and_the_most(name: str, effort: int) -> None:
    measured = measure(CASES[name](), effort, ALLOCATORS["child"], format_="avif")

    assert measured.least <= _most(measured.peak)
    assert measured.peak <= _most(measured.estimate)


def _most(taken: int) -> float:
    return taken * (1 + TOLERANCE) + JITTER_BYTES


def _least(taken: int) -> float:
    return taken * (1 - TOLERANCE) - JITTER_BYTES


def least_of(name: str) -> int:
    data = CASES[name]()
    return least_bytes(inspect(data, NO_LIMITS), len(data), standard(2))


def test_a_process_holds_no_more_after_many_pictures_than_after_some() -> None:
    command = [sys.executable, "-m", "benchmarks.memory_burst", "--small", "1500"]
    table = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
    megabytes = [float(row.split("|")[2]) for row in table.splitlines()[2:]]

    assert len(megabytes) == 10
    assert max(megabytes[3:]) - megabytes[2] < 10


def test_a_picture_that_libwebp_refuses_in_a_hurry_is_converted() -> None:
    """It has room for 512 KiB of modes, and at effort 0 finds out too late that they are more."""
    recipe = Recipe(name="fine", version=1, specs=(VariantSpec(name="fine", format="webp", quality=90, effort=0),))
    data = corpus.png(picture(26), compression=1)

    rendered = render(data, inspect(data, NO_LIMITS), recipe, Deadline(NO_LIMITS.timeout_seconds))

    assert rendered.variants[0].data.startswith(b"RIFF")
