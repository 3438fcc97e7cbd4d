"""Decides how often a JPEG is read, and by how much its decoder shrinks it.

If all variants are small, it is read once, shrunk. A large one is read twice: first shrunk by the decoder, for the
small variants, then in full. The second pass of a JPEG with a single scan goes straight into the encoder. For a
progressive JPEG, the first pass reads only the means of its blocks (`coarse`).
"""

from __future__ import annotations

from dataclasses import replace

from processor.formats import JPEG
from processor.formats.info import ImageInfo
from processor.formats.jpeg import FACTORS
from processor.looking.models import SIDE
from processor.pipeline import coarse, geometry
from processor.pipeline.geometry import Size
from processor.pipeline.needs import looks
from processor.recipes import Recipe

#: Factors by which libjpeg shrinks while it decodes. The first leaves the least work.
SHRINKS = FACTORS


def shrink(info: ImageInfo, recipe: Recipe) -> int:
    """The factor by which the decoder shrinks the picture for the small variants. 1: it does not.

    A second pass pays off only if it makes nothing but the full size. A JPEG with several scans would be decoded in
    full twice. If there is only one pass, it must see all damage. A model gets as large a view as from the whole
    picture. Where faces are hidden, all sizes are made, and looked at, before anything else.
    """
    sizes = {size for _, size in geometry.smallest_first(info, recipe.specs)}
    small = {size for size in sizes if not geometry.takes_long(info, size)}
    width, height = whole = geometry.upright(info)
    large = sizes - small
    if recipe.hiding or info.format != JPEG.name or not small or (large and (info.scans > 1 or large != {whole})):
        return 1
    least = min(min(width / size[0], height / size[1]) for size in small) / geometry.CASCADE_MIN_SHRINK
    if looks(recipe):
        least = min(least, max(whole) / SIDE)
    return next((by for by in SHRINKS if by <= least and (large or by in info.shrinks)), 1)


def is_read_twice(info: ImageInfo, recipe: Recipe) -> bool:
    """Whether a second pass makes the full size, after the small variants are made from a shrunk picture."""
    whole = geometry.upright(info)
    has_whole = any(geometry.target_size(info, spec) == whole for spec in recipe.specs)
    return has_whole and shrink(info, recipe) > 1


def as_held(info: ImageInfo, recipe: Recipe) -> ImageInfo:
    """The picture in memory of which the variants are made: smaller than that of the file if it is only read shrunk."""
    factor = 1 if is_read_twice(info, recipe) else shrink(info, recipe)
    return replace(info, width=-(-info.width // factor), height=-(-info.height // factor))


def is_from_means(info: ImageInfo, size: Size, recipe: Recipe) -> bool:
    """Whether a variant of this size is made from the means of blocks, if `coarse` can extract them.

    They are too few for a model, and effects on the variant may ask one.
    """
    width, height = whole = geometry.upright(info)
    if looks(recipe) or info.format != JPEG.name or info.scans == 1 or not geometry.takes_long(info, whole):
        return False
    return min(width / size[0], height / size[1]) >= coarse.SHRINK * geometry.CASCADE_MIN_SHRINK


def is_streamed(info: ImageInfo, recipe: Recipe) -> bool:
    """Whether the lines go from decoder to encoder, so that the whole picture is never in memory.

    A picture that is turned or gets an effect must be in memory. So must one with an effort below the encoder's
    `careful_effort`, because it may have to be encoded again.
    """
    whole = geometry.upright(info)
    own = [spec for spec in recipe.specs if geometry.target_size(info, spec) == whole]
    held = any(spec.is_changed or spec.effort < spec.encoding.careful_effort for spec in own)
    return is_read_twice(info, recipe) and info.orientation == 1 and not held
