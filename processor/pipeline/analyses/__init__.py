"""What is found out about a picture: one analysis a file, each from a picture to plain JSON values.

A recipe names those that it asks for. An animation is one tall image, as in `steps`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyvips

from processor.pipeline.analyses.colour import average_colour

#: From an upright picture in sRGB or grey, of 8 bits a sample, to what JSON can say.
Analysis = Callable[[pyvips.Image], object]

#: By the name that recipes use, and under which facts lie.
ANALYSES: Mapping[str, Analysis] = {
    "colour": average_colour,
}
