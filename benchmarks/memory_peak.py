"""The memory that one image really takes, beside the estimate by which it is admitted.

    python -m benchmarks.memory_peak [--megapixels 24] [NAME ...]

Every file is drawn by formula and rendered in a fresh process, as the only image in it. The peak is what Linux counted
as resident (`VmHWM`) above what the process held before, the file counted in. Linux only. `LD_PRELOAD=libjemalloc.so.2`
measures with jemalloc, as the image has it, instead of glibc's malloc.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyvips

from processor.pipeline.budget import least_bytes, working_bytes
from processor.pipeline.engine import set_up_libvips
from processor.pipeline.limits import Deadline, Limits
from processor.pipeline.render import inspect, render
from processor.recipes import STANDARD
from tests import corpus

MIB = 1024 * 1024
#: Width by height of what is drawn.
ASPECT = 4 / 3
#: Nothing is cut short, and nothing is too large.
NO_LIMITS = Limits(max_bytes=1 << 40, max_pixels=1 << 40, timeout_seconds=3600)
#: So many pixels are drawn; larger pictures repeat them.
_TILE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """In bytes."""

    least: int
    estimate: int
    peak: int

    @property
    def ratio(self) -> float:
        """Above 1, the estimate is on the safe side."""
        return self.estimate / self.peak


def picture(megapixels: float, kind: str = "photo") -> pyvips.Image:
    """Noise, which compresses worst, or a photograph; repeated, since drawing is slow."""
    height = round(math.sqrt(megapixels * 1e6 / ASPECT))
    width = round(height * ASPECT)
    tile = _noise(_TILE, _TILE) if kind == "noise" else corpus.photo(_TILE, _TILE)
    across, down = -(-width // _TILE), -(-height // _TILE)
    return tile.replicate(across, down).crop(0, 0, width, height).copy(interpretation="srgb").copy_memory()


def with_noisy_alpha(image: pyvips.Image) -> pyvips.Image:
    """The worst alpha there is."""
    noise = pyvips.Image.gaussnoise(image.width, image.height, mean=128, sigma=60, seed=corpus.SEED).cast("uchar")
    return image.bandjoin(noise).copy(interpretation="srgb").copy_memory()


def animation(suffix: str, width: int, height: int, frames: int, *, alpha: bool = False) -> bytes:
    """Every frame another part of the same noise."""
    noise = _noise(width, height + frames)
    noise = with_noisy_alpha(noise) if alpha else noise
    cut = [noise.crop(0, top, width, height) for top in range(frames)]
    options = {"effort": 0} if suffix == ".webp" else {"effort": 1, "dither": 0}
    return corpus.animated(cut, suffix, delays=(100,) * frames, **options)


def cases(megapixels: float) -> Mapping[str, Callable[[], bytes]]:
    """Every format, depth, alpha and order of pixels, and every shape of animation; by name."""
    photo, noise = partial(picture, megapixels), partial(picture, megapixels, "noise")
    # As many pixels in all frames of an animation as in a still.
    few = round(math.sqrt(megapixels * 1e6 / 3))
    many = max(2, round(megapixels * 1e6 / (480 * 360)))
    return {
        "jpeg": lambda: corpus.jpeg(photo()),
        "jpeg-noise": lambda: corpus.jpeg(noise()),
        "jpeg-grey": lambda: corpus.jpeg(photo().colourspace("b-w")),
        "jpeg-progressive-420": lambda: corpus.jpeg(photo(), quality=85, interlace=True),
        "jpeg-progressive-444": lambda: corpus.jpeg(photo(), interlace=True, subsample_mode="off"),
        "jpeg-cmyk": lambda: corpus.cmyk_jpeg(photo(), profile=False),
        "jpeg-p3": lambda: corpus.p3_jpeg(photo()),
        "png": lambda: corpus.png(photo(), compression=1),
        "png-grey": lambda: corpus.png(photo().colourspace("b-w"), compression=1),
        "png-16": lambda: corpus.png(photo().colourspace("rgb16"), compression=1),
        "png-interlaced": lambda: corpus.png(photo(), compression=1, interlace=True),
        "png-16-interlaced": lambda: corpus.png(photo().colourspace("rgb16"), compression=1, interlace=True),
        "png-alpha-noise": lambda: corpus.png(with_noisy_alpha(photo()), compression=1),
        "png-alpha-smooth": lambda: corpus.png(corpus.with_alpha(photo()), compression=1),
        "png-alpha-solid": lambda: corpus.png(photo().bandjoin(255), compression=1),
        "webp": lambda: corpus.webp(photo(), effort=0),
        "webp-lossless": lambda: corpus.webp(photo(), effort=0, lossless=True),
        "webp-alpha-noise": lambda: corpus.webp(with_noisy_alpha(photo()), effort=0, lossless=True),
        "gif": lambda: corpus.gif(photo(), effort=1, dither=0),
        "gif-of-three": lambda: animation(".gif", few, few, 3),
        "gif-of-many": lambda: animation(".gif", 480, 360, many),
        "gif-flat": lambda: animation(".gif", 16_000, 2, max(2, round(megapixels * 1e6 / 32_000))),
        "webp-of-three": lambda: animation(".webp", few, few, 3),
        "webp-of-three-alpha": lambda: animation(".webp", few, few, 3, alpha=True),
        "webp-of-many": lambda: animation(".webp", 480, 360, many),
        "webp-tall": lambda: animation(".webp", 60, 4000, max(2, round(megapixels * 1e6 / 240_000))),
    }


def measure(data: bytes) -> Measured:
    """In a process of its own. glibc's malloc gives back what is free, as the service's children have it do."""
    environment = {"MALLOC_MMAP_THRESHOLD_": "1048576"} | os.environ
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        command = [sys.executable, "-m", "benchmarks.memory_peak", "--measure", file.name]
        told = subprocess.run(command, check=True, capture_output=True, env=environment, timeout=600)
    return Measured(**json.loads(told.stdout))


def _noise(width: int, height: int) -> pyvips.Image:
    bands = [
        pyvips.Image.gaussnoise(width, height, mean=128, sigma=50, seed=corpus.SEED + band).cast("uchar")
        for band in range(3)
    ]
    return bands[0].bandjoin(bands[1:]).copy(interpretation="srgb").copy_memory()


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _measure_here(file: Path) -> Measured:
    set_up_libvips()
    recipe = STANDARD
    for make in (corpus.jpeg, corpus.png, corpus.webp, corpus.gif):  # code and tables are the process's own
        data = make()
        render(data, inspect(data, NO_LIMITS), recipe, Deadline(NO_LIMITS.timeout_seconds))
    before = _status("VmRSS")
    data = file.read_bytes()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    info = inspect(data, NO_LIMITS)
    render(data, info, recipe, Deadline(NO_LIMITS.timeout_seconds))
    return Measured(
        least=least_bytes(info, len(data)),
        estimate=working_bytes(info, len(data)),
        peak=_status("VmHWM") - before,
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="cases; all by default")
    parser.add_argument("--megapixels", type=float, default=24, help="size of a picture, all frames together")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        found = _measure_here(arguments.measure)
        print(json.dumps({"least": found.least, "estimate": found.estimate, "peak": found.peak}))
        return
    print("| case | least MiB | estimate MiB | peak MiB | estimate / peak |\n| --- | --- | --- | --- | --- |")
    for name, make in cases(arguments.megapixels).items():
        if not arguments.names or name in arguments.names:
            found = measure(make())
            sizes = (found.least, found.estimate, found.peak)
            print(f"| {name} | {' | '.join(f'{size / MIB:.0f}' for size in sizes)} | {found.ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
