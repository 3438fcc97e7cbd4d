"""The effects that a recipe can apply to the picture of a variant before it is encoded, one in each file.

Each effect is a class. Its fields are the parameters, and its instances are called with a picture. An animation is one
tall image, as in `steps`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import pyvips

from processor.hiding import check_hiding
from processor.pipeline.effects.blur_faces import BlurFaces
from processor.pipeline.effects.given import Given
from processor.pipeline.effects.sharpen import Sharpen
from processor.pipeline.effects.watermark import Watermark
from processor.recipes import BLUR_FACES, Effect, Recipe


class Change(Protocol):
    """An effect with its parameters."""

    def __call__(self, picture: pyvips.Image, given: Given, /) -> pyvips.Image:
        """Takes a picture of the variant's size, in sRGB or grey with 8 bits per sample. Returns one with the same size
        and bands; only an effect with an asset may turn grey into sRGB."""
        ...

    def held_bytes(self, size: tuple[int, int]) -> int:
        """Bytes that it holds besides the picture and the result, for a picture of this size."""
        ...


#: By the name that recipes use. Each is called with its parameters by name. It raises `TypeError` for an unknown name,
#: and `ValueError` for a bad value.
EFFECTS: Mapping[str, Callable[..., Change]] = {
    BLUR_FACES: BlurFaces,
    "sharpen": Sharpen,
    "watermark": Watermark,
}


def change_of(effect: Effect) -> Change:
    """The function for an effect of a recipe. Raises `ValueError` if this release does not know it."""
    if effect.name not in EFFECTS:
        raise ValueError(f"there is no effect {effect.name}")
    try:
        return EFFECTS[effect.name](**dict(effect.parameters))
    except TypeError:
        raise ValueError(f"{effect.name} has other parameters") from None


def check_effects(recipe: Recipe) -> None:
    """Raises `ValueError` unless every effect is known: a variant without it would be another picture; and if a variant
    shows faces that another one hides."""
    check_hiding(recipe)
    for spec in recipe.specs:
        for effect in spec.effects:
            change_of(effect)
