"""The pictures that every sample is made of: drawn by formula, seeded, the same on every machine."""

from __future__ import annotations

from functools import lru_cache

import pyvips

#: Seed of all noise.
SEED = 20_260_101
#: Cell sizes of the cloud layers, as parts of the longer side, with their weights: natural pictures are 1/f.
_OCTAVES = ((2, 70.0), (5, 40.0), (13, 22.0), (37, 12.0), (97, 7.0))


def photo(width: int, height: int, *, seed: int = SEED) -> pyvips.Image:
    """sRGB, 8 bits: soft clouds, a few hard edges and sensor noise, so that codecs work as hard as on a photograph."""
    return _photo(width, height, seed).copy()


def large(width: int, height: int) -> pyvips.Image:
    """The same small photo again and again: as much work for codecs, and a tenth of that for whoever draws it."""
    small = photo(width // 4 + 1, height // 4 + 1)
    return small.replicate(4, 4).crop(0, 0, width, height).copy_memory()


@lru_cache(maxsize=8)
def _photo(width: int, height: int, seed: int) -> pyvips.Image:
    bands = [_clouds(width, height, seed + 101 * band) for band in range(3)]
    shared = _clouds(width, height, seed + 7)
    picture = bands[0].bandjoin(bands[1:]) * 0.35 + shared * 0.65 + _edges(width, height)
    noise = pyvips.Image.gaussnoise(width, height, sigma=3.0, mean=0.0, seed=seed)
    return as_srgb(picture + noise)


def quarters(width: int = 96, height: int = 64) -> pyvips.Image:
    """Red, green, blue and white quarters: no two turns or mirrorings of it look alike."""
    left, low = width // 2, height // 2
    rows = [((220, 40, 40), (40, 200, 60)), ((40, 60, 220), (240, 240, 240))]
    row_images = [
        flat(left, low, one).join(flat(width - left, low, other), "horizontal")
        if row == 0
        else flat(left, height - low, one).join(flat(width - left, height - low, other), "horizontal")
        for row, (one, other) in enumerate(rows)
    ]
    return as_srgb(row_images[0].join(row_images[1], "vertical"))


def flat(width: int, height: int, colour: tuple[int, ...]) -> pyvips.Image:
    """One colour, 8 bits."""
    return as_srgb(pyvips.Image.black(width, height, bands=len(colour)) + list(colour))


def with_alpha(picture: pyvips.Image) -> pyvips.Image:
    """The picture, clear at the left edge and solid at the right."""
    ramp = pyvips.Image.xyz(picture.width, picture.height)[0] * (255.0 / max(1, picture.width - 1))
    return as_srgb(picture.bandjoin(ramp.cast("uchar")))


def as_srgb(picture: pyvips.Image) -> pyvips.Image:
    """Rounded to 8 bits, called sRGB, in memory."""
    return picture.rint().cast("uchar").copy(interpretation="srgb").copy_memory()


def _clouds(width: int, height: int, seed: int) -> pyvips.Image:
    longer = max(width, height)
    total = pyvips.Image.black(width, height) + 128.0
    for octave, (parts, weight) in enumerate(_OCTAVES):
        cell = max(2, longer // parts)
        total += pyvips.Image.perlin(width, height, cell_size=cell, seed=seed + octave) * weight
    return total


def _edges(width: int, height: int) -> pyvips.Image:
    """Hard-edged shapes, as buildings and letters have them."""
    cells = pyvips.Image.worley(width, height, cell_size=max(2, max(width, height) // 9), seed=SEED)
    return (cells > max(width, height) / 30) / 255.0 * 45.0 - 20.0
