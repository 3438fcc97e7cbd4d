"""Encodes an image to the bytes of a variant."""

from __future__ import annotations

from collections.abc import Mapping

import pyvips

from processor.pipeline.roll import page_height
from processor.recipes import VariantSpec

#: What libvips keeps of an image's fields when it saves: nothing, XMP, the profile. They may be added.
KEEP_NOTHING, KEEP_XMP, KEEP_PROFILE = 0, 2, 8


def write(image: pyvips.Image, spec: VariantSpec, keep: int = KEEP_NOTHING) -> bytes:
    """A file without metadata, except what is to be kept. An animation keeps its delays and its loop count.

    If it fails, it is tried once more with the encoder's `careful_effort`. Raises `pyvips.Error`.
    """
    try:
        return _saved(image, spec, spec.effort, keep)
    except pyvips.Error:
        if spec.effort >= spec.encoding.careful_effort:
            raise
        return _saved(image, spec, spec.encoding.careful_effort, keep)


def write_lossless(image: pyvips.Image, spec: VariantSpec, keep: int = KEEP_NOTHING) -> bytes:
    """Like `write`, but without loss; the quality is ignored. Raises `pyvips.Error`."""
    return _called(image, spec, {**spec.encoding.options(spec.quality, spec.effort), **spec.encoding.lossless}, keep)


def _saved(image: pyvips.Image, spec: VariantSpec, effort: int, keep: int) -> bytes:
    return _called(image, spec, spec.encoding.options(spec.quality, effort), keep)


def _called(image: pyvips.Image, spec: VariantSpec, options: Mapping[str, object], keep: int) -> bytes:
    saver = spec.encoding.saver
    return bytes(pyvips.Operation.call(saver, image, keep=keep, page_height=page_height(image), **options))
