"""Faces in a picture, and the fact that tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

#: The most faces that a fact describes, the largest first; it counts all. Every record of a job has its facts.
MOST_TOLD = 24
#: Decimals of a fraction: a tenth of a pixel in a thousand. Decimals of a score.
_DECIMALS, _SCORE_DECIMALS = 4, 3


@dataclass(frozen=True, slots=True)
class Face:
    """Where a face is. Lengths and places are fractions of the width and the height of the upright picture.

    `score` says how sure the model is, from 0 to 1. `landmarks` are the eyes, the nose and the corners of the mouth,
    each as x and y; first what is on the left of the picture. A box may end at the edge of the picture, and so may the
    face; a landmark may lie outside.
    """

    left: float
    top: float
    width: float
    height: float
    score: float
    landmarks: tuple[tuple[float, float], ...] = ()

    @property
    def area(self) -> float:
        return self.width * self.height

    def rounded(self) -> Face:
        """The same with as many decimals as a fact has."""
        return replace(
            self,
            left=round(self.left, _DECIMALS),
            top=round(self.top, _DECIMALS),
            width=round(self.width, _DECIMALS),
            height=round(self.height, _DECIMALS),
            score=round(self.score, _SCORE_DECIMALS),
            landmarks=tuple((round(x, _DECIMALS), round(y, _DECIMALS)) for x, y in self.landmarks),
        )


def fact_of(faces: Sequence[Face]) -> dict[str, Any]:
    """The fact: the count of all faces, and the largest ones, as JSON values."""
    largest = sorted(faces, key=lambda face: (-face.area, face.left, face.top))[:MOST_TOLD]
    return {"count": len(faces), "largest": [_told(face.rounded()) for face in largest]}


def faces_in(fact: object) -> tuple[Face, ...]:
    """The faces that a fact describes, the largest first. Raises `ValueError` for anything else."""
    match fact:
        case {"largest": list(largest)} if all(isinstance(each, dict) for each in largest):
            try:
                return tuple(_read(**told) for told in largest)
            except TypeError as error:
                raise ValueError("no faces") from error
    raise ValueError("no faces")


def _told(face: Face) -> dict[str, Any]:
    box = {"left": face.left, "top": face.top, "width": face.width, "height": face.height}
    return {**box, "score": face.score, "landmarks": [list(point) for point in face.landmarks]}


def _read(landmarks: Sequence[Sequence[float]], **box: float) -> Face:
    points = tuple((float(x), float(y)) for x, y in landmarks)
    return Face(**{name: float(length) for name, length in box.items()}, landmarks=points)
