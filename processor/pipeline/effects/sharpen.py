"""Sharpens edges, so that they look as crisp as in the larger picture."""

from __future__ import annotations

from dataclasses import dataclass

import pyvips

from processor.pipeline.effects.given import Given
from processor.pipeline.steps.frames import map_frames

#: Width of an edge, as the sigma of a Gaussian in pixels. Below the least nothing changes; above the most, edges get
#: halos that everybody sees.
LEAST_SIGMA, MOST_SIGMA = 0.5, 3.0
#: Buffers of all its steps, for a picture of any size. The allocator may keep them while the picture is encoded.
_BUFFERS_BYTES = 4 * 1024 * 1024


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
        return map_frames(picture, self._sharpened)

    def held_bytes(self, _size: tuple[int, int]) -> int:
        return _BUFFERS_BYTES

    def _sharpened(self, frame: pyvips.Image) -> pyvips.Image:
        """Colours are premultiplied with alpha meanwhile, so that invisible pixels do not show at edges.

        Alpha takes no part in the sharpening. Otherwise each step to lightness and back would take it off and join it
        again, in buffers of 15 MB, which takes twice as long.
        """
        if not frame.hasalpha():
            return frame.sharpen(sigma=self.sigma)
        premultiplied = frame.premultiply().cast(frame.format)
        alpha = premultiplied.bands - 1
        colours = premultiplied.extract_band(0, n=alpha).sharpen(sigma=self.sigma)
        return colours.bandjoin(premultiplied[alpha]).unpremultiply().cast(frame.format)
