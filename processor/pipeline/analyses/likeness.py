"""Makes a fingerprint that is nearly the same for pictures that look alike."""

from __future__ import annotations

from itertools import pairwise

import pyvips

from processor.pipeline.roll import page_height

#: Steps from left to right, and rows of them: 64 bits.
ACROSS, DOWN = 8, 8
_WHITE = 255


def likeness(picture: pyvips.Image) -> str:
    """The difference hash (dHash) of the first frame on white: 16 hexadecimal digits.

    Each bit says whether the picture gets darker from one of 9 x 8 fields to its right neighbour. Fewer than ten bits
    differ between copies in other sizes, qualities and formats. It does not prove that two pictures are the same.
    """
    frame = picture.crop(0, 0, picture.width, page_height(picture))
    if frame.hasalpha():
        frame = frame.flatten(background=_WHITE)
    fields = frame.colourspace("b-w").resize((ACROSS + 1) / frame.width, vscale=DOWN / frame.height, kernel="linear")
    samples = fields.cast("uchar").write_to_memory()
    rows = (samples[start : start + ACROSS + 1] for start in range(0, len(samples), ACROSS + 1))
    bits = "".join(str(int(left > right)) for row in rows for left, right in pairwise(row))
    return f"{int(bits, 2):0{ACROSS * DOWN // 4}x}"
