"""HEVC (ITU-T H.265) without an encoder: every block brings its samples as they are (PCM, 7.3.8.7).

So it is known to the sample what a decoder has to hand out.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyvips

#: Pixels on a side of a block, each of which is a coding tree unit, a coding unit and a unit of samples.
_BLOCK = 16
#: Types of units: a picture that needs no other; parameters of the video, the sequence, the picture.
_IDR, _VPS, _SPS, _PPS = 19, 32, 33, 34
#: Ranges of the less probable symbol (table 9-52, its last column), by state: the only ones that come up.
_LESS_PROBABLE = (
    240, 227, 216, 205, 195, 185, 175, 166, 158, 150, 142, 135, 128, 122, 116, 110, 104, 99, 94, 89, 85, 80, 76, 72,
    69, 65, 62, 59, 56, 53, 50, 48, 45, 43, 41, 39, 37, 35, 33, 31, 30, 28, 27, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16,
    15, 14, 14, 13, 12, 12, 11, 11, 10, 9,
)  # fmt: skip
#: Coefficients of BT.601, with which light and colours are told apart.
_RED, _BLUE = 0.299, 0.114

Planes = tuple[pyvips.Image, pyvips.Image, pyvips.Image]


def planes(picture: pyvips.Image, *, bits: int = 8) -> Planes:
    """Light, and colours at half its sides: BT.601 of the full range. The picture has 8 or 16 bits a sample."""
    top = 65_535 if picture.format == "ushort" else 255
    red, green, blue = (band / top for band in picture.extract_band(0, n=3).bandsplit())
    light = red * _RED + green * (1 - _RED - _BLUE) + blue * _BLUE
    colours = ((other - light) / (2 - 2 * share) for other, share in ((blue, _BLUE), (red, _RED)))
    steps, middle = (1 << bits) - 1, 1 << bits - 1
    cb, cr = (_whole(colour.shrink(2, 2) * steps + middle, bits) for colour in colours)
    return _whole(light * steps, bits), cb, cr


def encode(samples: Planes, *, bits: int = 8) -> tuple[bytes, bytes]:
    """The picture, as it lies in a file of items, and its parameters as `hvcC` has them. Sides are even."""
    light = samples[0]
    width, height = light.width, light.height
    units = [_unit(_VPS, _video(bits)), _unit(_SPS, _sequence(width, height, bits)), _unit(_PPS, _picture())]
    coded = _unit(_IDR, _slice(samples, bits))
    return len(coded).to_bytes(4, "big") + coded, _configuration(units, bits)


def _whole(plane: pyvips.Image, bits: int) -> pyvips.Image:
    top = (1 << bits) - 1
    plane = plane.rint()
    return (plane > top).ifthenelse(top, (plane < 0).ifthenelse(0, plane)).cast("ushort").copy_memory()


class _Bits:
    """Written one behind the other."""

    def __init__(self) -> None:
        self._text: list[str] = []

    def put(self, value: int, length: int = 1) -> _Bits:
        self._text.append(format(value, f"0{length}b"))
        return self

    def counts(self, *values: int) -> _Bits:
        """Exp-Golomb codes (9.2)."""
        for value in values:
            code = format(value + 1, "b")
            self._text.append("0" * (len(code) - 1) + code)
        return self

    def ended(self) -> bytes:
        """A one, and zeros up to the next byte."""
        text = "".join(self._text) + "1"
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")


def _level(to: _Bits, bits: int) -> None:
    """Profile, tier and level (7.3.3): main, or main 10; level 6.2."""
    profile = 1 if bits == 8 else 2
    to.put(profile, 8).put(1 << 31 - profile, 32).put(0b1001, 4).put(0, 44).put(186, 8)


def _video(bits: int) -> bytes:
    to = _Bits().put(0, 4).put(0b11, 2).put(0, 6).put(0, 3).put(1).put(0xFFFF, 16)
    _level(to, bits)
    return to.put(1).counts(0, 0, 0).put(0, 6).counts(0).put(0, 2).ended()


def _sequence(width: int, height: int, bits: int) -> bytes:
    across, down = _blocks(width, height)
    to = _Bits().put(0, 4).put(0, 3).put(1)
    _level(to, bits)
    to.counts(0, 1, across * _BLOCK, down * _BLOCK)
    # What stands over the picture is cut off, in steps of two pixels.
    to.put(1).counts(0, (across * _BLOCK - width) // 2, 0, (down * _BLOCK - height) // 2)
    to.counts(bits - 8, bits - 8, 0).put(1).counts(0, 0, 0)
    to.counts(1, 0, 0, 2, 0, 0).put(0b000, 3)
    to.put(1).put(bits - 1, 4).put(bits - 1, 4).counts(1, 0).put(1)
    return to.counts(0).put(0b00000, 5).ended()


def _picture() -> bytes:
    to = _Bits().counts(0, 0).put(0b00, 2).put(0, 3).put(0b00, 2).counts(0, 0, 0).put(0b000, 3).counts(0, 0)
    to.put(0b0000000, 7)  # no tiles, no rows side by side, no filter across slices
    to.put(0b101, 3)  # the filter between blocks is off
    return to.put(0b00, 2).counts(0).put(0b00, 2).ended()


def _slice(samples: Planes, bits: int) -> bytes:
    head = _Bits().put(0b10, 2).counts(0, 2, 0).ended()
    across, down = _blocks(samples[0].width, samples[0].height)
    rows = [_padded(plane, across * size, down * size) for plane, size in zip(samples, (16, 8, 8), strict=True)]
    parts = [head]
    for number in range(across * down):
        parts.append(_announced(number))
        left, top = number % across, number // across
        for plane, size in zip(rows, (16, 8, 8), strict=True):
            block = plane.crop(left * size, top * size, size, size).write_to_memory()
            parts.append(_packed(memoryview(block).cast("H").tolist(), bits))
    return b"".join(parts) + (509 << 7).to_bytes(2, "big")  # the end of the slice


def _announced(number: int) -> bytes:
    """What the arithmetic coder writes in front of a block's samples (9.3.4.3): one unit, of samples as they are."""
    coded = 510 - (2 if number else 0)  # of the block before, that it is not the last one
    coded -= _LESS_PROBABLE[min(number, 62)] + 2
    return ((coded & 0x1FF | 1) << 7).to_bytes(2, "big")


def _packed(values: Sequence[int], bits: int) -> bytes:
    if bits == 8:
        return bytes(values)
    whole = 0
    for value in values:
        whole = whole << bits | value
    return whole.to_bytes(len(values) * bits // 8, "big")


def _padded(plane: pyvips.Image, width: int, height: int) -> pyvips.Image:
    return plane.embed(0, 0, width, height, extend="copy").copy_memory()


def _blocks(width: int, height: int) -> tuple[int, int]:
    return -(-width // _BLOCK), -(-height // _BLOCK)


def _unit(kind: int, body: bytes) -> bytes:
    """With bytes in between where the body looks like the beginning of a unit (7.4.2)."""
    escaped, zeros = bytearray(), 0
    for byte in body:
        if zeros >= 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = 0 if byte else zeros + 1
    return bytes((kind << 1, 1)) + bytes(escaped)


def _configuration(units: Sequence[bytes], bits: int) -> bytes:
    """ISO/IEC 14496-15, 8.3.3.1."""
    profile = 1 if bits == 8 else 2
    head = bytes((1, profile)) + (1 << 31 - profile).to_bytes(4, "big") + b"\x90" + bytes(5) + bytes((186,))
    head += b"\xf0\x00\xfc\xfd" + bytes((0xF8 | bits - 8, 0xF8 | bits - 8)) + b"\x00\x00\x0f" + bytes((len(units),))
    arrays = (bytes((0x80 | unit[0] >> 1, 0, 1)) + len(unit).to_bytes(2, "big") + unit for unit in units)
    return head + b"".join(arrays)
