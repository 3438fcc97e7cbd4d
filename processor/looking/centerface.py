"""CenterFace (Xu and others, "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019)."""

from __future__ import annotations

from typing import Any

import numpy as np

from processor.faces import Face
from processor.looking.files import Model
from processor.looking.models import models
from processor.looking.pixels import pixels

#: Boxes that share so much of their union are of one face.
SAME_FACE = 0.3
#: The model takes sides that are multiples of this, and its maps have a cell for each square of four pixels.
_MULTIPLE, _CELL = 32, 4
#: The most cells that are looked at, the surest first. A face has a few of them, and it takes hundreds of faces, or a
#: picture that was made for that, to have more.
_MOST_CELLS = 4096
#: Its name in the file.
_INPUT = "input.1"


def look(rgb: bytes, width: int, height: int, least: float) -> tuple[Face, ...]:
    """See `processor.looking.faces.find_faces`."""
    heat, *maps = models().run(Model.FACES, {_INPUT: _padded(pixels(rgb, width, height))})
    scale, offset, landmarks = (each[0] for each in maps)
    return _decoded(heat[0, 0], scale, offset, landmarks, least, size=(width, height))


def _padded(picture: Any) -> Any:
    """Black pixels at the right and at the bottom, up to sides that the model takes."""
    height, width, bands = picture.shape
    padded = np.zeros((1, bands, _up(height), _up(width)), np.float32)
    padded[0, :, :height, :width] = picture.transpose(2, 0, 1)
    return padded


def _up(side: int) -> int:
    return -(-side // _MULTIPLE) * _MULTIPLE


def _decoded(
    heat: Any, scale: Any, offset: Any, landmarks: Any, least: float, *, size: tuple[int, int]
) -> tuple[Face, ...]:
    """The maps say for each cell: how likely it is the middle of a face; the logarithm of the face's height and width;
    where in the cell its middle is; and the landmarks, as fractions of the box. Each is first down, then across."""
    width, height = size
    down, across = np.nonzero(heat > least)
    surest = np.argsort(-heat[down, across], kind="stable")[:_MOST_CELLS]
    down, across = down[surest], across[surest]
    high, wide = np.exp(np.minimum(scale[:, down, across], np.log(2 * heat.size))) * _CELL
    top = (down + offset[0, down, across] + 0.5) * _CELL - high / 2
    left = (across + offset[1, down, across] + 0.5) * _CELL - wide / 2
    lefts, tops = np.clip(left, 0, width), np.clip(top, 0, height)
    rights, bottoms = np.clip(left + wide, 0, width), np.clip(top + high, 0, height)
    found = []
    for face in _apart(lefts, tops, rights, bottoms):
        places = landmarks[:, down[face], across[face]]
        xs, ys = places[1::2] * wide[face] + left[face], places[0::2] * high[face] + top[face]
        found.append(
            Face(
                left=float(lefts[face]) / width,
                top=float(tops[face]) / height,
                width=float(rights[face] - lefts[face]) / width,
                height=float(bottoms[face] - tops[face]) / height,
                score=float(heat[down[face], across[face]]),
                landmarks=tuple((float(x) / width, float(y) / height) for x, y in zip(xs, ys, strict=True)),
            )
        )
    return tuple(found)


def _apart(left: Any, top: Any, right: Any, bottom: Any) -> list[int]:
    """Non-maximum suppression: of boxes of one face the first stays. Boxes without an area are of none."""
    areas = (right - left) * (bottom - top)
    left_over, kept = np.flatnonzero(areas > 0), []
    while left_over.size:
        first, others = left_over[0], left_over[1:]
        kept.append(int(first))
        across = np.minimum(right[first], right[others]) - np.maximum(left[first], left[others])
        down = np.minimum(bottom[first], bottom[others]) - np.maximum(top[first], top[others])
        shared = np.maximum(across, 0) * np.maximum(down, 0)
        left_over = others[shared < SAME_FACE * (areas[first] + areas[others] - shared)]
    return kept
