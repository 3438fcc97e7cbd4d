"""Converts colours to sRGB that a file declares without an ICC profile."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log2
from typing import NamedTuple

import pyvips

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]

#: Brightness of white in HDR (BT.2408), and the peak of HDR pictures that name none. In cd/m².
WHITE, PEAK = 203.0, 1000.0


class Primaries(NamedTuple):
    """Chromaticities: x and y of white, red, green and blue, in the order of PNG's cHRM chunk."""

    white: tuple[float, float]
    red: tuple[float, float]
    green: tuple[float, float]
    blue: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer curve by name, so that equal ones are computed once. `gamma` applies only to the name "gamma"."""

    name: str
    gamma: float = 1.0

    @property
    def is_hdr(self) -> bool:
        """Whether it can express light that is brighter than white."""
        return self.name in ("pq", "hlg")


@dataclass(frozen=True, slots=True)
class Colour:
    """What code values mean. In narrow range, black is 16 and white is 235 of 255.

    `peak` applies to PQ: the brightness of the brightest pixel, in cd/m².
    """

    primaries: Primaries
    transfer: Transfer
    full_range: bool = True
    peak: float = PEAK


_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
_BT709 = Primaries(_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_BT601_525 = Primaries(_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
_BT2020 = Primaries(_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
#: By code point in H.273, table 2.
PRIMARIES = {
    1: _BT709,
    4: Primaries(_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: Primaries(_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: _BT601_525,
    7: _BT601_525,
    8: Primaries(_C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    9: _BT2020,
    11: Primaries(_DCI, *_P3),
    12: Primaries(_D65, *_P3),
    22: Primaries(_D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
SRGB_CURVE = Transfer("srgb")
#: How screens show BT.709 and its relatives (BT.1886). It is not the inverse of the camera's curve.
_BT1886 = Transfer("gamma", 2.4)
#: By code point in H.273, table 3.
TRANSFERS = {
    1: _BT1886,
    4: Transfer("gamma", 2.2),
    5: Transfer("gamma", 2.8),
    6: _BT1886,
    8: Transfer("gamma", 1.0),
    13: SRGB_CURVE,
    14: _BT1886,
    15: _BT1886,
    16: Transfer("pq"),
    18: Transfer("hlg"),
}
SRGB = Colour(_BT709, SRGB_CURVE)
#: Adobe RGB (1998), sections 4.2 and 4.3.
ADOBE_RGB = Colour(Primaries(_D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), Transfer("gamma", 563 / 256))

_RGB = 3
#: Where a curve changes from one formula to the next: for sRGB as light (IEC 61966-2-1), for HLG as code value.
_SRGB_TURN, _HLG_TURN = 0.0031308, 0.5
#: Weights of red, green and blue in the luminance of BT.2020, and HLG's system gamma for a screen with the peak `PEAK`
#: (BT.2100, table 5).
_BRIGHTNESS, _SYSTEM_GAMMA = (0.2627, 0.6780, 0.0593), 1.2
#: Chromatic adaptation to another white (Bradford).
_BRADFORD: Matrix = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
#: Linear light has so many steps before it is coded. In the shadows, one step of sRGB still has 20 of them.
_STEPS = 65_536
#: Tone mapping (SMPTE ST 2094-50, reference white): the most by which white is lowered to leave room for brighter
#: light, and how sharply the curve bends above white.
_WHITE_DROP, _BEND = 0.5, 0.65
#: The brightest light that PQ can express, as a multiple of white.
_BRIGHTEST = 10_000 / WHITE


def to_srgb(image: pyvips.Image, colour: Colour) -> pyvips.Image:
    """8 bits per sample in sRGB, without a profile. Grey stays grey, alpha is unchanged, HDR is tone-mapped.

    The result is lazy, and reads the image from top to bottom.
    """
    alpha = image.extract_band(image.bands - 1) if image.hasalpha() else None
    samples = image if alpha is None else image.extract_band(0, n=image.bands - 1)
    wide = image.format == "ushort"
    light = samples.maplut(_light_of_codes(colour.transfer, wide=wide, full_range=colour.full_range))
    primaries = colour.primaries
    if colour.transfer.is_hdr:
        light, primaries = _toned(_under(light, primaries, _BT2020), colour), _BT2020
    light = _under(light, primaries, _BT709)
    coded = (light * (_STEPS - 1)).rint().cast("ushort").maplut(_codes_of_light())
    if alpha is not None:
        coded = coded.bandjoin((alpha >> 8 if wide else alpha).cast("uchar"))
    coded = coded.copy(interpretation="srgb" if light.bands == _RGB else "b-w")
    coded.remove("icc-profile-data")
    return coded


def is_possible(primaries: Primaries) -> bool:
    """Whether a conversion exists. A file may declare primaries that span no colours."""
    try:
        _conversion(primaries, _BT709)
    except ZeroDivisionError:
        return False
    return True


def _under(light: pyvips.Image, have: Primaries, want: Primaries) -> pyvips.Image:
    return light.recomb(_conversion(have, want)) if light.bands == _RGB and have != want else light


def _toned(light: pyvips.Image, colour: Colour) -> pyvips.Image:
    """Light of BT.2020, for screens without HDR: nothing is brighter than white. White itself is lowered for that."""
    if colour.transfer.name == "hlg":
        brightness = light.recomb([list(_BRIGHTNESS)]) if light.bands == _RGB else light
        light = light * brightness ** (_SYSTEM_GAMMA - 1) * (PEAK / WHITE)
    peak = max(colour.peak / WHITE, 1.0)
    bands = light.bandsplit()
    brightest = bands[0].bandrank(bands[1:], index=light.bands - 1) if light.bands > 1 else light
    gain = (brightest * ((_STEPS - 1) / _BRIGHTEST)).rint().cast("ushort").maplut(_gains(peak))
    return light * gain


@lru_cache(maxsize=8)
def _light_of_codes(transfer: Transfer, *, wide: bool, full_range: bool) -> pyvips.Image:
    top = 65_535 if wide else 255
    narrow = 256 if wide else 1
    values = (code / top if full_range else (code / narrow - 16) / 219 for code in range(top + 1))
    return _table(array("f", (_light(transfer, min(max(value, 0.0), 1.0)) for value in values)), "float")


def _light(transfer: Transfer, value: float) -> float:
    """Linear light of a code value from 0 to 1. In PQ, 1 is white. In HLG, it is the light of the scene."""
    if transfer.name == "gamma":
        return float(value**transfer.gamma)
    if transfer.name == "pq":  # BT.2100, table 4
        root = value ** (32 / 2523)
        return float((max(root - 107 / 128, 0.0) / (2413 / 128 - 2392 / 128 * root)) ** (8192 / 1305) * _BRIGHTEST)
    if transfer.name == "hlg":  # BT.2100, table 5
        return value * value / 3 if value <= _HLG_TURN else (exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return value / 12.92 if value <= _SRGB_TURN * 12.92 else float(((value + 0.055) / 1.055) ** 2.4)


@lru_cache(maxsize=1)
def _codes_of_light() -> pyvips.Image:
    lights = (step / (_STEPS - 1) for step in range(_STEPS))
    codes = (12.92 * light if light <= _SRGB_TURN else 1.055 * light ** (1 / 2.4) - 0.055 for light in lights)
    return _table(array("B", (round(255 * code) for code in codes)), "uchar")


@lru_cache(maxsize=4)
def _gains(peak: float) -> pyvips.Image:
    """Factors for light, by its brightest sample: constant up to white, then along a curve up to the peak."""
    white = 1 - _WHITE_DROP * min(1.0, log2(peak) / log2(PEAK / WHITE))
    middle = 1 - _BEND + _BEND / white, (1 - _BEND) * white + _BEND
    lights = (step / (_STEPS - 1) * _BRIGHTEST for step in range(_STEPS))
    return _table(array("f", (white if x <= 1 else _curve(x, white, middle, peak) / x for x in lights)), "float")


def _curve(x: float, white: float, middle: tuple[float, float], peak: float) -> float:
    """A Bézier curve from (1, white) to (peak, 1), with one control point; it is constant from there."""
    if x >= peak:
        return 1.0
    bend, rise = 1 - 2 * middle[0] + peak, 2 * (middle[0] - 1)
    below = 1 - x
    t = -below / rise if not bend else (-rise + (rise * rise - 4 * bend * below) ** 0.5) / (2 * bend)
    return (1 - t) ** 2 * white + 2 * t * (1 - t) * middle[1] + t * t


def _table(values: array[float] | array[int], kind: str) -> pyvips.Image:
    return pyvips.Image.new_from_memory(values.tobytes(), len(values), 1, 1, kind)


@lru_cache(maxsize=16)
def _conversion(have: Primaries, want: Primaries) -> pyvips.Image:
    matrix = _product(_inverse(_to_xyz(want)), _product(_adaptation(have.white, want.white), _to_xyz(have)))
    return pyvips.Image.new_from_array([list(row) for row in matrix])


def _to_xyz(primaries: Primaries) -> Matrix:
    """The matrix from linear light to XYZ, scaled so that equal red, green and blue are white."""
    columns = [_xyz(point) for point in (primaries.red, primaries.green, primaries.blue)]
    rows: Matrix = (
        (columns[0][0], columns[1][0], columns[2][0]),
        (columns[0][1], columns[1][1], columns[2][1]),
        (columns[0][2], columns[1][2], columns[2][2]),
    )
    red, green, blue = _times(_inverse(rows), _xyz(primaries.white))
    return _product(rows, ((red, 0, 0), (0, green, 0), (0, 0, blue)))


def _adaptation(from_white: tuple[float, float], to_white: tuple[float, float]) -> Matrix:
    """The matrix from XYZ under one white to XYZ under another."""
    have, want = _times(_BRADFORD, _xyz(from_white)), _times(_BRADFORD, _xyz(to_white))
    scale: Matrix = ((want[0] / have[0], 0, 0), (0, want[1] / have[1], 0), (0, 0, want[2] / have[2]))
    return _product(_inverse(_BRADFORD), _product(scale, _BRADFORD))


def _xyz(point: tuple[float, float]) -> Vector:
    x, y = point
    return x / y, 1.0, (1 - x - y) / y


def _times(matrix: Matrix, vector: Vector) -> Vector:
    x, y, z = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)
    return x, y, z


def _product(left: Matrix, right: Matrix) -> Matrix:
    x, y, z = (_times(left, column) for column in zip(*right, strict=True))
    return (x[0], y[0], z[0]), (x[1], y[1], z[1]), (x[2], y[2], z[2])


def _inverse(matrix: Matrix) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    scale = 1 / (a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))
    return (
        ((e * i - f * h) * scale, (c * h - b * i) * scale, (b * f - c * e) * scale),
        ((f * g - d * i) * scale, (a * i - c * g) * scale, (c * d - a * f) * scale),
        ((d * h - e * g) * scale, (b * g - a * h) * scale, (a * e - b * d) * scale),
    )
