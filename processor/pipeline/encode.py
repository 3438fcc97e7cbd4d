"""From an image to WebP bytes."""

from __future__ import annotations

import pyvips

from processor.pipeline.roll import page_height


def webp(image: pyvips.Image, *, quality: int, effort: int) -> bytes:
    """Lossy WebP without EXIF, XMP and profile; an animation keeps its delays and its loop count.

    `quality` 0 to 100, `effort` 0 (fast) to 6 (small). Raises `pyvips.Error`.
    """
    return bytes(
        image.webpsave_buffer(Q=quality, effort=effort, keep="none", page_height=page_height(image)),
    )
