"""Makes a fingerprint that is nearly the same for pictures that look alike."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from processor.pipeline.analyses.light import LIGHT, coded
from processor.pipeline.steps.glance import Glance

#: Steps from left to right, and rows of them: 64 bits.
ACROSS, DOWN = 8, 8
#: How bright red, green and blue are, as libvips weighs them.
_BRIGHTNESS = (0.2, 0.7, 0.1)
#: Light as a whole number, so that a table knows its code value.
_STEPS = 4095
_RED, _GREEN, _BLUE = (tuple(share * _STEPS * light for light in LIGHT) for share in _BRIGHTNESS)
_CODED = tuple(coded(step / _STEPS) for step in range(_STEPS + 1))


def likeness(seen: Glance) -> str:
    """The difference hash (dHash) of the picture on white: 16 hexadecimal digits.

    Each bit says whether the picture gets darker from one of 9 x 8 fields to its right neighbour. Fewer than ten bits
    differ between copies in other sizes, qualities and formats. It does not prove that two pictures are the same.
    """
    fields = _shrunk(_grey(seen), (seen.width, seen.height), (ACROSS + 1, DOWN))
    samples = [int(field + 0.5) for field in fields]
    rows = (samples[start : start + ACROSS + 1] for start in range(0, len(samples), ACROSS + 1))
    bits = "".join("01"[left > right] for row in rows for left, right in pairwise(row))
    return f"{int(bits, 2):0{ACROSS * DOWN // 4}x}"


def _grey(seen: Glance) -> Sequence[int]:
    if len(seen.on_white) == 1:
        return seen.on_white[0]
    pixels = zip(*seen.on_white, strict=True)
    return [_CODED[int(_RED[red] + _GREEN[green] + _BLUE[blue] + 0.5)] for red, green, blue in pixels]


def _shrunk(plane: Sequence[float], size: tuple[int, int], to: tuple[int, int]) -> list[float]:
    """A plane in another size, row by row. Each sample is a mean that weighs its neighbours by their distance."""
    width, height = size
    rows = [plane[start : start + width] for start in range(0, width * height, width)]
    columns = zip(*_along(rows, to[1]), strict=True)
    return [sample for row in zip(*_along(list(columns), to[0]), strict=True) for sample in row]


def _along(lines: Sequence[Sequence[float]], count: int) -> list[list[float]]:
    """So many lines in the place of these."""
    found = []
    for start, weights in _weights(len(lines), count):
        line = [weights[0] * sample for sample in lines[start]]
        for at, weight in enumerate(weights[1:], start + 1):
            line = [sum_ + weight * sample for sum_, sample in zip(line, lines[at], strict=True)]
        found.append(line)
    return found


@lru_cache(maxsize=128)
def _weights(count: int, to: int) -> tuple[tuple[int, tuple[float, ...]], ...]:
    """For each of `to` lines: the first line that it is made of, and the shares of that and the next ones."""
    step = max(1.0, count / to)
    found = []
    for line in range(to):
        middle = (line + 0.5) * count / to - 0.5
        shares = [max(0.0, 1 - abs(at - middle) / step) for at in range(count)]
        used = [at for at, share in enumerate(shares) if share]
        found.append((used[0], tuple(shares[at] / sum(shares) for at in used)))
    return tuple(found)
