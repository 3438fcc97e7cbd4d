"""Pictures that are held from a score on: what was found, and the fact that tells of it."""

from __future__ import annotations

from enum import StrEnum

from processor.facts import Facts
from processor.recipes import MODERATION, Recipe


class Unscored(StrEnum):
    """Why nobody knows the score of a picture."""

    MISSING = "score_missing"  # no model is installed where the picture was converted
    FAILED = "score_failed"
    LATE = "score_late"  # an animation has more frames than could be looked at in time


def reason_to_hold(recipe: Recipe, facts: Facts) -> str | None:
    """Why a reviewer must look at what was made: the name of the score that is too high, or an `Unscored`.

    A score that is not there, or is none, says nothing good of a picture.
    """
    known = facts.everything
    for name, least in recipe.moderation:
        score = known.get(name)
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
            return _told(known.get(MODERATION))
        if score >= least:
            return name
    return None


def _told(fact: object) -> Unscored:
    """What a fact says of a score that is missing."""
    match fact:
        case {"reasons": [*reasons]}:
            return next((each for each in Unscored if each.value in reasons), Unscored.FAILED)
    return Unscored.FAILED
