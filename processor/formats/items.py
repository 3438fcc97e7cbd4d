"""Reads the items of a HEIF file (ISO/IEC 23008-12): their properties, references and positions.

AVIF and HEIC are HEIF files with different codecs. The boxes are those of ISO/IEC 14496-12.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from processor.errors import TooManyPieces
from processor.formats.anatomy import MAX_PIECES, MAX_PROFILE_BYTES, Anatomy, Pieces
from processor.formats.blocks import Block, Kind

#: A box: its kind, and the start and end of its content. The end may be behind the end of the file.
Box = tuple[bytes, int, int]
#: A property of an item: its kind and its content.
Property = tuple[bytes, bytes]

#: Bytes of a box's head; of a head with a length of 64 bits; of the version and flags at the start of some boxes.
_HEAD, _LONG_HEAD, _VERSION = 8, 16, 4
_LONG, _TO_THE_END = 1, 0
#: Types of the auxiliary pictures that are alpha (ISO/IEC 23008-12, 6.5.8; ISO/IEC 23000-22).
_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
#: Types of items that are derived from others, and the most levels of derivation.
_DERIVED, _DEEPEST = frozenset({b"grid", b"iden", b"iovl"}), 8
#: Types of items that are decoded, if at all. libheif reads all others into memory when it opens a file.
_PICTURES = frozenset({b"av01", b"hvc1", b"hev1", *_DERIVED})
#: What a property begins with that is a colour profile.
PROFILES = frozenset({b"prof", b"rICC"})
#: Properties are read up to so many bytes: what a profile may have, and one more.
_MOST_SAID = MAX_PROFILE_BYTES + 5
#: The most bytes of a block that lies in several pieces.
_MOST_JOINED = 256 * 1024
#: Construction methods of an item (ISO/IEC 14496-12, 8.11.3): its bytes are in the file, or in the `idat` box.
_IN_FILE, _IN_HEAD = 0, 1


@dataclass(slots=True)
class Item:
    """A picture, a tile, an auxiliary picture such as alpha, or metadata."""

    kind: bytes = b""
    #: Start and end of its pieces, as offsets in the file.
    extents: list[tuple[int, int]] = field(default_factory=list)
    properties: list[Property] = field(default_factory=list)
    #: Ids of the items that it is derived from (`dimg`).
    inputs: list[int] = field(default_factory=list)
    #: Ids of the items that it is an auxiliary picture of (`auxl`).
    companion_of: list[int] = field(default_factory=list)
    #: Ids of the items that it is a thumbnail of (`thmb`).
    small_of: list[int] = field(default_factory=list)
    #: Ids of the alpha that it is premultiplied with (`prem`).
    faded_by: list[int] = field(default_factory=list)

    def said(self, kind: bytes) -> bytes | None:
        """The content of its first property of this kind."""
        return next((body for name, body in self.properties if name == kind), None)

    @property
    def is_derived(self) -> bool:
        """Whether it is derived from other items."""
        return self.kind in _DERIVED

    @property
    def is_alpha(self) -> bool:
        """Whether it is the alpha of the items in `companion_of`."""
        told = self.said(b"auxC")
        return told is not None and told[_VERSION:].split(b"\0", 1)[0] in _ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """The items of a file. `primary` is the picture to show; None: there is none, as in a file with only a sequence."""

    primary: int | None
    by_id: Mapping[int, Item]
    #: The bytes of the file with the id of the primary picture.
    named_at: slice
    #: Whether the file has an image sequence.
    moves: bool

    def alphas(self) -> list[int]:
        """Ids of the primary picture's alpha. A sound file has at most one."""
        return [name for name, item in self.by_id.items() if self.primary in item.companion_of and item.is_alpha]

    @property
    def metadata_bytes(self) -> int:
        """Bytes of all items that libheif reads into memory when it opens the file. Items may share bytes."""
        metadata = (item for item in self.by_id.values() if item.kind not in _PICTURES)
        return sum(end - start for item in metadata for start, end in item.extents)

    @property
    def is_excessive(self) -> bool:
        """Whether a property is longer than any that is used."""
        return any(len(body) >= _MOST_SAID for item in self.by_id.values() for _, body in item.properties)

    def coded(self) -> dict[int, Item]:
        """The items that must be decoded for the primary picture and its alpha, by id."""
        shown = self.alphas() if self.primary is None else [self.primary, *self.alphas()]
        for _ in range(_DEEPEST):
            made = [self.by_id.get(name, Item()) for name in shown]
            pairs = zip(shown, made, strict=True)
            shown = list(dict.fromkeys(n for name, item in pairs for n in (item.inputs if item.is_derived else [name])))
        return {name: self.by_id.get(name, Item()) for name in shown}


def dissect(data: bytes, pieces: Pieces) -> Anatomy:
    """For `Decoding.dissect`. libheif and libvips keep the metadata."""
    found = read_items(data, pieces)
    profile = max(map(_profile_bytes, found.by_id.values()), default=0)
    return Anatomy(metadata_bytes=found.metadata_bytes + profile, profile_bytes=profile)


def _profile_bytes(item: Item) -> int:
    told = item.said(b"colr") or b""
    return len(told) - 4 if told[:4] in PROFILES else 0


def blocks(data: bytes) -> Iterator[Block]:
    """For `Decoding.blocks`."""
    try:
        found = read_items(data, Pieces(MAX_PIECES))
    except TooManyPieces:
        return
    for item in found.by_id.values():
        if item.kind == b"Exif":
            body = _bytes_of(data, item)  # the first four bytes say how far the header is behind them
            yield Block(kind=Kind.EXIF, data=body[4 + int.from_bytes(body[:4], "big") :])
        elif item.kind == b"mime":
            yield Block(kind=Kind.XMP, data=_bytes_of(data, item))
        if item.small_of:
            yield Block(kind=Kind.THUMBNAIL, data=b"")
        profile = item.said(b"colr")
        if profile is not None and profile[:4] in PROFILES:
            yield Block(kind=Kind.PROFILE, data=profile[4:])


def _bytes_of(data: bytes, item: Item) -> memoryview | bytes:
    view = memoryview(data)
    pieces = [view[start:end] for start, end in item.extents]
    if len(pieces) == 1:
        return pieces[0]
    joined = bytearray()
    for piece in pieces:
        joined += piece[: _MOST_JOINED - len(joined)]
    return bytes(joined)


def read_items(data: bytes, pieces: Pieces) -> Items:
    """Reads the items. Raises `TooManyPieces`, and `IndexError` if their description is cut off or damaged."""
    reading, moves = _Reading(data, pieces), False
    for kind, start, end in reading.boxes(0, len(data)):
        moves = moves or kind == b"moov"
        if kind == b"meta":
            reading.describe(start + _VERSION, end)
            break
    return Items(primary=reading.primary, by_id=reading.items, named_at=reading.named_at, moves=moves)


def boxes(data: bytes, pieces: Pieces) -> Iterator[Box]:
    """The outer boxes of a file. Raises `TooManyPieces`, and `IndexError` if one is damaged."""
    return _Reading(data, pieces).boxes(0, len(data))


class _Reading:
    """One pass over a file, and its results so far."""

    def __init__(self, data: bytes, pieces: Pieces) -> None:
        self._data = data
        self._pieces = pieces
        self.primary: int | None = None
        self.named_at = slice(0)
        self.items: dict[int, Item] = {}

    def boxes(self, at: int, end: int) -> Iterator[Box]:
        while at + _HEAD <= end:
            self._pieces.one()
            length, kind, head = self._number(at, 4), self._data[at + 4 : at + _HEAD], _HEAD
            if length == _LONG:
                length, head = self._number(at + _HEAD, 8), _LONG_HEAD
            elif length == _TO_THE_END:
                length = end - at
            if length < head:
                raise IndexError
            yield kind, at + head, at + length
            at += length

    def describe(self, start: int, end: int) -> None:
        if end > len(self._data):
            raise IndexError
        inside = {kind: (start, end) for kind, start, end in self.boxes(start, end)}
        for kind, read in ((b"pitm", self._primary), (b"iinf", self._kinds), (b"iref", self._references)):
            if kind in inside:
                read(*inside[kind])
        if b"iloc" in inside:
            self._locations(*inside[b"iloc"], inside.get(b"idat", (0, 0))[0])
        if b"iprp" in inside:
            self._properties(*inside[b"iprp"])

    def _primary(self, start: int, end: int) -> None:
        del end
        wide = 4 if self._data[start] else 2
        self.primary = self._number(start + _VERSION, wide)
        self.named_at = slice(start + _VERSION, start + _VERSION + wide)

    def _kinds(self, start: int, end: int) -> None:
        for kind, at, _ in self.boxes(start + _VERSION + (4 if self._data[start] else 2), end):
            if kind == b"infe":
                wide = 4 if self._data[at] > 2 else 2  # noqa: PLR2004 - the version with long names
                name = self._number(at + _VERSION, wide)
                self._item(name).kind = self._data[at + _VERSION + wide + 2 : at + _VERSION + wide + 6]

    def _references(self, start: int, end: int) -> None:
        wide = 4 if self._data[start] else 2
        for kind, at, _ in self.boxes(start + _VERSION, end):
            item = self._item(self._number(at, wide))
            count = self._number(at + wide, 2)
            others = [self._one(at + wide + 2 + wide * place, wide) for place in range(count)]
            if kind == b"dimg":
                item.inputs += others
            elif kind == b"auxl":
                item.companion_of += others
            elif kind == b"thmb":
                item.small_of += others
            elif kind == b"prem":
                item.faded_by += others

    def _locations(self, start: int, end: int, head_data: int) -> None:
        version, sizes = self._data[start], self._number(start + _VERSION, 2)
        offset, length, base, index = (sizes >> shift & 0xF for shift in (12, 8, 4, 0))
        wide, at = (4 if version > 1 else 2), start + _VERSION + 2
        count, at = self._number(at, wide), at + wide
        for _ in range(count):
            if at >= end:
                raise IndexError
            item, at = self._item(self._one(at, wide)), at + wide
            method = self._number(at, 2) & 0xF if version else _IN_FILE
            at += (2 if version else 0) + 2
            begin = self._number(at, base) + (head_data if method == _IN_HEAD else 0)
            extents, at = self._number(at + base, 2), at + base + 2
            for _ in range(extents):
                at += index if version else 0
                first = begin + self._one(at, offset)
                item.extents.append((first, first + self._number(at + offset, length)))
                at += offset + length

    def _properties(self, start: int, end: int) -> None:
        known: list[Property] = []
        for kind, at, behind in self.boxes(start, end):
            if kind == b"ipco":
                inner = self.boxes(at, behind)
                known += [(name, self._data[first : min(last, first + _MOST_SAID)]) for name, first, last in inner]
            elif kind == b"ipma":
                self._associations(at, behind, known)

    def _associations(self, start: int, end: int, known: Sequence[Property]) -> None:
        wide, long = (4 if self._data[start] else 2), self._data[start + 3] & 1
        count, at = self._number(start + _VERSION, 4), start + _VERSION + 4
        for _ in range(count):
            if at >= end:
                raise IndexError
            item, said = self._item(self._one(at, wide)), self._data[at + wide]
            at += wide + 1
            for _ in range(said):
                place = self._one(at, 2) & 0x7FFF if long else self._one(at, 1) & 0x7F
                if place:
                    item.properties.append(known[place - 1])
                at += 2 if long else 1

    def _item(self, name: int) -> Item:
        return self.items.setdefault(name, Item())

    def _one(self, at: int, size: int) -> int:
        """A number from a list. Each entry of a list counts as a piece."""
        self._pieces.one()
        return self._number(at, size)

    def _number(self, at: int, size: int) -> int:
        if at + size > len(self._data):
            raise IndexError
        return int.from_bytes(self._data[at : at + size], "big")
