"""What a recipe needs to see of its source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from processor.fits import Cover, Gravity
from processor.looking.models import KEPT_BYTES, LOOK_BYTES
from processor.pipeline.analyses import LOOKS
from processor.recipes import BLUR_FACES, Recipe, VariantSpec


def askers(recipe: Recipe) -> tuple[str, ...]:
    """The names of what asks a model: analyses, scores of the moderation, the effect that hides faces, and the gravity
    `faces`."""
    return tuple(dict.fromkeys(_askers(recipe)))


def looks(recipe: Recipe) -> bool:
    """Whether anything in it asks a model."""
    return bool(askers(recipe))


def crops_to_faces(spec: VariantSpec) -> bool:
    """Whether faces decide what stays of the picture."""
    return isinstance(spec.fit, Cover) and spec.fit.gravity is Gravity.FACES


def looking_bytes(recipe: Recipe, folder: Path | None) -> int:
    """The memory of a process that makes only this recipe, beyond that for the picture."""
    return KEPT_BYTES + LOOK_BYTES if folder is not None and looks(recipe) else 0


def _askers(recipe: Recipe) -> Iterator[str]:
    yield from (name for name in recipe.analyses if name in LOOKS)
    yield from (name for name, _ in recipe.moderation)
    if recipe.hiding:
        yield BLUR_FACES
    yield from (Gravity.FACES.value for spec in (*recipe.specs, *recipe.further) if crops_to_faces(spec))
