"""Finds the still picture among the items of an AVIF or HEIC: its size, its colours, and whether it is complete."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from processor.errors import CorruptImage, UnsupportedFormat
from processor.formats.anatomy import MAX_PIECES, Pieces
from processor.formats.format import Format
from processor.formats.items import Item, Items, read_items
from processor.pipeline.colour import PEAK, PRIMARIES, SRGB, TRANSFERS, Colour

#: Properties: `ispe` (width, height); `colr` (primaries, transfer, matrix by H.273); `clli` (the brightest light);
#: `clap` (width and height of a crop, as fractions).
_SIZE, _CODE_POINTS, _LIGHT, _CROP = (struct.Struct(form) for form in (">4xII", ">4sHHHB", ">HH", ">4I"))
#: Offsets of the bit depth and the chroma subsampling in `av1C` and `hvcC`, and the flags there.
_AV1_FLAGS, _HEVC_CHROMA, _HEVC_BITS = 2, 16, 17
_AV1_DEEP, _AV1_TWELVE, _AV1_COARSE, _HEVC_FINE = 0x40, 0x20, 0x0C, 3
#: `irot` counts quarter turns; an odd number swaps width and height.
_LIES = 1
#: Types of the items that the decoder of each codec takes.
AV1, HEVC = frozenset({b"av01"}), frozenset({b"hvc1", b"hev1"})
#: Usual bits per sample.
_BITS = 8
#: Bytes per pixel that decoding needs beside its result. By codec, then by depth (8 bits, deeper), then by chroma
#: (full, subsampled). `benchmarks/memory_peak.py` measures them.
DECODING_BYTES = {AV1: ((17, 13), (25, 17)), HEVC: ((10, 7), (18, 12))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """The primary picture, upright. Its boxes have turned it already, so its EXIF orientation is ignored.

    `colour` applies if there is no `profile`; None: sRGB. `is_coarse`: the chroma is subsampled. `coded` has the items
    to decode, by item id.
    """

    width: int
    height: int
    has_alpha: bool
    is_premultiplied: bool
    coded_as: frozenset[bytes]
    bits: int
    is_coarse: bool
    colour: Colour | None
    profile: bytes | None
    coded: dict[int, Item]
    items: Items

    @property
    def decoding_bytes(self) -> int:
        """Bytes per pixel that libheif and its codec need while they decode."""
        return DECODING_BYTES[self.coded_as][self.bits > _BITS][self.is_coarse]


def read(data: bytes, format_: Format, coded_as: frozenset[bytes]) -> Still:
    """The picture to show. Raises `CorruptImage`; `UnsupportedFormat` if it cannot be decoded."""
    try:
        return _still(read_items(data, Pieces(MAX_PIECES)), len(data), format_, coded_as)
    except (IndexError, struct.error):
        raise CorruptImage from None


def each_tile(data: bytes, still: Still) -> Iterator[bytearray]:
    """The file once for each tile, with the tile as the primary picture. So damage is seen: in a whole picture, libheif
    leaves out damaged tiles without an error."""
    whole = {still.items.primary, *still.items.alphas()}
    tiles = [name for name in still.coded if name not in whole]
    file, place = bytearray(data if tiles else b""), still.items.named_at
    for name in tiles:
        file[place] = name.to_bytes(place.stop - place.start, "big")
        yield file


def _still(items: Items, file_bytes: int, format_: Format, coded_as: frozenset[bytes]) -> Still:
    if items.primary is None:
        raise UnsupportedFormat(f"{format_.title} (without a still)") if items.moves else CorruptImage
    primary, coded = items.by_id.get(items.primary, Item()), items.coded()
    for item in coded.values():
        if item.kind not in coded_as:
            raise UnsupportedFormat(f"{format_.title} ({item.kind.decode()})") if item.kind.isalnum() else CorruptImage
        if not item.extents or max(end for _, end in item.extents) > file_bytes:
            raise CorruptImage
    if not coded:
        raise CorruptImage
    width, height = _upright(primary)
    told = (primary, next(iter(coded.values())))
    bits, coarse = _coding(told[1])
    return Still(
        width=width,
        height=height,
        has_alpha=bool(items.alphas()),
        is_premultiplied=bool(primary.faded_by),
        coded_as=coded_as,
        bits=bits,
        is_coarse=coarse,
        colour=_colour(told),
        profile=next((body[4:] for body in _said(told, b"colr") if body[:4] in (b"prof", b"rICC")), None),
        coded=coded,
        items=items,
    )


def _upright(item: Item) -> tuple[int, int]:
    """Width and height after cropping and turning, in the order of the properties (ISO/IEC 23008-12, 6.3)."""
    width, height = _SIZE.unpack_from(item.said(b"ispe") or b"")
    for kind, body in item.properties:
        if kind == b"clap":
            across, per_across, down, per_down = _CROP.unpack_from(body)
            if not per_across or not per_down:
                raise CorruptImage
            width, height = (
                min(width, floor(Fraction(across, per_across))),
                min(height, floor(Fraction(down, per_down))),
            )
        elif kind == b"irot" and body[0] & _LIES:
            width, height = height, width
    if width < 1 or height < 1:
        raise CorruptImage
    return width, height


def _coding(item: Item) -> tuple[int, bool]:
    """Bits per sample, and whether the chroma is subsampled."""
    if (told := item.said(b"av1C")) is not None:
        flags = told[_AV1_FLAGS]
        return (12 if flags & _AV1_TWELVE else 10) if flags & _AV1_DEEP else _BITS, bool(flags & _AV1_COARSE)
    if (told := item.said(b"hvcC")) is not None:
        return 8 + (told[_HEVC_BITS] & 0b111), told[_HEVC_CHROMA] & 0b11 != _HEVC_FINE
    raise CorruptImage


def _colour(items: Sequence[Item]) -> Colour | None:
    """The colour declared for the picture, or else for its first tile. Without either, MIAF prescribes sRGB."""
    for body in _said(items, b"colr"):
        if body[:4] == b"nclx":
            _, primaries, transfer, _, _ = _CODE_POINTS.unpack_from(body)
            if primaries not in PRIMARIES or transfer not in TRANSFERS:
                return None
            colour = Colour(PRIMARIES[primaries], TRANSFERS[transfer], peak=_peak(items))
            return None if (colour.primaries, colour.transfer) == (SRGB.primaries, SRGB.transfer) else colour
    return None


def _peak(items: Sequence[Item]) -> float:
    """Brightness of the brightest pixel, in cd/m²."""
    return next((float(_LIGHT.unpack_from(body)[0]) for body in _said(items, b"clli")), 0.0) or PEAK


def _said(items: Sequence[Item], kind: bytes) -> Iterator[bytes]:
    return (body for item in items for name, body in item.properties if name == kind)
