"""Compares the memory that one image really needs with the estimate by which it is admitted.

    python -m benchmarks.memory [--megapixels 24] [--effort 0 2 4 6] [--sharpen 0.8] [--format webp]
        [--recipe TEXT] [--preload libjemalloc.so.2] [--above 0.9] [NAME ...]

Every file is drawn by formula, and rendered alone in a new process. The peak is the resident memory (`VmHWM`) above
that of the process before, including the file. Linux only. The peak depends on the allocator, so each is tried: glibc's
malloc as the engine tunes it, the same as children have it, and, with `--preload`, jemalloc as the image has it. `left`
is the memory reserved after decoding, `later` the memory needed after decoding. At the end are the cases whose peak
differs from the estimate by more than a tenth. With `--above`, the table is short: only kinds that take so much of
their most, and without children.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyvips

from processor.formats import WEBP
from processor.pipeline.allocator import give_back, tune_allocator
from processor.pipeline.engine import set_up_libvips
from processor.pipeline.estimate import least_bytes, working_bytes
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import Rendering, inspect, render
from processor.recipes import FURTHER, STANDARD, Recipe, sharpened, standard
from processor.sandbox.process import GIVEN
from tests import corpus
from tests.corpus import animations

MIB = 1024 * 1024
#: Width divided by height of the pictures.
ASPECT = 4 / 3
#: No picture is too large, and none takes too long.
NO_LIMITS = FileLimits(max_bytes=1 << 40, max_pixels=1 << 40, timeout_seconds=3600)
#: So many pixels are drawn; larger pictures repeat them.
_TILE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Least need, estimate and peak, in bytes."""

    least: int
    estimate: int
    peak: int
    #: The memory reserved after decoding, and the memory needed from then on.
    left: int
    later: int


#: Environment variables of each allocator.
ALLOCATORS: Mapping[str, Mapping[str, str]] = {
    "engine": {},
    "child": {name: value for name, value in GIVEN.items() if name.startswith("MALLOC_")},
}
#: Settings of jemalloc: the same as in the Dockerfile.
JEMALLOC = {"MALLOC_CONF": "oversize_threshold:1048576,narenas:2"}
#: Smaller differences are not reported: the estimate may be wrong by a tenth, and processes vary by some MiB.
TOLERANCE, JITTER_BYTES = 0.1, 3 * MIB


def picture(megapixels: float, kind: str = "photo") -> pyvips.Image:
    """Noise, a photograph or a single colour. A tile is repeated, because drawing is slow."""
    height = round(math.sqrt(megapixels * 1e6 / ASPECT))
    width = round(height * ASPECT)
    flat = partial(corpus.flat, colour=(90, 120, 160))
    drawn: Mapping[str, Callable[[int, int], pyvips.Image]] = {"noise": _noise, "photo": corpus.photo, "flat": flat}
    tile = drawn[kind](_TILE, _TILE)
    across, down = -(-width // _TILE), -(-height // _TILE)
    return tile.replicate(across, down).crop(0, 0, width, height).copy(interpretation="srgb").copy_memory()


def with_noisy_alpha(image: pyvips.Image) -> pyvips.Image:
    """The picture with the worst alpha: noise."""
    noise = pyvips.Image.gaussnoise(image.width, image.height, mean=128, sigma=60, seed=corpus.SEED).cast("uchar")
    return image.bandjoin(noise).copy(interpretation="srgb").copy_memory()


def with_mask(image: pyvips.Image) -> pyvips.Image:
    """The picture with a mask: a disc with a hard edge."""
    place = pyvips.Image.xyz(image.width, image.height)
    off = (place[0] - image.width / 2) ** 2 + (place[1] - image.height / 2) ** 2
    mask = off < (min(image.width, image.height) / 3) ** 2
    return image.bandjoin(mask).copy(interpretation="srgb").copy_memory()


def _frames(width: int, height: int, count: int, kind: str = "noise") -> list[pyvips.Image]:
    """The frames of an animation: noise, different photographs, the same photograph, or flat colours."""
    if kind == "flat":
        return [corpus.flat(width, height, (40 + 7 * number % 200, 90, 160)) for number in range(count)]
    if kind == "noise":
        source = _noise(width, height + count)
        return [source.crop(0, top, width, height) for top in range(count)]
    tile = corpus.photo(_TILE, _TILE).replicate(-(-width // _TILE) + 1, -(-height // _TILE) + 1)
    steps = [0 if kind == "still" else 37 * number % _TILE for number in range(count)]
    return [tile.crop(step, step, width, height).copy(interpretation="srgb").copy_memory() for step in steps]


def _each(change: Callable[[pyvips.Image], pyvips.Image], frames: Sequence[pyvips.Image]) -> list[pyvips.Image]:
    return [change(frame) for frame in frames]


def _animation(suffix: str, frames: Sequence[pyvips.Image]) -> bytes:
    options = {"effort": 0} if suffix == ".webp" else {"effort": 1, "dither": 0}
    return corpus.animated(list(frames), suffix, delays=(100,) * len(frames), **options)


def _gif(width: int, height: int, count: int, kind: str, *, dispose: int = animations.KEEP) -> bytes:
    """An animation in which all frames are as large as the screen."""
    frames = _frames(width, height, count, kind)
    stills = [animations.Still(data=corpus.gif(frame, effort=1, dither=0), dispose=dispose) for frame in frames]
    return animations.gif_of_stills(width, height, stills)


def _gif_of_patches(width: int, height: int, count: int, *, dispose: int = animations.KEEP) -> bytes:
    """An animation with one frame as large as the screen, and small frames on it."""
    first, *_ = _frames(width, height, 1, "photos")
    side = max(1, min(width, height) // 8)
    patches = [corpus.gif(patch, effort=1, dither=0) for patch in _frames(side, side, 4)]
    stills = [animations.Still(data=corpus.gif(first, effort=1, dither=0))]
    for number in range(count - 1):
        left, top = 31 * number % (width - side), 17 * number % (height - side)
        stills.append(animations.Still(data=patches[number % 4], left=left, top=top, dispose=dispose))
    return animations.gif_of_stills(width, height, stills)


def _apng(frames: Sequence[pyvips.Image], *, dispose: int = animations.APNG_KEEP) -> bytes:
    stills = [animations.Still(data=corpus.png(frame, compression=1), dispose=dispose) for frame in frames]
    return animations.apng_of_stills(frames[0].width, frames[0].height, stills)


def _apng_of_patches(width: int, height: int, count: int, *, blend: int) -> bytes:
    first, *_ = _frames(width, height, 1, "photos")
    side = max(1, min(width, height) // 8)
    patches = [corpus.png(with_noisy_alpha(patch), compression=1) for patch in _frames(side, side, 4)]
    stills = [animations.Still(data=corpus.png(first.bandjoin(255), compression=1))]
    for number in range(count - 1):
        left, top = 31 * number % (width - side), 17 * number % (height - side)
        stills.append(animations.Still(data=patches[number % 4], left=left, top=top, blend=blend))
    return animations.apng_of_stills(width, height, stills)


def cases(megapixels: float) -> Mapping[str, Callable[[], bytes]]:
    """Files of every format, depth, alpha and order of pixels, and every shape of animation, by name."""
    return {**_stills(megapixels), **_animations(megapixels)}


def _stills(megapixels: float) -> Mapping[str, Callable[[], bytes]]:
    photo, noise, flat = (partial(picture, megapixels, kind) for kind in ("photo", "noise", "flat"))
    subsample: dict[str, Any] = {"subsample_mode": "off"}
    return {
        "jpeg": lambda: corpus.jpeg(photo()),
        "jpeg-444": lambda: corpus.jpeg(photo(), **subsample),
        "jpeg-noise": lambda: corpus.jpeg(noise()),
        "jpeg-flat": lambda: corpus.jpeg(flat()),
        "jpeg-turned": lambda: corpus.jpeg(photo(), orientation=6),
        "jpeg-mirrored": lambda: corpus.jpeg(photo(), orientation=4),
        "jpeg-grey": lambda: corpus.jpeg(photo().colourspace("b-w")),
        "jpeg-grey-progressive": lambda: corpus.jpeg(photo().colourspace("b-w"), interlace=True),
        "jpeg-progressive-420": lambda: corpus.jpeg(photo(), quality=85, interlace=True),
        "jpeg-progressive-444": lambda: corpus.jpeg(photo(), interlace=True, **subsample),
        "jpeg-progressive-turned": lambda: corpus.jpeg(photo(), orientation=8, interlace=True, **subsample),
        "jpeg-cmyk": lambda: corpus.cmyk_jpeg(photo(), profile=False),
        "jpeg-cmyk-progressive": lambda: corpus.jpeg(photo().colourspace("cmyk"), interlace=True),
        "jpeg-p3": lambda: corpus.p3_jpeg(photo()),
        "png": lambda: corpus.png(photo(), compression=1),
        "png-noise": lambda: corpus.png(noise(), compression=1),
        "png-flat": lambda: corpus.png(flat(), compression=1),
        "png-palette": lambda: corpus.png(photo(), compression=1, palette=True, effort=1, dither=0),
        "png-palette-mask": lambda: corpus.png(with_mask(photo()), compression=1, palette=True, effort=1, dither=0),
        "png-bilevel": lambda: corpus.png(photo().colourspace("b-w"), compression=1, bitdepth=1),
        "png-grey": lambda: corpus.png(photo().colourspace("b-w"), compression=1),
        "png-grey-16": lambda: corpus.png(photo().colourspace("grey16"), compression=1),
        "png-16": lambda: corpus.png(photo().colourspace("rgb16"), compression=1),
        "png-turned": lambda: corpus.png(photo(), orientation=5, compression=1),
        "png-interlaced": lambda: corpus.png(photo(), compression=1, interlace=True),
        "png-16-interlaced": lambda: corpus.png(photo().colourspace("rgb16"), compression=1, interlace=True),
        "png-alpha-noise": lambda: corpus.png(with_noisy_alpha(photo()), compression=1),
        "png-alpha-smooth": lambda: corpus.png(corpus.with_alpha(photo()), compression=1),
        "png-alpha-mask": lambda: corpus.png(with_mask(photo()), compression=1),
        "png-alpha-solid": lambda: corpus.png(photo().bandjoin(255), compression=1),
        "png-alpha-of-noise": lambda: corpus.png(with_noisy_alpha(noise()), compression=1),
        "png-alpha-16": lambda: corpus.png(with_noisy_alpha(photo()).colourspace("rgb16"), compression=1),
        "png-alpha-grey": lambda: corpus.png(with_noisy_alpha(photo().colourspace("b-w")), compression=1),
        "png-alpha-turned": lambda: corpus.png(with_noisy_alpha(photo()), orientation=6, compression=1),
        "png-alpha-interlaced": lambda: corpus.png(with_noisy_alpha(photo()), compression=1, interlace=True),
        "webp": lambda: corpus.webp(photo(), effort=0),
        "webp-noise": lambda: corpus.webp(noise(), effort=0),
        "webp-lossless": lambda: corpus.webp(photo(), effort=0, lossless=True),
        "webp-turned": lambda: corpus.webp(photo(), orientation=6, effort=0),
        "webp-alpha-noise": lambda: corpus.webp(with_noisy_alpha(photo()), effort=0, lossless=True),
        "webp-alpha-mask": lambda: corpus.webp(with_mask(photo()), effort=0),
        "gif": lambda: corpus.gif(photo(), effort=1, dither=0),
        "gif-noise": lambda: corpus.gif(noise(), effort=1, dither=0),
        "gif-mask": lambda: corpus.gif(with_mask(photo()), effort=1, dither=0),
        "avif": lambda: _avif(photo()),
        "avif-444": lambda: _avif(photo(), subsample_mode="off"),
        "avif-10": lambda: _avif(photo().colourspace("rgb16"), bitdepth=10),
        "avif-10-444": lambda: _avif(photo().colourspace("rgb16"), bitdepth=10, subsample_mode="off"),
        "avif-hdr": lambda: corpus.heif.file(corpus.heif.av1(photo(), bits=10).saying(corpus.heif.nclx(9, 16, 9))),
        "avif-alpha-solid": lambda: _avif(photo().bandjoin(255)),
        "avif-alpha-mask": lambda: _avif(with_mask(photo())),
        "heic": lambda: _heic(photo()),
        "heic-10": lambda: _heic(photo(), bits=10),
        "heic-alpha-mask": lambda: _heic(photo(), with_mask(photo())[3]),
        "tiff": lambda: corpus.tiff(photo()),
        "tiff-turned": lambda: corpus.tiffs.with_orientation(photo(), 6),
        "tiff-one-strip": lambda: corpus.tiffs.file(corpus.tiffs.Page(picture=photo())),
        "tiff-tiled": lambda: corpus.tiff(photo(), compression="lzw", tile=True, tile_width=256, tile_height=256),
        "tiff-16": lambda: corpus.tiff(photo().colourspace("rgb16"), compression="deflate"),
        "tiff-cmyk": lambda: corpus.tiff(photo().icc_transform("cmyk", input_profile="srgb")),
        "tiff-samples": lambda: corpus.tiff(photo().bandjoin([0] * 60), compression="deflate"),
        "tiff-alpha-mask": lambda: corpus.tiff(with_mask(photo()), compression="lzw"),
    }


def _avif(image: pyvips.Image, **options: object) -> bytes:
    return bytes(image.heifsave_buffer(compression="av1", Q=70, effort=0, **options))


def _heic(image: pyvips.Image, shade: pyvips.Image | None = None, *, bits: int = 8) -> bytes:
    even = image.crop(0, 0, image.width // 2 * 2, image.height // 2 * 2)
    item = corpus.heif.hevc1(even, bits=bits).saying(corpus.heif.nclx())
    if shade is None:
        return corpus.heif.file(item)
    grey = shade.crop(0, 0, even.width, even.height)
    alpha = corpus.heif.alpha_of(corpus.heif.hevc1(corpus.as_srgb(grey.bandjoin([grey, grey]))))
    return corpus.heif.file(item, alpha, references=[(b"auxl", 2, (1,))])


def _animations(megapixels: float) -> Mapping[str, Callable[[], bytes]]:
    """Animations with as many pixels in all frames as a still."""
    three = round(math.sqrt(megapixels * 1e6 / 3))
    many = max(2, round(megapixels * 1e6 / (480 * 360)))
    tiny = max(2, min(500, round(megapixels * 1e6 / (96 * 64))))
    flat = max(2, round(megapixels * 1e6 / 32_000))
    tall = max(2, round(megapixels * 1e6 / 240_000))
    return {
        "gif-of-three": lambda: _animation(".gif", _frames(three, three, 3)),
        "gif-of-three-photos": lambda: _gif(three, three, 3, "photos"),
        "gif-of-three-cleared": lambda: _gif(three, three, 3, "photos", dispose=animations.BACKGROUND),
        "gif-of-many": lambda: _animation(".gif", _frames(480, 360, many)),
        "gif-of-many-photos": lambda: _gif(480, 360, many, "photos"),
        "gif-that-stands-still": lambda: _gif(480, 360, many, "still"),
        "gif-of-colours": lambda: _gif(480, 360, many, "flat"),
        "gif-of-tiny": lambda: _gif(96, 64, tiny, "photos"),
        "gif-of-patches": lambda: _gif_of_patches(480, 360, many),
        "gif-of-patches-cleared": lambda: _gif_of_patches(480, 360, many, dispose=animations.BACKGROUND),
        "gif-of-patches-restored": lambda: _gif_of_patches(480, 360, many, dispose=animations.PREVIOUS),
        "gif-flat": lambda: _animation(".gif", _frames(16_000, 2, flat)),
        "apng-of-three": lambda: _apng(_frames(three, three, 3, "photos")),
        "apng-of-three-alpha": lambda: _apng(_each(with_noisy_alpha, _frames(three, three, 3, "photos"))),
        "apng-of-three-noise": lambda: _apng(_frames(three, three, 3)),
        "apng-of-tiny": lambda: _apng(_frames(96, 64, tiny, "photos")),
        "apng-of-colours": lambda: _apng(_frames(480, 360, many, "flat")),
        "apng-of-many-alpha": lambda: _apng(_each(with_noisy_alpha, _frames(480, 360, many, "photos"))),
        "apng-of-many": lambda: _apng(_frames(480, 360, many, "photos")),
        "apng-of-many-cleared": lambda: _apng(_frames(480, 360, many, "photos"), dispose=animations.APNG_BACKGROUND),
        "apng-of-patches": lambda: _apng_of_patches(480, 360, many, blend=animations.SOURCE),
        "apng-of-patches-over": lambda: _apng_of_patches(480, 360, many, blend=animations.OVER),
        "webp-of-three": lambda: _animation(".webp", _frames(three, three, 3)),
        "webp-of-three-photos": lambda: _animation(".webp", _frames(three, three, 3, "photos")),
        "webp-of-three-alpha": lambda: _animation(".webp", _each(with_noisy_alpha, _frames(three, three, 3))),
        "webp-of-three-flat": lambda: _animation(".webp", _frames(three, three, 3, "flat")),
        "webp-of-colours": lambda: _animation(".webp", _frames(480, 360, many, "flat")),
        "webp-that-stands-still": lambda: _animation(".webp", _frames(480, 360, many, "still")),
        "webp-of-tiny": lambda: _animation(".webp", _frames(96, 64, tiny, "photos")),
        "webp-of-tiny-noise": lambda: _animation(".webp", _frames(96, 64, tiny)),
        "webp-of-many-alpha": lambda: _animation(".webp", _each(with_noisy_alpha, _frames(480, 360, many, "photos"))),
        "webp-of-many-noisy-alpha": lambda: _animation(".webp", _each(with_noisy_alpha, _frames(480, 360, many))),
        "webp-of-larger": lambda: _animation(".webp", _frames(960, 720, max(2, many // 4))),
        "webp-of-many": lambda: _animation(".webp", _frames(480, 360, many)),
        "webp-of-many-photos": lambda: _animation(".webp", _frames(480, 360, many, "photos")),
        "webp-of-many-masks": lambda: _animation(".webp", _each(with_mask, _frames(480, 360, many, "photos"))),
        "webp-tall": lambda: _animation(".webp", _frames(60, 4000, tall)),
    }


def measure(
    data: bytes,
    effort: int = 2,
    allocator: Mapping[str, str] = ALLOCATORS["engine"],
    *,
    sharpen: float = 0,
    format_: str = WEBP.name,
    recipe: Recipe | None = None,
) -> Measured:
    """Measure in a new process. With a `recipe`, that is made, and not the standard one."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "LD_PRELOAD"))}
    environment = {**ours, **allocator}
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        command = [sys.executable, "-m", "benchmarks.memory", "--measure", file.name]
        command += ["--effort", str(effort), "--sharpen", str(sharpen), "--format", format_]
        command += ["--recipe", recipe.to_text()] if recipe else []
        told = subprocess.run(command, check=True, capture_output=True, env=environment, timeout=600)
    return Measured(**json.loads(told.stdout))


def _noise(width: int, height: int) -> pyvips.Image:
    bands = [
        pyvips.Image.gaussnoise(width, height, mean=128, sigma=50, seed=corpus.SEED + band).cast("uchar")
        for band in range(3)
    ]
    return bands[0].bandjoin(bands[1:]).copy(interpretation="srgb").copy_memory()


def _recipe(effort: int, format_: str) -> Recipe:
    if format_ == WEBP.name:
        return standard(effort)
    further = tuple(replace(spec, effort=effort) for spec in FURTHER[format_])
    return replace(STANDARD, further=further).in_format(format_)


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


class _Peaks:
    """The peaks of a rendering, in bytes above the memory of its process before.

    If an image is alone, the engine makes its small and its large variants at the same time, in two threads. How much
    they overlap depends on the machine. So here one thread waits for the other, and their peaks are added.
    """

    def __init__(self, *, beside: bool) -> None:
        self._beside = beside
        give_back()
        self._before = _status("VmRSS")
        self._decoding = self._resizing = 0
        self._left: int | None = None
        _begin_anew()

    def settled(self, left_bytes: int) -> None:
        """Note the peak of decoding."""
        self._left, self._decoding = left_bytes, self._highest()

    def decoded(self) -> None:
        """Note the peak of resizing. From here on, both threads may run."""
        self._resizing = self._highest()

    def of(self, rendering: Rendering) -> tuple[int, int]:
        """The peak of the whole rendering, and the peak after decoding."""
        rendering.first(self.decoded)
        first = self._highest()
        give_back()  # what the small variants freed, the large one would use again
        held = _status("VmRSS") - self._before
        with ThreadPoolExecutor(1) as pool:
            pool.submit(rendering.rest).result()
        rest = self._highest()
        encoding = first + rest - held if self._beside and rendering.has_rest else max(first, rest)
        later = max(self._resizing, encoding)
        return max(self._decoding, later), later

    def left(self, estimate: int) -> int:
        """The bytes reserved after decoding. A JPEG that is streamed releases nothing."""
        return estimate if self._left is None else min(estimate, self._left)

    def _highest(self) -> int:
        """The peak since the last call."""
        highest = _status("VmHWM") - self._before
        _begin_anew()
        return highest


def _begin_anew() -> None:
    """Reset the peak that Linux counts (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def _measure_here(file: Path, recipe: Recipe) -> Measured:
    tune_allocator()
    set_up_libvips()
    for make in (corpus.jpeg, corpus.png, corpus.webp, corpus.gif):  # loads code and tables, which do not count
        data = make()
        render(data, inspect(data, NO_LIMITS), recipe, Deadline(NO_LIMITS.timeout_seconds))
    # Further formats are made by a child, which has one thread.
    peaks = _Peaks(beside=all(spec.format == WEBP.name for spec in recipe.specs))
    data = file.read_bytes()
    info = inspect(data, NO_LIMITS)
    deadline = Deadline(NO_LIMITS.timeout_seconds)
    peak, later = peaks.of(Rendering(data, info, recipe, deadline, settled=peaks.settled))
    estimate = working_bytes(info, len(data), recipe)
    return Measured(
        least=least_bytes(info, len(data), recipe),
        estimate=estimate,
        peak=peak,
        left=peaks.left(estimate),
        later=later,
    )


def main() -> None:
    """Print a table, and the cases that differ from their estimates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="cases; all by default")
    parser.add_argument("--megapixels", type=float, default=24, help="size of a picture, all frames together")
    parser.add_argument("--effort", type=int, nargs="+", default=[2], choices=range(7), help="as `WEBP_EFFORT`")
    parser.add_argument("--sharpen", type=float, default=0, help="as `SHARPEN_SIGMA`")
    parser.add_argument("--format", choices=[WEBP.name, *FURTHER], default=WEBP.name, help="of the variants")
    parser.add_argument("--recipe", type=Recipe.from_text, help="in place of these three, as records of jobs have it")
    parser.add_argument("--preload", help="jemalloc, as the loader finds it")
    parser.add_argument("--above", type=float, metavar="PART", help="kinds that take this part of their most, and more")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        (effort,) = arguments.effort
        recipe = arguments.recipe or sharpened(_recipe(effort, arguments.format), [arguments.sharpen])
        print(json.dumps(asdict(_measure_here(arguments.measure, recipe))))
        return
    allocators = {"engine": ALLOCATORS["engine"]} if arguments.above else {**ALLOCATORS}
    if arguments.preload:
        allocators["jemalloc"] = {"LD_PRELOAD": arguments.preload, **JEMALLOC}
    columns = ("case", "effort", "least MiB", "most MiB", *(f"{name} MiB" for name in allocators), "of the most")
    columns += () if arguments.above else ("left MiB", "later MiB")
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    beside: list[str] = []
    others: list[float] = []
    for name, effort, found in _measured(arguments, [*allocators.values()]):
        beside.extend(_beside(f"{name} at effort {effort}", found))
        if arguments.above and _part(found) < arguments.above:
            others.append(_part(found))
        else:
            print(_row(name, effort, found, is_short=bool(arguments.above)), flush=True)
    if others:
        print(f"\n{len(others)} other kinds took {min(others):.2f} to {max(others):.2f} of their most.")
    print("\n" + "\n".join(beside or ["No peak is more than a tenth beside its estimate."]))


def _measured(
    arguments: argparse.Namespace, allocators: Sequence[Mapping[str, str]]
) -> Iterator[tuple[str, int, list[Measured]]]:
    """Each case with each effort, and what was measured with each allocator."""
    for name, make in cases(arguments.megapixels).items():
        if arguments.names and name not in arguments.names:
            continue
        data = make()
        for effort in arguments.effort:
            how = {"sharpen": arguments.sharpen, "format_": arguments.format, "recipe": arguments.recipe}
            yield name, effort, [measure(data, effort, each, **how) for each in allocators]


def _part(found: Sequence[Measured]) -> float:
    """The highest peak, as a part of the most that is estimated."""
    return max(each.peak for each in found) / found[0].estimate


def _row(name: str, effort: int, found: Sequence[Measured], *, is_short: bool) -> str:
    sizes = (found[0].least, found[0].estimate, *(each.peak for each in found))
    row = f"| {name} | {effort} | {' | '.join(f'{size / MIB:.0f}' for size in sizes)} | {_part(found):.2f} |"
    return row if is_short else f"{row} {found[0].left / MIB:.0f} | {max(each.later for each in found) / MIB:.0f} |"


def _beside(name: str, found: Sequence[Measured]) -> Iterator[str]:
    lowest, highest = min(each.peak for each in found), max(each.peak for each in found)
    if highest > found[0].estimate * (1 + TOLERANCE) + JITTER_BYTES:
        yield f"{name}: takes {highest / found[0].estimate:.2f} of the estimate"
    if highest < found[0].least * (1 - TOLERANCE) - JITTER_BYTES:
        yield f"{name}: takes {highest / found[0].least:.2f} of the least"
    elif lowest < found[0].estimate * (1 - TOLERANCE) - JITTER_BYTES:
        yield f"{name}: takes {lowest / found[0].estimate:.2f} of the estimate, above the least"


if __name__ == "__main__":
    main()
