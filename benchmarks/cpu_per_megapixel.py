"""Measures the CPU seconds that the shipped pipeline spends on an image, by its size. Capacity is calculated from them.

    python -m benchmarks.cpu_per_megapixel [--megapixels 0.3 2 8 12 24 50] [--rounds 3] [--photos 9] [--graphics 4]
        [--effort N] [--json FILE]

The photographs and graphics are real ones from Debian packages (`benchmarks/photos.py`), each brought to every size
(`textured`). A row is the mean of them. Beside them is a photograph that is drawn by formula, with all variants at
effort 2: it is the same on every machine and in every year, so the column `of drawn` can be compared between runs, and
the seconds cannot. A round converts all files in turn, on one thread each, so that a disturbance affects all. The table
shows medians of the rounds. The line `a + b * megapixels` is fitted by relative error, from 2 megapixels on. There the
three smaller variants always have the same size, and so the same cost. Smaller images cost less, because their variants
are smaller too.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean, median

import pyvips

from benchmarks.photos import drawings, photographs
from benchmarks.scaling.measured import DRAWN, GRAPHIC, PHOTO, Measured, lines_of
from processor.pipeline.engine import libvips_version, set_up_libvips
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.recipes import STANDARD, Recipe, standard
from tests import corpus

#: Sizes of phones, cameras and screens, in megapixels; the last one fills a pod of 1 GiB.
MEGAPIXELS = (0.3, 2.0, 8.0, 12.0, 24.0, 50.0)
#: Width divided by height of the pictures.
ASPECT = 4 / 3
#: Time limit for one conversion, in seconds. It is so long that none is interrupted.
LONGEST_SECONDS = 600
#: Quality of the photographs as JPEG, as cameras and phones write them.
JPEG_QUALITY = 90
#: Effort of the drawn photograph's variants.
DRAWN_EFFORT = 2


def sides(megapixels: float) -> tuple[int, int]:
    """Width and height of a picture with so many megapixels."""
    height = round(math.sqrt(megapixels * 1e6 / ASPECT))
    return round(height * ASPECT), height


def drawn(width: int, height: int) -> bytes:
    """The photograph that is drawn by formula, as JPEG. It is smoother than real ones."""
    return corpus.jpeg(corpus.photo(width, height))


def textured(file: Path, width: int, height: int) -> pyvips.Image:
    """A real picture in another size.

    A larger one is shrunk and cut. A smaller one is laid beside its mirror images and not enlarged, so that a pixel
    keeps as much detail as it has.
    """
    whole = corpus.as_srgb(pyvips.Image.new_from_file(str(file)).autorot().colourspace("srgb"))
    if whole.width >= width and whole.height >= height:
        return whole.thumbnail_image(width, height=height, crop="centre")
    return whole.embed(0, 0, width, height, extend="mirror")


def photograph(file: Path, width: int, height: int) -> bytes:
    """A real photograph as JPEG."""
    return corpus.jpeg(textured(file, width, height), quality=JPEG_QUALITY)


def graphic(file: Path, width: int, height: int) -> bytes:
    """A real graphic as PNG."""
    return corpus.png(textured(file, width, height))


def convert(kind: str, data: bytes, recipe: Recipe) -> Measured:
    """Convert a file once, with nothing else in this process."""
    limits = FileLimits()
    before = time.process_time()
    info = inspect(data, limits)
    result = render(data, info, recipe, Deadline(LONGEST_SECONDS))
    cpu = time.process_time() - before
    written = sum(len(variant.data) for variant in result.variants)
    return Measured(
        kind=kind,
        width=info.width,
        height=info.height,
        file_bytes=len(data),
        variant_bytes=written,
        cpu_seconds=cpu,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A picture of a kind, which `make` brings to a size in pixels."""

    kind: str
    make: Callable[[int, int], bytes]
    recipe: Recipe


def sources(photos: int, graphics: int, recipe: Recipe) -> list[Source]:
    """So many real photographs and graphics, and the drawn photograph."""
    return [
        *(Source(kind=PHOTO, make=partial(photograph, file), recipe=recipe) for file in photographs(photos)),
        *(Source(kind=GRAPHIC, make=partial(graphic, file), recipe=recipe) for file in drawings(graphics)),
        Source(kind=DRAWN, make=drawn, recipe=standard(DRAWN_EFFORT)),
    ]


def measure(found: Sequence[Source], megapixels: Sequence[float], rounds: int) -> list[Measured]:
    """For each kind and size the mean of its pictures. Each picture has the median of its times in the rounds."""
    measured = []
    for size in megapixels:
        files = [(source, source.make(*sides(size))) for source in found]
        runs = [[convert(source.kind, data, source.recipe) for source, data in files] for _ in range(rounds)]
        middles = [_middle(times) for times in zip(*runs, strict=True)]
        kinds = dict.fromkeys(each.kind for each in middles)
        measured += [_mean([each for each in middles if each.kind == kind]) for kind in kinds]
    return sorted(measured, key=lambda each: (each.kind != PHOTO, each.kind, each.megapixels))


def report(measured: Sequence[Measured]) -> str:
    """The table, and the fitted line of each kind."""
    drawn_seconds = {each.width: each.cpu_seconds for each in measured if each.kind == DRAWN}
    lines = [
        f"{'kind':12} {'MP':>5} {'size':>11} {'file':>9} {'variants':>9} {'CPU s':>7} {'CPU s/MP':>9} {'of drawn':>9}"
    ]
    lines += [
        f"{each.kind:12} {each.megapixels:5.1f} {f'{each.width}x{each.height}':>11} {each.file_bytes / 1e6:6.2f} MB "
        f"{each.variant_bytes / 1e6:6.2f} MB {each.cpu_seconds:7.3f} {each.cpu_seconds / each.megapixels:9.4f} "
        f"{each.cpu_seconds / drawn_seconds[each.width]:9.2f}"
        for each in measured
    ]
    for kind, line in lines_of(measured).items():
        lines.append(
            f"{kind}: CPU = {line.base:.4f} s + {line.per_megapixel:.4f} s x megapixels; "
            f"off by {line.worst:.0%} at most"
        )
    return "\n".join(lines)


def machine() -> str:
    """The machine and the versions of the software."""
    cpus = Path("/proc/cpuinfo")
    names = [line for line in cpus.read_text().splitlines() if line.startswith("model name")] if cpus.exists() else []
    name = names[0].partition(":")[2].strip() if names else platform.processor()
    return f"{name}, {max(1, len(names))} processors, {platform.machine()}, {libvips_version()}"


def _middle(times: Sequence[Measured]) -> Measured:
    middle = median(each.cpu_seconds for each in times)
    return min(times, key=lambda each: abs(each.cpu_seconds - middle))


def _mean(pictures: Sequence[Measured]) -> Measured:
    return replace(
        pictures[0],
        file_bytes=round(mean(each.file_bytes for each in pictures)),
        variant_bytes=round(mean(each.variant_bytes for each in pictures)),
        cpu_seconds=mean(each.cpu_seconds for each in pictures),
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=MEGAPIXELS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photos", type=int, default=9)
    parser.add_argument("--graphics", type=int, default=4)
    parser.add_argument("--effort", type=int, help="of every variant; without it each has its own")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    set_up_libvips()
    recipe = STANDARD if options.effort is None else standard(options.effort)
    found = sources(options.photos, options.graphics, recipe)
    measured = measure(found, options.megapixels, options.rounds)
    print(
        f"{machine()}; {recipe.reference}; {options.photos} photographs and {options.graphics} graphics, "
        f"median of {options.rounds} rounds; load {os.getloadavg()[0]:.0f}"
    )
    print(report(measured))
    if options.json:
        document = {
            "machine": machine(),
            "recipe": recipe.to_text(),
            "files": [asdict(each) for each in measured],
            "lines": {kind: asdict(line) for kind, line in lines_of(measured).items()},
        }
        options.json.write_text(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
