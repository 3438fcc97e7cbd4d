"""A JPEG with arithmetic coding (T.81, annex D), which no library here writes.

The picture is of stripes, eight pixels wide. Each decision that it needs is always made in the same way, so that the
coder never leaves the first states of its table.
"""

from __future__ import annotations

import struct
from collections import defaultdict

#: The two greys: a block's mean is 128 and 128 + 255 / 8.
STRIPES = (160, 128)
#: How probable the rarer decision is, in 1/65,536 of 3/4, each time that the other one was made (T.81, table D.3).
_RARER = (23069, 9606, 4372, 2059, 984, 474, 229, 111, 54, 26, 13, 6, 3, 1)
_HALF, _WHOLE, _BITS = 1 << 15, 1 << 16, 16
#: Where the decisions on a difference begin that follows no other, one upwards, or one downwards; and on the end.
_FIRST, _AFTER_UP, _AFTER_DOWN, _END_OF_BLOCK = 0, 4, 8, 100


class _Coder:
    """The interval, as one long number and how far it has been shifted."""

    def __init__(self) -> None:
        self._low, self._size, self._shifts = 0, _WHOLE, 0
        self._made: dict[int, int] = defaultdict(int)

    def decide(self, bin_: int, bit: int) -> None:
        """Each bin is asked for the same bit every time; at first it expects 0."""
        rarer, expected = _RARER[self._made[bin_]], 0 if self._made[bin_] == 0 else bit
        self._size -= rarer
        if (bit != expected) == (self._size >= rarer):  # the rarer one has the smaller part, and that lies above
            self._low, self._size = self._low + self._size, rarer
        if self._size < _HALF:
            self._made[bin_] = min(self._made[bin_] + 1, len(_RARER) - 1)
        while self._size < _HALF:
            self._low, self._size, self._shifts = self._low << 1, self._size << 1, self._shifts + 1

    def data(self) -> bytes:
        """Some number in the interval, without zeros at its end."""
        bits = _BITS + self._shifts
        length = -(-bits // 8)
        written = (self._low << (8 * length - bits)).to_bytes(length, "big")
        return written.rstrip(b"\x00").replace(b"\xff", b"\xff\x00")


def jpeg(columns: int = 20, rows: int = 12) -> bytes:
    """So many blocks; an even number of columns."""
    table = b"\x00" + bytes([255] * 64)
    frame = struct.pack(">BHHB", 8, 8 * rows, 8 * columns, 1) + b"\x01\x11\x00"
    head = _segment(0xDB, table) + _segment(0xC9, frame) + _segment(0xDA, b"\x01\x01\x00\x00\x3f\x00")
    return b"\xff\xd8" + head + _stripes(columns * rows) + b"\xff\xd9"


def _stripes(blocks: int) -> bytes:
    coder, at = _Coder(), _FIRST
    for number in range(blocks):
        down = number % 2
        coder.decide(at, 1)  # there is a difference
        coder.decide(at + 1, down)
        coder.decide(at + 2 + down, 0)  # of one step
        coder.decide(_END_OF_BLOCK, 1)
        at = _AFTER_DOWN if down else _AFTER_UP
    return coder.data()


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body
