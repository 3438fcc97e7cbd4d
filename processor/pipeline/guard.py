"""A variant of its source's own size that is no larger than its source, where that can be had."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from processor.formats import decoding_of
from processor.formats.info import ImageInfo
from processor.images import Variant
from processor.pipeline import decode
from processor.recipes import VariantSpec


class Write(Protocol):
    """Encodes the picture as a spec says, or without any loss. Raises `pyvips.Error`."""

    def __call__(self, spec: VariantSpec, *, lossless: bool = False) -> bytes: ...


def no_larger(asked: Variant, info: ImageInfo, source: bytes, write: Write) -> Variant:
    """The variant of its source's own size that was asked for, unless it is larger than its source.

    Then it is the source itself, if that is of the same format, may be served as it is, and no effect was asked for; or
    else what is smaller without any loss, or at a lower quality. If all are larger, it is the smallest. Raises
    `pyvips.Error`.
    """
    if len(asked.data) <= len(source):
        return asked
    if _may_be_served(info, source, asked.spec):
        return replace(asked, data=source, instead="source")
    smallest = asked
    for other in _others(asked, info, write, len(source) / len(asked.data)):
        if len(other.data) < len(smallest.data) and _has_all_frames(other, asked, info):
            smallest = other
        if len(smallest.data) <= len(source):
            break
    return smallest


def _may_be_served(info: ImageInfo, source: bytes, spec: VariantSpec) -> bool:
    return info.format == spec.format and not spec.effects and decoding_of(info.format).is_bare(source)


def _others(asked: Variant, info: ImageInfo, write: Write, ratio: float) -> Iterator[Variant]:
    """What to try, each written when it is asked for."""
    spec = asked.spec
    if may_be_lossless(info, spec):
        yield replace(asked, data=write(spec, lossless=True), instead="lossless")
    for quality in _lower_qualities(spec, ratio):
        data = write(replace(spec, quality=quality))
        yield replace(asked, data=data, instead=f"quality {quality}")


def may_be_lossless(info: ImageInfo, spec: VariantSpec) -> bool:
    """Whether its variant may be written without loss. What had a loss before has noise that is dear to keep."""
    few = info.frames == 1 and info.pixels <= spec.encoding.lossless_pixels
    return few and decoding_of(info.format).loses_nothing


def _lower_qualities(spec: VariantSpec, ratio: float) -> Iterator[int]:
    """For a file that must have `ratio` of its size: what nearly always does it, and then the least."""
    encoding = spec.encoding
    least = encoding.least_quality
    if spec.quality <= least:
        return
    most = encoding.size_at(spec.quality) * ratio
    guess = next((lower for lower in range(spec.quality - 1, least, -1) if encoding.size_at(lower) <= most), least)
    yield guess
    if guess > least:
        yield least


def _has_all_frames(other: Variant, asked: Variant, info: ImageInfo) -> bool:
    """The lower the quality, the more frames does libwebp hold for alike, and leaves out."""
    return info.frames == 1 or decode.probe(other.data).frames == decode.probe(asked.data).frames
