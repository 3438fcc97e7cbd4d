"""Reads the blocks of a GIF (GIF89a), and makes a file of each frame, so that libvips decodes frames one by one.

libvips' own animations are not used, for three reasons. If no frame is marked as transparent, they lose the screen.
They take common screens such as 640 x 480 for a mistake. And they show frames with missing pixels.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from processor.errors import CorruptImage
from processor.pipeline.roll import Dispose, leaves_gaps

#: Length of the signature and the screen descriptor, and the offset of the screen's flags in them.
_SCREEN, _SCREEN_FLAGS = 13, 10
#: An image descriptor, with its separator: left, top, width, height, flags.
_IMAGE = struct.Struct("<xHHHHB")
#: First bytes of blocks; labels of the extensions that concern the animation.
_EXTENSION, _FRAME, _TRAILER = 0x21, 0x2C, 0x3B
_CONTROL, _APPLICATION = 0xF9, 0xFF
#: Body of a graphic control extension: flags, delay in units of 10 ms, transparent index.
_CONTROL_BODY = struct.Struct("<BHB")
#: Application extensions that have a loop count.
_REPEATS = struct.Struct("<BH")
_LOOPERS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
#: Flag of a colour table behind a descriptor. The table has 3 * 2 ** (low three bits + 1) bytes.
_HAS_TABLE, _HAS_LARGE_TABLE = 0x80, 0x87
_INTERLACED = 0x40
_TRANSPARENT = 0x01
#: Disposal methods. 4 is not in the specification, but some files use it for 3.
_DISPOSALS = {2: Dispose.CLEAR, 3: Dispose.RESTORE, 4: Dispose.RESTORE}
_TICK_MS = 10
#: Bytes of a table with all colours that pixels can refer to. Bits of a colour index: an LZW code has at most 12.
_TABLE_BYTES, _CODE_BITS = 3 * 256, range(1, 12)
#: LZW data that ends after one pixel.
_ONE_PIXEL = b"\x02\x02\x44\x01\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One image of the file. Its descriptor begins at `start`; its pixels end at `end`.

    If the file ends within a block of pixels, that block begins at `torn`. Only decoding shows whether pixels are
    missing.
    """

    left: int
    top: int
    width: int
    height: int
    start: int
    end: int
    torn: int | None = None
    delay_ms: int = 0
    dispose: Dispose = Dispose.KEEP
    transparent: int | None = None

    @property
    def draws_all(self) -> bool:
        """Whether no pixel of its area is transparent."""
        return self.transparent is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gif:
    """The screen, its frames, and how often they play (0: for ever). `cut`: the file ends within a frame."""

    width: int
    height: int
    frames: tuple[Frame, ...]
    loop: int
    cut: bool

    @property
    def see_through(self) -> bool:
        """Whether part of the screen may be transparent."""
        return leaves_gaps(self.width, self.height, self.frames)


def read(data: bytes) -> Gif:
    """Reads the blocks. Raises `CorruptImage` if there is no frame."""
    frames: list[Frame] = []
    control: bytes | None = None
    loop, cut = 1, False
    try:
        at = _SCREEN + _table(data[_SCREEN_FLAGS])
        while at < len(data) and (kind := data[at]) in (_EXTENSION, _FRAME):  # else the trailer, or stray bytes
            if kind == _FRAME:
                cut = True
                frames.append(_frame(data, at, control or bytes(_CONTROL_BODY.size)))
                at, control, cut = frames[-1].end, None, False
                continue
            if data[at + 1] == _CONTROL:
                cut = True  # until its frame is complete
                control = data[at + 3 : at + 3 + _CONTROL_BODY.size]
            elif data[at + 1] == _APPLICATION:
                loop = _plays(data, at, loop)
            at = _after_blocks(data, at + 2)
        cut = cut and at >= len(data)
    except (IndexError, struct.error):
        pass  # `cut` says whether pixels are missing
    if not frames:
        raise CorruptImage
    width, height = struct.unpack_from("<HH", data, 6)
    # As in browsers: the first frame may enlarge the screen, later ones are clipped.
    width, height = max(width, frames[0].left + frames[0].width), max(height, frames[0].top + frames[0].height)
    return Gif(width=width, height=height, frames=tuple(frames), loop=loop, cut=cut)


def single(data: bytes, frame: Frame, width: int, height: int, *, transparent: bool) -> bytes:
    """A GIF whose second frame is the upper left `width` x `height` of this one.

    `transparent` says whether the frame keeps its transparent index. The first frame is as large, and draws almost
    nothing. Because of it, libvips accepts the size of the screen, and leaves pixels transparent that the second frame
    does not draw.
    """
    flags = data[_SCREEN_FLAGS]
    own_flags, start = data[frame.start + _IMAGE.size - 1], frame.start + _IMAGE.size
    own = _table(own_flags)
    colours = data[start : start + own] if own else data[_SCREEN : _SCREEN + _table(flags)]
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, flags | _HAS_LARGE_TABLE, 0, 0)
    nothing = _control(0) + _descriptor(width, height, 0) + _ONE_PIXEL
    control = _control(frame.transparent) if transparent and frame.transparent is not None else b""
    image = _descriptor(frame.width, frame.height, own_flags & _INTERLACED)
    # A pixel may refer to a colour behind the end of the table: usually the transparent index, otherwise black.
    palette = colours.ljust(_TABLE_BYTES, b"\x00")
    return b"".join((head, palette, nothing, control, image, *_pixels(data, start + own, frame), bytes([_TRAILER])))


def _pixels(data: bytes, start: int, frame: Frame) -> Sequence[bytes | memoryview]:
    view = memoryview(data)
    if frame.torn is None:
        return [view[start : frame.end]]
    rest = view[frame.torn + 1 : frame.end]
    return [view[start : frame.torn], bytes([len(rest)]), rest, b"\x00" if rest else b""]


def _control(transparent: int) -> bytes:
    body = _CONTROL_BODY.pack(_TRANSPARENT, 0, transparent)
    return bytes((_EXTENSION, _CONTROL, len(body))) + body + b"\x00"


def _descriptor(width: int, height: int, flags: int) -> bytes:
    return struct.pack("<BHHHHB", _FRAME, 0, 0, width, height, flags)


def _frame(data: bytes, at: int, control: bytes) -> Frame:
    left, top, width, height, flags = _IMAGE.unpack_from(data, at)
    control_flags, delay, index = _CONTROL_BODY.unpack(control)
    pixels = at + _IMAGE.size + _table(flags)
    if data[pixels] not in _CODE_BITS or not (flags | data[_SCREEN_FLAGS]) & _HAS_TABLE:
        raise CorruptImage
    end, torn = _after_pixels(data, pixels + 1)
    return Frame(
        left=left,
        top=top,
        width=width,
        height=height,
        start=at,
        end=end,
        torn=torn,
        delay_ms=delay * _TICK_MS,
        dispose=_DISPOSALS.get(control_flags >> 2 & 0b111, Dispose.KEEP),
        transparent=index if control_flags & _TRANSPARENT else None,
    )


def _plays(data: bytes, at: int, known: int) -> int:
    """How often the animation plays. The application extension counts repetitions, so one more."""
    blocks = _blocks(data, at + 2)
    if next(blocks, b"") not in _LOOPERS:
        return known
    repeats = next(blocks, b"")
    if len(repeats) < _REPEATS.size:
        return known
    kind, count = _REPEATS.unpack_from(repeats)
    if kind & 0b111 != 1:
        return known
    return count + 1 if count else 0


def _blocks(data: bytes, at: int) -> Iterator[bytes]:
    while length := data[at]:
        yield data[at + 1 : at + 1 + length]
        at += 1 + length


def _table(flags: int) -> int:
    return 3 * 2 ** ((flags & 0b111) + 1) if flags & _HAS_TABLE else 0


def _after_pixels(data: bytes, at: int) -> tuple[int, int | None]:
    """The end of the pixels, and the start of the block in which the file ends, if it does."""
    while at < len(data) and (length := data[at]):
        if at + length >= len(data):
            return len(data), at
        at += 1 + length
    return (at + 1, None) if at < len(data) else (at, at)


def _after_blocks(data: bytes, at: int) -> int:
    while length := data[at]:
        at += 1 + length
    return at + 1
