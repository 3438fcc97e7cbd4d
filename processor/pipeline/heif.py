"""Finds the still picture among the items of an AVIF or HEIC: its size, its colours, and whether it is complete."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from processor.errors import CorruptImage, UnsupportedFormat
from processor.formats.anatomy import MAX_PIECES, Pieces
from processor.formats.format import Format
from processor.formats.items import PROFILES, Item, Items, read_items
from processor.pipeline import av1
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
#: Usual bits per sample; the most samples of a pixel.
_BITS, _MOST_BANDS = 8, 4
#: Offset in `av1C` of the units that are decoded first (AOM, "AV1 Codec ISO Media File Format Binding", 2.3).
_AV1_UNITS = 4
#: A coded frame has whole blocks of at most this side, in pixels.
_BLOCK = 128
#: Bytes per pixel that decoding needs beside its result. By codec, then by depth (8 bits, deeper), then by chroma
#: (full, subsampled). `benchmarks/memory.py` measures them.
DECODING_BYTES = {AV1: ((17, 13), (25, 17)), HEVC: ((10, 7), (18, 12))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """The primary picture, upright. Its boxes have turned it already, so its EXIF orientation is ignored.

    `colour` applies if there is no `profile`; None: sRGB. `coded` has the items to decode, by item id. Of them, `bits`
    is the most, `is_coarse` says whether the chroma of all is subsampled, and `decoded_pixels` are those of the largest
    one, or of the whole picture before a crop.
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
    decoded_pixels: int
    #: The same, but no side is shorter than a block.
    padded_pixels: int
    items: Items

    @property
    def decoding_bytes(self) -> int:
        """Bytes that libheif and its codec need while they decode, beside the picture that is shown."""
        pixel_bytes = DECODING_BYTES[self.coded_as][self.bits > _BITS][self.is_coarse]
        unseen = max(0, self.decoded_pixels - self.width * self.height)
        return self.padded_pixels * pixel_bytes + unseen * _MOST_BANDS

    @property
    def tiles(self) -> list[int]:
        """Ids of the items that the picture or its alpha is put together of; none if it is one item."""
        whole = {self.items.primary, *self.items.alphas()}
        return [name for name in self.coded if name not in whole]


def read(data: bytes, format_: Format, coded_as: frozenset[bytes]) -> Still:
    """The picture to show. Raises `CorruptImage`; `UnsupportedFormat` if it cannot be decoded."""
    try:
        return _still(data, read_items(data, Pieces(MAX_PIECES)), format_, coded_as)
    except (IndexError, struct.error):
        raise CorruptImage from None


def each_tile(data: bytes, still: Still) -> Iterator[bytearray]:
    """The file once for each tile, with the tile as the primary picture. So damage is seen: in a whole picture, libheif
    leaves out damaged tiles without an error."""
    file, place = bytearray(data if still.tiles else b""), still.items.named_at
    for name in still.tiles:
        file[place] = name.to_bytes(place.stop - place.start, "big")
        yield file


def _still(data: bytes, items: Items, format_: Format, coded_as: frozenset[bytes]) -> Still:
    if items.primary is None:
        raise UnsupportedFormat(f"{format_.title} (without a still)") if items.moves else CorruptImage
    if items.metadata_bytes > len(data) or items.is_excessive:  # libheif would copy all of it, for each item
        raise CorruptImage
    primary, coded = items.by_id.get(items.primary, Item()), items.coded()
    for item in coded.values():
        if item.kind not in coded_as:
            raise UnsupportedFormat(f"{format_.title} ({item.kind.decode()})") if item.kind.isalnum() else CorruptImage
        if not item.extents or max(end for _, end in item.extents) > len(data):
            raise CorruptImage
    if not coded:
        raise CorruptImage
    width, height = _upright(primary)
    told = (primary, next(iter(coded.values())))
    codings = [_coding(item) for item in coded.values()]
    sizes = [_size(item) for item in (primary, *coded.values())]
    if coded_as == AV1:
        _check_frames(data, coded.values())
    return Still(
        width=width,
        height=height,
        has_alpha=bool(items.alphas()),
        is_premultiplied=bool(primary.faded_by),
        coded_as=coded_as,
        bits=max(bits for bits, _ in codings),
        is_coarse=all(is_coarse for _, is_coarse in codings),
        colour=_colour(told),
        profile=next((body[4:] for body in _said(told, b"colr") if body[:4] in PROFILES), None),
        coded=coded,
        decoded_pixels=max(across * down for across, down in sizes),
        padded_pixels=max(max(across, _BLOCK) * max(down, _BLOCK) for across, down in sizes),
        items=items,
    )


def _check_frames(data: bytes, coded: Iterable[Item]) -> None:
    """Raises `CorruptImage` if the bitstream of an item has larger frames than the item, or finer samples.

    libheif believes the bitstream. HEVC is decoded in a child, whose memory is limited. Items may share their bytes, so
    all of them are counted together. Raises `TooManyPieces`.
    """
    units = Pieces(MAX_PIECES)
    for item in coded:
        (width, height), (bits, is_coarse) = _size(item), _coding(item)
        ahead, file = memoryview(item.said(b"av1C") or b"")[_AV1_UNITS:], memoryview(data)
        for coded_as in (
            *av1.sequences([ahead], units),
            *av1.sequences((file[start:end] for start, end in item.extents), units),
        ):
            is_larger = coded_as.width >= width + _BLOCK or coded_as.height >= height + _BLOCK
            if is_larger or coded_as.bits > bits or coded_as.is_coarse < is_coarse:
                raise CorruptImage


def _size(item: Item) -> tuple[int, int]:
    """Width and height before cropping and turning. Raises `struct.error` if the item has none."""
    width, height = _SIZE.unpack_from(item.said(b"ispe") or b"")
    return width, height


def _upright(item: Item) -> tuple[int, int]:
    """Width and height after cropping and turning, in the order of the properties (ISO/IEC 23008-12, 6.3)."""
    width, height = _size(item)
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
