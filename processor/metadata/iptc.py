"""Reads IPTC (IPTC-NAA IIM 4.2): numbered data sets, one after the other."""

from __future__ import annotations

from dataclasses import dataclass, field

from processor.metadata.text import decoded

#: The most data sets, and the most bytes of one, that are looked at.
MAX_SETS, MAX_VALUE = 256, 4096
_MARK, _HEAD, _EXTENDED = 0x1C, 5, 0x8000
#: The data set with the charset (1:90), and what it says, in ISO 2022.
_CHARSET = (1, 90)
_CHARSETS = {
    b"\x1b%G": "utf-8",
    b"\x1b%/G": "utf-8",
    b"\x1b%/I": "utf-8",
    b"\x1b.A": "latin-1",
    b"\x1b-A": "latin-1",
    b"\x1b.B": "iso8859-2",
    b"\x1b-B": "iso8859-2",
    b"\x1b.F": "iso8859-7",
    b"\x1b-F": "iso8859-7",
    b"\x1b-L": "iso8859-5",
    b"\x1b.L": "iso8859-5",
    b"\x1b.b": "iso8859-15",
    b"\x1b-b": "iso8859-15",
}


@dataclass(slots=True, kw_only=True)
class Iptc:
    """The texts of the application record (2), by number."""

    texts: dict[int, list[str]] = field(default_factory=dict)
    #: Something was left out, because it was damaged or too much.
    is_incomplete: bool = False

    def text(self, *numbers: int) -> str:
        """The first of these data sets that is there; empty if none is."""
        return next((self.texts[number][0] for number in numbers if number in self.texts), "")


def read(data: memoryview | bytes) -> Iptc:
    """The data sets up to damage, in the charset that they name."""
    charset, raw, at, found = "", [], 0, Iptc()
    for _ in range(MAX_SETS):
        if at + _HEAD > len(data) or data[at] != _MARK:
            break
        name, length = (data[at + 1], data[at + 2]), int.from_bytes(data[at + 3 : at + _HEAD], "big")
        end = at + _HEAD + length
        if length & _EXTENDED or end > len(data):
            found.is_incomplete = True
            break
        value = bytes(data[at + _HEAD : min(end, at + _HEAD + MAX_VALUE)])
        if name == _CHARSET:
            charset = _CHARSETS.get(value.rstrip(b"\0 "), "")
        elif name[0] == 2:  # noqa: PLR2004 - see `texts`
            raw.append((name[1], value))
        at = end
    else:
        found.is_incomplete = True
    for number, value in raw:
        text = value.decode(charset, errors="replace") if charset else decoded(value)
        found.texts.setdefault(number, []).append(text)
    return found
