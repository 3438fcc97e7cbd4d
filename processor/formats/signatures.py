"""How a file begins: by its first bytes, and never by its name."""

from __future__ import annotations

from collections.abc import Callable

Signature = Callable[[bytes], bool]

#: Where a file of ISO/IEC 14496-12 has the type of its first box, its own brand, and those that it is compatible with.
_TYPE, _BRAND, _COMPATIBLE = slice(4, 8), slice(8, 12), 16
#: Longest first box that is searched for brands, in bytes: a real one has a dozen of them.
_LONGEST_BOX = 1024


def begins_with(*heads: bytes) -> Signature:
    """One of these at the beginning."""
    return lambda data: data.startswith(heads)


def riff(kind: bytes) -> Signature:
    """A RIFF file of this kind; its length stands in between."""
    return lambda data: data.startswith(b"RIFF") and data.startswith(kind, 8)


def has_brand(*brands: bytes) -> Signature:
    """A file of boxes (ISO/IEC 14496-12, 4.3) that names one of these brands as its own or as a compatible one."""

    def begins(data: bytes) -> bool:
        if data[_TYPE] != b"ftyp":
            return False
        end = min(int.from_bytes(data[:4], "big"), len(data), _LONGEST_BOX)
        named = [data[_BRAND], *(data[at : at + 4] for at in range(_COMPATIBLE, end - 3, 4))]
        return any(brand in named for brand in brands)

    return begins
