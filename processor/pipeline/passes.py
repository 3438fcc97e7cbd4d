"""Large JPEGs are read twice: shrunk by the decoder, for small variants, and then in full.

One of a single scan goes straight into the encoder then; of a progressive one, the means of its blocks come first.
"""

from __future__ import annotations

from processor.formats import JPEG
from processor.formats.info import ImageInfo
from processor.pipeline import coarse, geometry
from processor.pipeline.geometry import Size
from processor.recipes import Recipe

#: Factors by which libjpeg shrinks while it decodes, the one that leaves least to do first.
SHRINKS = (8, 4, 2)


def shrink(info: ImageInfo, recipe: Recipe) -> int:
    """By how much the decoder is to shrink the picture from which the small variants are made. 1: there is one pass.

    A second pass is worth it where the picture's own size is all that is left for it to make. A JPEG of several scans
    would be decoded in full twice.
    """
    sizes = {size for _, size in geometry.smallest_first(info, recipe.specs)}
    small = {size for size in sizes if not geometry.takes_long(info, size)}
    width, height = whole = geometry.upright(info)
    if info.format != JPEG.name or info.scans > 1 or not small or sizes - small != {whole}:
        return 1
    least = min(min(width / size[0], height / size[1]) for size in small) / geometry.CASCADE_MIN_SHRINK
    return next((factor for factor in SHRINKS if factor <= least), 1)


def is_from_means(info: ImageInfo, size: Size) -> bool:
    """Whether a variant of this size is made from the means of blocks, if the file tells them apart."""
    width, height = whole = geometry.upright(info)
    if info.format != JPEG.name or info.scans == 1 or not geometry.takes_long(info, whole):
        return False
    return min(width / size[0], height / size[1]) >= coarse.SHRINK * geometry.CASCADE_MIN_SHRINK


def is_streamed(info: ImageInfo, recipe: Recipe) -> bool:
    """Whether the whole picture never is in memory: its lines go from decoder to encoder.

    One that is to be turned or has an effect has to be there, and so has what is written at too little effort: it may
    have to be written again.
    """
    whole = geometry.upright(info)
    own = [spec for spec in recipe.specs if geometry.target_size(info, spec) == whole]
    held = any(spec.is_changed or spec.effort < spec.encoding.careful_effort for spec in own)
    return shrink(info, recipe) > 1 and info.orientation == 1 and not held
