"""What a recipe may have done to the picture of a variant, between its size and its file: one effect a file.

Each is a class: its fields are the parameters, and an instance is called. An animation is one tall image, as in
`steps`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyvips

from processor.facts import Facts
from processor.pipeline.effects.sharpen import Sharpen
from processor.recipes import Effect, Recipe

#: From a picture of the variant's size, in sRGB or grey of 8 bits a sample, to another of the same size and bands. The
#: facts are what the analyses of the recipe found.
Change = Callable[[pyvips.Image, Facts], pyvips.Image]

#: By the name that recipes use. Called with parameters by their names, each raises `TypeError` for names that it does
#: not have, and `ValueError` for values.
EFFECTS: Mapping[str, Callable[..., Change]] = {
    "sharpen": Sharpen,
}


def change_of(effect: Effect) -> Change:
    """What a recipe asks for. Raises `ValueError` for what this release does not know."""
    if effect.name not in EFFECTS:
        raise ValueError(f"there is no effect {effect.name}")
    try:
        return EFFECTS[effect.name](**dict(effect.parameters))
    except TypeError:
        raise ValueError(f"{effect.name} has other parameters") from None


def check_effects(recipe: Recipe) -> None:
    """Raises `ValueError` unless every effect is there: a variant without it would be another picture."""
    for spec in recipe.specs:
        for effect in spec.effects:
            change_of(effect)
