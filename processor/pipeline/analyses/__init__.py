"""The analyses, one in each file. Each takes a glance at a picture, a view, or the file, and returns plain JSON values.

A recipe names the analyses that it wants. They share one glance: of an animation, it shows the first frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from processor.pipeline.analyses.blurhash import blurhash
from processor.pipeline.analyses.colour import average_colour
from processor.pipeline.analyses.colours import dominant_colours
from processor.pipeline.analyses.content import embedding, nsfw, tags
from processor.pipeline.analyses.faces import faces
from processor.pipeline.analyses.likeness import likeness
from processor.pipeline.analyses.metadata import metadata, position
from processor.pipeline.analyses.placeholder import placeholder
from processor.pipeline.origin import Origin
from processor.pipeline.steps.glance import Glance
from processor.pipeline.view import View

#: Takes a glance at an upright picture in sRGB or grey. Returns a value that JSON can express.
Analysis = Callable[[Glance], object]
#: Takes the file instead, when its picture is decoded. Returns the same.
Reading = Callable[[Origin], object]

#: Takes a view instead, and asks a model. Returns the same. Raises `LookingOff`, `LookingFailed`.
Look = Callable[[View], object]

#: By the name that recipes and facts use.
ANALYSES: Mapping[str, Analysis] = {
    "blurhash": blurhash,
    "colour": average_colour,
    "colours": dominant_colours,
    "likeness": likeness,
    "placeholder": placeholder,
}
#: By the same name, those that look at the file.
READINGS: Mapping[str, Reading] = {
    "metadata": metadata,
    "position": position,
}
#: By the same name, those that ask a model, which the extra `ai` brings.
LOOKS: Mapping[str, Look] = {
    "embedding": embedding,
    "faces": faces,
    "nsfw": nsfw,
    "tags": tags,
}
#: Those of them that give a score from 0 to 1, from which on a preset may hold a picture.
SCORES: Mapping[str, Callable[[View], float]] = {"nsfw": nsfw}
#: All names.
NAMES = ANALYSES.keys() | READINGS.keys() | LOOKS.keys()
