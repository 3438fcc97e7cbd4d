"""Compares our pipeline with the earlier service's and with a lower bound, in one run: CPU, bytes, SSIMULACRA2, sizes.

    python -m benchmarks.pipeline [--photos 26] [--rounds 3] [--score] [--sizes 300] [--sharp-dir DIR]

- *sharp*: the earlier service: one decode for each output, effort 4 (`sharp_pipeline.mjs`; needs Node).
- *floor*: the lower bound: decode once, shrink in steps, encode with effort 4 at sharp's qualities, and nothing else.
- *ours*: the shipped pipeline with the shipped recipe. *ours, as sharp*: with the settings of the other two.

All run in turn on each picture, one thread each. The ratios are of sums, and medians of the rounds. The pictures come
from Debian (`benchmarks/photos.py`), or are the given files. `--score` compares every variant with its encoder's input.
`--sizes` compares width and height of variants of random sources with sharp's. `--sharp-dir` is a folder with
`node_modules/sharp`; without it, sharp is installed into `.local/sharp`.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median
from typing import Any

import pyvips

from benchmarks.cpu_per_megapixel import machine
from benchmarks.frontier import BASE, BASE_QUALITY, Score, scorer, variants_of
from benchmarks.photos import files
from processor.pipeline import geometry
from processor.pipeline.engine import set_up_libvips
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.recipes import STANDARD, STANDARD_VARIANTS, Recipe
from tests import corpus

HERE = Path(__file__).parent
#: Time limit for one picture, in seconds. It is so long that none is interrupted.
PATIENCE = 600
#: The earlier service's recipe.
EARLIER = replace(
    STANDARD,
    specs=tuple(replace(spec, quality=BASE_QUALITY[spec.name], effort=BASE.effort) for spec in STANDARD_VARIANTS),
)
SHARP, FLOOR, OURS, OURS_AS_SHARP = "sharp", "floor", "ours", "ours, as sharp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The figures for one picture in one pipeline, in one round."""

    cpu_seconds: float
    files: Mapping[str, bytes]


class Sharp:
    """A Node process that answers line by line."""

    def __init__(self, folder: Path, out: Path) -> None:
        specs = [{"name": spec.name, "quality": spec.quality, "box": spec.box} for spec in EARLIER.specs]
        command = ["node", str(HERE / "sharp_pipeline.mjs"), str(folder.resolve()), json.dumps(specs), str(BASE.effort)]
        self._out = out
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, file: Path, *, pixels: bool = False) -> dict[str, Any]:
        """CPU seconds, and the size of each output. The outputs, and with `pixels` their pixels, go to the folder."""
        assert self._process.stdin
        assert self._process.stdout
        asked = {"file": str(file.resolve()), "out": str(self._out), "pixels": pixels}
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def run(self, file: Path, *, pixels: bool = False) -> Run:
        """Convert a file once."""
        answer = self.ask(file, pixels=pixels)
        written = {output["name"]: (self._out / f"{output['name']}.webp").read_bytes() for output in answer["outputs"]}
        return Run(cpu_seconds=answer["cpu_seconds"], files=written)

    def pixels(self, name: str) -> pyvips.Image:
        """The encoder's input for a variant of the last file, if `pixels` was asked for."""
        return pyvips.Image.new_from_file(str(self._out / f"{name}.png"))

    def close(self) -> None:
        """Close its input, which ends it."""
        self._process.communicate()


def floor(file: Path) -> Run:
    """The least that any pipeline must do: no checks, no limits, no handling of errors."""
    data = file.read_bytes()
    before = time.process_time()
    whole = pyvips.Image.new_from_buffer(data, "", access="sequential")
    if whole.get_typeof("icc-profile-data"):
        whole = whole.icc_transform("srgb", embedded=True, intent="perceptual")
    whole = whole.copy_memory().autorot()
    images = {}
    image = whole
    for spec in reversed(EARLIER.specs):
        if spec.box:
            image = image.thumbnail_image(spec.box[0], height=spec.box[1], size="down").copy_memory()
        images[spec] = image
    written = {
        spec.name: bytes(images[spec].webpsave_buffer(Q=spec.quality, effort=spec.effort, keep="none"))
        for spec in EARLIER.specs
    }
    return Run(cpu_seconds=time.process_time() - before, files=written)


def ours(file: Path, recipe: Recipe) -> Run:
    """All of the service's work on an image, from its header on."""
    data = file.read_bytes()
    before = time.process_time()
    result = render(data, inspect(data, FileLimits()), recipe, Deadline(PATIENCE))
    cpu = time.process_time() - before
    return Run(cpu_seconds=cpu, files={variant.name: variant.data for variant in result.variants})


def compare(pictures: Sequence[Path], sharp: Sharp, rounds: int) -> str:
    """The table of ratios."""
    pipelines: Mapping[str, Callable[[Path], Run]] = {
        SHARP: sharp.run,
        FLOOR: floor,
        OURS: lambda file: ours(file, STANDARD),
        OURS_AS_SHARP: lambda file: ours(file, EARLIER),
    }
    runs: list[dict[str, list[Run]]] = [{name: [] for name in pipelines} for _ in range(rounds)]
    for file in pictures:
        for each in runs:
            for name, run in pipelines.items():
                each[name].append(run(file))
    lines = [f"{'pipeline':16} {'CPU s':>7} {'of sharp':>9} {'of floor':>9} {'bytes':>11} {'of sharp':>9}"]
    for name in pipelines:
        cpu = {other: [_ratio(each[name], each[other]) for each in runs] for other in (SHARP, FLOOR)}
        seconds = median(sum(run.cpu_seconds for run in each[name]) for each in runs)
        written, theirs = (sum(_bytes(run) for run in runs[-1][which]) for which in (name, SHARP))
        lines.append(
            f"{name:16} {seconds:7.2f} {median(cpu[SHARP]):9.3f} {median(cpu[FLOOR]):9.3f} {written:11,} "
            f"{written / theirs:9.3f}"
        )
    faster = [1 / _ratio(each[OURS], each[SHARP]) for each in runs]
    lines.append(f"ours is {median(faster):.2f} times as fast as sharp ({min(faster):.2f} to {max(faster):.2f})")
    return "\n".join(lines)


def score(pictures: Sequence[Path], sharp: Sharp, scored_by: Path) -> str:
    """SSIMULACRA2 of sharp's variants and of ours. Each is compared with the pixels of its own resizing."""
    scores: dict[str, list[tuple[float, float]]] = {}
    for file in pictures:
        theirs, own = sharp.run(file, pixels=True), ours(file, STANDARD)
        for spec, image in variants_of(file):
            with tempfile.TemporaryDirectory() as folder:
                of_sharp = Score(scored_by, Path(folder), sharp.pixels(spec.name))(theirs.files[spec.name])
                of_ours = Score(scored_by, Path(folder), image)(own.files[spec.name])
            scores.setdefault(spec.name, []).append((of_sharp, of_ours))
    scores["all"] = [pair for pairs in scores.values() for pair in pairs]
    lines = [f"{'SSIMULACRA2':12} {'sharp':>6} {'ours':>6} {'apart':>6} {'worst':>6}"]
    for name, pairs in scores.items():
        apart = [mine - other for other, mine in pairs]
        of_sharp, of_ours = (mean(column) for column in zip(*pairs, strict=True))
        lines.append(f"{name:12} {of_sharp:6.1f} {of_ours:6.1f} {mean(apart):+6.2f} {min(apart):+6.2f}")
    return "\n".join(lines)


def compare_sizes(sharp: Sharp, folder: Path, count: int) -> str:
    """Compare width and height of every variant, for random sources of each format."""
    chance = random.Random(corpus.SEED)
    different = []
    for number in range(count):
        width, height = chance.randint(1, 2600), chance.randint(1, 2600)
        orientation = chance.randint(1, 8)
        make = (corpus.jpeg, corpus.jpeg, corpus.png, corpus.webp)[number % 4]
        file = folder / "source"
        file.write_bytes(make(corpus.flat(width, height, (90, 120, 150)), orientation=orientation))
        info = inspect(file.read_bytes(), FileLimits())
        for spec, other in zip(STANDARD.specs, sharp.ask(file)["outputs"], strict=True):
            size = geometry.target_size(info, spec)
            if size != (other["width"], other["height"]):
                different.append(f"DIFFERENT {make.__name__} {width}x{height}, {orientation}: {size}, {other}")
    different.append(f"sizes: {count} sources, {count * len(STANDARD.specs)} variants, {len(different)} different")
    return "\n".join(different)


@contextmanager
def started(folder: Path, out: Path) -> Iterator[Sharp]:
    """A Node process that is ended in any case."""
    sharp = Sharp(folder, out)
    try:
        yield sharp
    finally:
        sharp.close()


def installed(folder: Path | None) -> Path:
    """The folder with `node_modules/sharp`; installs it if it is missing."""
    if folder is not None:
        return folder
    folder = Path(".local/sharp")
    if not (folder / "node_modules" / "sharp").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--prefix", str(folder), "--silent", "sharp@~0.35"], check=True)
    return folder


def _bytes(run: Run) -> int:
    return sum(len(data) for data in run.files.values())


def _ratio(one: Sequence[Run], other: Sequence[Run]) -> float:
    return sum(run.cpu_seconds for run in one) / sum(run.cpu_seconds for run in other)


def main() -> None:
    """Measure what the arguments ask for, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--photos", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--score", action="store_true")
    parser.add_argument("--sizes", type=int, default=0)
    parser.add_argument("--sharp-dir", type=Path)
    options = parser.parse_args()
    pictures = options.files or files(options.photos)
    folder = installed(options.sharp_dir)
    with tempfile.TemporaryDirectory() as name, started(folder, Path(name)) as sharp:
        set_up_libvips()
        print(f"{machine()}; {len(pictures)} pictures, {options.rounds} rounds")
        print(compare(pictures, sharp, options.rounds))
        if options.sizes:
            print(compare_sizes(sharp, Path(name), options.sizes))
        if options.score:
            print(score(pictures, sharp, scorer()))


if __name__ == "__main__":
    main()
