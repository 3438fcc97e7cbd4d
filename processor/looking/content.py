"""Says what a picture shows: tags, an embedding to compare it with others, and how likely it is not safe for work."""

from __future__ import annotations

from processor.errors import LookingOff
from processor.looking.found import Content


def look_at_content(square: bytes) -> Content:
    """What is in a square of 224 x 224 pixels in sRGB. Raises `LookingOff`, `LookingFailed`."""
    try:
        from processor.looking.classifiers import content  # noqa: PLC0415 - the extra may be absent
    except ImportError:
        raise LookingOff from None
    return content(square)


def nsfw_score(square: bytes) -> float:
    """How likely the model thinks that a square of 224 x 224 pixels is not safe for work. Raises like the above."""
    try:
        from processor.looking.classifiers import nsfw  # noqa: PLC0415 - the extra may be absent
    except ImportError:
        raise LookingOff from None
    return nsfw(square)


def is_drawn(rgb: bytes, width: int, height: int) -> bool:
    """Whether a picture is a drawing, a diagram or a screenshot, and no photograph. Raises `LookingOff`."""
    try:
        from processor.looking.classifiers import drawn  # noqa: PLC0415 - the extra may be absent
    except ImportError:
        raise LookingOff from None
    return drawn(rgb, width, height)
