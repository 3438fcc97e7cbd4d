"""Compares AVIF with the shipped WebP for each variant: CPU, bytes and SSIMULACRA2.

    python -m benchmarks.frontier_avif [--photos 9] [--variants thumbnail medium large webp] [--efforts 2 3]
        [--qualities 50 60 70 80] [--json FILE]

Pictures, pixels and score are those of `benchmarks/frontier.py`. For each quality, the table has ratios of sums to the
WebP of the standard recipe, and the difference of scores. The last column has the ratio of bytes at the score of the
WebP. It is interpolated between the two qualities with the nearest scores. Below 1, the AVIF is smaller.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from statistics import mean

import pyvips

from benchmarks.cpu_per_megapixel import machine
from benchmarks.frontier import Score, Written, scorer, variants_of
from benchmarks.photos import files
from processor.formats import AVIF
from processor.pipeline import encode
from processor.pipeline.engine import set_up_libvips
from processor.recipes import STANDARD, VariantSpec

#: The setting that all others are compared with.
WEBP = "webp"


def measure(
    pictures: Sequence[Path], variants: Sequence[str], efforts: Sequence[int], qualities: Sequence[int], scorer: Path
) -> Iterator[Written]:
    """Measure these variants of every picture, as shipped and as AVIF."""
    for picture in pictures:
        with tempfile.TemporaryDirectory() as folder:
            for spec, image in variants_of(picture):
                if spec.name not in variants:
                    continue
                score = Score(scorer, Path(folder), image)
                yield _written(picture, spec, image, score, WEBP)
                for effort in efforts:
                    for quality in qualities:
                        avif = replace(spec, format=AVIF.name, effort=effort, quality=quality)
                        yield _written(picture, avif, image, score, f"effort {effort} Q{quality}")


def _written(picture: Path, spec: VariantSpec, image: pyvips.Image, score: Score, setting: str) -> Written:
    before = time.process_time()
    data = encode.write(image, spec)
    return Written(
        picture=str(picture),
        variant=spec.name,
        setting=setting,
        cpu_seconds=time.process_time() - before,
        bytes=len(data),
        score=score(data),
    )


def table(written: Sequence[Written], variants: Sequence[str], efforts: Sequence[int], qualities: Sequence[int]) -> str:
    """The table from the module's docstring. The last column is there once for each effort."""
    lines = ["| variant | setting | CPU | bytes | score | worst | bytes at the score of WebP |", "|" + " --- |" * 7]
    for variant in variants:
        of_variant = [row for row in written if row.variant == variant]
        base = {row.picture: row for row in of_variant if row.setting == WEBP}
        for effort in efforts:
            found = []
            for quality in sorted(qualities):
                rows = [row for row in of_variant if row.setting == f"effort {effort} Q{quality}"]
                cpu = sum(row.cpu_seconds for row in rows) / sum(each.cpu_seconds for each in base.values())
                size = sum(row.bytes for row in rows) / sum(each.bytes for each in base.values())
                differences = [row.score - base[row.picture].score for row in rows]
                found.append((quality, cpu, size, mean(differences), min(differences)))
            at_score = _size_at_equal_score([(size, apart) for _, _, size, apart, _ in found])
            for number, (quality, cpu, size, apart, worst) in enumerate(found):
                last = at_score if number == len(found) - 1 else ""
                row = (variant, f"effort {effort}, quality {quality}", f"{cpu:.2f}", f"{size:.3f}")
                lines.append(f"| {' | '.join((*row, f'{apart:+.2f}', f'{worst:+.2f}', last))} |")
    return "\n".join(lines)


def _size_at_equal_score(found: Sequence[tuple[float, float]]) -> str:
    for (small, worse), (large, better) in pairwise(found):
        if worse <= 0 <= better:
            part = -worse / (better - worse) if better > worse else 0.0
            return f"{small + (large - small) * part:.3f}"
    return "not among these"


def main() -> None:
    """Measure, print, write."""
    names = [spec.name for spec in STANDARD.specs]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int)
    parser.add_argument("--variants", nargs="+", choices=names, default=names)
    parser.add_argument("--efforts", type=int, nargs="+", choices=range(7), default=[2, 3])
    parser.add_argument("--qualities", type=int, nargs="+", default=[50, 60, 70, 80])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    set_up_libvips()
    asked = (options.variants, options.efforts, options.qualities)
    written = []
    for row in measure(files(options.photos), *asked, scorer()):
        written.append(row)
        if options.json:
            options.json.write_text(json.dumps([asdict(each) for each in written]))
    print(machine())
    print(table(written, *asked))


if __name__ == "__main__":
    main()
