"""Lays an asset of the tenant, a picture or text, over a picture."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyvips

from processor.assets import DECODED_BYTES
from processor.pipeline.effects.given import Given
from processor.pipeline.roll import page_height
from processor.pipeline.steps.frames import map_frames

#: Asset digests, in hex.
DIGEST = re.compile(r"[0-9a-f]{64}")
#: Where the mark can be: its share of the free space that is left of it, and above it.
PLACES = {
    f"{vertical}{horizontal}" or "centre": (across, down)
    for vertical, down in (("north", 0.0), ("", 0.5), ("south", 1.0))
    for horizontal, across in (("west", 0.0), ("", 0.5), ("east", 1.0))
}
#: The position of a mark that covers everything, again and again.
TILED = "tiled"
#: The most that the samples of a pixel without colour differ after compression.
_NO_COLOUR = 2
#: The default of `least`: what a mark of the default size says can hardly be read on a smaller picture.
LEAST_SIDE = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """The mark is drawn on every frame, at the same place.

    It fits into a box that has `scale` of the width and the height of the picture. `margin`, a share of the picture's
    shorter side, is its distance from the edges, and between marks that are tiled. A picture with a side below `least`
    pixels stays as it is.
    """

    asset: str
    position: str = "southeast"
    scale: float = 0.25
    opacity: float = 0.6
    margin: float = 0.03
    least: int = LEAST_SIDE

    def __post_init__(self) -> None:
        """Raises `ValueError`, or `TypeError` for what has another type."""
        if not DIGEST.fullmatch(self.asset):
            raise ValueError("asset must be a digest")
        if self.position not in {*PLACES, TILED}:
            raise ValueError(f"position must be one of {', '.join((*PLACES, TILED))}")
        for name, value, least, most in (
            ("scale", self.scale, 0.01, 1),
            ("opacity", self.opacity, 0.01, 1),
            ("margin", self.margin, 0, 0.25),
            ("least", self.least, 1, 4096),
        ):
            if not least <= value <= most:
                raise ValueError(f"{name} must be from {least:g} to {most:g}")

    def __call__(self, picture: pyvips.Image, given: Given) -> pyvips.Image:
        """Only the pixels under the mark are computed. A coloured mark turns a grey picture into sRGB."""
        width, height = picture.width, page_height(picture)
        if min(width, height) < self.least:
            return picture
        gap = round(self.margin * min(width, height))
        mark = self._faded(_scaled(_opened(given.assets[self.asset]), self._box(width, height, gap)))
        if picture.interpretation == "b-w" and mark.interpretation != "b-w":
            picture = picture.colourspace("srgb")
        elif picture.interpretation != "b-w":
            mark = mark.colourspace("srgb")
        if self.position == TILED:
            mark, left, top = _tiled(mark, width, height, gap), 0, 0
        else:
            left, top = self._place(width - mark.width, height - mark.height, gap)
        return map_frames(picture, lambda frame: _laid_over(frame, mark, left, top))

    def held_bytes(self, size: tuple[int, int]) -> int:
        """The mark as it is stored, and as large as it is drawn."""
        return DECODED_BYTES + round(4 * size[0] * size[1] * self.scale**2)

    def _box(self, width: int, height: int, gap: int) -> tuple[float, float]:
        """It leaves both margins free, and at least a pixel."""
        return max(1.0, self.scale * (width - 2 * gap)), max(1.0, self.scale * (height - 2 * gap))

    def _faded(self, mark: pyvips.Image) -> pyvips.Image:
        colours = mark.extract_band(0, n=mark.bands - 1)
        alpha = (mark[mark.bands - 1] * self.opacity).cast(mark.format)
        return colours.bandjoin(alpha).copy(interpretation=mark.interpretation).copy_memory()

    def _place(self, free_across: int, free_down: int, gap: int) -> tuple[int, int]:
        across, down = PLACES[self.position]
        return round(gap + across * (free_across - 2 * gap)), round(gap + down * (free_down - 2 * gap))


def _opened(file: bytes) -> pyvips.Image:
    """The asset in memory, with alpha; in grey if it has no colours, which WebP cannot say."""
    mark = pyvips.Image.new_from_buffer(file, "").copy_memory()
    mark = mark if mark.hasalpha() else mark.addalpha()
    spread = max((mark[0] - mark[1]).abs().max(), (mark[1] - mark[2]).abs().max())
    if spread > _NO_COLOUR:
        return mark
    return mark[1].bandjoin(mark[3]).copy(interpretation="b-w").copy_memory()


def _scaled(mark: pyvips.Image, box: tuple[float, float]) -> pyvips.Image:
    """The mark as large as fits into the box. Its colours are premultiplied meanwhile, as in `steps.fit`."""
    factor = min(box[0] / mark.width, box[1] / mark.height)
    across, down = max(1, round(factor * mark.width)), max(1, round(factor * mark.height))
    premultiplied = mark.premultiply().cast(mark.format)
    scaled = premultiplied.resize(across / mark.width, vscale=down / mark.height, kernel="lanczos3")
    return scaled.unpremultiply().cast(mark.format).copy(interpretation=mark.interpretation)


def _tiled(mark: pyvips.Image, width: int, height: int, gap: int) -> pyvips.Image:
    """A sheet of the picture's size, with marks from its middle outwards."""
    across, down = mark.width + gap, mark.height + gap
    tile = mark.embed(gap // 2, gap // 2, across, down)
    columns, rows = -(-width // across) + 1, -(-height // down) + 1
    sheet = tile.replicate(columns, rows)
    return sheet.crop((sheet.width - width) // 2, (sheet.height - height) // 2, width, height)


def _laid_over(frame: pyvips.Image, mark: pyvips.Image, left: int, top: int) -> pyvips.Image:
    under = frame.crop(left, top, mark.width, mark.height)
    both = under.composite2(mark, "over").cast(frame.format)
    if not frame.hasalpha():
        both = both.extract_band(0, n=frame.bands)
    return frame.insert(both.copy(interpretation=frame.interpretation), left, top)
