"""A view of the source of a render, and what the models find in it."""

from __future__ import annotations

import math
from functools import cached_property

import pyvips

from processor.faces import Face
from processor.looking.faces import find_faces
from processor.looking.models import SIDE
from processor.pipeline.roll import page_height
from processor.pipeline.steps.fit import fit

#: The most pixels, so that a look takes at most as long as at a photograph of 10 : 9.
MOST_PIXELS = 640 * 576
_WHITE = 255
_RGB = 3


class View:
    """The first frame of an upright picture, on white, as the models take it: its longest side has at most 640 pixels.

    Each model looks when somebody first asks, and once.
    """

    def __init__(self, picture: pyvips.Image) -> None:
        small = _shown(picture)
        self.rgb, self.width, self.height = bytes(small.write_to_memory()), small.width, small.height

    @cached_property
    def faces(self) -> tuple[Face, ...]:
        """All faces, the surest first. Raises `LookingOff`, `LookingFailed`."""
        return find_faces(self.rgb, self.width, self.height)


def _shown(picture: pyvips.Image) -> pyvips.Image:
    frame = picture.crop(0, 0, picture.width, page_height(picture))
    if frame.hasalpha():
        frame = frame.flatten(background=_WHITE)
    shrink = max(1.0, frame.width / SIDE, frame.height / SIDE, math.sqrt(frame.width * frame.height / MOST_PIXELS))
    small = fit(frame, max(1, round(frame.width / shrink)), max(1, round(frame.height / shrink)))
    return small if small.bands == _RGB else small.bandjoin([small[0], small[0]])
