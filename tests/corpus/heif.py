"""AVIF and HEIC put together of boxes (ISO/IEC 23008-12): every property and companion can be set, and set wrong."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyvips

from tests.corpus import containers, hevc

Property = tuple[bytes, bytes]
#: From one item to others, by their numbers: the first item is 1.
Reference = tuple[bytes, int, tuple[int, ...]]

ALPHA = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"
DEPTH = b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth"
#: Apple's gain map, and its matte of a portrait.
GAIN_MAP = b"urn:com:apple:photo:2020:aux:hdrgainmap"
#: Turns counter-clockwise by quarters, and mirrorings, that set a picture upright which lies as EXIF's number says.
TURNS: dict[int, tuple[Property, ...]] = {
    1: (),
    2: ((b"imir", b"\x01"),),
    3: ((b"irot", b"\x02"),),
    4: ((b"imir", b"\x00"),),
    5: ((b"irot", b"\x03"), (b"imir", b"\x01")),
    6: ((b"irot", b"\x03"),),
    7: ((b"irot", b"\x01"), (b"imir", b"\x01")),
    8: ((b"irot", b"\x01"),),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of a file. `data` lies in the file's body."""

    kind: bytes
    data: bytes
    properties: tuple[Property, ...] = ()

    def saying(self, *properties: Property) -> Item:
        """The same with more properties."""
        return replace(self, properties=self.properties + properties)


def av1(picture: pyvips.Image, *, bits: int = 8, quality: int = 90) -> Item:
    """A picture without alpha, coded by libaom."""
    if bits > 8:
        picture = picture.colourspace("rgb16") if picture.format == "uchar" else picture
    file = bytes(picture.heifsave_buffer(compression="av1", Q=quality, effort=2, bitdepth=bits, keep="none"))
    return Item(kind=b"av01", data=_body(file), properties=(_size(picture), (b"av1C", _found(file, b"av1C"))))


def hevc1(picture: pyvips.Image, *, bits: int = 8) -> Item:
    """A picture with even sides, its samples as they are."""
    data, told = hevc.encode(hevc.planes(picture, bits=bits), bits=bits)
    return Item(kind=b"hvc1", data=data, properties=(_size(picture), (b"hvcC", told)))


def alpha_of(item: Item, kind: bytes = ALPHA) -> Item:
    """As a companion: an alpha, or whatever else accompanies pictures."""
    return item.saying((b"auxC", bytes(4) + kind + b"\0"))


def nclx(primaries: int = 1, transfer: int = 13, matrix: int = 6, *, full: bool = True) -> Property:
    """Colours by number (H.273)."""
    return b"colr", b"nclx" + struct.pack(">HHHB", primaries, transfer, matrix, full << 7)


def profile(icc: bytes) -> Property:
    """Colours by a profile."""
    return b"colr", b"prof" + icc


def crop(width: int, height: int) -> Property:
    """The middle of the picture."""
    return b"clap", struct.pack(">8i", width, 1, height, 1, 0, 1, 0, 1)


def exif(orientation: int) -> Item:
    """What a camera says beside the picture."""
    return Item(kind=b"Exif", data=bytes(4) + containers.exif(orientation))


def grid(columns: int, rows: int, width: int, height: int) -> Item:
    """A picture that is put together of tiles."""
    data = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    return Item(kind=b"grid", data=data, properties=((b"ispe", bytes(4) + struct.pack(">II", width, height)),))


def file(
    *items: Item,
    brand: bytes = b"",
    references: Sequence[Reference] = (),
    primary: int | None = 1,
    ahead: bytes = b"",
) -> bytes:
    """The items in a file, whose brand is by default that of how the last of them that is a picture is coded.

    `ahead`: boxes of the head in front of the others.
    """
    brand = brand or (b"avif" if any(item.kind == b"av01" for item in items) else b"heic")
    begin = containers.box(b"ftyp", brand + bytes(4) + b"mif1miaf" + brand)
    length = len(begin) + len(_head(items, references, primary, 0, ahead))
    head = _head(items, references, primary, length + 8, ahead)
    return begin + head + containers.box(b"mdat", b"".join(item.data for item in items))


def _head(items: Sequence[Item], references: Sequence[Reference], primary: int | None, at: int, ahead: bytes) -> bytes:
    known = list(dict.fromkeys(each for item in items for each in item.properties))
    entries, kinds, said = b"", b"", b""
    for number, item in enumerate(items, 1):
        entries += struct.pack(">HHHII", number, 0, 1, at, len(item.data))
        kinds += containers.box(b"infe", b"\x02\0\0\0" + struct.pack(">HH", number, 0) + item.kind + b"\0")
        places = bytes(known.index(each) + 1 | _essential(each[0]) for each in item.properties)
        said += struct.pack(">HB", number, len(places)) + places
        at += len(item.data)
    count = struct.pack(">H", len(items))
    body = containers.box(b"hdlr", bytes(8) + b"pict" + bytes(13)) + ahead
    body += containers.box(b"pitm", bytes(4) + struct.pack(">H", primary)) if primary else b""
    body += containers.box(b"iloc", bytes(4) + b"\x44\0" + count + entries) + containers.box(
        b"iinf", bytes(4) + count + kinds
    )
    if references:
        links = (
            containers.box(kind, struct.pack(f">HH{len(to)}H", source, len(to), *to)) for kind, source, to in references
        )
        body += containers.box(b"iref", bytes(4) + b"".join(links))
    told = containers.box(b"ipma", bytes(4) + struct.pack(">I", len(items)) + said)
    body += containers.box(b"iprp", containers.box(b"ipco", b"".join(containers.box(*each) for each in known)) + told)
    return containers.box(b"meta", bytes(4) + body)


def _essential(kind: bytes) -> int:
    return 0x80 if kind in (b"av1C", b"hvcC", b"irot", b"imir", b"clap") else 0


def _size(picture: pyvips.Image) -> Property:
    return b"ispe", bytes(4) + struct.pack(">II", picture.width, picture.height)


def _body(file_: bytes) -> bytes:
    return file_[file_.index(b"mdat") + 4 :]


def _found(file_: bytes, kind: bytes) -> bytes:
    at = file_.index(kind)
    return file_[at + 4 : at - 4 + struct.unpack(">I", file_[at - 4 : at])[0]]
