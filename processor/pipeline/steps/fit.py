"""Into a size."""

from __future__ import annotations

import pyvips

from processor.pipeline.roll import page_height
from processor.pipeline.steps.frames import map_frames


def fit(image: pyvips.Image, width: int, height: int) -> pyvips.Image:
    """Every frame at `width` x `height`, which is no larger than it was.

    Alpha is multiplied in around the filter: what is invisible must not bleed into what is seen.
    """
    if (width, height) == (image.width, page_height(image)):
        return image
    if not image.hasalpha():
        return map_frames(image, lambda frame: _scaled(frame, width, height))
    premultiplied = image.premultiply().cast(image.format)
    scaled = map_frames(premultiplied, lambda frame: _scaled(frame, width, height))
    return scaled.unpremultiply().cast(image.format)


def _scaled(frame: pyvips.Image, width: int, height: int) -> pyvips.Image:
    return frame.resize(width / frame.width, vscale=height / frame.height, kernel="lanczos3")
