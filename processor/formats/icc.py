"""Reads how much of a colour profile a converter may unpack (ICC.1:2010, 7.3)."""

from __future__ import annotations

import struct

#: The header of a profile, then the number of its tags, and one entry of the list of tags: name, offset, length.
_HEADER_BYTES, _COUNT, _ENTRY = 128, struct.Struct(">I"), struct.Struct(">4sII")
#: LittleCMS refuses a profile with more tags.
_MOST_TAGS = 100
#: Tags that are not read: the way back to the colours of a device, texts and measurements.
_WAYS_BACK = (b"B2A", b"B2D")
_UNREAD = (b"gamt", b"desc", b"cprt", b"dmnd", b"dmdd", b"targ", b"DevD", b"CIED")


def table_bytes(profile: bytes) -> int:
    """The bytes of what may be read to convert from the profile, above all tables: all, if it cannot be understood.

    Tags that share their bytes count each, because each is unpacked.
    """
    at = _HEADER_BYTES + _COUNT.size
    if len(profile) < at:
        return len(profile)
    count = min(_COUNT.unpack_from(profile, _HEADER_BYTES)[0], (len(profile) - at) // _ENTRY.size, _MOST_TAGS)
    tags = _ENTRY.iter_unpack(profile[at : at + count * _ENTRY.size])
    read = (length for name, _, length in tags if name[:3] not in _WAYS_BACK and name not in _UNREAD)
    return sum(min(length, len(profile)) for length in read)
