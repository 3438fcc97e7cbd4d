"""Sharpens edges, so that they look as crisp as in the larger picture."""

from __future__ import annotations

from dataclasses import dataclass

import pyvips

from processor.pipeline.effects.given import Given
from processor.pipeline.steps.frames import map_frames

#: Width of an edge, as the sigma of a Gaussian in pixels. Below the least nothing changes; above the most, edges get
#: halos that everybody sees.
LEAST_SIGMA, MOST_SIGMA = 0.5, 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharpen:
    """An unsharp mask on lightness only, so colours stay. Flat areas and their noise stay too.

    It is libvips' `sharpen` with its default strength, like sharp and imgproxy.
    """

    sigma: float

    def __post_init__(self) -> None:
        """Raises `ValueError`, or `TypeError` for what is no number."""
        if not LEAST_SIGMA <= self.sigma <= MOST_SIGMA:
            raise ValueError(f"sigma must be from {LEAST_SIGMA:g} to {MOST_SIGMA:g}")

    def __call__(self, picture: pyvips.Image, _given: Given) -> pyvips.Image:
        """Colours are premultiplied with alpha meanwhile, so that invisible pixels do not show at edges."""
        if not picture.hasalpha():
            return map_frames(picture, self._sharpened)
        premultiplied = picture.premultiply().cast(picture.format)
        return map_frames(premultiplied, self._sharpened).unpremultiply().cast(picture.format)

    def held_bytes(self, _size: tuple[int, int]) -> int:
        return 0

    def _sharpened(self, frame: pyvips.Image) -> pyvips.Image:
        return frame.sharpen(sigma=self.sigma)
