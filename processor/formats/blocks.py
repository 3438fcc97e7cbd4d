"""The blocks of metadata in a file. A format says where they lie; `processor.metadata` reads what they say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

#: Bytes of the head of a Photoshop resource before its name; what each begins with.
_RESOURCE, _NAME_AT = b"8BIM", 6
#: Photoshop's numbers of IPTC, of thumbnails, of a profile, of EXIF, of XMP.
_IPTC, _THUMBNAILS, _PROFILE, _EXIF, _XMP = 0x0404, frozenset({0x0409, 0x040C}), 0x040F, 0x0422, 0x0424


#: The most bytes of all resources that are read.
MOST_RESOURCES = 256 * 1024


class Kind(StrEnum):
    """What a block holds."""

    EXIF = "exif"  # a TIFF structure (CIPA DC-008)
    IPTC = "iptc"  # data sets (IPTC-NAA IIM 4.2)
    XMP = "xmp"  # XML (ISO 16684-1)
    PROFILE = "profile"  # colours, by ICC
    TEXT = "text"  # a line with a name, such as `Author` in PNG
    COMMENT = "comment"  # a line without one
    THUMBNAIL = "thumbnail"  # a small copy of the picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block, as it lies in the file. `name` is that of a text."""

    kind: Kind
    data: memoryview | bytes = field(repr=False)
    name: str = ""


def no_blocks(_: bytes) -> Iterator[Block]:
    """For a format that has none."""
    return iter(())


def photoshop_blocks(resources: memoryview | bytes) -> Iterator[Block]:
    """The blocks among the resources of Photoshop (Adobe, "Photoshop File Formats", Image Resource Blocks)."""
    resources, at = resources[:MOST_RESOURCES], 0
    while bytes(resources[at : at + 4]) == _RESOURCE and at + _NAME_AT < len(resources):
        number = int.from_bytes(resources[at + 4 : at + _NAME_AT], "big")
        name = 1 + resources[at + _NAME_AT]
        start = at + _NAME_AT + name + name % 2 + 4
        length = int.from_bytes(resources[start - 4 : start], "big")
        kind = {_IPTC: Kind.IPTC, _PROFILE: Kind.PROFILE, _EXIF: Kind.EXIF, _XMP: Kind.XMP}.get(number)
        kind = Kind.THUMBNAIL if number in _THUMBNAILS else kind
        if kind is not None:
            yield Block(kind=kind, data=resources[start : start + length])
        at = start + length + length % 2
