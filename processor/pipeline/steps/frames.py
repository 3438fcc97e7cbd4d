"""Applies a step to every frame of an image."""

from __future__ import annotations

from collections.abc import Callable

import pyvips

from processor.pipeline.roll import page_height
from processor.pipeline.steps.hold import hold

#: A function from image to image. It is lazy: pixels are computed when somebody reads them.
Step = Callable[[pyvips.Image], pyvips.Image]


def map_frames(image: pyvips.Image, step: Step) -> pyvips.Image:
    """Apply the step to each frame separately, so that no frame bleeds into its neighbour."""
    height = page_height(image)
    if height == image.height:
        return step(image)
    tops = range(0, image.height, height)
    # Each frame is computed before the next begins: hundreds of pending steps would hold gigabytes.
    frames = [hold(step(image.crop(0, top, image.width, height))) for top in tops]
    joined = pyvips.Image.arrayjoin(frames, across=1).copy()
    joined.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    return joined
