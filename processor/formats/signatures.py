"""Recognises formats by the first bytes of a file, never by its name."""

from __future__ import annotations

from collections.abc import Callable

Signature = Callable[[bytes], bool]

#: Offsets in a file of ISO/IEC 14496-12: the type of its first box, its major brand, its compatible brands.
_TYPE, _BRAND, _COMPATIBLE = slice(4, 8), slice(8, 12), 16
#: The first box is searched for brands up to so many bytes. Real files have a dozen brands.
_LONGEST_BOX = 1024


def begins_with(*heads: bytes) -> Signature:
    """A file that begins with one of these."""
    return lambda data: data.startswith(heads)


def riff(kind: bytes) -> Signature:
    """A RIFF file of this kind. The length of the file is between the two marks."""
    return lambda data: data.startswith(b"RIFF") and data.startswith(kind, 8)


def has_brand(*brands: bytes) -> Signature:
    """A file of boxes (ISO/IEC 14496-12, 4.3) with one of these as its major brand or as a compatible brand."""

    def begins(data: bytes) -> bool:
        if data[_TYPE] != b"ftyp":
            return False
        end = min(int.from_bytes(data[:4], "big"), len(data), _LONGEST_BOX)
        named = [data[_BRAND], *(data[at : at + 4] for at in range(_COMPATIBLE, end - 3, 4))]
        return any(brand in named for brand in brands)

    return begins
