"""Files of every format taken apart into what they are made of, and put together again: lengths, offsets and checksums
are made anew, so that a change deep inside meets a decoder and not the first check."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from processor.formats import sniff
from tests.corpus import containers
from tests.corpus.containers import PNG_SIGNATURE


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A chunk, segment, block, box or tag: what it is called, its bytes, and behind them the pieces it is made of."""

    kind: bytes
    body: bytes = b""
    inside: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """A file. `order` is that of its numbers; `head` is what stands before its pieces and is not made anew."""

    format: str
    pieces: tuple[Piece, ...]
    order: str = ">"
    head: bytes = b""

    def assembled(self) -> bytes:
        return _TOGETHER[self.format](self)


def take_apart(data: bytes) -> Anatomy:
    """Of a whole file of a format that is accepted."""
    return _APART[sniff(data).name](data)


# -- JPEG: segments, and what stands between them as it is -------------------------------------------------------

#: Markers without a length: start, end, and those that are nothing but a marker.
_BARE = frozenset({0x01, 0xD8, 0xD9})
_RAW = b""


def _jpeg_apart(data: bytes) -> Anatomy:
    pieces, at = [], 0
    while at < len(data):
        start = at
        if data[at] == 0xFF and at + 1 < len(data) and data[at + 1] not in (0x00, 0xFF, *range(0xD0, 0xD8)):
            marker, at = data[at + 1 : at + 2], at + 2
            length = 0 if marker[0] in _BARE else int.from_bytes(data[at : at + 2], "big")
            pieces.append(Piece(kind=marker, body=data[at + 2 : at + length] if length else b""))
            at += length
            continue
        at += 1
        while at < len(data) and not (data[at] == 0xFF and data[at + 1 : at + 2] not in _WITHIN):
            at += 1
        pieces.append(Piece(kind=_RAW, body=data[start:at]))
    return Anatomy(format="jpeg", pieces=tuple(pieces))


#: What follows an FF within coded pixels: a byte that is none of a marker, or a restart.
_WITHIN = frozenset({b"", b"\x00", *(bytes([marker]) for marker in range(0xD0, 0xD8))})


def _jpeg_together(file: Anatomy) -> bytes:
    return b"".join(map(_segment, file.pieces))


def _segment(piece: Piece) -> bytes:
    if piece.kind == _RAW:
        return piece.body
    bare = piece.kind[0] in _BARE and not piece.body
    length = b"" if bare else struct.pack(">H", min(len(piece.body) + 2, 0xFFFF))
    return b"\xff" + piece.kind[:1] + length + piece.body


# -- PNG: chunks; the pixels lie unpacked in them ----------------------------------------------------------------

#: Chunks of pixels, and what stands in front of these in them.
_PIXELS = {b"IDAT": 0, b"fdAT": 4}
#: The kind of a piece whose body is packed when the file is put together.
UNPACKED = b"pixels"


def _png_apart(data: bytes) -> Anatomy:
    pieces: list[Piece] = []
    for kind, body in containers.png_chunks(data):
        ahead = _PIXELS.get(kind)
        pieces.append(Piece(kind=kind, body=body) if ahead is None else _unpacked(kind, body, ahead))
    return Anatomy(format="png", pieces=tuple(pieces))


def _unpacked(kind: bytes, body: bytes, ahead: int) -> Piece:
    try:
        pixels = zlib.decompress(body[ahead:])
    except zlib.error:  # one chunk of several
        return Piece(kind=kind, body=body)
    return Piece(kind=kind, body=body[:ahead], inside=(Piece(kind=UNPACKED, body=pixels),))


def _png_together(file: Anatomy) -> bytes:
    chunks = (containers.chunk(piece.kind[:4].ljust(4, b"x"), _packed(piece)) for piece in file.pieces)
    return PNG_SIGNATURE + b"".join(chunks)


def _packed(piece: Piece) -> bytes:
    return piece.body + b"".join(zlib.compress(each.body, 1) for each in piece.inside)


# -- GIF: blocks, and the blocks in them -------------------------------------------------------------------------

_SCREEN, _EXTENSION, _IMAGE = b"screen", 0x21, 0x2C
_SUB = b"sub"


def _table(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_apart(data: bytes) -> Anatomy:
    at = 13 + _table(data[10])
    pieces = [Piece(kind=_SCREEN, body=data[6:at])]
    while data[at] in (_EXTENSION, _IMAGE):
        length = 1 if data[at] == _EXTENSION else 9 + _table(data[at + 9]) + 1
        kind, body = data[at : at + 1], data[at + 1 : at + 1 + length]
        blocks = tuple(_sub_blocks(data, at + 1 + length))
        at += 1 + length + sum(1 + len(block.body) for block in blocks) + 1
        pieces.append(Piece(kind=kind, body=body, inside=blocks))
    return Anatomy(format="gif", pieces=tuple(pieces), order="<", head=data[:6])


def _sub_blocks(data: bytes, at: int) -> Iterator[Piece]:
    while length := data[at]:
        yield Piece(kind=_SUB, body=data[at + 1 : at + 1 + length])
        at += 1 + length


def _gif_together(file: Anatomy) -> bytes:
    return file.head + b"".join(map(_gif_block, file.pieces)) + b"\x3b"


def _gif_block(piece: Piece) -> bytes:
    if piece.kind == _SCREEN:
        return piece.body
    blocks = (bytes([min(len(each.body), 255)]) + each.body[:255] for each in piece.inside if each.body)
    return piece.kind[:1] + piece.body + b"".join(blocks) + b"\0"


# -- WebP: chunks, and in frames the chunks of each --------------------------------------------------------------

_FRAME_HEAD = 16


def _webp_apart(data: bytes) -> Anatomy:
    return Anatomy(format="webp", pieces=tuple(_riff_chunks(data[12:])), order="<")


def _riff_chunks(data: bytes) -> Iterator[Piece]:
    at = 0
    while at + 8 <= len(data):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
        if kind == b"ANMF":
            yield Piece(kind=kind, body=body[:_FRAME_HEAD], inside=tuple(_riff_chunks(body[_FRAME_HEAD:])))
        else:
            yield Piece(kind=kind, body=body)


def _webp_together(file: Anatomy) -> bytes:
    return containers.riff(b"".join(map(_riff_chunk, file.pieces)))


def _riff_chunk(piece: Piece) -> bytes:
    body = piece.body + b"".join(map(_riff_chunk, piece.inside))
    return piece.kind[:4].ljust(4) + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


# -- AVIF and HEIC: boxes in boxes; places in the file are kept as places in its data ----------------------------

#: Bytes in front of the boxes in a box.
_BOXES = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"iinf": 6, b"iref": 4}
#: How a list of places begins that is as this module reads it: places and lengths of 32 bits, no base.
_LOCATIONS = b"\0\0\0\0\x44\0"


def _boxes_apart(data: bytes, name: str) -> Anatomy:
    pieces = tuple(_boxes(data, 0, len(data)))
    return _moved(Anatomy(format=name, pieces=pieces), -_data_at(data))


def _boxes(data: bytes, at: int, end: int) -> Iterator[Piece]:
    while at + 8 <= end:
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        stop = min(at + max(length, 8), end)
        ahead = _BOXES.get(kind)
        if ahead is None:
            yield Piece(kind=kind, body=data[at + 8 : stop])
        else:
            body = data[at + 8 : at + 8 + ahead]
            yield Piece(kind=kind, body=body, inside=tuple(_boxes(data, at + 8 + ahead, stop)))
        at = stop


def _boxes_together(file: Anatomy) -> bytes:
    whole = b"".join(map(_box, file.pieces))
    return b"".join(map(_box, _moved(file, _data_at(whole)).pieces))


def _box(piece: Piece) -> bytes:
    return containers.box(piece.kind[:4].ljust(4), piece.body + b"".join(map(_box, piece.inside)))


def _data_at(data: bytes) -> int:
    return max(0, data.find(b"mdat") + 4)


def _moved(file: Anatomy, by: int) -> Anatomy:
    return replace(file, pieces=tuple(_with_places(piece, by) for piece in file.pieces))


def _with_places(piece: Piece, by: int) -> Piece:
    if piece.kind == b"iloc" and piece.body.startswith(_LOCATIONS):
        return replace(piece, body=_locations(piece.body, by))
    return replace(piece, inside=tuple(_with_places(each, by) for each in piece.inside))


def _locations(body: bytes, by: int) -> bytes:
    moved, at = bytearray(body), 8
    while at + 6 <= len(body):
        extents, at = int.from_bytes(body[at + 4 : at + 6], "big"), at + 6
        for place in range(at, min(at + 8 * extents, len(body) - 7), 8):
            there = int.from_bytes(body[place : place + 4], "big") + by
            moved[place : place + 4] = (there & 0xFFFFFFFF).to_bytes(4, "big")
        at += 8 * extents
    return bytes(moved)


# -- TIFF: tags in pages; strips and tiles in the tag that says where they lie -----------------------------------

_PAGE = b"page"
#: Tags that say where pieces of the picture lie, and those that say how long these are.
_PLACES = {273: 279, 324: 325}
_TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 6: "b", 7: "s", 8: "h", 9: "i", 10: "ii", 13: "I", 16: "Q", 18: "Q"}
_LONG, _PIECE = 4, b"piece"


def _size(type_: int) -> int:
    return struct.calcsize("=" + _TYPES.get(type_, "B"))


def _tiff_apart(data: bytes) -> Anatomy:
    order, big = ("<" if data[:2] == b"II" else ">"), data[2:4] in (b"\x2b\0", b"\0\x2b")
    at = _tiff_number(data, order, 8 if big else 4, 8 if big else 4)
    pages: list[Piece] = []
    while at and len(pages) < 8:
        count = _tiff_number(data, order, at, 8 if big else 2)
        entries = [at + (8 if big else 2) + number * (20 if big else 12) for number in range(count)]
        tags = [_tag(data, order, entry, big=big) for entry in entries]
        pages.append(Piece(kind=_PAGE, inside=tuple(_with_pieces(data, order, tag, tags) for tag in tags)))
        behind = at + (8 if big else 2) + count * (20 if big else 12)
        at = _tiff_number(data, order, behind, 8 if big else 4)
    return Anatomy(format="tiff", pieces=tuple(pages), order=order, head=data[: 8 if big else 4])


def _tiff_number(data: bytes, order: str, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little" if order == "<" else "big")


def _tag(data: bytes, order: str, at: int, *, big: bool) -> Piece:
    wide = 8 if big else 4
    type_, count = _tiff_number(data, order, at + 2, 2), _tiff_number(data, order, at + 4, wide)
    length, place = _size(type_) * count, at + 4 + wide
    if length > wide:
        place = _tiff_number(data, order, place, wide)
    return Piece(kind=data[at : at + 4], body=data[place : place + length])


def _with_pieces(data: bytes, order: str, tag: Piece, tags: Sequence[Piece]) -> Piece:
    lengths = _PLACES.get(_name(tag, order))
    told = next((other for other in tags if _name(other, order) == lengths), None)
    if told is None:
        return tag
    pieces = zip(_values(tag, order), _values(told, order), strict=False)
    return replace(tag, inside=tuple(Piece(kind=_PIECE, body=data[at : at + length]) for at, length in pieces))


def _name(tag: Piece, order: str) -> int:
    return _tiff_number(tag.kind, order, 0, 2)


def _values(tag: Piece, order: str) -> list[int]:
    size = _size(_tiff_number(tag.kind, order, 2, 2))
    return [_tiff_number(tag.body, order, at, size) for at in range(0, len(tag.body), size)]


def _tiff_together(file: Anatomy) -> bytes:
    big, order = len(file.head) == 8, file.order
    wide = "Q" if big else "I"
    pages = [page for page in file.pieces if page.inside] or [Piece(kind=_PAGE)]
    out = bytearray(file.head + bytes(8 if big else 4))
    pointer = len(file.head)
    for page in pages:
        placed = [_placed(out, tag, order) for tag in page.inside]
        entries = [_entry(out, tag, order, wide) for tag in placed]
        out += bytes(len(out) % 2)
        struct.pack_into(order + wide, out, pointer, len(out))
        out += struct.pack(order + ("Q" if big else "H"), len(entries) & 0xFFFF) + b"".join(entries)
        pointer = len(out)
        out += bytes(8 if big else 4)
    return bytes(out)


def _placed(out: bytearray, tag: Piece, order: str) -> Piece:
    """The tag with the places of its pieces, which are in the file now."""
    if not tag.inside:
        return tag
    places = []
    for piece in tag.inside:
        places.append(len(out))
        out += piece.body
    kind = tag.kind[:2] + struct.pack(order + "H", _LONG)
    return Piece(kind=kind, body=struct.pack(f"{order}{len(places)}I", *places))


def _entry(out: bytearray, tag: Piece, order: str, wide: str) -> bytes:
    inline = struct.calcsize("=" + wide)
    count = len(tag.body) // _size(_tiff_number(tag.kind, order, 2, 2))
    told = tag.body.ljust(inline, b"\0")
    if len(tag.body) > inline:
        told = struct.pack(order + wide, len(out))
        out += tag.body
    return tag.kind[:4].ljust(4, b"\0") + struct.pack(order + wide, count) + told


_APART: Mapping[str, Callable[[bytes], Anatomy]] = {
    "jpeg": _jpeg_apart,
    "png": _png_apart,
    "gif": _gif_apart,
    "webp": _webp_apart,
    "avif": lambda data: _boxes_apart(data, "avif"),
    "heic": lambda data: _boxes_apart(data, "heic"),
    "tiff": _tiff_apart,
}
_TOGETHER: Mapping[str, Callable[[Anatomy], bytes]] = {
    "jpeg": _jpeg_together,
    "png": _png_together,
    "gif": _gif_together,
    "webp": _webp_together,
    "avif": _boxes_together,
    "heic": _boxes_together,
    "tiff": _tiff_together,
}
