"""Reads EXIF (CIPA DC-008): tags in directories of a TIFF structure, whose offsets lie anywhere."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from processor.formats.tiff import HEADS
from processor.metadata.text import decoded

#: A value: text or bytes, or numbers.
Value = bytes | tuple[float, ...]

#: The most tags of a directory, and the most bytes of a value, that are looked at.
MAX_TAGS, MAX_VALUE = 256, 4096
#: `struct` formats of numbers, by type; a rational is two of them.
_NUMBERS = {3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_RATIONALS = {5: "I", 10: "i"}
#: Types that are bytes: numbers of 8 bits, ASCII, undefined, UTF-8 (EXIF 3.0).
_BYTES = frozenset({1, 2, 7, 129})
#: Bytes of a value, by type; of others nobody knows it.
_SIZES: Final = {
    **dict.fromkeys(_BYTES, 1),
    **dict.fromkeys(_RATIONALS, 8),
    **{kind: struct.calcsize("=" + form) for kind, form in _NUMBERS.items()},
}

#: The directories that a tag of the first leads to.
_EXIF_AT, _GPS_AT = 0x8769, 0x8825
#: Tags of the second directory, which describes a thumbnail.
_THUMBNAIL_AT = frozenset({0x0201, 0x0111})
#: Charsets of a comment by their name in its first eight bytes (EXIF 3.0, 4.6.6.5). Unicode is UTF-16.
_CHARSETS: Final = {b"ASCII": "", b"JIS": "iso2022_jp", b"UNICODE": "utf-16"}
_CHARSET = 8


@dataclass(slots=True, kw_only=True)
class Exif:
    """The tags that were read, by directory; `order` is the byte order for `struct`."""

    order: str = ">"
    #: Of the picture: the first directory and EXIF's own.
    picture: dict[int, Value] = field(default_factory=dict)
    position: dict[int, Value] = field(default_factory=dict)
    has_thumbnail: bool = False
    #: Something was left out, because it was damaged or too much.
    is_incomplete: bool = False

    def text(self, *names: int) -> str:
        """The first of these tags that has text; empty if none has."""
        found = (self.picture.get(name) for name in names)
        return next((text for value in found if isinstance(value, bytes) and (text := _plain(value))), "")

    def wide_text(self, name: int) -> str:
        """A tag that Windows writes in UTF-16."""
        value = self.picture.get(name, b"")
        return value.decode("utf-16-le", errors="ignore") if isinstance(value, bytes) else ""

    def comment(self, name: int) -> str:
        """A text with its charset in front."""
        value = self.picture.get(name, b"")
        if not isinstance(value, bytes):
            return ""
        charset, said = _CHARSETS.get(value[:_CHARSET].rstrip(b"\0 "), ""), value[_CHARSET:]
        if charset == "utf-16":
            return _wide(said, self.order)
        return said.decode(charset, errors="ignore") if charset else _plain(said)

    def number(self, *names: int, of: Mapping[int, Value] | None = None) -> float | None:
        """The first number of the first of these tags that has a finite one."""
        tags = self.picture if of is None else of
        found = (tags.get(name) for name in names)
        numbers = (value[0] for value in found if isinstance(value, tuple) and value)
        return next((number for number in numbers if math.isfinite(number)), None)


def read(data: memoryview | bytes) -> Exif:
    """The tags of the structure. What is damaged is left out; each directory is read once, wherever offsets lead."""
    view = memoryview(data)
    head = HEADS.get(bytes(view[:4]))
    if head is None:
        return Exif(is_incomplete=True)
    reading = _Reading(view, *head)
    found = Exif(order=head[0])
    try:
        tags, behind = reading.directory(reading.first())
        found.picture |= tags
        for pointer, into in ((_EXIF_AT, found.picture), (_GPS_AT, found.position)):
            at = found.number(pointer)
            if at is not None:
                into.update(reading.directory(int(at))[0])
        if behind:
            found.has_thumbnail = bool(_THUMBNAIL_AT & reading.directory(behind)[0].keys())
    except (struct.error, OverflowError, ValueError):
        reading.is_incomplete = True
    found.is_incomplete = reading.is_incomplete
    return found


class _Reading:
    """One pass over a structure."""

    def __init__(self, view: memoryview, order: str, is_big: bool) -> None:  # noqa: FBT001 - from the table of heads
        self._view, self._order = view, order
        self._wide, self._count, self._entry = ("Q", "Q", 20) if is_big else ("I", "H", 12)
        self._inside = struct.calcsize(self._wide)
        self._first_at = 8 if is_big else 4
        self._head, self._offset = struct.Struct(f"{order}HH{self._wide}"), struct.Struct(order + self._wide)
        self.is_incomplete = False

    def first(self) -> int:
        return int(self._number(self._wide, self._first_at))

    def directory(self, at: int) -> tuple[dict[int, Value], int]:
        """The tags of a directory, and the offset of the one behind it; 0: there is none."""
        count = int(self._number(self._count, at))
        start = at + struct.calcsize(self._count)
        tags: dict[int, Value] = {}
        for number in range(min(count, MAX_TAGS)):
            name, value = self._tag(start + number * self._entry)
            if value is None:
                self.is_incomplete = True
            else:
                tags.setdefault(name, value)
        if count > MAX_TAGS:
            self.is_incomplete = True
            return tags, 0
        end = start + count * self._entry
        return tags, int(self._number(self._wide, end)) if end + self._inside <= len(self._view) else 0

    def _tag(self, at: int) -> tuple[int, Value | None]:
        name, kind, count = self._head.unpack_from(self._view, at)
        at, size = at + self._head.size, _SIZES.get(kind, 0)
        if count * size > self._inside:
            (at,) = self._offset.unpack_from(self._view, at)
        if not size or at + count * size > len(self._view):
            return name, None
        if kind in _BYTES:
            return name, bytes(self._view[at : at + min(count, MAX_VALUE)])
        return name, self._numbers(kind, min(count, MAX_VALUE // size), at)

    def _numbers(self, kind: int, count: int, at: int) -> tuple[float, ...]:
        if kind in _NUMBERS:
            return struct.unpack_from(f"{self._order}{count}{_NUMBERS[kind]}", self._view, at)
        parts = struct.unpack_from(f"{self._order}{2 * count}{_RATIONALS[kind]}", self._view, at)
        pairs = zip(parts[::2], parts[1::2], strict=True)
        return tuple(above / below if below else math.nan for above, below in pairs)

    def _number(self, form: str, at: int) -> int | float:
        return struct.unpack_from(self._order + form, self._view, at)[0]  # type: ignore[no-any-return]


def _plain(value: bytes) -> str:
    return decoded(value.split(b"\0", 1)[0]).strip()


def _wide(said: bytes, order: str) -> str:
    """UTF-16 in the byte order that its mark says, or else in that of the structure, or in the other, as many write.

    Of two readings without a mark, the one with more letters of the first Unicode page is right.
    """
    if said[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return said.decode("utf-16", errors="ignore")
    own, other = ("utf-16-le", "utf-16-be") if order == "<" else ("utf-16-be", "utf-16-le")
    texts = [said.decode(charset, errors="ignore").split("\0", 1)[0] for charset in (own, other)]
    return max(texts, key=lambda text: sum(each < "\u0250" for each in text))
