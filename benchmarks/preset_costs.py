"""Measures the CPU seconds per megapixel from which `processor/pipeline/cost.py` estimates a preset.

    python -m benchmarks.preset_costs [--rounds 2]

The picture is a photograph of 12 megapixels, drawn by formula. Each row is one WebP of 2 x 2 pixels and one variant of
2 megapixels with the format and effort of the row; the first row has only the former. So the difference to the first
row, divided by the megapixels of the variant, is the cost of encoding.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from statistics import median

from benchmarks.cpu_per_megapixel import drawn, sides
from processor.formats import AVIF, WEBP
from processor.pipeline.engine import set_up_libvips
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.recipes import Effect, Recipe, VariantSpec

MEGAPIXELS = 12.0
#: Time limit for one conversion, in seconds. It is so long that none is interrupted.
LONGEST_SECONDS = 600
#: Efforts of each format, and a quality in the middle of what is used.
EFFORTS, QUALITY = range(7), {WEBP.name: 85, AVIF.name: 65}
_SMALL = VariantSpec(name="small", format=WEBP.name, quality=85, effort=0, box=(2, 2))


def recipes() -> Iterator[tuple[str, VariantSpec | None]]:
    """The rows: a name, and the variant beside the small one."""
    yield "decode", None
    for name, quality in QUALITY.items():
        for effort in EFFORTS:
            spec = VariantSpec(name="large", format=name, quality=quality, effort=effort, box=(1633, 1225))
            yield f"{name} effort {effort}", spec
    sharpen = (Effect.of("sharpen", {"sigma": 1}),)
    yield (
        "webp effort 0, sharpened",
        VariantSpec(name="large", format=WEBP.name, quality=85, effort=0, box=(1633, 1225), effects=sharpen),
    )


def seconds(data: bytes, spec: VariantSpec | None) -> float:
    """CPU seconds of one conversion, with nothing else in this process."""
    recipe = Recipe(name="measured", version=1, specs=(_SMALL, *([spec] if spec else [])))
    before = time.process_time()
    render(data, inspect(data, FileLimits()), recipe, Deadline(LONGEST_SECONDS))
    return time.process_time() - before


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=2)
    rounds = arguments.parse_args().rounds
    set_up_libvips()
    data = drawn(*sides(MEGAPIXELS))
    decode = 0.0
    for name, spec in recipes():
        cost = median(seconds(data, spec) for _ in range(rounds))
        if spec is None:
            decode = cost
            print(f"{name}: {cost / MEGAPIXELS:.3f} s a megapixel of the source")
        else:
            print(f"{name}: {(cost - decode) / 2.0:.3f} s a megapixel of the variant")


if __name__ == "__main__":
    main()
