"""Shrinks a picture to what a glance at it shows: so few samples that Python looks at each of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from operator import add, mul

import pyvips

from processor.pipeline.roll import page_height

#: The longer side is at least as long, in pixels, if it was before; and less than twice as long.
SIDE = 24
#: The longer side of what is tiny.
TINY_SIDE = 16
WHITE = 255

#: The samples of a band, row by row.
Plane = bytes


@dataclass(frozen=True, kw_only=True)
class Glance:
    """A small picture. `colours` are red, green and blue, or grey alone."""

    width: int
    height: int
    colours: tuple[Plane, ...]
    alpha: Plane | None = None
    #: Of how many pixels of the picture each is the mean, along both sides.
    shrink: tuple[int, int] = (1, 1)

    @cached_property
    def on_white(self) -> tuple[Plane, ...]:
        """The colours that are seen on white."""
        if self.alpha is None:
            return self.colours
        return tuple(
            bytes(
                (sample * alpha + WHITE * (WHITE - alpha)) // WHITE
                for sample, alpha in zip(plane, self.alpha, strict=True)
            )
            for plane in self.colours
        )

    @cached_property
    def tiny(self) -> Glance:
        """The same with at most `TINY_SIDE` pixels along the longer side, and more than half as many."""
        shrink = -(-max(self.width, self.height) // TINY_SIDE)
        if shrink == 1:
            return self
        sums = [self._sums(plane, shrink) for plane in self.colours]
        if self.alpha is None:
            return self._shrunk(shrink, tuple(_shares(each, shrink**2) for each in sums), None)
        # What is invisible has no part in the colours.
        seen = self._sums(self.alpha, shrink)
        parts = [self._sums(list(map(mul, plane, self.alpha)), shrink) for plane in self.colours]
        colours = tuple(bytes(part // a if a else 0 for part, a in zip(each, seen, strict=True)) for each in parts)
        return self._shrunk(shrink, colours, _shares(seen, shrink**2))

    def _shrunk(self, shrink: int, colours: tuple[Plane, ...], alpha: Plane | None) -> Glance:
        across, down = self.shrink
        return Glance(
            width=-(-self.width // shrink),
            height=-(-self.height // shrink),
            colours=colours,
            alpha=alpha,
            shrink=(across * shrink, down * shrink),
        )

    def _sums(self, plane: Sequence[int], shrink: int) -> list[int]:
        """Of the samples in each square. What the last squares lack is like the edge."""
        found: list[int] = []
        lines = [plane[start : start + self.width] for start in range(0, len(plane), self.width)]
        lines += [lines[-1]] * (-len(lines) % shrink)
        for first in range(0, len(lines), shrink):
            line = list(_added(lines[first : first + shrink]))
            line += [line[-1]] * (-len(line) % shrink)
            found += _added([line[at::shrink] for at in range(shrink)])
        return found


def glance(picture: pyvips.Image) -> Glance:
    """The first frame, its sides divided by a whole number. Each pixel is the mean of those that it was."""
    # Each look at a field of an image takes Python as long as fifty pixels, so it looks once.
    width, whole, height = picture.width, picture.height, page_height(picture)
    frame = picture if height == whole else picture.crop(0, 0, width, height)
    shrink = max(1, max(width, height) // SIDE)
    across, down = min(shrink, width), min(shrink, height)
    if not frame.hasalpha():
        small = frame.shrink(across, down)
    else:
        small = frame.premultiply().shrink(across, down).unpremultiply().cast(frame.format)
    # In this thread: libvips' pool would cost more than so few pixels do.
    width, height, bands = small.width, small.height, small.bands
    samples = bytes(pyvips.Region.new(small).fetch(0, 0, width, height))
    colours = [samples[band::bands] for band in range(bands)]
    alpha = colours.pop() if small.hasalpha() else None
    return Glance(width=width, height=height, colours=tuple(colours), alpha=alpha, shrink=(across, down))


def _added(lines: Sequence[Sequence[int]]) -> Iterable[int]:
    return reduce(partial(map, add), lines)


def _shares(sums: Iterable[int], count: int) -> Plane:
    return bytes((total + count // 2) // count for total in sums)
