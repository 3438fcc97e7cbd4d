"""Estimates the CPU time of a recipe, to tell the owner of a preset what each picture will cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from processor.formats import AVIF, JPEG, WEBP
from processor.formats.info import ImageInfo
from processor.pipeline import geometry
from processor.pipeline.needs import askers
from processor.recipes import BLUR_FACES, Recipe, VariantSpec

#: What the estimate is about: a photograph of a phone, of 12 megapixels.
PHOTO = ImageInfo(format=JPEG.name, width=4000, height=3000)
_MEGAPIXEL = 1_000_000
#: CPU seconds per megapixel of the source, to decode and to shrink it.
_DECODING = 0.02
#: CPU seconds per megapixel of a variant, by format and effort from 0 to 6: `benchmarks/preset_costs.py`, on an AMD
#: EPYC. Together with the decoding, the standard recipe takes 0.81 s, as `docs/performance.md` measures it.
_ENCODING: Mapping[str, Sequence[float]] = {
    WEBP.name: (0.028, 0.035, 0.041, 0.087, 0.094, 0.113, 0.145),
    AVIF.name: (0.054, 0.105, 0.163, 0.218, 1.136, 1.444, 2.998),
}
#: CPU seconds per megapixel of a variant, for each effect: that of `sharpen`.
_EFFECT = 0.12


#: CPU seconds of looks by a model, whatever the size of the picture: `benchmarks/analysis.py`.
_LOOKING: Mapping[str, float] = {"faces": 0.05, "tags": 0.012, "embedding": 0.012, "nsfw": 0.022, BLUR_FACES: 0.6}


def cpu_seconds(recipe: Recipe, info: ImageInfo = PHOTO) -> float:
    """CPU seconds for one picture in all its formats. Each format is made from a decoding of its own."""
    specs = _made(recipe, info)
    seconds = len({spec.format for spec in specs}) * _DECODING * info.pixels / _MEGAPIXEL
    seconds += sum(_LOOKING.get(name, 0) for name in askers(recipe))
    for spec in specs:
        each = _ENCODING[spec.format][spec.effort] + len(spec.effects) * _EFFECT
        seconds += each * _pixels(spec, info) / _MEGAPIXEL
    return round(seconds, 3)


def estimate(recipe: Recipe, info: ImageInfo) -> tuple[float, int]:
    """CPU seconds, and pixels of all files."""
    return cpu_seconds(recipe, info), made_pixels(recipe, info)


def made_pixels(recipe: Recipe, info: ImageInfo) -> int:
    """Pixels of all files of a picture, each frame counted once."""
    return sum(_pixels(spec, info) for spec in _made(recipe, info)) // info.frames


def _made(recipe: Recipe, info: ImageInfo) -> Sequence[VariantSpec]:
    """The specs of the files: further formats are not made of animations."""
    return (*recipe.specs, *(recipe.further if info.frames == 1 else ()))


def _pixels(spec: VariantSpec, info: ImageInfo) -> int:
    width, height = geometry.shown_size(info, spec)
    return width * height * info.frames
