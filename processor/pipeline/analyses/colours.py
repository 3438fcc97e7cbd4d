"""Finds the few colours that a picture mostly consists of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import pyvips

from processor.pipeline.roll import page_height
from processor.pipeline.steps.fit import fit
from processor.pipeline.steps.glance import SIDE

#: The most colours, and the least share of the picture that one has.
MOST, LEAST_SHARE = 5, 0.03
#: Longest side of what is counted, in pixels: that of a glance.
_SIDE = 2 * SIDE
#: Colours no further apart than this are one, as a distance in code values.
_APART = 56
#: Pixels with less alpha are not seen.
_SEEN = 128
#: Bits of each sample that decide which colours are counted together first.
_DROPPED_BITS = 4

_Colour = tuple[int, ...]
_Sums = tuple[int, ...]


#: Colours that are counted as one: their number, and the sums of their samples.
_Group = tuple[int, _Sums]


def dominant_colours(picture: pyvips.Image) -> list[dict[str, str | float]]:
    """Up to five colours of the first frame, the most frequent first, each with its share of what is seen."""
    frame = picture.crop(0, 0, picture.width, page_height(picture))
    shrink = max(frame.width, frame.height, _SIDE) / _SIDE
    small = fit(frame, max(1, round(frame.width / shrink)), max(1, round(frame.height / shrink)))
    counted = Counter(_seen(small))
    whole = counted.total()
    shares = [(_mean(group), group[0] / whole) for group in _merged(_grouped(counted))[:MOST]]
    return [
        {"rgb": "#" + "".join(f"{round(sample):02x}" for sample in mean), "share": round(share, 3)}
        for mean, share in shares
        if share >= LEAST_SHARE or mean is shares[0][0]
    ]


def _seen(small: pyvips.Image) -> Iterable[_Colour]:
    samples = bytes(small.write_to_memory())
    bands = small.bands
    planes = [samples[band::bands] for band in range(bands)]
    alpha = planes.pop() if small.hasalpha() else b"\xff" * len(planes[0])
    colours = planes if len(planes) > 1 else planes * 3
    return (pixel[:3] for pixel in zip(*colours, alpha, strict=True) if pixel[3] >= _SEEN)


def _grouped(counted: Counter[_Colour]) -> list[_Group]:
    """Colours that are nearly the same, the most frequent first."""
    groups: dict[_Colour, list[int]] = {}
    for (red, green, blue), count in counted.items():
        near = red >> _DROPPED_BITS, green >> _DROPPED_BITS, blue >> _DROPPED_BITS
        sums = groups.setdefault(near, [0, 0, 0, 0])
        sums[0] += count
        sums[1] += red * count
        sums[2] += green * count
        sums[3] += blue * count
    return sorted(((count, (*sums,)) for count, *sums in groups.values()), key=lambda group: (-group[0], group[1]))


def _merged(groups: list[_Group]) -> list[_Group]:
    """Each group goes to the larger one that looks most like it, or stands for itself."""
    found: list[_Group] = []
    means: list[tuple[float, ...]] = []
    for group in groups:
        mean = _mean(group)
        distances = [math.dist(mean, other) for other in means]
        nearest = min(distances, default=math.inf)
        if nearest > _APART:
            found.append(group)
            means.append(mean)
            continue
        place = distances.index(nearest)
        count, sums = found[place]
        found[place] = count + group[0], tuple(one + more for one, more in zip(sums, group[1], strict=True))
        means[place] = _mean(found[place])
    return sorted(found, key=lambda group: -group[0])


def _mean(group: _Group) -> tuple[float, ...]:
    count, sums = group
    return tuple(each / count for each in sums)
