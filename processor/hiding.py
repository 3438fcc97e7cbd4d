"""Faces that variants must not show: what was hidden, what speaks against showing the result, and the fact that tells
of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from processor.faces import Face
from processor.facts import Facts
from processor.recipes import BLUR_FACES, Recipe

#: The most boxes that are hidden one by one; with more, everything is. All of them are in the fact.
MOST_BOXES = 64
#: A box that covers the picture: it hides everything.
EVERYTHING = Face(left=0.0, top=0.0, width=1.0, height=1.0, score=0.0)


class Doubt(StrEnum):
    """Why nobody but a reviewer may see what was made."""

    MISSING = "detector_missing"  # no model is installed where the picture was converted
    FAILED = "detector_failed"
    LATE = "detector_late"  # an animation has more frames than could be looked at in time
    MANY = "too_many_faces"
    SMALL = "faces_too_small"  # so small that others like it may have been missed
    UNSURE = "faces_unsure"  # the model is not sure that it is one, or saw it only when others were hidden
    AGAIN = "faces_found_again"  # the model takes what was hidden for a face


@dataclass(frozen=True, slots=True, kw_only=True)
class Hiding:
    """What was hidden in a picture. `doubts` are in the order of their class."""

    faces: tuple[Face, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    frames: int = 1

    @property
    def is_blind(self) -> bool:
        """Whether everything is hidden, because nothing is known of the picture."""
        return EVERYTHING in self.faces

    def fact(self, *, style: str, model: str, version: str) -> dict[str, Any]:
        """The fact, as JSON values. A box is left, top, width, height and score."""
        decision = "held" if self.doubts else "blurred" if self.faces else "nothing"
        return {
            "style": style,
            "model": model,
            "version": version,
            "frames": self.frames,
            "boxes": boxes_of(self.faces),
            "decision": decision,
            "reasons": [doubt.value for doubt in self.doubts],
        }


def boxes_of(faces: Sequence[Face]) -> list[list[float]]:
    """The faces as JSON values: left, top, width, height and score of each."""
    return [[face.left, face.top, face.width, face.height, face.score] for face in faces]


def faces_of(boxes: Sequence[Sequence[float]]) -> tuple[Face, ...]:
    """The inverse of `boxes_of`. Raises `TypeError`, `ValueError` for anything else."""
    return tuple(_face(*(float(value) for value in box)) for box in boxes)


def _face(left: float, top: float, width: float, height: float, score: float) -> Face:
    return Face(left, top, width, height, score)


def hidden_in(fact: object) -> tuple[Face, ...]:
    """What a fact says was hidden. If it cannot be read, that is everything."""
    match fact:
        case {"boxes": list(boxes)}:
            try:
                return faces_of(boxes)
            except (TypeError, ValueError):
                pass
    return (EVERYTHING,)


def hidden_by(recipe: Recipe, facts: Facts) -> tuple[Face, ...] | None:
    """What a render with this recipe hid, for another one of the same file; None: it shows faces."""
    return hidden_in(facts.found.get(BLUR_FACES)) if recipe.hiding else None


def doubt_about(recipe: Recipe, facts: Facts) -> Doubt | None:
    """Why nobody but a reviewer may see what was made with this recipe; None: everybody may."""
    return doubt_in(facts.found.get(BLUR_FACES)) if recipe.hiding else None


def check_hiding(recipe: Recipe) -> None:
    """Raises `ValueError` unless its variants hide faces all in the same way, or not at all."""
    ways = {
        tuple(effect for effect in spec.effects if effect.name == BLUR_FACES)
        for spec in (*recipe.specs, *recipe.further)
    }
    if len(ways) > 1 or any(len(way) > 1 for way in ways):
        raise ValueError(f"all variants must have the same {BLUR_FACES}")


def doubt_in(fact: object) -> Doubt | None:
    """The same for a fact. Without it, nobody knows what was hidden."""
    match fact:
        case {"decision": "blurred" | "nothing", "reasons": []}:
            return None
        case {"reasons": [str(reason), *_]} if reason in set(Doubt):
            return Doubt(reason)
    return Doubt.FAILED
