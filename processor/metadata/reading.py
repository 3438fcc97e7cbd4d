"""Reads the metadata of a file: what it says of the picture, where it was taken, and what it gives away."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from processor.errors import TooManyPieces
from processor.formats import decoding_of
from processor.formats.blocks import Block, Kind
from processor.metadata import exif, iptc, moments, places, xmp
from processor.metadata.exif import Exif
from processor.metadata.iptc import Iptc
from processor.metadata.text import LONG, SHORT, clean, decoded
from processor.metadata.xmp import Xmp

#: The most blocks of a file that are looked at.
MAX_BLOCKS = 64
#: The most values of a list, and the most bytes of one.
MAX_ITEMS, ITEM = 16, 64

#: EXIF tags (CIPA DC-008) with serial numbers; with names of people; of what only a camera's maker can read.
_SERIALS, _NAMES, _MAKER_NOTE = (0xA431, 0xA435, 0xC62F, 0xC635), (0x013B, 0xA430, 0x9C9D), 0x927C
_COMMENTS = (0x9286, 0x9C9C)
#: The same of XMP and IPTC.
_XMP_SERIALS = ("aux:SerialNumber", "aux:LensSerialNumber", "exifEX:BodySerialNumber", "exifEX:LensSerialNumber")
_XMP_NAMES = (
    *("dc:creator", "aux:OwnerName", "exifEX:CameraOwnerName", "tiff:Artist", "xmpRights:Owner", "mwg-rs:Name"),
    *("Iptc4xmpExt:PersonInImage", "Iptc4xmpExt:PersonName", "photoshop:AuthorsPosition", "photoshop:CaptionWriter"),
    *("Iptc4xmpCore:CreatorContactInfo",),
)
_XMP_COMMENTS, _XMP_THUMBNAILS = ("exif:UserComment",), ("xmp:Thumbnails",)
_IPTC_NAMES = (80, 118, 122)
#: ISO of a picture that is above what the old tag can say.
_ISO_ABOVE = 65_535


@dataclass(slots=True, kw_only=True)
class Blocks:
    """The blocks of a file, read."""

    exif: Exif = field(default_factory=Exif)
    iptc: Iptc = field(default_factory=Iptc)
    xmp: Xmp = field(default_factory=Xmp)
    #: Texts by name, in lower case, and comments without one.
    texts: dict[str, str] = field(default_factory=dict)
    kinds: dict[Kind, None] = field(default_factory=dict)
    is_incomplete: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What a file says besides its pixels, as JSON values within bounds."""

    #: Of the camera, the exposure, the time, the people and the words.
    told: Mapping[str, Any]
    #: Where the picture was taken; None: nothing says it.
    position: Mapping[str, Any] | None
    #: What the file gives away: `position`, `serialNumbers`, `names`, `thumbnail`, `makerNote`, `comment`,
    #: `copyright`, `profile`.
    given_away: tuple[str, ...]
    #: The kinds of blocks: `exif`, `iptc`, `xmp`.
    blocks: tuple[str, ...]
    #: Something was not read, because it was damaged or too much. It is removed all the same.
    is_incomplete: bool
    #: The notice of copyright, whole up to a bound; empty without one.
    rights: str


def read_metadata(data: bytes, format_: str) -> Metadata:
    """The metadata of an accepted file. Damage in it is no reason to refuse a picture: it is left out."""
    blocks = _read(data, format_)
    position = places.position(blocks.exif, blocks.iptc, blocks.xmp)
    rights = _rights(blocks)
    told = {name: value for name, value in _told(blocks, rights).items() if value}
    return Metadata(
        told=told,
        position=position,
        given_away=_given_away(blocks, position, rights),
        blocks=tuple(kind.value for kind in (Kind.EXIF, Kind.IPTC, Kind.XMP) if kind in blocks.kinds),
        is_incomplete=blocks.is_incomplete,
        rights=rights,
    )


def _read(data: bytes, format_: str) -> Blocks:
    found = Blocks()
    try:
        blocks = decoding_of(format_).blocks(data)
        for block in islice(blocks, MAX_BLOCKS):
            _add(found, block)
            found.kinds.setdefault(block.kind)
        found.is_incomplete = next(blocks, None) is not None
    except (IndexError, struct.error, TooManyPieces):  # the file ends within a block, or has blocks without end
        found.is_incomplete = True
    found.is_incomplete |= found.exif.is_incomplete or found.iptc.is_incomplete or found.xmp.is_incomplete
    return found


def _add(found: Blocks, block: Block) -> None:
    """The first block of a kind counts, as it does for other readers."""
    if block.kind is Kind.EXIF and not found.exif.picture:
        found.exif = exif.read(block.data)
    elif block.kind is Kind.IPTC and not found.iptc.texts:
        found.iptc = iptc.read(block.data)
    elif block.kind is Kind.XMP and not found.xmp.values:
        found.xmp = xmp.read(block.data)
    elif block.kind in (Kind.TEXT, Kind.COMMENT):
        found.texts.setdefault(block.name.lower(), decoded(bytes(block.data[:LONG])))


def _told(blocks: Blocks, rights: str) -> dict[str, Any]:
    """XMP goes before IPTC, and IPTC before EXIF, because their characters are the surest; EXIF alone is from the
    camera, so of it and of the exposure it goes first."""
    camera, words, sets, texts = blocks.exif, blocks.xmp, blocks.iptc, blocks.texts
    return {
        "camera": _named(
            make=camera.text(0x010F) or words.text("tiff:Make"), model=camera.text(0x0110) or words.text("tiff:Model")
        ),
        "lens": _named(
            make=camera.text(0xA433) or words.text("exifEX:LensMake"),
            model=camera.text(0xA434) or words.text("exifEX:LensModel", "aux:Lens"),
        ),
        "exposure": _exposure(camera),
        "takenAt": moments.taken_at(camera, sets, words),
        "software": clean(camera.text(0x0131) or words.text("xmp:CreatorTool") or texts.get("software", "")),
        "title": clean(words.text("dc:title") or sets.text(5) or camera.wide_text(0x9C9B) or texts.get("title", "")),
        "caption": clean(_caption(blocks), LONG),
        "creator": _list(
            words.values.get("dc:creator")
            or sets.texts.get(80)
            or [camera.text(0x013B) or camera.wide_text(0x9C9D) or texts.get("author", "")],
            SHORT,
        ),
        "copyright": clean(rights, LONG // 2),
        "credit": clean(words.text("photoshop:Credit") or sets.text(110)),
        "keywords": _list(words.values.get("dc:subject") or sets.texts.get(25) or [], ITEM),
    }


def _caption(blocks: Blocks) -> str:
    camera, texts = blocks.exif, blocks.texts
    return (
        blocks.xmp.text("dc:description")
        or blocks.iptc.text(120)
        or camera.text(0x010E)
        or camera.comment(0x9286).strip(" \0")
        or camera.wide_text(0x9C9C)
        or texts.get("description", "")
        or texts.get("comment", "")
        or texts.get("", "")
    )


def _rights(blocks: Blocks) -> str:
    """EXIF may have a photographer's and an editor's notice, with a zero between them."""
    noticed = blocks.exif.picture.get(0x8298, b"")
    both = [decoded(each).strip() for each in noticed.split(b"\0")] if isinstance(noticed, bytes) else []
    of_exif = ", ".join(each for each in both if each)
    texts = blocks.texts.get("copyright", "")
    return clean(blocks.xmp.text("dc:rights") or blocks.iptc.text(116) or of_exif or texts, LONG)


def _exposure(camera: Exif) -> dict[str, Any]:
    flash = camera.number(0x9209)
    iso = camera.number(0x8827)
    if iso is None or iso >= _ISO_ABOVE:
        iso = camera.number(0x8833, 0x8832, 0x8831) or iso
    found = {
        "seconds": _figure(camera.number(0x829A)),
        "aperture": _figure(camera.number(0x829D)),
        "iso": _figure(iso),
        "focalLength": _figure(camera.number(0x920A)),
        "focalLengthIn35mm": _figure(camera.number(0xA405)),
        "bias": _figure(camera.number(0x9204), signed=True),
        "flash": None if flash is None else bool(int(flash) & 1),
    }
    return {name: value for name, value in found.items() if value is not None}


def _figure(number: float | None, *, signed: bool = False) -> float | int | None:
    """With six digits; None for what no camera means."""
    if number is None or not abs(number) < 1e9 or (number <= 0 and not signed):  # noqa: PLR2004 - also what is no number
        return None
    rounded = float(f"{number:.6g}")
    return int(rounded) if rounded == int(rounded) else rounded


def _named(**texts: str) -> dict[str, str]:
    return {name: cleaned for name, text in texts.items() if (cleaned := clean(text))}


def _list(values: list[str], most: int) -> list[str]:
    cleaned = (clean(value, most) for value in values[:MAX_ITEMS])
    return list(dict.fromkeys(value for value in cleaned if value))


def _given_away(blocks: Blocks, position: Mapping[str, Any] | None, rights: str) -> tuple[str, ...]:
    camera, words, sets, kinds = blocks.exif, blocks.xmp, blocks.iptc, blocks.kinds
    has_position = position is not None or bool(camera.position) or words.has(places.XMP)
    found = {
        "position": has_position,
        "serialNumbers": _has(camera, _SERIALS) or words.has(_XMP_SERIALS),
        "names": _has(camera, _NAMES)
        or words.has(_XMP_NAMES)
        or any(number in sets.texts for number in _IPTC_NAMES)
        or "author" in blocks.texts,
        "thumbnail": camera.has_thumbnail or Kind.THUMBNAIL in kinds or words.has(_XMP_THUMBNAILS),
        "makerNote": _MAKER_NOTE in camera.picture,
        "comment": bool({"", "comment"} & blocks.texts.keys()) or _has(camera, _COMMENTS) or words.has(_XMP_COMMENTS),
        "copyright": bool(rights),
        "profile": Kind.PROFILE in kinds,
    }
    return tuple(name for name, is_there in found.items() if is_there)


def _has(camera: Exif, names: tuple[int, ...]) -> bool:
    values = (camera.picture.get(name) for name in names)
    return any(value.strip(b"\0 ") if isinstance(value, bytes) else value for value in values)
