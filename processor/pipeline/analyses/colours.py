"""Finds the few colours that a picture mostly consists of."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from itertools import compress

from processor.pipeline.steps.glance import Glance

#: The most colours, and the least share of the picture that one has.
MOST, LEAST_SHARE = 5, 0.03
#: Colours no further apart than this are one, as a distance in code values.
_APART = 56
#: Pixels with less alpha are not seen.
_SEEN = 128
#: Bits of each sample that decide which colours are counted together first.
_DROPPED_BITS = 4
_COARSE = bytes(sample >> _DROPPED_BITS for sample in range(256))

_Colour = tuple[int, ...]
_Sums = tuple[int, ...]


#: Colours that are counted as one: their number, and the sums of their samples.
_Group = tuple[int, _Sums]


def dominant_colours(seen: Glance) -> list[dict[str, str | float]]:
    """Up to five colours, the most frequent first, each with its share of what is seen."""
    groups = _grouped(seen)
    whole = sum(count for count, _ in groups)
    shares = [(_mean(group), group[0] / whole) for group in _merged(groups)[:MOST]]
    return [
        {"rgb": "#" + "".join(f"{round(sample):02x}" for sample in mean), "share": round(share, 3)}
        for mean, share in shares
        if share >= LEAST_SHARE or mean is shares[0][0]
    ]


def _grouped(seen: Glance) -> list[_Group]:
    """Colours that are nearly the same, the most frequent first."""
    planes = seen.colours if len(seen.colours) > 1 else seen.colours * 3
    coarse_planes = [plane.translate(_COARSE) for plane in planes]
    pixels: Iterable[tuple[_Colour, _Colour]] = zip(
        zip(*coarse_planes, strict=True), zip(*planes, strict=True), strict=True
    )
    if seen.alpha is not None:
        pixels = compress(pixels, [alpha >= _SEEN for alpha in seen.alpha])
    groups: dict[_Colour, list[_Colour]] = defaultdict(list)
    for coarse, pixel in pixels:
        groups[coarse].append(pixel)
    found = [(len(group), tuple(map(sum, zip(*group, strict=True)))) for group in groups.values()]
    return sorted(found, key=lambda group: (-group[0], group[1]))


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
