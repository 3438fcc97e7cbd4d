"""What a recipe needs to see of its source."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from processor.errors import LookingOff
from processor.looking.models import KEPT_BYTES, LOOK_BYTES
from processor.pipeline.analyses import LOOKS
from processor.pipeline.effects import asks_model
from processor.recipes import Recipe


def askers(recipe: Recipe) -> tuple[str, ...]:
    """The names of what asks a model: analyses and effects."""
    return (*(name for name in recipe.analyses if name in LOOKS), *_asking_effects(recipe))


def looks(recipe: Recipe) -> bool:
    """Whether anything in it asks a model."""
    return bool(askers(recipe))


def _asking_effects(recipe: Recipe) -> Iterable[str]:
    """Effects that ask a model: without it, the variants would be other pictures."""
    effects = (effect for spec in (*recipe.specs, *recipe.further) for effect in spec.effects)
    return dict.fromkeys(effect.name for effect in effects if asks_model(effect))


def check_models_for(recipe: Recipe, folder: Path | None) -> None:
    """Raises `LookingOff` if its variants depend on models, and there is no folder with any."""
    if folder is None and any(_asking_effects(recipe)):
        raise LookingOff


def looking_bytes(recipe: Recipe, folder: Path | None) -> int:
    """The memory of a process that makes only this recipe, beyond that for the picture."""
    return KEPT_BYTES + LOOK_BYTES if folder is not None and looks(recipe) else 0
