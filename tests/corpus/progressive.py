"""Progressive JPEGs (T.81, annex G) of any sampling and any order of scans, of which libraries write a few.

Coefficients are random, and few but the first are not zero; so is the picture.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

BLOCK = 8
#: Coefficients in a block; how many restarts are told apart.
_COEFFICIENTS, _RESTARTS = 64, 8
#: All codes of a table have one length, in bits: symbols are numbered. Of sizes up to 11; and of zeros, and sizes to 7.
_SIZE_BITS, _SIZES = 5, bytes(range(12))
_ZEROS_BITS, _ZEROS = 8, bytes(zeros << 4 | size for zeros in range(16) for size in range(8))
_MOST_ZEROS = 15

Coefficients = list[int]
#: A number of so many bits.
_Code = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Colour:
    """A component: its samples that are coded together, across and down."""

    across: int
    down: int


@dataclass(frozen=True, slots=True)
class Step:
    """A scan of some components: coefficients `first` to `last`, down to the bit `low`; `again`: that bit alone."""

    colours: tuple[int, ...]
    first: int
    last: int
    low: int
    again: bool = False


def jpeg(
    size: tuple[int, int], colours: Sequence[Colour], steps: Sequence[Step], *, restart: int = 0, seed: int = 0
) -> bytes:
    """A file of these scans, in which restarts are so many units apart."""
    width, height = size
    frame = struct.pack(">BHHB", 8, height, width, len(colours))
    for number, colour in enumerate(colours, 1):
        frame += bytes((number, colour.across << 4 | colour.down, 0))
    head = (
        b"\xff\xd8",
        _segment(0xDB, b"\0" + bytes(1 + number // 4 for number in range(_COEFFICIENTS))),
        _segment(0xC2, frame),
        _segment(0xC4, b"\x00" + _table(_SIZE_BITS, _SIZES)),
        _segment(0xC4, b"\x10" + _table(_ZEROS_BITS, _ZEROS)),
        _segment(0xDD, struct.pack(">H", restart)),
    )
    scans = _Scans(size, colours, restart, random.Random(seed))
    return b"".join((*head, *(scans.written(step) for step in steps), b"\xff\xd9"))


def _zeros(zeros: int, size: int) -> _Code:
    """So many zeros, and then a coefficient of this size."""
    return _ZEROS.index(zeros << 4 | size), _ZEROS_BITS


_END_OF_BLOCK, _SIXTEEN_ZEROS = _zeros(0, 0), _zeros(_MOST_ZEROS, 0)


class _Scans:
    def __init__(self, size: tuple[int, int], colours: Sequence[Colour], restart: int, chance: random.Random) -> None:
        self._colours, self._restart = colours, restart
        self._across, self._down = max(each.across for each in colours), max(each.down for each in colours)
        self._size = size
        self._units = tuple(
            -(-side // (BLOCK * most)) for side, most in zip(size, (self._across, self._down), strict=True)
        )
        self._blocks = [
            [
                [_block(chance) for _ in range(self._units[0] * colour.across)]
                for _ in range(self._units[1] * colour.down)
            ]
            for colour in colours
        ]

    def written(self, step: Step) -> bytes:
        selected = b"".join(bytes((number + 1, 0)) for number in step.colours)
        high = step.low + 1 if step.again else 0
        band = bytes((step.first, step.last, high << 4 | step.low))
        header = _segment(0xDA, bytes((len(step.colours),)) + selected + band)
        units = list(self._each_unit(step))
        every = self._restart or len(units)
        parts = [units[at : at + every] for at in range(0, len(units), every)]
        data = [_packed(code for codes in _coded(part, step) for code in codes) for part in parts]
        marks = [bytes((0xFF, 0xD0 + number % _RESTARTS)) for number in range(len(parts) - 1)]
        return header + b"".join(piece + mark for piece, mark in zip(data, (*marks, b""), strict=True))

    def _each_unit(self, step: Step) -> Iterator[list[tuple[int, Coefficients]]]:
        """The blocks that are coded together, each with its component; one alone has no blocks beyond its edge."""
        if len(step.colours) == 1:
            (number,) = step.colours
            colour = self._colours[number]
            columns = -(-self._size[0] * colour.across // (BLOCK * self._across))
            rows = -(-self._size[1] * colour.down // (BLOCK * self._down))
            yield from ([(number, block)] for row in self._blocks[number][:rows] for block in row[:columns])
            return
        for row in range(self._units[1]):
            for column in range(self._units[0]):
                yield [
                    (number, self._blocks[number][row * colour.down + y][column * colour.across + x])
                    for number in step.colours
                    for colour in (self._colours[number],)
                    for y in range(colour.down)
                    for x in range(colour.across)
                ]


def _block(chance: random.Random) -> Coefficients:
    return [
        chance.randint(-500, 500) if number == 0 else chance.randint(-15, 15) * (chance.random() < 2 / (1 + number))
        for number in range(_COEFFICIENTS)
    ]


def _coded(units: Sequence[list[tuple[int, Coefficients]]], step: Step) -> Iterator[list[_Code]]:
    before = dict.fromkeys(step.colours, 0)
    for unit in units:
        for number, block in unit:
            if step.first:
                yield (_refined if step.again else _brought)(block, step)
            elif step.again:
                yield [(block[0] >> step.low & 1, 1)]
            else:
                value = block[0] >> step.low
                yield _difference(value - before[number])
                before[number] = value


def _difference(value: int) -> list[_Code]:
    size = abs(value).bit_length()
    return [(size, _SIZE_BITS), (_signed(value, size), size)]


def _signed(value: int, size: int) -> int:
    return value if value >= 0 else value + (1 << size) - 1


def _brought(block: Coefficients, step: Step) -> list[_Code]:
    codes: list[_Code] = []
    zeros = 0
    for number in range(step.first, step.last + 1):
        value = abs(block[number]) >> step.low
        if not value:
            zeros += 1
            continue
        codes += [_SIXTEEN_ZEROS] * (zeros // (_MOST_ZEROS + 1))
        size, zeros = value.bit_length(), zeros % (_MOST_ZEROS + 1)
        codes += [_zeros(zeros, size), (_signed(value if block[number] > 0 else -value, size), size)]
        zeros = 0
    return [*codes, _END_OF_BLOCK] if zeros else codes


def _refined(block: Coefficients, step: Step) -> list[_Code]:
    """The next bit of what is there already follows the code of what is not yet (T.81, G.1.2.3)."""
    values = {number: abs(block[number]) >> step.low for number in range(step.first, step.last + 1)}
    newest = max((number for number, value in values.items() if value == 1), default=-1)
    codes: list[_Code] = []
    bits: list[_Code] = []
    zeros = 0
    for number, value in values.items():
        if not value:
            zeros += 1
            continue
        while zeros > _MOST_ZEROS and number <= newest:
            codes, bits, zeros = [*codes, _SIXTEEN_ZEROS, *bits], [], zeros - _MOST_ZEROS - 1
        if value > 1:
            bits.append((value & 1, 1))
            continue
        codes, bits = [*codes, _zeros(zeros, 1), (int(block[number] > 0), 1), *bits], []
        zeros = 0
    return [*codes, _END_OF_BLOCK, *bits] if zeros or bits else codes


def _packed(codes: Iterator[_Code]) -> bytes:
    bits = "".join(f"{value:0{size}b}" for value, size in codes if size)
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")


def _table(bits: int, symbols: bytes) -> bytes:
    return bytes(len(symbols) if length == bits else 0 for length in range(1, 17)) + symbols


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body
