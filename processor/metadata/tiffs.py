"""Writes a page of a TIFF (TIFF 6.0) anew: a file with its pixels, and with the tags that show them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from processor.formats.tiff import Name, Page

_PLAIN, _JPEG = 1, 7
#: Types of the values that are written here: whole numbers of 32 and of 64 bits.
_LONG, _LONG8 = 4, 16
#: A value: its type, its count, its bytes.
_Value = tuple[int, int, bytes]


def alone(page: Page, cleaned: Callable[[bytes], bytes]) -> bytes | None:
    """The page in a file of its own. `cleaned` gets what is a JPEG in it, and returns a JPEG.

    None: the page does not say where its pixels are, or has some of them again and again. Raises `IndexError` if it is
    cut off.
    """
    at, lengths = (
        (Name.TILE_OFFSETS, Name.TILE_BYTES)
        if Name.TILE_OFFSETS in page.tags
        else (Name.STRIP_OFFSETS, Name.STRIP_BYTES)
    )
    places = tuple(zip(page.numbers(at), page.numbers(lengths), strict=False))
    distinct = dict.fromkeys(places)
    is_whole = len(places) == len(page.numbers(at)) == len(page.numbers(lengths)) > 0
    if not is_whole or sum(length for _, length in distinct) > len(page.data):
        return None
    is_jpeg = page.number(Name.COMPRESSION, _PLAIN) == _JPEG
    pieces = {(start, length): page.data[start : start + length] for start, length in distinct}
    values = {name: _value(page, name) for name in Name if name in page.tags and name not in _POINTERS}
    if is_jpeg:
        pieces = {place: cleaned(piece) for place, piece in pieces.items()}
        if Name.JPEG_TABLES in values:
            kind, _, tables = values[Name.JPEG_TABLES]
            tables = cleaned(tables)
            values[Name.JPEG_TABLES] = kind, len(tables), tables
    values[lengths] = _numbers(page, [len(pieces[place]) for place in places])
    values[at] = _numbers(page, [0] * len(places))  # as many as there will be
    start = len(_written(page, values))
    starts = {}
    for place, piece in pieces.items():
        starts[place], start = start, start + len(piece) + len(piece) % 2
    values[at] = _numbers(page, [starts[place] for place in places])
    return _written(page, values) + b"".join(piece + bytes(len(piece) % 2) for piece in pieces.values())


_POINTERS = frozenset({Name.STRIP_OFFSETS, Name.STRIP_BYTES, Name.TILE_OFFSETS, Name.TILE_BYTES})


def _value(page: Page, name: Name) -> _Value:
    tag = page.tags[name]
    if tag.at + tag.size > len(page.data):
        raise IndexError
    return tag.kind, tag.count, page.data[tag.at : tag.at + tag.size]


def _numbers(page: Page, numbers: list[int]) -> _Value:
    form = f"{page.order}{len(numbers)}{'Q' if page.is_big else 'I'}"
    return _LONG8 if page.is_big else _LONG, len(numbers), struct.pack(form, *numbers)


def _written(page: Page, values: Mapping[Name, _Value]) -> bytes:
    """The head of the file, its directory, and the values that do not fit into that."""
    wide, count, inline, entry = ("Q", "Q", 8, 20) if page.is_big else ("I", "H", 4, 12)
    head = page.data[: 8 if page.is_big else 4]
    first = len(head) + inline
    directory = struct.pack(f"{page.order}{count}", len(values))
    behind, outside = first + len(directory) + entry * len(values) + inline, b""
    for name in sorted(values):
        kind, number, data = values[name]
        directory += struct.pack(f"{page.order}HH{wide}", name, kind, number)
        if len(data) > inline:
            directory += struct.pack(f"{page.order}{wide}", behind + len(outside))
            outside += data + bytes(len(data) % 2)
        else:
            directory += data.ljust(inline, b"\0")
    return head + struct.pack(f"{page.order}{wide}", first) + directory + bytes(inline) + outside
