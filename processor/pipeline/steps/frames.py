"""Applies a step to every frame of an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

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
    frames = (hold(step(image.crop(0, top, image.width, height))) for top in tops)
    return _joined(next(frames), frames, len(tops))


def _joined(first: pyvips.Image, others: Iterable[pyvips.Image], count: int) -> pyvips.Image:
    """The frames, of 8 bits a sample, one below the other, with what is known of the first one."""
    width, height, bands = first.width, first.height, first.bands
    size = width * height * bands
    pixels = bytearray(size * count)  # one block: hundreds of small ones would leave holes in the heap
    for number, frame in enumerate(chain([first], others)):
        pixels[number * size : (number + 1) * size] = memoryview(frame.write_to_memory())
    roll = pyvips.Image.new_from_memory(pixels, width, height * count, bands, "uchar")
    # libvips takes delays and the like from the first picture of an operation.
    joined = first.replicate(1, count).insert(roll.copy(interpretation=first.interpretation), 0, 0)
    joined.set_type(pyvips.GValue.gint_type, "page-height", height)
    return joined
