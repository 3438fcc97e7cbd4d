"""Shrinks a picture to what a glance at it shows."""

from __future__ import annotations

import pyvips

from processor.pipeline.roll import page_height

#: The longer side is at least as long, in pixels, if it was before; and less than twice as long.
SIDE = 24


def glance(picture: pyvips.Image) -> pyvips.Image:
    """The first frame in memory, its sides divided by a whole number. Each pixel is the mean of those that it was."""
    frame = picture.crop(0, 0, picture.width, page_height(picture))
    shrink = max(1, max(frame.width, frame.height) // SIDE)
    across, down = min(shrink, frame.width), min(shrink, frame.height)
    if frame.hasalpha():
        small = frame.premultiply().shrink(across, down).unpremultiply().cast(frame.format)
    else:
        small = frame.shrink(across, down)
    return small.copy_memory()
