"""How the tests of the pipeline run it and look at what comes out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pyvips

from processor.images import Rendered, Variant
from processor.pipeline import render as rendering
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.recipes import STANDARD_VARIANTS, Recipe, VariantSpec

#: Encoded so that little is lost.
FINE = (VariantSpec(name="fine", format="webp", quality=100),)


def rendered(
    data: bytes, *, specs: tuple[VariantSpec, ...] = STANDARD_VARIANTS, limits: FileLimits | None = None
) -> Rendered:
    """What the recipe makes of the file, however large it gets: a lower quality would hide what is looked for."""
    limits = limits or FileLimits()
    recipe = Recipe(name="fast", version=1, specs=tuple(replace(spec, effort=0) for spec in specs))
    with patch.object(rendering, "no_larger", lambda asked, *_: asked):
        return render(data, inspect(data, limits), recipe, Deadline(limits.timeout_seconds))


def variant(data: bytes, spec: VariantSpec = FINE[0]) -> Variant:
    """The only variant."""
    return rendered(data, specs=(spec,)).variants[0]


def opened(encoded: bytes | Variant) -> pyvips.Image:
    """All frames of an output, one below the other."""
    data = encoded.data if isinstance(encoded, Variant) else encoded
    return pyvips.Image.webpload_buffer(data, n=-1).copy_memory()


def colour_at(image: pyvips.Image, x: int, y: int) -> list[float]:
    """The samples of one pixel."""
    return list(image.getpoint(x, y))


def difference(one: pyvips.Image, other: pyvips.Image) -> float:
    """The mean absolute difference of two images of the same size, in steps of 255."""
    assert (one.width, one.height) == (other.width, other.height)
    gap: Any = (one.extract_band(0, n=3).cast("float") - other.extract_band(0, n=3)).abs().avg()
    return float(gap)
