"""Reads the sequence headers of an AV1 bitstream (AOM, "AV1 Bitstream & Decoding Process Specification", section 5).

They say how large the frames are. A decoder takes memory for that, whatever the file around the bitstream says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from processor.errors import CorruptImage
from processor.formats.anatomy import Pieces

#: The type of a sequence header (6.2.2), and flags in the header of a unit (5.3.2).
_SEQUENCE, _EXTENDED, _SIZED = 1, 0x04, 0x02
#: A length: the most bytes, and the flag of all but the last (4.10.5).
_LONGEST_LENGTH, _MORE = 8, 0x80
#: The most bytes of a sequence header that are read: with 32 operating points it has 400.
_LONGEST_HEADER = 512
#: Profiles (6.4.1): the main one is always subsampled, the high one never, the professional one as it says.
_MAIN, _HIGH, _PROFESSIONAL = 0, 1, 2
_DEPTHS = (8, 10, 12)
#: H.273: an identity matrix with the colours and the curve of sRGB is never subsampled.
_SRGB = (1, 13, 0)
#: A setting that each frame makes for itself (6.4.1).
_BY_FRAME = 2
#: From this level on, a tier is given (5.5.1).
_TIERED_LEVEL = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """The largest frame, in pixels; bits per sample; whether the chroma is subsampled or absent."""

    width: int
    height: int
    bits: int
    is_coarse: bool


def sequences(pieces: Iterable[memoryview], units: Pieces) -> Iterator[Sequence]:
    """Every sequence header of a bitstream that lies in pieces. `units` counts what is gone through.

    Raises `CorruptImage` if one cannot be read, `TooManyPieces`.
    """
    stream = _Stream(pieces)
    try:
        while head := stream.take(1):
            units.one()
            if head[0] & _EXTENDED:
                stream.take(1)
            length = _length(stream) if head[0] & _SIZED else None
            if head[0] >> 3 & 0xF == _SEQUENCE:
                told = stream.take(_LONGEST_HEADER if length is None else min(length, _LONGEST_HEADER))
                yield _sequence(_Bits(told))
                length = None if length is None else length - len(told)
            stream.skip(length)
    except IndexError:
        raise CorruptImage from None


def _length(stream: _Stream) -> int:
    length = 0
    for place in range(_LONGEST_LENGTH):
        byte = stream.take(1)[0]
        length |= (byte & 0x7F) << 7 * place
        if not byte & _MORE:
            break
    return length


class _Stream:
    """Goes through pieces of memory without copying what nobody reads."""

    def __init__(self, pieces: Iterable[memoryview]) -> None:
        self._pieces = iter(pieces)
        self._piece = memoryview(b"")

    def take(self, count: int) -> bytes:
        """The next bytes; fewer at the end."""
        taken = b""
        while len(taken) < count and self._goes_on():
            part, self._piece = self._piece[: count - len(taken)], self._piece[count - len(taken) :]
            taken += part
        return taken

    def skip(self, count: int | None) -> None:
        """Leave out so many bytes; None: all the rest."""
        while (count is None or count > 0) and self._goes_on():
            passed = len(self._piece) if count is None else min(count, len(self._piece))
            self._piece = self._piece[passed:]
            count = None if count is None else count - passed

    def _goes_on(self) -> bool:
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._piece = piece
        return True


class _Bits:
    """Reads numbers of any width. Raises `IndexError` behind the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def number(self, width: int) -> int:
        self._left -= width
        if self._left < 0:
            raise IndexError
        return self._value >> self._left & (1 << width) - 1

    def flag(self) -> bool:
        return bool(self.number(1))

    def skip_exponential(self) -> None:
        """A number whose width is given by zeros in front of it (4.10.3)."""
        zeros = 0
        while not self.flag():
            zeros += 1
        self.number(zeros)


def _sequence(bits: _Bits) -> Sequence:
    """`sequence_header_obu` (5.5.1)."""
    profile, _, is_reduced = bits.number(3), bits.flag(), bits.flag()
    if is_reduced:
        bits.number(5)
    else:
        _skip_operating_points(bits)
    across, down = bits.number(4) + 1, bits.number(4) + 1
    width, height = bits.number(across) + 1, bits.number(down) + 1
    if not is_reduced and bits.flag():
        bits.number(4 + 3)
    bits.number(3)
    if not is_reduced:
        _skip_tools(bits)
    bits.number(3)
    return _coloured(bits, profile, width, height)


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.flag():  # timing_info
        bits.number(32 + 32)
        if bits.flag():
            bits.skip_exponential()
        if bits.flag():  # decoder_model_info
            delay_bits = bits.number(5) + 1
            bits.number(32 + 5 + 5)
    has_delays = bits.flag()
    for _ in range(bits.number(5) + 1):
        bits.number(12)
        if bits.number(5) > _TIERED_LEVEL:
            bits.flag()
        if delay_bits and bits.flag():
            bits.number(2 * delay_bits + 1)
        if has_delays and bits.flag():
            bits.number(4)


def _skip_tools(bits: _Bits) -> None:
    bits.number(4)
    has_order = bits.flag()
    if has_order:
        bits.number(2)
    screen_content = _BY_FRAME if bits.flag() else bits.number(1)
    if screen_content and not bits.flag():
        bits.flag()
    if has_order:
        bits.number(3)


def _coloured(bits: _Bits, profile: int, width: int, height: int) -> Sequence:
    """`color_config` (5.5.2)."""
    depth = bits.number(1)
    if profile == _PROFESSIONAL and depth:
        depth += bits.number(1)
    is_grey = profile != _HIGH and bits.flag()
    code_points = (bits.number(8), bits.number(8), bits.number(8)) if bits.flag() else ()
    is_coarse = is_grey or profile == _MAIN
    if profile == _PROFESSIONAL and not is_grey and code_points != _SRGB:
        bits.flag()
        is_coarse = depth < len(_DEPTHS) - 1 or bits.flag()
    return Sequence(width=width, height=height, bits=_DEPTHS[depth], is_coarse=is_coarse)
