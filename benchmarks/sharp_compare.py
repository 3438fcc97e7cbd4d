"""This pipeline beside the earlier service's (sharp, one decode per output): sizes, pixels, bytes, CPU.

    python -m benchmarks.sharp_compare [--sharp-dir DIR] [--rounds 3] [--effort 4] [--sharp-effort 4] [--sizes 300]

Both run in turns, one thread each, on the same generated photographs; ratios are ours / sharp's, medians of the rounds.
`--sharp-dir` is a folder with `node_modules/sharp`; without it sharp is installed into `.local/sharp`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pyvips

from processor.images import Rendered
from processor.pipeline.engine import set_up_libvips
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.recipes import STANDARD_VARIANTS, standard
from tests import corpus

#: Sides of the photographs, 1 to 20 megapixels, odd ones among them.
PHOTOS = ((1153, 867), (2000, 1500), (2448, 3264), (4000, 3000), (5472, 3648))
#: PSNR of equal images.
SAME = 99.0
HERE = Path(__file__).parent


class Sharp:
    """A node process that answers line by line."""

    def __init__(self, folder: Path, effort: int) -> None:
        specs = [{"name": spec.name, "quality": spec.quality, "box": spec.box} for spec in STANDARD_VARIANTS]
        command = ["node", str(HERE / "sharp_pipeline.mjs"), str(folder.resolve()), json.dumps(specs), str(effort)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, file: Path, out: Path | None = None) -> dict[str, Any]:
        """CPU seconds and the size of each output, which are written to `out`."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps({"file": str(file), "out": str(out) if out else None}), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End of input is its end."""
        self._process.communicate()


def ours(data: bytes, effort: int) -> tuple[float, Rendered]:
    """CPU seconds and variants."""
    limits = FileLimits()
    before = time.process_time()
    result = render(data, inspect(data, limits), standard(effort), Deadline(600))
    return time.process_time() - before, result


def compare_photos(sharp: Sharp, folder: Path, rounds: int, effort: int) -> None:
    """Pixels, bytes and CPU."""
    print(f"{'photo':>12} {'variant':>10} {'size':>11} {'MAD':>6} {'PSNR':>6} {'bytes':>6}   CPU")
    totals: list[float] = []
    all_bytes = [0, 0]
    for width, height in PHOTOS:
        file = folder / f"{width}x{height}.jpg"
        file.write_bytes(corpus.jpeg(corpus.photo(width, height)))
        runs = [(ours(file.read_bytes(), effort), sharp.run(file, folder)) for _ in range(rounds)]
        ratios = [cpu / theirs["cpu_seconds"] for (cpu, _), theirs in runs]
        (_, result), theirs = runs[-1]
        totals += ratios
        for variant, other in zip(result.variants, theirs["outputs"], strict=True):
            assert (variant.width, variant.height) == (other["width"], other["height"]), (file.name, variant, other)
            all_bytes[0] += len(variant.data)
            all_bytes[1] += other["bytes"]
            mad, psnr = distance(variant.data, (folder / f"{variant.name}.webp").read_bytes())
            size, bytes_ratio = f"{variant.width}x{variant.height}", len(variant.data) / other["bytes"]
            print(f"{file.stem:>12} {variant.name:>10} {size:>11} {mad:6.2f} {psnr:6.1f} {bytes_ratio:6.3f}", end="")
            print(f"   {median(ratios):.2f}" if variant is result.variants[-1] else "")
    print(f"all: CPU {median(totals):.2f}, bytes {all_bytes[0] / all_bytes[1]:.3f}")


def compare_sizes(sharp: Sharp, folder: Path, count: int) -> None:
    """Width and height of every variant, for random sources of each format."""
    chance = random.Random(corpus.SEED)
    different = 0
    for number in range(count):
        width, height = chance.randint(1, 2600), chance.randint(1, 2600)
        picture = corpus.flat(width, height, (90, 120, 150))
        orientation = chance.randint(1, 8)
        make = (corpus.jpeg, corpus.jpeg, corpus.png, corpus.webp)[number % 4]
        file = folder / "source"
        file.write_bytes(make(picture, orientation=orientation))
        _, result = ours(file.read_bytes(), 0)
        for variant, other in zip(result.variants, sharp.run(file)["outputs"], strict=True):
            if (variant.width, variant.height) != (other["width"], other["height"]):
                different += 1
                print("DIFFERENT", make.__name__, (width, height), orientation, variant, other)
    print(f"sizes: {count} sources, {count * len(STANDARD_VARIANTS)} variants, {different} different")


def distance(one: bytes, other: bytes) -> tuple[float, float]:
    """Mean absolute difference in steps of 255, and PSNR in dB, of two encoded images."""
    images = [pyvips.Image.webpload_buffer(data).extract_band(0, n=3).cast("float") for data in (one, other)]
    gap = images[0] - images[1]
    error = (gap * gap).avg()
    return gap.abs().avg(), SAME if error == 0 else 10 * math.log10(255 * 255 / error)


@contextmanager
def started(folder: Path, effort: int) -> Iterator[Sharp]:
    """Ended whatever happens."""
    sharp = Sharp(folder, effort)
    try:
        yield sharp
    finally:
        sharp.close()


def installed(folder: Path | None) -> Path:
    """Where `node_modules/sharp` is, after installing it if need be."""
    if folder is not None:
        return folder
    folder = Path(".local/sharp")
    if not (folder / "node_modules" / "sharp").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--prefix", str(folder), "--silent", "sharp@~0.35"], check=True)
    return folder


def main() -> None:
    """Everything, as the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sharp-dir", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--effort", type=int, default=4)
    parser.add_argument("--sharp-effort", type=int, default=4)
    parser.add_argument("--sizes", type=int, default=300)
    options = parser.parse_args()
    set_up_libvips()
    with tempfile.TemporaryDirectory() as name, started(installed(options.sharp_dir), options.sharp_effort) as sharp:
        compare_sizes(sharp, Path(name), options.sizes)
        compare_photos(sharp, Path(name), options.rounds, options.effort)


if __name__ == "__main__":
    main()
