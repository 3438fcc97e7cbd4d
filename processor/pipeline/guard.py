"""Keeps the file of a variant no larger than its source, if both have the same width and height."""

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
    """The variant, or a smaller one if its file is larger than the source. Both have the same width and height.

    The first choice is the source itself. It must have the same format, may be served unchanged, and no effect was
    asked for. The next choices are a file without loss, then a lower quality. If all are larger than the source, the
    smallest is returned. Raises `pyvips.Error`.
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
    """The other files to try. Each is encoded only when the caller asks for it."""
    spec = asked.spec
    if may_be_lossless(info, spec):
        yield replace(asked, data=write(spec, lossless=True), instead="lossless")
    for quality in _lower_qualities(spec, ratio):
        data = write(replace(spec, quality=quality))
        yield replace(asked, data=data, instead=f"quality {quality}")


def may_be_lossless(info: ImageInfo, spec: VariantSpec) -> bool:
    """Whether to try its variant without loss. A source with lossy compression has noise that costs many bytes."""
    few = info.frames == 1 and info.pixels <= spec.encoding.lossless_pixels
    return few and decoding_of(info.format).loses_nothing


def _lower_qualities(spec: VariantSpec, ratio: float) -> Iterator[int]:
    """Qualities to try for a file that must shrink to `ratio`: one that nearly always suffices, then the least."""
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
    """At a lower quality, libwebp takes more frames for equal and drops them."""
    return info.frames == 1 or decode.probe(other.data).frames == decode.probe(asked.data).frames
