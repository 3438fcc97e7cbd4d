"""Pixels as the models take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from processor.looking.models import SIDE

_BANDS = 3


def pixels(rgb: bytes, width: int, height: int) -> Any:
    """An array of height x width x 3, without a copy. Raises `ValueError` for any other number of bytes."""
    if len(rgb) != width * height * _BANDS or not 0 < max(width, height) <= SIDE:
        raise ValueError(f"the picture must have 3 bytes for each pixel, and sides of at most {SIDE}")
    return np.frombuffer(rgb, np.uint8).reshape(height, width, _BANDS)
