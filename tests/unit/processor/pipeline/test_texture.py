"""What decoded pixels tell: how much is written of them, and what kind of alpha they have."""

from __future__ import annotations

import pytest
import pyvips

from processor.formats.info import ImageInfo
from processor.pipeline.estimate import NOISE_WRITTEN, PHOTO_WRITTEN, is_open, least_bytes, left_bytes, working_bytes
from processor.pipeline.texture import Texture, texture_of
from processor.recipes import STANDARD
from tests import corpus

SIDE = 300
STILL = ImageInfo(format="png", width=4000, height=3000, has_alpha=True, bands=4)
MOVING = ImageInfo(format="webp", width=400, height=300, frames=50, has_alpha=True, bands=4)


def noise() -> pyvips.Image:
    return pyvips.Image.gaussnoise(SIDE, SIDE, mean=128, sigma=60, seed=corpus.SEED).cast("uchar").copy_memory()


def texture(*bands: pyvips.Image) -> Texture:
    first, *more = bands
    return texture_of(first.bandjoin(more).copy(interpretation="srgb").copy_memory(), STANDARD.full_size)


def photo() -> pyvips.Image:
    return corpus.large(SIDE, SIDE)


def test_noise_is_told_from_a_photograph_and_that_from_one_colour() -> None:
    flat = texture(*corpus.flat(SIDE, SIDE, (9, 90, 190)).bandsplit())
    noisy = texture(*(noise().rot(turn) for turn in ("d0", "d90", "d180")))
    real = texture(*photo().bandsplit())

    assert flat.colour_bytes < PHOTO_WRITTEN / 2 < real.colour_bytes < NOISE_WRITTEN / 2 < noisy.colour_bytes
    assert {flat.levels, noisy.levels, real.levels} == {0}


@pytest.mark.parametrize(
    ("alpha", "levels", "change"),
    [
        (lambda: pyvips.Image.xyz(SIDE, SIDE)[0] > SIDE / 2, range(2, 3), (0.0, 0.1)),
        (lambda: pyvips.Image.xyz(SIDE, SIDE)[0].linear(255 / SIDE, 0).cast("uchar"), range(200, 257), (0.0, 0.1)),
        (noise, range(200, 257), (0.9, 1.0)),
        (lambda: pyvips.Image.black(SIDE, SIDE) + 128, range(1, 2), (0.0, 0.0)),
    ],
    ids=["mask", "ramp", "noise", "even"],
)
def test_degrees_of_alpha_are_counted_and_changes_are_seen(
    alpha: object, levels: range, change: tuple[float, float]
) -> None:
    found = texture(*photo().bandsplit(), alpha().cast("uchar"))  # type: ignore[operator]

    assert found.levels in levels
    assert change[0] <= found.change <= change[1]


def test_a_picture_of_one_pixel_has_a_texture() -> None:
    tiny = corpus.flat(1, 1, (1, 2, 3, 4))

    assert texture_of(tiny, STANDARD.full_size).levels == 1


@pytest.mark.parametrize("info", [STILL, MOVING], ids=["still", "moving"])
def test_what_is_left_lies_between_the_least_and_the_most(info: ImageInfo) -> None:
    nothing = Texture(colour_bytes=0.0, alpha_bytes=0.0, levels=0, change=0.0)
    all_noise = Texture(colour_bytes=NOISE_WRITTEN, alpha_bytes=1.0, levels=256, change=1.0)
    mask = Texture(colour_bytes=PHOTO_WRITTEN, alpha_bytes=0.0, levels=2, change=0.0)
    soft = Texture(colour_bytes=PHOTO_WRITTEN, alpha_bytes=0.1, levels=200, change=0.1)

    left = [left_bytes(info, 1000, STANDARD, each) for each in (nothing, mask, soft, all_noise)]

    assert is_open(info, 1000, STANDARD)
    assert left == sorted(set(left))
    assert left[0] <= least_bytes(info, 1000, STANDARD) + info.width * info.height
    assert left[-1] <= working_bytes(info, 1000, STANDARD)


def test_once_it_is_decoded_nothing_is_left_for_the_decoder() -> None:
    info = ImageInfo(format="avif", width=4000, height=3000, decoder_bytes=17 * 12_000_000)

    assert not is_open(info, 1000, STANDARD)
    assert left_bytes(info, 1000, STANDARD, None) < working_bytes(info, 1000, STANDARD) * 0.7
