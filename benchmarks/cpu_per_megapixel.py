"""Measures the CPU seconds that the shipped pipeline spends on an image, by its size. Capacity is calculated from them.

    python -m benchmarks.cpu_per_megapixel [--megapixels 0.3 2 8 12 24 50] [--rounds 3] [--effort N] [--json FILE]

Every file is drawn by formula, is the same on every machine, and becomes the four variants on one thread. A round
converts all of them in turn, so that a disturbance affects all. The table shows medians of the rounds. The line
`a + b * megapixels` is fitted by relative error, from 2 megapixels on. There the three smaller variants always have the
same size, and so the same cost. Smaller images cost less, because their variants are smaller too.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

import pyvips

from benchmarks.scaling.measured import GRAPHIC, PHOTO, Measured, lines_of
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
#: Colours of a graphic: few, as in charts and screenshots.
PALETTE = ((250, 250, 250), (32, 90, 160), (230, 120, 30), (40, 40, 48))


def sides(megapixels: float) -> tuple[int, int]:
    """Width and height of a picture with so many megapixels."""
    height = round(math.sqrt(megapixels * 1e6 / ASPECT))
    return round(height * ASPECT), height


def graphic(width: int, height: int) -> pyvips.Image:
    """A picture of flat areas with hard borders, as in charts and screenshots."""
    cells = pyvips.Image.worley(width, height, cell_size=max(2, width // 12), seed=corpus.SEED)
    index = (cells / max(1.0, width / 40)).floor().cast("uchar") % len(PALETTE)
    table = pyvips.Image.new_from_memory(bytes(sum(PALETTE, ())), len(PALETTE), 1, 3, "uchar")
    return corpus.as_srgb(index.maplut(table))


#: Functions that make a file of each kind: a photograph as JPEG, a graphic as PNG.
KINDS: Mapping[str, Callable[[int, int], bytes]] = {
    PHOTO: lambda width, height: corpus.jpeg(corpus.photo(width, height)),
    GRAPHIC: lambda width, height: corpus.png(graphic(width, height)),
}


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


def measure(megapixels: Sequence[float], rounds: int, recipe: Recipe) -> list[Measured]:
    """Measure every file `rounds` times. Each result has the median of its times."""
    files = [(kind, draw(*sides(size))) for kind, draw in KINDS.items() for size in megapixels]
    runs = [[convert(kind, data, recipe) for kind, data in files] for _ in range(rounds)]
    return [_middle(times) for times in zip(*runs, strict=True)]


def report(measured: Sequence[Measured]) -> str:
    """The table, and the fitted line of each kind."""
    lines = [f"{'kind':12} {'MP':>5} {'size':>11} {'file':>9} {'variants':>9} {'CPU s':>7} {'CPU s/MP':>9}"]
    lines += [
        f"{each.kind:12} {each.megapixels:5.1f} {f'{each.width}x{each.height}':>11} {each.file_bytes / 1e6:6.2f} MB "
        f"{each.variant_bytes / 1e6:6.2f} MB {each.cpu_seconds:7.3f} {each.cpu_seconds / each.megapixels:9.4f}"
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


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=MEGAPIXELS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--effort", type=int, help="of every variant; without it each has its own")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    set_up_libvips()
    recipe = STANDARD if options.effort is None else standard(options.effort)
    measured = measure(options.megapixels, options.rounds, recipe)
    print(f"{machine()}; {recipe.reference}, median of {options.rounds} rounds")
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
