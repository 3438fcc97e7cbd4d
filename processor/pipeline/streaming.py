"""Large pictures are never held: decoded once for the small variants, and once more straight into the encoder."""

from __future__ import annotations

from processor.formats import JPEG
from processor.formats.info import ImageInfo
from processor.pipeline import geometry
from processor.recipes import Recipe

#: From so many pixels on: to hold one takes 3 bytes a pixel, to decode it again a tenth of the time.
MIN_PIXELS = 64_000_000

Size = tuple[int, int]


def first_size(info: ImageInfo, recipe: Recipe) -> Size | None:
    """The size that the first decoding makes, from which the smaller ones are made. None: the picture is held.

    A JPEG of one scan comes line by line, and has no alpha. One that is to be turned, of which more than one smaller
    size is made, or that has an effect in its own size, has to be there as a whole.
    """
    if info.format != JPEG.name or info.pixels < MIN_PIXELS or info.scans > 1 or info.orientation != 1:
        return None
    whole = (info.width, info.height)
    sizes = {geometry.target_size(info, spec) for spec in recipe.specs}
    changed = any(spec.effects for spec in recipe.specs if geometry.target_size(info, spec) == whole)
    # What is written at too little effort may have to be written again.
    hasty = any(spec.effort < spec.encoding.careful_effort for spec in recipe.specs)
    smaller = sorted(sizes - {whole}, reverse=True, key=lambda size: size[0] * size[1])
    if hasty or changed or whole not in sizes or not smaller:
        return None
    first, *rest = smaller
    enough = all(min(first[0] / size[0], first[1] / size[1]) >= geometry.CASCADE_MIN_SHRINK for size in rest)
    return first if enough else None
