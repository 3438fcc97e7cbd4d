"""Turns a picture upright by its EXIF orientation."""

from __future__ import annotations

import pyvips

from processor.pipeline.steps.frames import map_frames

#: EXIF orientation (CIPA DC-008, tag 0x0112) -> turn clockwise, then mirror left to right.
_TURNS: dict[int, tuple[str, bool]] = {
    2: ("d0", True),
    3: ("d180", False),
    4: ("d180", True),
    5: ("d90", True),
    6: ("d90", False),
    7: ("d270", True),
    8: ("d270", False),
}


def orient(image: pyvips.Image) -> pyvips.Image:
    """Applies the EXIF orientation to every frame, and removes it."""
    turn = _TURNS.get(int(image.get("orientation"))) if image.get_typeof("orientation") else None
    if turn is None:
        return image
    upright = map_frames(image, lambda frame: _turned(frame, *turn)).copy()
    upright.remove("orientation")  # otherwise savers write it into some formats, even if they strip all else
    return upright


def _turned(frame: pyvips.Image, angle: str, mirrored: bool) -> pyvips.Image:  # noqa: FBT001 - a column of the table
    turned = frame.rot(angle)
    return turned.fliphor() if mirrored else turned
