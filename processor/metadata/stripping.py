"""Removes the metadata of a source file, but what decides how its pixels are shown."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress

from processor.errors import TooManyPieces
from processor.formats import AVIF, GIF, HEIC, JPEG, PNG, TIFF, WEBP, decoding_of, gif, jpeg, pieces_in, png, webp
from processor.formats.anatomy import MAX_PIECES, Pieces
from processor.formats.blocks import Kind
from processor.formats.items import boxes, read_items
from processor.formats.tiff import read_page
from processor.metadata import exif, tiffs

#: Segments of JPEG that say how pixels are shown: JFIF, a profile, Adobe's mark of the colours.
_SHOWS: Mapping[int, bytes] = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
#: The same of PNG: what is not among these chunks is left out.
_PNG_SHOWS = frozenset(
    (b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB sBIT iCCP cICP mDCV cLLI bKGD hIST pHYs acTL fcTL fdAT").split()
)
#: The same of WebP, and the flags of an extended file for EXIF and XMP.
_WEBP_SHOWS = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_FLAG_EXIF, _FLAG_XMP = 0x08, 0x04
#: Extensions of GIF: a comment, a text, one of an application, and those of applications that show something.
_COMMENT, _PLAIN_TEXT, _APPLICATION = 0xFE, 0x01, 0xFF
_GIF_SHOWS = frozenset((b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012"))
#: The same of HEIF: its outer boxes. Others, such as a film beside the picture, become free space.
_HEIF_SHOWS, _FREE = frozenset({b"ftyp", b"meta", b"mdat", b"idat", b"free"}), b"free"
_ORIENTATION, _UPRIGHT, _ADOBE_RGB = 0x0112, 1, b"R03\0"


def strip(data: bytes, format_: str) -> bytes | None:
    """The file without EXIF, IPTC, XMP, texts and comments. Its pixels are shown as before.

    None: nothing here can strip this kind of file, or the file is too damaged for it.
    """
    stripper = _STRIPPERS.get(format_)
    try:
        return None if stripper is None else stripper(data)
    except (IndexError, struct.error, TooManyPieces):
        return None


def _needed(data: bytes, format_: str) -> bytes:
    """EXIF with the orientation and the mark of Adobe RGB alone, if the file has either; empty without."""
    blocks = (block.data for block in decoding_of(format_).blocks(data) if block.kind is Kind.EXIF)
    block: memoryview | bytes = b""
    with suppress(TooManyPieces):  # it comes late, and no reader looks for it there
        block = next(blocks, b"")
    orientation = int(exif.read(block).number(_ORIENTATION) or _UPRIGHT)
    is_adobe_rgb = _ADOBE_RGB in bytes(block)
    if not is_adobe_rgb and orientation not in range(2, 9):
        return b""
    tags = [struct.pack(">HHIHH", _ORIENTATION, 3, 1, orientation, 0)]
    if is_adobe_rgb:
        tags.append(struct.pack(">HHII", 0x8769, 4, 1, 38))
    first = struct.pack(">H", len(tags)) + b"".join(tags) + bytes(4)
    behind = struct.pack(">HHHII", 1, 0xA005, 4, 1, 56) + bytes(4) + struct.pack(">HHHI4s", 1, 1, 2, 4, _ADOBE_RGB)
    return b"MM\0*" + struct.pack(">I", 8) + first + (behind + bytes(4) if is_adobe_rgb else b"")


def _jpeg(data: bytes) -> bytes:
    return _bare_jpeg(data, _needed(data, JPEG.name))


def _bare_jpeg(data: bytes, needed: bytes = b"") -> bytes:
    parts, copied = [data[:2]], 2
    if needed:
        parts.append(struct.pack(">BBH", 0xFF, 0xE1, len(needed) + 8) + b"Exif\0\0" + needed)
    for kind, start, at, end in jpeg.segments(data, pieces_in(data, JPEG.name)):
        if kind == jpeg.EOI:
            return b"".join(parts) + data[copied:at]  # what lies behind it is no picture
        shows = _SHOWS.get(kind)
        hides = shows is None or not data.startswith(shows, at + 2)
        if kind == jpeg.COM or (kind in jpeg.APP and hides):
            parts.append(data[copied:start])
            copied = end
    return b"".join(parts) + data[copied:]


def _png(data: bytes) -> bytes:
    parts, needed = [png.SIGNATURE], _needed(data, PNG.name)
    for kind, start, end in png.chunks(data, pieces_in(data, PNG.name)):
        if kind in _PNG_SHOWS:
            parts.append(data[start:end])
        if kind == b"IHDR" and needed:
            parts.append(_chunk(b"eXIf", needed))
    return b"".join(parts)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _webp(data: bytes) -> bytes:
    needed = _needed(data, WEBP.name)
    body = bytearray()
    for kind, start, end in webp.chunks(data, pieces_in(data, WEBP.name)):
        chunk = data[start:end]
        if kind == b"VP8X":
            flags = chunk[8] & ~(_FLAG_EXIF | _FLAG_XMP) | (_FLAG_EXIF if needed else 0)
            body += chunk[:8] + bytes([flags]) + chunk[9:]
        elif kind in _WEBP_SHOWS:
            body += chunk
    if needed:
        body += b"EXIF" + struct.pack("<I", len(needed)) + needed + b"\0" * (len(needed) % 2)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + bytes(body)


def _gif(data: bytes) -> bytes:
    at = 13 + gif.colour_table(data[10])
    parts = [data[:at]]
    while (kind := data[at]) in (gif.EXTENSION, gif.IMAGE):
        start, label = at, data[at + 1]
        at += 2 if kind == gif.EXTENSION else 10 + gif.colour_table(data[at + 9]) + 1
        name = data[at + 1 : at + 12]
        while length := data[at]:
            at += 1 + length
        at += 1
        hides = label in (_COMMENT, _PLAIN_TEXT) or (label == _APPLICATION and name not in _GIF_SHOWS)
        if kind == gif.IMAGE or not hides:
            parts.append(data[start:at])
    return b"".join(parts) + data[at : at + 1]


def _heif(data: bytes) -> bytes:
    """With free space where the metadata was, so that everything else stays where the file says it is. Pictures in
    these files are turned by their boxes."""
    blank = bytearray(data)
    for item in read_items(data, Pieces(MAX_PIECES)).by_id.values():
        if item.kind in (b"Exif", b"mime"):
            for start, end in item.extents:
                blank[start:end] = bytes(max(0, min(end, len(data)) - start))
    for kind, start, end in boxes(data, Pieces(MAX_PIECES)):
        if kind not in _HEIF_SHOWS:
            name = start - 4 if data[start - 4 : start] == kind else start - 12  # behind it may be a long length
            blank[name : name + 4] = _FREE
            blank[start:end] = bytes(max(0, min(end, len(data)) - start))
    return bytes(blank)


def _tiff(data: bytes) -> bytes | None:
    """The page that is shown, written anew: offsets lead anywhere in such a file, and what nothing leads to is there,
    too."""
    return tiffs.alone(read_page(data, Pieces(MAX_PIECES)), _bare_jpeg)


_STRIPPERS: Mapping[str, Callable[[bytes], bytes | None]] = {
    JPEG.name: _jpeg,
    PNG.name: _png,
    WEBP.name: _webp,
    GIF.name: _gif,
    AVIF.name: _heif,
    HEIC.name: _heif,
    TIFF.name: _tiff,
}
