"""From an image to the bytes of a variant."""

from __future__ import annotations

import pyvips

from processor.pipeline.roll import page_height
from processor.recipes import VariantSpec


def write(image: pyvips.Image, spec: VariantSpec) -> bytes:
    """A file without EXIF, XMP and profile; an animation keeps its delays and its loop count.

    Raises `pyvips.Error`.
    """
    try:
        return _saved(image, spec, spec.effort)
    except pyvips.Error:
        if spec.effort >= spec.encoding.careful_effort:
            raise
        return _saved(image, spec, spec.encoding.careful_effort)


def _saved(image: pyvips.Image, spec: VariantSpec, effort: int) -> bytes:
    encoding = spec.encoding
    options = encoding.options(spec.quality, effort)
    file = pyvips.Operation.call(encoding.saver, image, keep="none", page_height=page_height(image), **options)
    return bytes(file)
