"""Finds faces in a picture."""

from __future__ import annotations

from processor.errors import LookingOff
from processor.faces import Face

#: The least score of a face that a fact tells of. Lower than the 0.5 that is usual.
LEAST_SCORE = 0.4


def find_faces(rgb: bytes, width: int, height: int, least: float = LEAST_SCORE) -> tuple[Face, ...]:
    """The faces in an upright picture in sRGB, 3 bytes a pixel, the surest first, each with a score above `least`.
    Its longest side has at most 640 pixels.

    Raises `LookingOff` where there is no model, `LookingFailed` if it fails.
    """
    try:
        from processor.looking.centerface import look  # noqa: PLC0415 - the extra may be absent
    except ImportError:
        raise LookingOff from None
    return look(rgb, width, height, least)
