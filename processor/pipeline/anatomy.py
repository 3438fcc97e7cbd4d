"""How a file is put together: counted in plain steps before a decoder sees it, for decoders believe what they read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from processor.errors import TooManyPieces

#: Pieces (segments, chunks, blocks) that any file may have. Decoders keep a record of each, libjpeg some 200 bytes.
MAX_PIECES = 10_000
#: PNG and GIF cut their pixels into pieces too, of 8 KiB and 255 bytes as a rule; so many bytes a piece are enough.
_BYTES_A_PIECE = {"png": 64, "gif": 64}

#: A marker of JPEG (ITU-T T.81, B.1.1) that stands neither for a byte FF nor for a restart.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
#: Bytes searched at once: other threads run in between.
_STRIDE = 256 * 1024
_TEM, _SOI, _EOI, _SOS, _COM = 0x01, 0xD8, 0xD9, 0xDA, 0xFE
_APP = range(0xE0, 0xF0)
#: Start of frame, but for the markers of tables that lie between them; and those of progressive frames.
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
#: Pixels on a side of a block, and bytes of its coefficients.
_BLOCK, _BLOCK_BYTES = 8, 128

_PNG_SIGNATURE, _PNG_FRAME = 8, 12
_RIFF_HEAD, _RIFF_FRAME = 12, 8
_GIF_SCREEN, _GIF_SCREEN_FLAGS, _GIF_IMAGE, _GIF_IMAGE_FLAGS = 13, 10, 10, 9
_EXTENSION, _IMAGE = 0x21, 0x2C
_HAS_TABLE = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """What decoders will keep of a file beside its pixels; zero where there is nothing to tell."""

    #: How often the decoder goes over the whole picture.
    scans: int = 1
    #: Coefficients that it keeps from scan to scan.
    coefficient_bytes: int = 0
    #: EXIF, profiles, comments.
    metadata_bytes: int = 0


class _Counter:
    """Counts pieces, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0

    def one(self) -> None:
        """Raises `TooManyPieces`."""
        self._count += 1
        if self._count > self._limit:
            raise TooManyPieces(limit=self._limit)


def dissect(data: bytes, format_: str) -> Anatomy:
    """Walk through a file of a known format as far as it goes; whether it is whole is for others to tell.

    Raises `TooManyPieces`.
    """
    per_piece = _BYTES_A_PIECE.get(format_)
    counter = _Counter(MAX_PIECES + (len(data) // per_piece if per_piece else 0))
    try:
        return _WALKS[format_](data, counter)
    except IndexError:  # the file ends in the middle of a piece
        return Anatomy()


def _jpeg(data: bytes, counter: _Counter) -> Anatomy:
    at, scans, metadata_bytes, frame, several = 2, 0, 0, (0, 0), False
    while (found := _next_marker(data, at)) is not None:
        kind, at = found
        if kind == _EOI:
            break
        counter.one()
        if kind in (_TEM, _SOI):
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        if kind == _SOS:
            scans += 1
            several = several or data[at + 2 : at + 3] < bytes([frame[0]])
        elif kind in _SOF and not frame[0]:
            frame = _frame(data[at : at + length])
            several = kind in _PROGRESSIVE
        elif kind == _COM or kind in _APP:
            metadata_bytes += length
        at += max(2, length)
    return Anatomy(scans=max(1, scans), coefficient_bytes=frame[1] if several else 0, metadata_bytes=metadata_bytes)


def _next_marker(data: bytes, at: int) -> tuple[int, int] | None:
    """The next marker's kind, and where it ends."""
    while at < len(data):
        if found := _MARKER.search(data, at, at + _STRIDE):
            return found[1][0], found.end()
        at += _STRIDE - 1  # a marker may lie across the border
    return None


def _frame(segment: bytes) -> tuple[int, int]:
    """How many components a frame has, and what the coefficients of all of them take (T.81, B.2.2)."""
    height, width = int.from_bytes(segment[3:5], "big"), int.from_bytes(segment[5:7], "big")
    count = segment[7] if len(segment) > 7 else 0  # noqa: PLR2004 - where T.81 has it
    factors = [(factor >> 4 or 1, factor & 0xF or 1) for factor in segment[9 : 8 + 3 * count : 3]]
    if not factors:
        return 0, 0
    widest, highest = max(factor[0] for factor in factors), max(factor[1] for factor in factors)
    columns, rows = -(-width // (_BLOCK * widest)), -(-height // (_BLOCK * highest))
    return count, columns * rows * _BLOCK_BYTES * sum(across * down for across, down in factors)


def _png(data: bytes, counter: _Counter) -> Anatomy:
    at = _PNG_SIGNATURE
    while at + _PNG_FRAME <= len(data):
        counter.one()
        at += _PNG_FRAME + int.from_bytes(data[at : at + 4], "big")
    return Anatomy()


def _webp(data: bytes, counter: _Counter) -> Anatomy:
    at = _RIFF_HEAD
    while at + _RIFF_FRAME <= len(data):
        counter.one()
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at += _RIFF_FRAME + length + length % 2
    return Anatomy()


def _gif(data: bytes, counter: _Counter) -> Anatomy:
    at = _GIF_SCREEN + _colour_table(data[_GIF_SCREEN_FLAGS])
    while (kind := data[at]) in (_EXTENSION, _IMAGE):
        counter.one()
        if kind == _EXTENSION:
            at += 2
        else:
            at += _GIF_IMAGE + _colour_table(data[at + _GIF_IMAGE_FLAGS]) + 1
        while length := data[at]:
            counter.one()
            at += 1 + length
        at += 1
    return Anatomy()


def _colour_table(flags: int) -> int:
    return 3 * 2 ** ((flags & 0b111) + 1) if flags & _HAS_TABLE else 0


_WALKS = {"jpeg": _jpeg, "png": _png, "webp": _webp, "gif": _gif}
