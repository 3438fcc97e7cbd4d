"""Makes a BlurHash: a blurred picture in 28 characters, for the many programs that can show one."""

from __future__ import annotations

import math
from functools import lru_cache
from operator import mul

import pyvips

from processor.pipeline.roll import page_height
from processor.pipeline.steps.fit import fit
from processor.pipeline.steps.glance import SIDE

#: Waves along the longer side and along the shorter one.
LONG, SHORT = 4, 3
#: Longest side of what the waves are looked for in, in pixels: that of a glance.
_SIDE = 2 * SIDE
_WHITE = 255
#: The digits of the hash (Wolt, "BlurHash", Algorithm).
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
_BASE, _MOST_RANGE, _STEPS, _NO_WAVE = len(_DIGITS), 82, 19, 9
_RANGE_UNIT = 166


def _linear(sample: int) -> float:
    """sRGB (IEC 61966-2-1) to linear light."""
    value = sample / _WHITE
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - see above


def _coded(light: float) -> int:
    value = min(1.0, max(0.0, light))
    curved = value * 12.92 if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055  # noqa: PLR2004 - the inverse
    return int(curved * _WHITE + 0.5)


_LIGHT = tuple(_linear(sample) for sample in range(256))


def blurhash(picture: pyvips.Image) -> str:
    """The hash of the first frame on white, with four waves along its longer side and three along the other."""
    frame = picture.crop(0, 0, picture.width, page_height(picture))
    if frame.hasalpha():
        frame = frame.flatten(background=_WHITE)
    shrink = max(frame.width, frame.height, _SIDE) / _SIDE
    small = fit(frame, max(1, round(frame.width / shrink)), max(1, round(frame.height / shrink)))
    across, down = (LONG, SHORT) if frame.width >= frame.height else (SHORT, LONG)
    bands = [_waves(band, small.width, small.height, across, down) for band in _planes(small)]
    return _hash(list(zip(*bands, strict=True)), across, down)


def _planes(small: pyvips.Image) -> list[list[float]]:
    """The samples of red, green and blue, in linear light."""
    samples = bytes(small.write_to_memory())
    planes = [[_LIGHT[sample] for sample in samples[band :: small.bands]] for band in range(small.bands)]
    return planes if small.bands > 1 else planes * 3


def _waves(plane: list[float], width: int, height: int, across: int, down: int) -> list[float]:
    """How much of each wave there is in a plane, row by row: first along its lines, then down its columns."""
    lines = [plane[start : start + width] for start in range(0, width * height, width)]
    columns = [[sum(map(mul, line, wave)) for line in lines] for wave in _cosines(across, width)]
    return [
        sum(map(mul, column, wave)) * (2 if x or y else 1) / (width * height)
        for y, wave in enumerate(_cosines(down, height))
        for x, column in enumerate(columns)
    ]


@lru_cache(maxsize=64)
def _cosines(waves: int, length: int) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(math.cos(math.pi * wave * at / length) for at in range(length)) for wave in range(waves))


def _hash(colours: list[tuple[float, ...]], across: int, down: int) -> str:
    mean, *waves = colours
    highest = max(abs(share) for wave in waves for share in wave)
    steps = min(_MOST_RANGE, max(0, int(highest * _RANGE_UNIT - 0.5)))
    most = (steps + 1) / _RANGE_UNIT
    red, green, blue = map(_coded, mean)
    head = _digits(across - 1 + (down - 1) * 9, 1) + _digits(steps, 1) + _digits(red << 16 | green << 8 | blue, 4)
    return head + "".join(_digits(_packed(wave, most), 2) for wave in waves)


def _packed(wave: tuple[float, ...], most: float) -> int:
    packed = 0
    for share in wave:
        part = math.copysign(math.sqrt(abs(share / most)), share)
        packed = packed * _STEPS + min(_STEPS - 1, max(0, int(part * _NO_WAVE + _NO_WAVE + 0.5)))
    return packed


def _digits(value: int, count: int) -> str:
    return "".join(_DIGITS[value // _BASE**place % _BASE] for place in reversed(range(count)))
