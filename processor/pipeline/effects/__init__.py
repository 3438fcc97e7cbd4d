"""The effects that a recipe can apply to the picture of a variant before it is encoded, one in each file.

Each effect is a class. Its fields are the parameters, and its instances are called with a picture. An animation is one
tall image, as in `steps`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyvips

from processor.facts import Facts
from processor.pipeline.effects.sharpen import Sharpen
from processor.recipes import Effect, Recipe

#: Takes a picture of the variant's size, in sRGB or grey with 8 bits per sample. Returns one with the same size and
#: bands. The facts are those that the analyses of the recipe found.
Change = Callable[[pyvips.Image, Facts], pyvips.Image]

#: By the name that recipes use. Each is called with its parameters by name. It raises `TypeError` for an unknown name,
#: and `ValueError` for a bad value.
EFFECTS: Mapping[str, Callable[..., Change]] = {
    "sharpen": Sharpen,
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
    """Raises `ValueError` unless every effect is known: a variant without it would be another picture."""
    for spec in recipe.specs:
        for effect in spec.effects:
            change_of(effect)
