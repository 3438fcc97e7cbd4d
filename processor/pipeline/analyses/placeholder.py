"""Makes a tiny picture that a page can show, blurred, until the picture has loaded."""

from __future__ import annotations

import base64
from dataclasses import replace

import pyvips

from processor.pipeline import encode
from processor.pipeline.roll import page_height
from processor.pipeline.steps.fit import fit
from processor.recipes import STANDARD

#: Longest side in pixels.
SIDE = 16
#: Its encoding: about 100 bytes, so that a page can contain it and needs no further request.
_SPEC = replace(STANDARD.full_size, quality=30, effort=0)


def placeholder(picture: pyvips.Image) -> str:
    """The first frame as a `data:` URI of WebP, at most 16 pixels wide and high, of the same shape."""
    frame = picture.crop(0, 0, picture.width, page_height(picture))
    shrink = max(frame.width, frame.height, SIDE) / SIDE
    small = fit(frame, max(1, round(frame.width / shrink)), max(1, round(frame.height / shrink)))
    return f"data:{_SPEC.content_type};base64,{base64.b64encode(encode.write(small, _SPEC)).decode()}"
