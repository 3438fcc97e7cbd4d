"""Measures in decoded pixels what decides over the memory for encoding; the header does not say it."""

from __future__ import annotations

from dataclasses import dataclass

import pyvips

from processor.pipeline.encode import write
from processor.recipes import VariantSpec

#: Side of a sample, in pixels. Positions of the samples on the diagonal: 0 is the upper left corner, 1 the lower right.
_SIDE, _SAMPLES = 128, (0.25, 0.5, 0.75)
#: Rows of alpha in a strip that are compared with the rows above them; number of strips.
_ROWS, _STRIPS = 8, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Texture:
    """How well a picture compresses."""

    #: Encoded bytes per pixel: for the colours, and in addition for the alpha.
    colour_bytes: float
    alpha_bytes: float
    #: Number of alpha levels that occur; 0: there is no alpha, or it was solid and has been dropped.
    levels: int
    #: The fraction of alpha's pixels that differ both from the left neighbour and from the one above.
    change: float


def texture_of(image: pyvips.Image, spec: VariantSpec) -> Texture:
    """Measures a picture in memory: encodes samples of it as `spec` asks. Raises `pyvips.Error`."""
    colours = image.extract_band(0, n=image.bands - 1) if image.hasalpha() else image
    plain = _written(colours, spec)
    if not image.hasalpha():
        return Texture(colour_bytes=plain, alpha_bytes=0.0, levels=0, change=0.0)
    alpha = image.extract_band(image.bands - 1)
    return Texture(
        colour_bytes=plain,
        alpha_bytes=max(0.0, _written(image, spec) - plain),
        levels=_levels(alpha),
        change=_change(alpha),
    )


def _written(image: pyvips.Image, spec: VariantSpec) -> float:
    width, height = min(_SIDE, int(image.width)), min(_SIDE, int(image.height))
    written, count = 0, len(_SAMPLES) * width * height
    for at in _SAMPLES:
        left, top = round((image.width - width) * at), round((image.height - height) * at)
        # Drops the metadata about frames: a sample is a still.
        still = _pixels(_fetched(image, left, top, width, height), width, height, image.bands)
        written += len(write(still.copy(interpretation=image.interpretation), spec))
    return written / count


def _fetched(image: pyvips.Image, left: int, top: int, width: int, height: int) -> bytes:
    """Pixels of a picture in memory. In this thread: libvips' pool would cost more than so few pixels do."""
    return bytes(pyvips.Region.new(image).fetch(left, top, width, height))


def _pixels(samples: bytes, width: int, height: int, bands: int = 1) -> pyvips.Image:
    return pyvips.Image.new_from_memory(samples, width, height, bands, "uchar")


def _levels(alpha: pyvips.Image) -> int:
    counts = alpha.hist_find()
    occurring: float = (counts > 0).avg() / 255
    return round(occurring * int(counts.width))


def _change(alpha: pyvips.Image) -> float:
    rows = min(_ROWS, alpha.height - 1)
    if alpha.width < 2 or rows < 1:  # noqa: PLR2004 - nothing to compare
        return 0.0
    tops = [(alpha.height - 1 - rows) * number // _STRIPS for number in range(_STRIPS)]
    # All strips in one picture: each operation of libvips costs more than the pixels of a strip.
    strips = [_fetched(alpha, 0, top, alpha.width, rows + 1) for top in tops]
    joined = _pixels(b"".join(strips), alpha.width, _STRIPS * (rows + 1))
    width, height = joined.width - 1, joined.height - 1
    here, left, above = (joined.crop(*at, width, height) for at in ((1, 1), (0, 1), (1, 0)))
    _, changed = ((here != left) & (here != above)).project()
    # The row above the first one of a strip belongs to another strip.
    inside = [row for number, (row,) in enumerate(changed.tolist(), 1) if number % (rows + 1)]
    return float(sum(inside) / 255 / (width * len(inside)))
