"""The characters of the font: its table `cmap` (OpenType 1.9, "cmap", format 12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

FONT = Path(__file__).with_name("DejaVuSans-Bold.ttf")
#: In the head of a font: tag, checksum, offset and length of each table.
_TABLES, _TABLE = 12, struct.Struct(">4sIII")
#: Subtables for all of Unicode: platform Windows, encoding 10. Each has groups: first and last character, first glyph.
_ENCODING, _WHOLE_UNICODE = struct.Struct(">HHI"), (3, 10)
_GROUPS, _GROUP = 16, struct.Struct(">III")


@cache
def characters() -> frozenset[int]:
    """Code points that have a glyph."""
    font = FONT.read_bytes()
    (start,) = (offset for tag, _, offset, _ in _tables(font) if tag == b"cmap")
    (count,) = struct.unpack_from(">H", font, start + 2)
    rows = (_ENCODING.unpack_from(font, start + 4 + row * _ENCODING.size) for row in range(count))
    (within,) = (offset for platform, encoding, offset in rows if (platform, encoding) == _WHOLE_UNICODE)
    return frozenset(_characters(font, start + within))


def _tables(font: bytes) -> Iterator[tuple[bytes, int, int, int]]:
    (count,) = struct.unpack_from(">H", font, 4)
    return _TABLE.iter_unpack(font[_TABLES : _TABLES + count * _TABLE.size])


def _characters(font: bytes, subtable: int) -> Iterator[int]:
    (count,) = struct.unpack_from(">I", font, subtable + 12)
    for group in range(count):
        first, last, _ = _GROUP.unpack_from(font, subtable + _GROUPS + group * _GROUP.size)
        yield from range(first, last + 1)
