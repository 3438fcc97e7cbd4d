"""Encodes an image to the bytes of a variant."""

from __future__ import annotations

from collections.abc import Mapping

import pyvips

from processor.pipeline.roll import page_height
from processor.recipes import VariantSpec


def write(image: pyvips.Image, spec: VariantSpec) -> bytes:
    """A file without EXIF, XMP and profile. An animation keeps its delays and its loop count.

    If it fails, it is tried once more with the encoder's `careful_effort`. Raises `pyvips.Error`.
    """
    try:
        return _saved(image, spec, spec.effort)
    except pyvips.Error:
        if spec.effort >= spec.encoding.careful_effort:
            raise
        return _saved(image, spec, spec.encoding.careful_effort)


def write_lossless(image: pyvips.Image, spec: VariantSpec) -> bytes:
    """Like `write`, but without loss; the quality is ignored. Raises `pyvips.Error`."""
    return _called(image, spec, {**spec.encoding.options(spec.quality, spec.effort), **spec.encoding.lossless})


def _saved(image: pyvips.Image, spec: VariantSpec, effort: int) -> bytes:
    return _called(image, spec, spec.encoding.options(spec.quality, effort))


def _called(image: pyvips.Image, spec: VariantSpec, options: Mapping[str, object]) -> bytes:
    saver = spec.encoding.saver
    return bytes(pyvips.Operation.call(saver, image, keep="none", page_height=page_height(image), **options))
