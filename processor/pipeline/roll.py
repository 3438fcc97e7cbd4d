"""Composes the frames of an animation, as players show them, into one tall image: frame below frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import pyvips

#: Bands of the canvas: RGB and alpha, 8 bits each.
_BANDS = 4
_SOLID = 255
#: The longest delay and the highest loop count of WebP (RFC 9649, 24 and 16 bits). A source may have more.
_LONGEST_MS, _MOST_PLAYS = (1 << 24) - 1, (1 << 16) - 1


class Blend(Enum):
    """How a frame is drawn on the canvas.

    REPLACE: its pixels replace those of the canvas. MASK: only its visible pixels do. OVER: it is blended by its alpha.
    """

    REPLACE = "replace"
    MASK = "mask"
    OVER = "over"


class Dispose(Enum):
    """What happens to the area of a frame before the next frame is drawn."""

    KEEP = "keep"
    CLEAR = "clear"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cel:
    """What one frame draws, and where. Anything outside the screen is clipped.

    `draw` decodes the frame to sRGB with alpha. It may raise `pyvips.Error` or an `ImageRejected`.
    """

    left: int
    top: int
    width: int
    height: int
    delay_ms: int
    dispose: Dispose
    blend: Blend
    draw: Callable[[], pyvips.Image] = field(repr=False)


class Area(Protocol):
    """Where a frame lies on the screen."""

    @property
    def left(self) -> int: ...
    @property
    def top(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def draws_all(self) -> bool: ...
    @property
    def dispose(self) -> Dispose: ...


def leaves_gaps(width: int, height: int, areas: Sequence[Area]) -> bool:
    """Whether part of the screen may be transparent in some frame."""
    empty: tuple[int, int, int, int] | None = (0, 0, width, height)
    for area in areas:
        if empty is not None and not (area.draws_all and _covers(area, empty)):
            return True
        if area.dispose is not Dispose.RESTORE:
            cleared = area.dispose is Dispose.CLEAR
            empty = (area.left, area.top, area.width, area.height) if cleared else None
    return False


def _covers(area: Area, empty: tuple[int, int, int, int]) -> bool:
    left, top, width, height = empty
    far_enough = area.left + area.width >= left + width and area.top + area.height >= top + height
    return far_enough and area.left <= left and area.top <= top


def page_height(image: pyvips.Image) -> int:
    whole = int(image.height)
    height = int(image.get("page-height")) if image.get_typeof("page-height") else whole
    # The same rule as in libvips: a page height that does not divide the image height does not count.
    return height if 0 < height < whole and whole % height == 0 else whole


def compose(width: int, height: int, cels: Sequence[Cel], *, loop: int) -> pyvips.Image:
    """All frames on a transparent screen. A background colour that the file names is ignored.

    Memory: the result, and what drawing one frame needs. `loop` is how often the animation plays; 0: for ever.
    """
    if len(cels) == 1:
        drawn = _drawn(_clear(width, height), cels[0]).copy_memory()
        return _shown(drawn, opaque=_is_solid(drawn))
    screen, size, opaque = _clear(width, height), width * height * _BANDS, True
    frames = bytearray(size * len(cels))  # one block: hundreds of small ones would leave holes in the heap
    for number, cel in enumerate(cels):
        drawn = _drawn(screen, cel).copy_memory()
        frames[number * size : (number + 1) * size] = memoryview(drawn.write_to_memory())
        opaque = opaque and _is_solid(drawn)
        screen = _disposed(screen, drawn, cel)
    joined = pyvips.Image.new_from_memory(frames, width, height * len(cels), _BANDS, "uchar")
    roll = _shown(joined, opaque=opaque)
    roll.set_type(pyvips.GValue.gint_type, "page-height", height)
    roll.set_type(pyvips.GValue.array_int_type, "delay", [min(cel.delay_ms, _LONGEST_MS) for cel in cels])
    roll.set_type(pyvips.GValue.gint_type, "loop", min(loop, _MOST_PLAYS))
    return roll


def _shown(frames: pyvips.Image, *, opaque: bool) -> pyvips.Image:
    """Drops a solid alpha, because every later step would have to process it."""
    frames = frames.copy(interpretation="srgb")
    return frames.extract_band(0, n=_BANDS - 1) if opaque else frames


def _is_solid(drawn: pyvips.Image) -> bool:
    return bool(drawn.extract_band(_BANDS - 1).min() == _SOLID)


def _drawn(screen: pyvips.Image, cel: Cel) -> pyvips.Image:
    width, height = _seen(screen, cel)
    if not width or not height:
        return screen
    picture = cel.draw()
    if (picture.width, picture.height) != (width, height):
        picture = picture.crop(0, 0, width, height)
    if cel.blend is not Blend.REPLACE:
        below = screen.crop(cel.left, cel.top, width, height)
        picture = _blended(below, picture, cel.blend)
    return _placed(screen, picture, cel)


def _blended(below: pyvips.Image, picture: pyvips.Image, blend: Blend) -> pyvips.Image:
    if blend is Blend.MASK:
        return picture.extract_band(_BANDS - 1).ifthenelse(picture, below)
    return below.composite2(picture, "over").rint().cast("uchar")


def _disposed(before: pyvips.Image, drawn: pyvips.Image, cel: Cel) -> pyvips.Image:
    if cel.dispose is Dispose.RESTORE:
        return before
    width, height = _seen(drawn, cel)
    if cel.dispose is Dispose.KEEP or not width or not height:
        return drawn
    return _placed(drawn, _clear(width, height), cel).copy_memory()


def _placed(screen: pyvips.Image, picture: pyvips.Image, cel: Cel) -> pyvips.Image:
    if (picture.width, picture.height) == (screen.width, screen.height):
        return picture
    return screen.insert(picture, cel.left, cel.top)


def _seen(screen: pyvips.Image, cel: Cel) -> tuple[int, int]:
    width = min(cel.width, screen.width - cel.left)
    height = min(cel.height, screen.height - cel.top)
    return max(0, width), max(0, height)


def _clear(width: int, height: int) -> pyvips.Image:
    return pyvips.Image.black(width, height, bands=_BANDS).copy(interpretation="srgb")
