"""What the header of a file says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """What the header of an uploaded file says. `width` x `height` is one frame, before orientation."""

    format: str
    width: int
    height: int
    frames: int = 1
    has_alpha: bool = False
    #: How many degrees of alpha there can be.
    alpha_levels: int = 256
    orientation: int = 1
    #: Samples of a pixel once it is decoded, alpha counted in.
    bands: int = 3
    #: How often the decoder goes over the whole picture.
    scans: int = 1
    #: What the decoder holds for itself while it works, as far as the header tells.
    decoder_bytes: int = 0

    @property
    def pixels(self) -> int:
        """Pixels in all frames together."""
        return self.width * self.height * self.frames
