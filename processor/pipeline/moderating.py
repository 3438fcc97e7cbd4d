"""Finds the scores by which a preset holds pictures, and makes what a reviewer sees first of such a picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyvips

from processor.errors import LookingOff
from processor.looking.files import FILES, Model
from processor.looks import TALLY, Looks, Result
from processor.moderation import Unscored
from processor.pipeline.analyses import SCORES
from processor.pipeline.analyses.placeholder import as_uri
from processor.pipeline.limits import Deadline
from processor.pipeline.roll import page_height
from processor.pipeline.steps.glance import Glance
from processor.pipeline.view import View
from processor.recipes import MODERATION, Recipe

#: The longest that the frames of a picture may take, in seconds: about 400 of them.
SCORE_SECONDS = 10.0
#: The name of the model of each score. Its version is how the digest of its file begins.
MODELS: Mapping[str, tuple[str, Model]] = {"nsfw": ("Open NSFW", Model.NSFW)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The highest score of all frames, by name; and what speaks against showing the picture."""

    scores: Mapping[str, float]
    reasons: tuple[str, ...]
    frames: int

    @property
    def facts(self) -> dict[str, Any]:
        """The scores, and the fact of what came of them."""
        names = [name for name in self.scores if name in MODELS]
        fact = {
            "decision": "held" if self.reasons else "passed",
            "reasons": list(self.reasons),
            "frames": self.frames,
            "models": {name: f"{MODELS[name][0]} {FILES[MODELS[name][1]].sha256[:16]}" for name in names},
        }
        return {**self.scores, MODERATION: fact}


def scored(
    recipe: Recipe,
    picture: pyvips.Image,
    first: View,
    deadline: Deadline,
    clock: Callable[[], float] = time.monotonic,
) -> Scored:
    """Look at every frame, until one is to be held. `first` is the view of the first one.

    A score that is not known for every frame is none.
    """
    until = clock() + SCORE_SECONDS
    highest: dict[str, float] = {}
    number = 0
    for number, view in enumerate(_views(picture, first), start=1):
        deadline.check()
        if number > 1 and clock() > until:
            TALLY.add(Looks(model=Model.NSFW, result=Result.LATE, cause=f"{SCORE_SECONDS:.0f} s are over"))
            return Scored(scores={}, reasons=(Unscored.LATE,), frames=number - 1)
        for name, least in recipe.moderation:
            score = _score(name, view)
            if isinstance(score, Unscored):
                return Scored(scores={}, reasons=(score,), frames=number)
            highest[name] = max(score, highest.get(name, 0.0))
            if score >= least:
                return Scored(scores=highest, reasons=(name,), frames=number)
    return Scored(scores=highest, reasons=(), frames=number)


def veil(seen: Glance) -> str:
    """A rendition of some 30 pixels as a `data:` URI: it tells what kind of picture it is, and shows no detail."""
    return as_uri(seen)


def _score(name: str, view: View) -> float | Unscored:
    if name not in SCORES:  # of a later release
        return Unscored.MISSING
    try:
        return SCORES[name](view)
    except LookingOff:
        return Unscored.MISSING
    except MemoryError:
        raise
    except Exception:
        # Whatever it was, it must not end a picture's way to the reviewer. The look itself has told of it.
        return Unscored.FAILED


def _views(picture: pyvips.Image, first: View) -> Iterator[View]:
    yield first
    height = page_height(picture)
    for top in range(height, picture.height, height):
        yield View(picture.crop(0, top, picture.width, height))
