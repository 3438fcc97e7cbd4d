"""Makes a tiny picture that a page can show, blurred, until the picture has loaded."""

from __future__ import annotations

import base64
from dataclasses import replace

import pyvips

from processor.pipeline import encode
from processor.pipeline.steps.glance import Glance
from processor.recipes import STANDARD

#: Its encoding: about 100 bytes, so that a page can contain it and needs no further request.
_SPEC = replace(STANDARD.full_size, quality=30, effort=0)
_RGB = 3


def placeholder(seen: Glance) -> str:
    """The picture as a `data:` URI of WebP, at most 16 pixels wide and high, of the same shape."""
    return as_uri(seen.tiny)


def as_uri(seen: Glance) -> str:
    """All that a glance sees, as a `data:` URI of WebP."""
    file = encode.write(_picture(seen), _SPEC)
    return f"data:{_SPEC.content_type};base64,{base64.b64encode(file).decode()}"


def _picture(seen: Glance) -> pyvips.Image:
    planes = list(seen.colours if len(seen.colours) == _RGB else seen.colours * _RGB)
    planes += [] if seen.alpha is None else [seen.alpha]
    samples = bytearray(len(planes[0]) * len(planes))
    for band, plane in enumerate(planes):
        samples[band :: len(planes)] = plane
    picture = pyvips.Image.new_from_memory(bytes(samples), seen.width, seen.height, len(planes), "uchar")
    # Three bands are taken for colours.
    return picture if seen.alpha is None else picture.copy(interpretation="srgb")
