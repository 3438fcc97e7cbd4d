"""The pixels into memory."""

from __future__ import annotations

import pyvips


def hold(image: pyvips.Image) -> pyvips.Image:
    """Decode, here and only once: the pixels are in memory from now on."""
    return image.copy_memory()
