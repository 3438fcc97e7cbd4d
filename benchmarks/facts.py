"""Measures what the facts of a picture cost: CPU of a conversion with all analyses, beside one without any.

    python -m benchmarks.facts [--megapixels 1 2 12] [--rounds 15]

Both take turns in one process, with photographs that say as much about themselves as those of cameras. Two conversions
of one file differ by more than facts cost. So a probe also measures the CPU of the analyses within a conversion. `of
the picture` is the share that those add that look at the picture: colour, colours, placeholder, blurhash, likeness.
`all` is with those that read the file. Each number is the median of the rounds.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from processor.pipeline.analyses import ANALYSES
from processor.pipeline.engine import set_up_libvips
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.probe import NO_PROBES, Probes, Span
from processor.recipes import STANDARD, Recipe
from tests import corpus
from tests.corpus import metadata
from tests.corpus.metadata import RATIONAL, rational, text

BARE = replace(STANDARD, analyses=())


def photograph(megapixels: float) -> bytes:
    """A JPEG of 4 to 3, with EXIF, a position and XMP."""
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    degrees = rational(">", (48, 1), (51, 1), (2959, 100))
    names = [text(number, f"text {number}") for number in (0x010E, 0x010F, 0x0110, 0x0131, 0x013B, 0x8298)]
    own = [text(0x9003, "2026:01:01 16:20:05"), (0x829A, RATIONAL, rational(">", (1, 250))), (0x927C, 7, bytes(20_000))]
    gps = [text(1, "N"), (2, RATIONAL, degrees), text(3, "E"), (4, RATIONAL, degrees)]
    xmp = metadata.xmp({"dc:title": "a title", "dc:creator": ["somebody"], "dc:subject": ["one", "two"]})
    file = corpus.jpeg(corpus.photo(width, width * 3 // 4), quality=85)
    return metadata.jpeg(file, exif=metadata.exif(names, own, gps), xmp=xmp)


class AnalysesCpu:
    """A probe that adds up the CPU of the analyses, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._begun = 0.0

    def begun(self, _: Span) -> None:
        self._begun = time.process_time()

    def ended(self, span: Span) -> None:
        if span.name == "analyse":
            self.seconds[span.facts["analysis"]] += time.process_time() - self._begun


def seconds(data: bytes, recipe: Recipe, probes: Probes = NO_PROBES) -> float:
    """CPU of one conversion."""
    limits = FileLimits()
    begun = time.process_time()
    render(data, inspect(data, limits), recipe, Deadline(limits.timeout_seconds), probes=probes)
    return time.process_time() - begun


def one_round(data: bytes) -> tuple[float, float, float, float]:
    """CPU without and with all facts; what the facts of the picture add, and all facts, as shares of the rest."""
    bare, cpu = seconds(data, BARE), AnalysesCpu()
    whole = seconds(data, STANDARD, Probes((cpu,)))
    added = sum(cpu.seconds.values())
    of_the_picture = sum(spent for name, spent in cpu.seconds.items() if name in ANALYSES)
    return bare, whole, of_the_picture / (whole - added), added / (whole - added)


def report(sizes: Sequence[float], rounds: int) -> None:
    set_up_libvips()
    print("| megapixels | CPU without, ms | with all facts | of the picture | all |\n| --- | --- | --- | --- | --- |")
    for megapixels in sizes:
        data = photograph(megapixels)
        gc.collect()
        gc.freeze()  # as the server does: a collection would look through all modules
        columns = zip(*[one_round(data) for _ in range(rounds + 1)][1:], strict=True)
        without, with_all, of_the_picture, everything = map(median, columns)
        print(
            f"| {megapixels:g} | {without * 1000:.0f} | {with_all * 1000:.0f} "
            f"| {of_the_picture:.1%} | {everything:.1%} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 2, 12])
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    report(given.megapixels, given.rounds)
