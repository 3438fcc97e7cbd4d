"""A view of the source of a render, and what the models find in it."""

from __future__ import annotations

import math
from functools import cached_property

import pyvips

from processor.faces import Face
from processor.looking.content import is_drawn, look_at_content, nsfw_score
from processor.looking.faces import find_faces
from processor.looking.files import Model
from processor.looking.found import SQUARE, Content
from processor.looking.models import SIDE
from processor.looks import TALLY
from processor.pipeline.roll import page_height
from processor.pipeline.steps.fit import fit

#: The most pixels: those of a square of 576, so that a look takes little longer than at a photograph of 4 : 3.
MOST_PIXELS = 576 * 576
#: Pixels of a side before the square is cut out of it.
_BEFORE_CROP = 256
_WHITE = 255
_RGB = 3


class View:
    """The first frame of an upright picture, on white, as the models take it: its longest side has at most 640 pixels.

    Each model looks when somebody first asks, and once. `faces` are those that are known already.
    """

    def __init__(self, picture: pyvips.Image, faces: tuple[Face, ...] | None = None) -> None:
        small = _shown(picture)
        self.rgb, self.width, self.height = bytes(small.write_to_memory()), small.width, small.height
        if faces is not None:
            self.faces = faces

    @cached_property
    def faces(self) -> tuple[Face, ...]:
        """All faces, the surest first. Raises `LookingOff`, `LookingFailed`."""
        with TALLY.look(Model.FACES):
            return find_faces(self.rgb, self.width, self.height)

    def faces_from(self, least: float) -> tuple[Face, ...]:
        """The same with another least score."""
        with TALLY.look(Model.FACES):
            return find_faces(self.rgb, self.width, self.height, least)

    @cached_property
    def content(self) -> Content:
        """What the middle of the picture shows. Raises `LookingOff`, `LookingFailed`."""
        with TALLY.look(Model.CONTENT):
            return look_at_content(self._middle())

    @cached_property
    def nsfw(self) -> float:
        """Raises `LookingOff`, `LookingFailed`."""
        with TALLY.look(Model.NSFW):
            return nsfw_score(self._squeezed())

    @cached_property
    def is_drawn(self) -> bool:
        """Whether it is no photograph. Raises `LookingOff`."""
        return is_drawn(self.rgb, self.width, self.height)

    def _middle(self) -> bytes:
        """The shorter side becomes 256 pixels, as when the model learned, and the square in the middle is left."""
        shrink = _BEFORE_CROP / min(self.width, self.height)
        across, down = max(SQUARE, round(self.width * shrink)), max(SQUARE, round(self.height * shrink))
        return _cropped(self._resized(across, down))

    def _squeezed(self) -> bytes:
        """Both sides become 256 pixels, as the model's authors do it, and the edges are cut off."""
        return _cropped(self._resized(_BEFORE_CROP, _BEFORE_CROP))

    def _resized(self, width: int, height: int) -> pyvips.Image:
        picture = pyvips.Image.new_from_memory(self.rgb, self.width, self.height, _RGB, "uchar")
        across, down = width / self.width, height / self.height
        return picture.resize(across, vscale=down, kernel="cubic")


def _cropped(picture: pyvips.Image) -> bytes:
    left, top = (picture.width - SQUARE) // 2, (picture.height - SQUARE) // 2
    return bytes(picture.crop(left, top, SQUARE, SQUARE).write_to_memory())


def _shown(picture: pyvips.Image) -> pyvips.Image:
    frame = picture.crop(0, 0, picture.width, page_height(picture))
    if frame.hasalpha():
        frame = frame.flatten(background=_WHITE)
    shrink = max(1.0, frame.width / SIDE, frame.height / SIDE, math.sqrt(frame.width * frame.height / MOST_PIXELS))
    small = fit(frame, max(1, round(frame.width / shrink)), max(1, round(frame.height / shrink)))
    return small if small.bands == _RGB else small.bandjoin([small[0], small[0]])
