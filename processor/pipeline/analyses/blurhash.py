"""Makes a BlurHash: a blurred picture in 28 characters, for the many programs that can show one."""

from __future__ import annotations

import math
from functools import lru_cache
from operator import mul

from processor.pipeline.analyses.light import LIGHT, coded
from processor.pipeline.steps.glance import Glance

#: Waves along the longer side and along the shorter one.
LONG, SHORT = 4, 3
#: The digits of the hash (Wolt, "BlurHash", Algorithm).
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
#: For each wave, the weight of each pixel along a side.
_Cosines = tuple[tuple[float, ...], ...]
_BASE, _MOST_RANGE, _STEPS, _NO_WAVE = len(_DIGITS), 82, 19, 9
_RANGE_UNIT = 166


def blurhash(seen: Glance) -> str:
    """The hash of the picture on white, with four waves along its longer side and three along the other."""
    across, down = (LONG, SHORT) if seen.width >= seen.height else (SHORT, LONG)
    tiny = seen.tiny
    columns = _cosines(across, seen.width * seen.shrink[0], tiny.shrink[0])
    rows = _cosines(down, seen.height * seen.shrink[1], tiny.shrink[1])
    bands = [_waves([LIGHT[sample] for sample in plane], columns, rows) for plane in tiny.on_white]
    return _hash(list(zip(*(bands if len(bands) > 1 else bands * 3), strict=True)), across, down)


def _waves(plane: list[float], columns: _Cosines, rows: _Cosines) -> list[float]:
    """How much of each wave there is in a plane, row by row: first along its lines, then down its columns."""
    width = len(columns[0])
    lines = [plane[start : start + width] for start in range(0, len(plane), width)]
    shares = [[sum(map(mul, line, wave)) for line in lines] for wave in columns]
    return [
        sum(map(mul, share, wave)) * (2 if x or y else 1)
        for y, wave in enumerate(rows)
        for x, share in enumerate(shares)
    ]


@lru_cache(maxsize=64)
def _cosines(waves: int, length: int, shrink: int) -> _Cosines:
    """Each wave along a side of so many pixels, of which each `shrink` are one: their sum, as a share of the side.

    The published waves do not begin in the middle of a pixel: over fewer pixels they would be other waves.
    """
    starts = range(0, length, shrink)
    return tuple(
        tuple(_sum(math.pi * wave / length, start, min(start + shrink, length)) / length for start in starts)
        for wave in range(waves)
    )


def _sum(turn: float, start: int, end: int) -> float:
    """Of cos(turn * n) for every n from `start` to before `end`."""
    if not turn:
        return end - start
    return math.sin((end - start) * turn / 2) / math.sin(turn / 2) * math.cos((start + end - 1) * turn / 2)


def _hash(colours: list[tuple[float, ...]], across: int, down: int) -> str:
    mean, *waves = colours
    highest = max(abs(share) for wave in waves for share in wave)
    steps = min(_MOST_RANGE, max(0, int(highest * _RANGE_UNIT - 0.5)))
    most = (steps + 1) / _RANGE_UNIT
    red, green, blue = map(coded, mean)
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
