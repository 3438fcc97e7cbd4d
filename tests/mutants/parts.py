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
class Part:
    """A chunk, segment, block, box or tag: what it is called, its bytes, and behind them the parts it is made of."""

    kind: bytes
    body: bytes = b""
    inside: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """A file. `order` is that of its numbers; `head` is what stands before its parts and is not made anew."""

    format: str
    parts: tuple[Part, ...]
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
    parts, at = [], 0
    while at < len(data):
        start = at
        if data[at] == 0xFF and at + 1 < len(data) and data[at + 1] not in (0x00, 0xFF, *range(0xD0, 0xD8)):
            marker, at = data[at + 1 : at + 2], at + 2
            length = 0 if marker[0] in _BARE else int.from_bytes(data[at : at + 2], "big")
            parts.append(Part(kind=marker, body=data[at + 2 : at + length] if length else b""))
            at += length
            continue
        at += 1
        while at < len(data) and not (data[at] == 0xFF and data[at + 1 : at + 2] not in _WITHIN):
            at += 1
        parts.append(Part(kind=_RAW, body=data[start:at]))
    return Anatomy(format="jpeg", parts=tuple(parts))


#: What follows an FF within coded pixels: a byte that is none of a marker, or a restart.
_WITHIN = frozenset({b"", b"\x00", *(bytes([marker]) for marker in range(0xD0, 0xD8))})


def _jpeg_together(file: Anatomy) -> bytes:
    return b"".join(map(_segment, file.parts))


def _segment(part: Part) -> bytes:
    if part.kind == _RAW:
        return part.body
    bare = part.kind[0] in _BARE and not part.body
    length = b"" if bare else struct.pack(">H", min(len(part.body) + 2, 0xFFFF))
    return b"\xff" + part.kind[:1] + length + part.body


# -- PNG: chunks; the pixels lie unpacked in them ----------------------------------------------------------------

#: Chunks of pixels, and what stands in front of these in them.
_PIXELS = {b"IDAT": 0, b"fdAT": 4}
#: The kind of a part whose body is packed when the file is put together.
UNPACKED = b"pixels"


def _png_apart(data: bytes) -> Anatomy:
    parts: list[Part] = []
    for kind, body in containers.png_chunks(data):
        ahead = _PIXELS.get(kind)
        parts.append(Part(kind=kind, body=body) if ahead is None else _unpacked(kind, body, ahead))
    return Anatomy(format="png", parts=tuple(parts))


def _unpacked(kind: bytes, body: bytes, ahead: int) -> Part:
    try:
        pixels = zlib.decompress(body[ahead:])
    except zlib.error:  # one chunk of several
        return Part(kind=kind, body=body)
    return Part(kind=kind, body=body[:ahead], inside=(Part(kind=UNPACKED, body=pixels),))


def _png_together(file: Anatomy) -> bytes:
    chunks = (containers.chunk(part.kind[:4].ljust(4, b"x"), _packed(part)) for part in file.parts)
    return PNG_SIGNATURE + b"".join(chunks)


def _packed(part: Part) -> bytes:
    return part.body + b"".join(zlib.compress(each.body, 1) for each in part.inside)


# -- GIF: blocks, and the blocks in them -------------------------------------------------------------------------

_SCREEN, _EXTENSION, _IMAGE = b"screen", 0x21, 0x2C
_SUB = b"sub"


def _table(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_apart(data: bytes) -> Anatomy:
    at = 13 + _table(data[10])
    parts = [Part(kind=_SCREEN, body=data[6:at])]
    while data[at] in (_EXTENSION, _IMAGE):
        length = 1 if data[at] == _EXTENSION else 9 + _table(data[at + 9]) + 1
        kind, body = data[at : at + 1], data[at + 1 : at + 1 + length]
        blocks = tuple(_sub_blocks(data, at + 1 + length))
        at += 1 + length + sum(1 + len(block.body) for block in blocks) + 1
        parts.append(Part(kind=kind, body=body, inside=blocks))
    return Anatomy(format="gif", parts=tuple(parts), order="<", head=data[:6])


def _sub_blocks(data: bytes, at: int) -> Iterator[Part]:
    while length := data[at]:
        yield Part(kind=_SUB, body=data[at + 1 : at + 1 + length])
        at += 1 + length


def _gif_together(file: Anatomy) -> bytes:
    return file.head + b"".join(map(_gif_block, file.parts)) + b"\x3b"


def _gif_block(part: Part) -> bytes:
    if part.kind == _SCREEN:
        return part.body
    blocks = (bytes([min(len(each.body), 255)]) + each.body[:255] for each in part.inside if each.body)
    return part.kind[:1] + part.body + b"".join(blocks) + b"\0"


# -- WebP: chunks, and in frames the chunks of each --------------------------------------------------------------

_FRAME_HEAD = 16


def _webp_apart(data: bytes) -> Anatomy:
    return Anatomy(format="webp", parts=tuple(_riff_chunks(data[12:])), order="<")


def _riff_chunks(data: bytes) -> Iterator[Part]:
    at = 0
    while at + 8 <= len(data):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
        if kind == b"ANMF":
            yield Part(kind=kind, body=body[:_FRAME_HEAD], inside=tuple(_riff_chunks(body[_FRAME_HEAD:])))
        else:
            yield Part(kind=kind, body=body)


def _webp_together(file: Anatomy) -> bytes:
    return containers.riff(b"".join(map(_riff_chunk, file.parts)))


def _riff_chunk(part: Part) -> bytes:
    body = part.body + b"".join(map(_riff_chunk, part.inside))
    return part.kind[:4].ljust(4) + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


# -- AVIF and HEIC: boxes in boxes; places in the file are kept as places in its data ----------------------------

#: Bytes in front of the boxes in a box.
_BOXES = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"iinf": 6, b"iref": 4}
#: How a list of places begins that is as this module reads it: places and lengths of 32 bits, no base.
_LOCATIONS = b"\0\0\0\0\x44\0"


def _boxes_apart(data: bytes, name: str) -> Anatomy:
    parts = tuple(_boxes(data, 0, len(data)))
    return _moved(Anatomy(format=name, parts=parts), -_data_at(data))


def _boxes(data: bytes, at: int, end: int) -> Iterator[Part]:
    while at + 8 <= end:
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        stop = min(at + max(length, 8), end)
        ahead = _BOXES.get(kind)
        if ahead is None:
            yield Part(kind=kind, body=data[at + 8 : stop])
        else:
            body = data[at + 8 : at + 8 + ahead]
            yield Part(kind=kind, body=body, inside=tuple(_boxes(data, at + 8 + ahead, stop)))
        at = stop


def _boxes_together(file: Anatomy) -> bytes:
    whole = b"".join(map(_box, file.parts))
    return b"".join(map(_box, _moved(file, _data_at(whole)).parts))


def _box(part: Part) -> bytes:
    return containers.box(part.kind[:4].ljust(4), part.body + b"".join(map(_box, part.inside)))


def _data_at(data: bytes) -> int:
    return max(0, data.find(b"mdat") + 4)


def _moved(file: Anatomy, by: int) -> Anatomy:
    return replace(file, parts=tuple(_with_places(part, by) for part in file.parts))


def _with_places(part: Part, by: int) -> Part:
    if part.kind == b"iloc" and part.body.startswith(_LOCATIONS):
        return replace(part, body=_locations(part.body, by))
    return replace(part, inside=tuple(_with_places(each, by) for each in part.inside))


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
    pages: list[Part] = []
    while at and len(pages) < 8:
        count = _tiff_number(data, order, at, 8 if big else 2)
        entries = [at + (8 if big else 2) + number * (20 if big else 12) for number in range(count)]
        tags = [_tag(data, order, entry, big=big) for entry in entries]
        pages.append(Part(kind=_PAGE, inside=tuple(_with_pieces(data, order, tag, tags) for tag in tags)))
        behind = at + (8 if big else 2) + count * (20 if big else 12)
        at = _tiff_number(data, order, behind, 8 if big else 4)
    return Anatomy(format="tiff", parts=tuple(pages), order=order, head=data[: 8 if big else 4])


def _tiff_number(data: bytes, order: str, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little" if order == "<" else "big")


def _tag(data: bytes, order: str, at: int, *, big: bool) -> Part:
    wide = 8 if big else 4
    type_, count = _tiff_number(data, order, at + 2, 2), _tiff_number(data, order, at + 4, wide)
    length, place = _size(type_) * count, at + 4 + wide
    if length > wide:
        place = _tiff_number(data, order, place, wide)
    return Part(kind=data[at : at + 4], body=data[place : place + length])


def _with_pieces(data: bytes, order: str, tag: Part, tags: Sequence[Part]) -> Part:
    lengths = _PLACES.get(_name(tag, order))
    told = next((other for other in tags if _name(other, order) == lengths), None)
    if told is None:
        return tag
    pieces = zip(_values(tag, order), _values(told, order), strict=False)
    return replace(tag, inside=tuple(Part(kind=_PIECE, body=data[at : at + length]) for at, length in pieces))


def _name(tag: Part, order: str) -> int:
    return _tiff_number(tag.kind, order, 0, 2)


def _values(tag: Part, order: str) -> list[int]:
    size = _size(_tiff_number(tag.kind, order, 2, 2))
    return [_tiff_number(tag.body, order, at, size) for at in range(0, len(tag.body), size)]


def _tiff_together(file: Anatomy) -> bytes:
    big, order = len(file.head) == 8, file.order
    wide = "Q" if big else "I"
    pages = [page for page in file.parts if page.inside] or [Part(kind=_PAGE)]
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


def _placed(out: bytearray, tag: Part, order: str) -> Part:
    """The tag with the places of its pieces, which are in the file now."""
    if not tag.inside:
        return tag
    places = []
    for piece in tag.inside:
        places.append(len(out))
        out += piece.body
    kind = tag.kind[:2] + struct.pack(order + "H", _LONG)
    return Part(kind=kind, body=struct.pack(f"{order}{len(places)}I", *places))


def _entry(out: bytearray, tag: Part, order: str, wide: str) -> bytes:
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
