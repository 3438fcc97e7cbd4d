"""Removes the metadata of a source file, but what decides how its pixels are shown."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping

from processor.formats import AVIF, GIF, HEIC, JPEG, PNG, WEBP, decoding_of
from processor.formats.anatomy import MAX_PIECES, Pieces, find_pair
from processor.formats.blocks import Kind
from processor.formats.items import read_items
from processor.metadata import exif

#: Segments of JPEG that say how pixels are shown: JFIF, a profile, Adobe's mark of the colours.
_JPEG_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_APP, _COM, _SOS, _EOI = range(0xE0, 0xF0), 0xFE, 0xDA, 0xD9
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
_ORIENTATION, _UPRIGHT, _ADOBE_RGB = 0x0112, 1, b"R03\0"


def strip(data: bytes, format_: str) -> bytes | None:
    """The file without EXIF, IPTC, XMP, texts and comments. Its pixels are shown as before.

    None: nothing here can strip this kind of file, or the file is too damaged for it.
    """
    stripper = _STRIPPERS.get(format_)
    try:
        return None if stripper is None else stripper(data)
    except (IndexError, struct.error):
        return None


def _needed(data: bytes, format_: str) -> bytes:
    """EXIF with the orientation and the mark of Adobe RGB alone, if the file has either; empty without."""
    blocks = (block.data for block in decoding_of(format_).blocks(data) if block.kind is Kind.EXIF)
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
    parts, at, copied = [data[:2]], 2, 2
    if needed := _needed(data, JPEG.name):
        parts.append(struct.pack(">BBH", 0xFF, 0xE1, len(needed) + 8) + b"Exif\0\0" + needed)
    for _ in range(MAX_PIECES):
        found = find_pair(_JPEG_MARKER, data, at)
        if found is None:
            break
        kind, start = found[1][0], found.start()
        if kind == _EOI:
            return b"".join(parts) + data[copied : found.end()]  # what lies behind it is no picture
        length = int.from_bytes(data[found.end() : found.end() + 2], "big")
        at = found.end() + max(2, length)
        shows = _SHOWS.get(kind)
        body = data[found.end() + 2 : found.end() + 16]
        if kind == _COM or (kind in _APP and (shows is None or not body.startswith(shows))):
            parts.append(data[copied:start])
            copied = at
    return b"".join(parts) + data[copied:]


def _png(data: bytes) -> bytes:
    parts, at = [data[:8]], 8
    needed = _needed(data, PNG.name)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if kind in _PNG_SHOWS:
            parts.append(data[at:end])
        if kind == b"IHDR" and needed:
            parts.append(_chunk(b"eXIf", needed))
        at = end
    return b"".join(parts)


def _chunk(kind: bytes, body: bytes) -> bytes:

    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _webp(data: bytes) -> bytes:
    needed = _needed(data, WEBP.name)
    body = bytearray()
    for kind, chunk in _riff_chunks(data):
        if kind == b"VP8X":
            flags = chunk[8] & ~(_FLAG_EXIF | _FLAG_XMP) | (_FLAG_EXIF if needed else 0)
            body += chunk[:8] + bytes([flags]) + chunk[9:]
        elif kind in _WEBP_SHOWS:
            body += chunk
    if needed:
        body += b"EXIF" + struct.pack("<I", len(needed)) + needed + b"\0" * (len(needed) % 2)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + bytes(body)


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + length + length % 2
        yield data[at : at + 4], data[at:end]
        at = end


def _gif(data: bytes) -> bytes:
    at = 13 + (3 * 2 ** ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    parts = [data[:at]]
    while (kind := data[at]) in (0x21, 0x2C):
        start, label = at, data[at + 1]
        at += 2 if kind == 0x21 else 10 + (3 * 2 ** ((data[at + 9] & 7) + 1) if data[at + 9] & 0x80 else 0) + 1  # noqa: PLR2004
        name = data[at + 1 : at + 12]
        while length := data[at]:
            at += 1 + length
        at += 1
        hides = label in (_COMMENT, _PLAIN_TEXT) or (label == _APPLICATION and name not in _GIF_SHOWS)
        if kind == 0x2C or not hides:  # noqa: PLR2004 - a picture
            parts.append(data[start:at])
    return b"".join(parts) + data[at : at + 1]


def _heif(data: bytes) -> bytes:
    """With zeros where the metadata was, so that everything else stays where the file says it is. Pictures in these
    files are turned by their boxes."""
    blank = bytearray(data)
    for item in read_items(data, Pieces(MAX_PIECES)).by_id.values():
        if item.kind in (b"Exif", b"mime"):
            for start, end in item.extents:
                blank[start:end] = bytes(max(0, min(end, len(data)) - start))
    return bytes(blank)


_STRIPPERS: Mapping[str, Callable[[bytes], bytes]] = {
    JPEG.name: _jpeg,
    PNG.name: _png,
    WEBP.name: _webp,
    GIF.name: _gif,
    AVIF.name: _heif,
    HEIC.name: _heif,
}
