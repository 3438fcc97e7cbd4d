"""The analyses, one in each file. Each takes a picture and returns plain JSON values.

A recipe names the analyses that it wants. An animation is one tall image, as in `steps`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyvips

from processor.pipeline.analyses.colour import average_colour
from processor.pipeline.analyses.likeness import likeness
from processor.pipeline.analyses.placeholder import placeholder

#: Takes an upright picture in sRGB or grey, with 8 bits per sample. Returns a value that JSON can express.
Analysis = Callable[[pyvips.Image], object]

#: By the name that recipes and facts use.
ANALYSES: Mapping[str, Analysis] = {
    "colour": average_colour,
    "likeness": likeness,
    "placeholder": placeholder,
}
