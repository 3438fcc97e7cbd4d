"""Decides where a picture is cropped, so that faces stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from processor.faces import Face

#: Faces with a lower score do not move the crop.
SURE_SCORE = 0.5
#: Where the middle of the faces is, as a part of the height: people have bodies.
EYE_LEVEL = 0.42


@dataclass(frozen=True, slots=True)
class _Union:
    """The box around some faces, in pixels."""

    left: float
    top: float
    right: float
    bottom: float


def window(faces: Sequence[Face], size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int] | None:
    """Left and top of a crop of the box's size around as many faces as fit, the largest first. None: no sure face."""
    sure = sorted((face for face in faces if face.score >= SURE_SCORE), key=lambda face: -face.area)
    while len(sure) > 1 and not _fits(_around(sure, size), box):
        sure.pop()
    if not sure:
        return None
    around = _around(sure, size)
    left = (around.left + around.right) / 2 - box[0] / 2
    top = (around.top + around.bottom) / 2 - EYE_LEVEL * box[1]
    if _fits(around, box):
        top = min(around.top, max(top, around.bottom - box[1]))
    return _within(left, size[0] - box[0]), _within(top, size[1] - box[1])


def _around(faces: Sequence[Face], size: tuple[int, int]) -> _Union:
    width, height = size
    return _Union(
        min(face.left for face in faces) * width,
        min(face.top for face in faces) * height,
        max(face.left + face.width for face in faces) * width,
        max(face.top + face.height for face in faces) * height,
    )


def _fits(around: _Union, box: tuple[int, int]) -> bool:
    return around.right - around.left <= box[0] and around.bottom - around.top <= box[1]


def _within(start: float, last: int) -> int:
    return max(0, min(round(start), last))
