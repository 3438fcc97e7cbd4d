"""Computes the pixels of an image into memory."""

from __future__ import annotations

import pyvips


def hold(image: pyvips.Image) -> pyvips.Image:
    """Compute all pending steps, so that later steps read the pixels from memory and decode nothing again."""
    return image.copy_memory()
