"""Holds images whose score is too high for their preset, or is not known."""

from __future__ import annotations

from processor.images import Rendered
from processor.jobs import Job
from processor.moderation import Unscored, reason_to_hold
from processor.recipes import Recipe
from processor.reviews import Held


class Moderated:
    """A check of images whose recipe has a moderation."""

    def concerns(self, recipe: Recipe) -> bool:
        return bool(recipe.moderation)

    async def check(self, job: Job, made: Rendered) -> Held | None:
        """It goes by the recipe of the job alone: a fact only says what was found."""
        reason = Unscored.FAILED if job.recipe is None else reason_to_hold(job.recipe, made.facts)
        return None if reason is None else Held(reason=reason)
