"""Holds images whose faces may not all be hidden."""

from __future__ import annotations

from processor.hiding import doubt_in
from processor.images import Rendered
from processor.jobs import Job
from processor.recipes import BLUR_FACES, Recipe
from processor.reviews import Held


class FacesHidden:
    """A check of images whose recipe hides faces."""

    def concerns(self, recipe: Recipe) -> bool:
        return recipe.hiding is not None

    async def check(self, job: Job, made: Rendered) -> Held | None:  # noqa: ARG002 - the fact says it all
        doubt = doubt_in(made.facts.found.get(BLUR_FACES))
        return None if doubt is None else Held(reason=doubt)
