"""Measurements of `python -m benchmarks.cpu_per_megapixel`, and the line through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum

#: The line holds from so many megapixels on. Larger pictures fill the box of the largest variant.
FIT_FROM = 2.0
PHOTO, GRAPHIC, DRAWN = "JPEG photo", "PNG graphic", "drawn photo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One file. `cpu_seconds` are those of the whole process during the conversion."""

    kind: str
    width: int
    height: int
    file_bytes: int
    variant_bytes: int
    cpu_seconds: float

    @property
    def megapixels(self) -> float:
        """The megapixels of the source."""
        return self.width * self.height / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`cpu = base + per_megapixel * megapixels`, in seconds."""

    base: float
    per_megapixel: float
    #: The largest distance of a measurement from the line, relative to the measurement.
    worst: float

    def cpu_seconds(self, megapixels: float) -> float:
        """The CPU seconds of one image."""
        return self.base + self.per_megapixel * megapixels


def fitted(measured: Sequence[Measured]) -> Line:
    """The line with the least squares of relative errors. `fsum` gives the same result in every version of Python."""
    weights = [1 / each.cpu_seconds**2 for each in measured]
    points = [(each.megapixels, each.cpu_seconds) for each in measured]
    total = fsum(weights)
    mean_x = fsum(weight * x for weight, (x, _) in zip(weights, points, strict=True)) / total
    mean_y = fsum(weight * y for weight, (_, y) in zip(weights, points, strict=True)) / total
    above = fsum(weight * (x - mean_x) * (y - mean_y) for weight, (x, y) in zip(weights, points, strict=True))
    below = fsum(weight * (x - mean_x) ** 2 for weight, (x, _) in zip(weights, points, strict=True))
    slope = above / below
    base = mean_y - slope * mean_x
    worst = max(abs(base + slope * x - y) / y for x, y in points)
    return Line(base=base, per_megapixel=slope, worst=worst)


def lines_of(measured: Sequence[Measured]) -> dict[str, Line]:
    """A line for each kind with at least two large sizes."""
    large = [each for each in measured if each.megapixels >= 0.99 * FIT_FROM]  # sides are whole pixels
    kinds = {each.kind: [other for other in large if other.kind == each.kind] for each in large}
    return {kind: fitted(group) for kind, group in kinds.items() if len(group) > 1}


def _run(kind: str, *files: tuple[int, int, int, int, float]) -> tuple[Measured, ...]:
    return tuple(
        Measured(kind=kind, width=width, height=height, file_bytes=size, variant_bytes=written, cpu_seconds=cpu)
        for width, height, size, written, cpu in files
    )


#: Where and when the figures below were measured.
MACHINE = "AMD EPYC (family 26), 2 processors, x86-64, libvips 8.18.7, the shipped efforts, 2026-11-27"
#: One run of the command on a machine with other work: width, height, mean bytes of the files, mean bytes of their
#: variants, mean CPU seconds. Nine photographs and four graphics of Debian; 2 rounds, and 1 from 24 megapixels on.
BUSY: tuple[Measured, ...] = (
    *_run(
        PHOTO,
        (632, 474, 95_284, 141_417, 0.093),
        (1633, 1225, 439_756, 446_346, 0.339),
        (3265, 2449, 1_366_921, 857_817, 0.691),
        (4000, 3000, 2_060_464, 1_189_898, 0.968),
        (5657, 4243, 4_078_291, 2_152_785, 1.676),
        (8165, 6124, 8_422_539, 4_159_539, 3.280),
    ),
    *_run(
        GRAPHIC,
        (632, 474, 174_173, 184_900, 0.212),
        (1633, 1225, 788_380, 456_410, 0.634),
        (3265, 2449, 2_524_306, 865_991, 1.290),
        (4000, 3000, 4_011_198, 1_161_928, 1.649),
        (5657, 4243, 8_558_124, 1_719_036, 2.759),
        (8165, 6124, 15_314_606, 2_590_766, 6.241),
    ),
)
#: The sum of the CPU seconds of the drawn photograph in all sizes: on the quiet machine (2026-11-23, median of 3
#: rounds), and in the run above. The files are the same, so the ratio says how much the other work slowed that run.
DRAWN_SECONDS = (4.194, 6.696)
#: The same with the CPU seconds of the quiet machine.
FILES: tuple[Measured, ...] = tuple(
    replace(each, cpu_seconds=each.cpu_seconds * DRAWN_SECONDS[0] / DRAWN_SECONDS[1]) for each in BUSY
)
#: Megapixels, CPU seconds of the pipeline alone, and CPU seconds of the whole service for the same photograph (40
#: uploads of each), on the same machine and day. From 8 megapixels on, the difference is smaller than the noise. New
#: figures must come from both commands, `cpu_per_megapixel` and `end_to_end`, on one day.
SERVICE = ((0.3, 0.036, 0.065), (2.0, 0.173, 0.195), (8.0, 0.379, 0.377), (12.0, 0.488, 0.492), (24.0, 1.108, 0.893))
#: The line for capacity and cost: of photographs, because most uploads are.
LINE = lines_of(FILES)[PHOTO]
#: The CPU of this pipeline relative to that of the earlier service (sharp, effort 4, one decode for each output), for
#: the same files, by `python -m benchmarks.pipeline` on the same machine and day.
CPU_BESIDE_SHARP = 0.44


def files_table() -> str:
    """The measurements and the lines, in Markdown."""
    rows = [
        f"| {each.kind} | {each.megapixels:.1f} | {each.file_bytes / 1e6:.2f} | {each.variant_bytes / 1e6:.2f} "
        f"| {each.cpu_seconds:.3f} | {each.cpu_seconds / each.megapixels:.4f} |"
        for each in FILES
    ]
    lines = [
        f"- {kind}: CPU seconds = {line.base:.3f} + {line.per_megapixel:.4f} x megapixels, "
        f"off by {line.worst:.0%} at most."
        for kind, line in lines_of(FILES).items()
    ]
    head = "| file | megapixels | MB | MB of variants | CPU s | CPU s a megapixel |"
    text = f"{MACHINE}. From {FIT_FROM:g} megapixels on:"
    return "\n".join([head, "| --- |" + " ---: |" * 5, *rows, "", text, "", *lines])


def service_table() -> str:
    """The CPU of the service and of the pipeline, in Markdown."""
    rows = [
        f"| {megapixels:g} | {pipeline:.3f} | {service:.3f} | {service - pipeline:+.3f} |"
        for megapixels, pipeline, service in SERVICE
    ]
    head = "| megapixels | pipeline alone, CPU s | whole service, CPU s | difference |"
    return "\n".join([head, "| ---: | ---: | ---: | ---: |", *rows])
