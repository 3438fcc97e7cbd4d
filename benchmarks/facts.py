"""Measures what the facts of a picture cost: CPU of a conversion with all analyses, beside one without any.

    python -m benchmarks.facts [--megapixels 1 2 12] [--rounds 15]

Both take turns in one process, with photographs that say as much about themselves as those of cameras. The ratio is
the median of the rounds. `analyses` are measured alone too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from processor.pipeline.engine import set_up_libvips
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
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


def seconds(data: bytes, recipe: Recipe) -> float:
    """CPU of one conversion."""
    limits = FileLimits()
    begun = time.process_time()
    render(data, inspect(data, limits), recipe, Deadline(limits.timeout_seconds))
    return time.process_time() - begun


def report(sizes: Sequence[float], rounds: int) -> None:
    set_up_libvips()
    print("| megapixels | CPU without, ms | with all facts | ratio |\n| --- | --- | --- | --- |")
    for megapixels in sizes:
        data = photograph(megapixels)
        pairs = [(seconds(data, BARE), seconds(data, STANDARD)) for _ in range(rounds + 1)][1:]
        ratio = median(facts / bare for bare, facts in pairs)
        without, all_facts = (median(column) * 1000 for column in zip(*pairs, strict=True))
        print(f"| {megapixels:g} | {without:.0f} | {all_facts:.0f} | {ratio:.3f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 2, 12])
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    report(given.megapixels, given.rounds)
