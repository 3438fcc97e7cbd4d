"""Whether what is asked for can be done here, when it needs the models that look into pictures."""

from __future__ import annotations

from aiohttp import web

from processor.errors import LookingNotInstalled
from processor.pipeline.needs import askers
from processor.recipes import Recipe
from service.config import SETTINGS


def check_looking(request: web.Request, recipe: Recipe) -> Recipe:
    """The recipe. Raises `LookingNotInstalled`."""
    names = askers(recipe)
    if names and request.app[SETTINGS].models_dir is None:
        raise LookingNotInstalled(names)
    return recipe
