"""Finds the colour that a page can show until the picture has loaded."""

from __future__ import annotations

from operator import mul

from processor.pipeline.steps.glance import Glance

_RGB = 3


def average_colour(seen: Glance) -> str | None:
    """The average as `#rrggbb`, with pixels weighted by alpha. None: every pixel is invisible.

    It averages code values, not linear light, so it looks like the picture shrunk to one pixel.
    """
    if seen.alpha is None:
        return _named([sum(plane) / len(plane) for plane in seen.colours])
    alpha = sum(seen.alpha)
    return _named([sum(map(mul, plane, seen.alpha)) / alpha for plane in seen.colours]) if alpha else None


def _named(colours: list[float]) -> str:
    samples = [round(colour) for colour in colours]
    return "#" + "".join(f"{sample:02x}" for sample in (samples if len(samples) == _RGB else samples * _RGB))
