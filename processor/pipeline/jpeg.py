"""Reads the markers of a JPEG (T.81): its kind, its scans, and whether all scans are there."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from processor.errors import CorruptImage, UnsupportedFormat
from processor.formats.anatomy import find_pair
from processor.formats.jpeg import JPEG

#: Markers: restart interval, scan, end of image. `_PADDING` bytes may precede any marker.
_DRI, _SOS, _EOI, _END, _PADDING = 0xDD, 0xDA, 0xD9, b"\xff\xd9", b"\xff"
#: Any marker except those without content: restarts, start of image, TEM. The pattern does not repeat `\xff`: a
#: repetition would search a long run of padding again from each of its bytes.
_BRINGS = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Frames that can be decoded, with 8 bits per sample: baseline, extended, progressive, and the last two with arithmetic
#: coding.
_DECODABLE, _ARITHMETIC, _PROGRESSIVE = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA}), frozenset({0xC9, 0xCA}), {0xC2, 0xCA}
_LOSSLESS, _JPEG_LS = frozenset({0xC3, 0xCB}), 0xF7
#: The end of compressed data: a marker that is no stuffed byte, no restart and no padding.
_AFTER_DATA = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
#: A restart with all of its padding. The lookbehind has the same reason as above.
_RESTART, _RESTARTS = re.compile(rb"(?<!\xff)\xff++[\xd0-\xd7]"), bytes(range(0xD0, 0xD8))
#: The most restarts of a damaged picture: each makes the file that is compared 50 bytes longer.
MAX_RESTARTS = 1_000_000
#: Padding is searched in pieces of so many bytes.
_STRIDE = 256 * 1024
#: Inserted behind compressed data. A decoder reads it only if data is missing in front of it. It has no marker, and no
#: escape of `re`. Arithmetic coding omits zeros at the end of its data, so the decoder must see those first.
_FILLING = bytes(0xB3 ^ 61 * number % 64 for number in range(48))
_ZEROS = bytes(4)
_BITS, _BLOCK, _COEFFICIENTS = 8, 8, 64
#: libvips reads so many lines at a time.
_STRIP = 8
#: A frame: bits per sample, height, width, number of components. A component: name, sampling, quantization.
_FRAME, _COMPONENT, _TALLEST = struct.Struct(">BHHB"), struct.Struct("BBB"), 0xFFFF
_MARKER_BYTES, _LENGTH_BYTES = 2, 2
#: Sampling factors (T.81, B.2.2).
_FACTORS = range(1, 5)


@dataclass(frozen=True, slots=True)
class Component:
    """A colour component, and its sampling factors across and down (T.81, A.1.1)."""

    name: int
    across: int
    down: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One scan of some components: their coefficients `first` to `last`, down to the bit `low`.

    Its data is from `start` to `end`, behind its header, which begins at `marker`.
    """

    components: tuple[int, ...]
    first: int
    last: int
    low: int
    marker: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Jpeg:
    """The frame and the scans of a file. `ended`: it has an end marker. `restarts`: it has restart intervals."""

    start: int
    process: int
    precision: int
    width: int
    height: int
    components: tuple[Component, ...]
    scans: tuple[Scan, ...]
    restarts: bool
    ended: bool

    @property
    def across(self) -> int:
        """The highest sampling factor across."""
        return max(component.across for component in self.components)

    @property
    def down(self) -> int:
        """The highest sampling factor down."""
        return max(component.down for component in self.components)

    @property
    def is_arithmetic(self) -> bool:
        """Whether it is coded arithmetically. Then libjpeg takes missing data for zeros, without a warning."""
        return self.process in _ARITHMETIC

    @property
    def is_read_ahead(self) -> bool:
        """Whether libjpeg reads all data before it gives the first line.

        It does so for several scans, but does not look how many there are: the first one tells.
        """
        return self.process in _PROGRESSIVE or any(
            len(scan.components) < len(self.components) for scan in self.scans[:1]
        )

    def lines_for_warnings(self, shrink: int = 1) -> int | None:
        """The lines that a shrunk picture must have for libvips to see all of libjpeg's warnings: see `with_height`.

        libvips looks for them before every 8 lines, so it must read on after the first line of the last blocks. None:
        that would be more lines than the file has blocks for. A decoder that reads ahead warns before the first line.
        """
        if self.is_read_ahead:
            return 0
        rows, lines = -(-self.height // (_BLOCK * self.down)), _BLOCK * self.down // shrink
        look = ((rows - 1) * lines // _STRIP + 1) * _STRIP
        return look + 1 if look <= rows * lines and (look + 1) * shrink <= _TALLEST else None

    @property
    def has_all_scans(self) -> bool:
        """Whether every component is there; if the file is progressive, also every bit of its coefficients."""
        names = {component.name for component in self.components}
        if self.process not in _PROGRESSIVE:
            return names <= {component for scan in self.scans for component in scan.components}
        missing = {name: [1] * _COEFFICIENTS for name in names}
        for scan in self.scans:
            span = scan.last - scan.first + 1
            for component in scan.components:
                missing.get(component, [0] * _COEFFICIENTS)[scan.first : scan.last + 1] = [scan.low] * span
        return not any(any(bits) for bits in missing.values())


def read(data: bytes) -> Jpeg:
    """Reads the markers up to the end of the image. Raises `CorruptImage` if there is no frame that is valid."""
    frame: tuple[int, int, int] | None = None
    scans: list[Scan] = []
    restarts = ended = False
    for marker, start, length, end in _segments(data):
        if marker == _SOS:
            scans.append(_scan(data, start, length, end))
        elif marker == _EOI:
            ended = True
        elif marker == _DRI:
            restarts = any(data[start : start + length])
        elif frame is None and (marker == _JPEG_LS or marker in _FRAMES):
            frame = marker, start, start + length
    if frame is None or frame[2] - frame[1] < _FRAME.size + _COMPONENT.size:
        raise CorruptImage
    process, start, end = frame
    precision, height, width, _ = _FRAME.unpack_from(data, start)
    whole = (end - start - _FRAME.size) // _COMPONENT.size * _COMPONENT.size
    described = _COMPONENT.iter_unpack(data[start + _FRAME.size : start + _FRAME.size + whole])
    components = tuple(Component(name, sampling >> 4, sampling & 0x0F) for name, sampling, _ in described)
    if not all(component.across in _FACTORS and component.down in _FACTORS for component in components):
        raise CorruptImage
    return Jpeg(
        start=start,
        process=process,
        precision=precision,
        width=width,
        height=height,
        components=components,
        scans=tuple(scans),
        restarts=restarts,
        ended=ended,
    )


def check_decodable(jpeg: Jpeg) -> None:
    """Raises `UnsupportedFormat` if libjpeg cannot decode this kind of JPEG to 8 bits."""
    if jpeg.process == _JPEG_LS:
        kind = "JPEG-LS"
    elif jpeg.process in _LOSSLESS:
        kind = "lossless"
    elif jpeg.process not in _DECODABLE:
        kind = "hierarchical"
    elif jpeg.height == 0:
        kind = "height behind the picture"
    elif jpeg.precision != _BITS:
        kind = f"{jpeg.precision} bits a sample"
    else:
        return
    raise UnsupportedFormat(f"{JPEG.title} ({kind})")


def mended(data: bytes, jpeg: Jpeg) -> bytes:
    """The same picture; a missing end marker is added."""
    return data if jpeg.ended or not jpeg.scans else b"".join((memoryview(data)[: jpeg.scans[-1].end], _END))


def with_height(data: bytes, jpeg: Jpeg, height: int) -> bytes:
    """The same picture with further lines. The last of them may have no data in the file."""
    view, at = memoryview(data), jpeg.start + 1
    return b"".join((view[:at], struct.pack(">H", height), view[at + 2 :]))


def has_all_restarts(data: bytes, jpeg: Jpeg) -> bool:
    """Whether no restart interval is missing between others. A decoder would fill such a gap with grey."""
    left = MAX_RESTARTS
    for scan in jpeg.scans:
        for number, mark in enumerate(_RESTART.finditer(data, scan.start, scan.end)):
            left -= 1
            if data[mark.end() - 1] != _RESTARTS[number % len(_RESTARTS)] or left < 0:
                return False
    return True


def filled(data: bytes, jpeg: Jpeg) -> bytes:
    """A file to compare with the original. It decodes to the same picture only if no data is missing."""
    filling = _ZEROS + _FILLING if jpeg.is_arithmetic else _FILLING
    view, at = memoryview(data), 0
    slices: list[bytes | memoryview] = []
    for scan in jpeg.scans:
        slices += [view[at : scan.start], *_filled(view[scan.start : scan.end], filling, restarts=jpeg.restarts)]
        at = scan.end
    return b"".join((*slices, view[at:] if jpeg.ended else _END))


def copied_bytes(data: bytes, jpeg: Jpeg) -> int:
    """The most bytes of the copies that `mended`, `filled` and `with_height` make of a file."""
    return len(data) * (1 if jpeg.ended else 2)


def _filled(scan: memoryview, filling: bytes, *, restarts: bool) -> Iterator[bytes | memoryview]:
    at = count = 0
    for mark in _RESTART.finditer(scan):
        yield from (scan[at : mark.start()], filling)
        at, count = mark.start(), count + 1
    yield from (scan[at:], filling)
    if restarts:  # the last intervals may be missing completely
        yield _PADDING + bytes([_RESTARTS[count % len(_RESTARTS)]]) + filling


def _segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """For each segment: its marker, the start and length of its content, and the end of compressed data behind it.

    The content is without the length field. It stops at the end marker, or at a segment that is cut off.
    """
    at = 2
    while found := find_pair(_BRINGS, data, at):
        marker, at = found[0][1], found.end()
        if marker == _EOI:
            yield marker, at, 0, at
            return
        length = int.from_bytes(data[at : at + _LENGTH_BYTES], "big")
        if length < _LENGTH_BYTES or at + length > len(data):
            return
        end = _data_end(data, at + length) if marker == _SOS else at + length
        yield marker, at + _LENGTH_BYTES, length - _LENGTH_BYTES, end
        at = end


def _data_end(data: bytes, start: int) -> int:
    found = find_pair(_AFTER_DATA, data, start)
    end = found.start() if found else len(data)
    while data.endswith(_PADDING, start, end):
        piece = data[max(start, end - _STRIDE) : end]
        end -= len(piece) - len(piece.rstrip(_PADDING))
    return end


def _scan(data: bytes, start: int, length: int, end: int) -> Scan:
    count = data[start] if length else 0
    if length < 4 + 2 * count:
        raise CorruptImage
    first, last, bits = data[start + 1 + 2 * count : start + 4 + 2 * count]
    if not first <= last < _COEFFICIENTS:
        first, last = 0, _COEFFICIENTS - 1  # only progressive files use them
    return Scan(
        components=tuple(data[start + 1 : start + 1 + 2 * count : 2]),
        first=first,
        last=last,
        low=bits & 0x0F,
        marker=start - _LENGTH_BYTES - _MARKER_BYTES,
        start=start + length,
        end=end,
    )
