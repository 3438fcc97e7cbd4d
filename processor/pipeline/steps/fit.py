"""Shrinks a picture to a size."""

from __future__ import annotations

import pyvips

from processor.pipeline.roll import page_height
from processor.pipeline.steps.frames import map_frames


def fit(image: pyvips.Image, width: int, height: int) -> pyvips.Image:
    """Shrinks every frame to `width` x `height`.

    Colours are premultiplied with alpha meanwhile, so that invisible pixels do not bleed into visible ones.
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
