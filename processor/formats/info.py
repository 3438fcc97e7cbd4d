"""The facts in the header of a file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """The facts in the header of an uploaded file. `width` x `height` is one frame, before it is turned upright."""

    format: str
    width: int
    height: int
    frames: int = 1
    has_alpha: bool = False
    #: The most alpha levels that there can be.
    alpha_levels: int = 256
    orientation: int = 1
    #: Samples per decoded pixel, including alpha.
    bands: int = 3
    #: How often the decoder goes over the whole picture.
    scans: int = 1
    #: By what the decoder can divide the sides, and still see all damage: by the largest first.
    shrinks: tuple[int, ...] = ()
    #: Pixels of the largest picture that is decoded for it: that before a crop, a tile, alpha. 0: that which is shown.
    coded_pixels: int = 0
    #: Bytes that the decoder needs for itself while it works, as far as the header says.
    decoder_bytes: int = 0
    #: Bytes of the changed copies of the file that are decoded in its place.
    copied_bytes: int = 0
    #: Bytes that its metadata takes until the last variant is encoded, beside the file.
    metadata_bytes: int = 0

    @property
    def pixels(self) -> int:
        """Pixels in all frames together."""
        return self.width * self.height * self.frames

    @property
    def decoded_pixels(self) -> int:
        """Pixels of the largest picture that is decoded, or of all frames together."""
        return max(self.pixels, self.coded_pixels)
