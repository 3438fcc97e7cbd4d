"""TIFF (revision 6.0) and BigTIFF."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from processor.errors import TooManyPieces
from processor.formats.anatomy import MAX_PIECES, Anatomy, Pieces
from processor.formats.blocks import Block, Kind, photoshop_blocks
from processor.formats.format import Decoding, Format
from processor.formats.signatures import begins_with

#: Byte order, and whether offsets have 64 bits (BigTIFF), by the first bytes of a file.
HEADS = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}
#: Types of values that are whole numbers, with their `struct` formats.
_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
#: Bytes of a value, by its type.
_LENGTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
#: Tags with blocks of other metadata.
_BLOCKS = {700: Kind.XMP, 33_723: Kind.IPTC, 34_675: Kind.PROFILE}
_PHOTOSHOP = 34377
#: The tag `NewSubfileType`, and its bits for a smaller version of another page, or a mask for one.
_SUBFILE, _SMALLER_OR_MASK = 254, 0b101


class Name(IntEnum):
    """The tags that a decoder needs, in the order that a file must have them."""

    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    STRIP_OFFSETS = 273
    ORIENTATION = 274
    SAMPLES = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTES = 279
    PLANAR = 284
    T4_OPTIONS = 292
    T6_OPTIONS = 293
    PREDICTOR = 317
    COLOUR_MAP = 320
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILE_OFFSETS = 324
    TILE_BYTES = 325
    INK_SET = 332
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339
    JPEG_TABLES = 347
    YCC_COEFFICIENTS = 529
    YCC_SUBSAMPLING = 530
    YCC_POSITIONING = 531
    YCC_BLACK_AND_WHITE = 532
    PROFILE = 34_675


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """One tag of a page: the type and the number of its values, and their offset in the file."""

    kind: int
    count: int
    at: int

    @property
    def size(self) -> int:
        """In bytes."""
        return _LENGTHS.get(self.kind, 1) * self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One picture of a file, by its tags. `order` is the byte order, for `struct`; `is_big`: offsets have 64 bits."""

    data: bytes = field(repr=False)
    order: str
    is_big: bool
    tags: Mapping[int, Tag]

    def numbers(self, name: int) -> tuple[int, ...]:
        """All values of a tag; empty if it is missing or has no whole numbers. Raises `IndexError` if it is cut off."""
        tag = self.tags.get(name)
        if tag is None or tag.kind not in _NUMBERS:
            return ()
        if tag.at + tag.size > len(self.data):
            raise IndexError
        return struct.unpack_from(f"{self.order}{tag.count}{_NUMBERS[tag.kind]}", self.data, tag.at)

    def number(self, name: int, default: int = 0) -> int:
        """The first value of a tag. Raises what `numbers` raises."""
        return next(iter(self.numbers(name)), default)

    @property
    def is_companion(self) -> bool:
        """Whether it is a smaller version of another page, or a mask for one."""
        return bool(self.number(_SUBFILE) & _SMALLER_OR_MASK)


def read_page(data: bytes, pieces: Pieces) -> Page:
    """The first page that is no companion, or else the first page.

    Raises `TooManyPieces`, and `IndexError` if it is cut off.
    """
    first: Page | None = None
    for page in _pages(data, pieces):
        if not page.is_companion:
            return page
        first = first or page
    if first is None:
        raise IndexError
    return first


def _pages(data: bytes, pieces: Pieces) -> Iterator[Page]:
    order, is_big = HEADS[data[:4]]
    wide = "Q" if is_big else "I"
    at, seen = _number(data, order + wide, 8 if is_big else 4), {0}
    while at not in seen:
        seen.add(at)
        count = _number(data, order + ("Q" if is_big else "H"), at)
        entry = at + (8 if is_big else 2)
        tags: dict[int, Tag] = {}
        for _ in range(count):
            pieces.one()
            name, kind = _number(data, order + "H", entry), _number(data, order + "H", entry + 2)
            values = _number(data, order + wide, entry + 4)
            tag = Tag(kind=kind, count=values, at=entry + (12 if is_big else 8))
            if tag.size > (8 if is_big else 4):
                tag = Tag(kind=kind, count=values, at=_number(data, order + wide, tag.at))
            tags.setdefault(name, tag)
            entry += 20 if is_big else 12
        yield Page(data=data, order=order, is_big=is_big, tags=tags)
        at = _number(data, order + wide, entry)


def _number(data: bytes, form: str, at: int) -> int:
    if at + struct.calcsize(form) > len(data):
        raise IndexError
    return int(struct.unpack_from(form, data, at)[0])


def _dissect(data: bytes, pieces: Pieces) -> Anatomy:
    tag = read_page(data, pieces).tags.get(Name.PROFILE)
    profile = tag.size if tag else 0
    return Anatomy(metadata_bytes=profile, profile_bytes=profile)


def _blocks(data: bytes) -> Iterator[Block]:
    """The file is an EXIF structure itself."""
    view = memoryview(data)
    yield Block(kind=Kind.EXIF, data=view)
    try:
        page = read_page(data, Pieces(MAX_PIECES))
    except TooManyPieces:
        return
    for name, tag in page.tags.items():
        body = view[tag.at : tag.at + tag.size]
        if name in _BLOCKS:
            yield Block(kind=_BLOCKS[name], data=body)
        elif name == _PHOTOSHOP:
            yield from photoshop_blocks(body)


TIFF = Format(
    name="tiff",
    title="TIFF",
    extensions=("tif", "tiff"),
    content_types=("image/tiff", "image/x-tiff", "image/tiff-fx"),
    begins=begins_with(*HEADS),
    decoding=Decoding(loader="tiffload_source", loader_class="VipsForeignLoadTiff", dissect=_dissect, blocks=_blocks),
)
