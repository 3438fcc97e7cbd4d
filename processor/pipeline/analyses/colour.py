"""Finds the colour that a page can show until the picture has loaded."""

from __future__ import annotations

import pyvips

from processor.pipeline.roll import page_height

#: Position of the mean in the result of `stats`: a row for all bands, then one row for each band.
_MEAN_COLUMN, _FIRST_ROW = 4, 1
_WHITE = 255
_RGB = 3


def average_colour(picture: pyvips.Image) -> str | None:
    """The average of the first frame as `#rrggbb`, with pixels weighted by alpha. None: every pixel is invisible.

    It averages code values, not linear light, so it looks like the picture shrunk to one pixel.
    """
    frame = picture.crop(0, 0, picture.width, page_height(picture))
    if not frame.hasalpha():
        return _named(_means(frame))
    *colours, alpha = _means(frame.premultiply())
    return _named([colour * _WHITE / alpha for colour in colours]) if alpha else None


def _means(frame: pyvips.Image) -> list[float]:
    means = frame.stats().crop(_MEAN_COLUMN, _FIRST_ROW, 1, frame.bands)
    return list(memoryview(means.write_to_memory()).cast("d"))


def _named(colours: list[float]) -> str:
    samples = [min(_WHITE, round(colour)) for colour in colours]
    return "#" + "".join(f"{sample:02x}" for sample in (samples if len(samples) == _RGB else samples * _RGB))
