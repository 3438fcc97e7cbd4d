"""Bytes by hand: EXIF blocks, PNG chunks, WebP chunks, and files whose headers lie."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

#: EXIF tag 0x0112, type SHORT (CIPA DC-008).
_ORIENTATION_TAG = 0x0112
_SHORT = 3
#: Feature bits of a VP8X chunk (RFC 9649).
_VP8X_EXIF = 0x08
_VP8X_XMP = 0x04
_VP8X_ALPHA = 0x10

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def exif(orientation: int) -> bytes:
    """A TIFF block with one entry, big-endian."""
    entry = struct.pack(">HHIHH", _ORIENTATION_TAG, _SHORT, 1, orientation, 0)
    return b"MM\x00\x2a" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", 0)


def exif_of_adobe_rgb() -> bytes:
    """A TIFF block of a camera's: an EXIF directory that leads to one of interoperability, whose index is "R03"."""
    count = struct.pack(">H", 1)
    pointers = [struct.pack(">HHII", tag, 4, 1, at) for tag, at in ((0x8769, 26), (0xA005, 44))]
    index = struct.pack(">HHI4s", 1, 2, 4, b"R03\x00")
    directories = b"".join(count + entry + bytes(4) for entry in (*pointers, index))
    return b"MM\x00\x2a" + struct.pack(">I", 8) + directories


def jpeg_with_exif(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an APP1 segment behind its start marker."""
    payload = b"Exif\x00\x00" + exif(orientation)
    return jpeg_with_segment(jpeg, 0xE1, payload)


def jpeg_with_segment(jpeg: bytes, marker: int, payload: bytes) -> bytes:
    """The JPEG with one more segment behind its start marker."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload + jpeg[2:]


def box(kind: bytes, body: bytes) -> bytes:
    """A box of ISO/IEC 14496-12."""
    return struct.pack(">I", 8 + len(body)) + kind + body


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with_exif(png: bytes, orientation: int) -> bytes:
    """The PNG with an eXIf chunk behind its header."""
    head = len(PNG_SIGNATURE) + 25  # IHDR: 8 bytes of frame, 13 of body, 4 of checksum
    return png[:head] + chunk(b"eXIf", exif(orientation)) + png[head:]


def webp_with_exif(webp: bytes, width: int, height: int, orientation: int, *, alpha: bool = False) -> bytes:
    """The still WebP in an extended container with an EXIF chunk at its end."""
    return webp_with_metadata(webp, width, height, exif=exif(orientation), alpha=alpha)


def webp_with_metadata(
    webp: bytes, width: int, height: int, *, exif: bytes = b"", xmp: bytes = b"", alpha: bool = False
) -> bytes:
    """The same with any EXIF, and with XMP."""
    body = webp[12:]
    told = (_VP8X_EXIF if exif else 0) | (_VP8X_XMP if xmp else 0)
    if body[:4] == b"VP8X":
        body = body[:8] + bytes([body[8] | told]) + body[9:]
    else:
        flags = struct.pack("<I", told | (_VP8X_ALPHA if alpha else 0))
        size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
        body = _riff_chunk(b"VP8X", flags + size) + body
    return riff(body + b"".join(_riff_chunk(kind, said) for kind, said in ((b"EXIF", exif), (b"XMP ", xmp)) if said))


def riff(body: bytes) -> bytes:
    """A WebP file around chunks."""
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def png_of_pixels(pixels: Sequence[Sequence[float]], *chunks: tuple[bytes, bytes], wide: bool = False) -> bytes:
    """A PNG one line high, its samples given as 0 to 1; 1 to 4 of them a pixel. `chunks` stand in front of its data."""
    top, kind = (65_535, ">H") if wide else (255, ">B")
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[len(pixels[0])]
    header = struct.pack(">IIBBBBB", len(pixels), 1, 16 if wide else 8, colour_type, 0, 0, 0)
    data = b"\x00" + b"".join(struct.pack(kind, round(top * sample)) for pixel in pixels for sample in pixel)
    ahead = b"".join(chunk(name, body) for name, body in chunks)
    parts = (chunk(b"IHDR", header), ahead, chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b""))
    return PNG_SIGNATURE + b"".join(parts)


def png_chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a whole PNG, without their checksums."""
    found, at = [], len(PNG_SIGNATURE)
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        found.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def png_claiming(width: int, height: int, *, rows: int = 1) -> bytes:
    """A grey PNG whose header promises `width` x `height`, with data for only a few rows."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\x00" * ((width + 1) * rows), 9)
    return PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def png_of_zeros(width: int, height: int) -> bytes:
    """A black 1-bit PNG, whole and valid: a few kilobytes that unfold to `width` x `height` pixels."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = b"\x00" * (1 + (width + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def gif_of_frames(count: int, width: int = 1, height: int = 1) -> bytes:
    """A GIF of that many black frames, whole and valid."""
    delay = b"\x21\xf9\x04\x00\x02\x00\x00\x00"  # 20 ms
    area = struct.pack("<BHHHHB", 0x2C, 0, 0, 1, 1, 0)
    pixel = b"\x02\x02\x44\x01\x00"
    frame = delay + area + pixel
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0)
    return b"GIF89a" + screen + b"\x00\x00\x00\xff\xff\xff" + frame * count + b"\x3b"


def _riff_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\x00" * (len(body) % 2)
