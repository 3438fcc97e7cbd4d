"""What arrives instead of an image: foreign formats, cut files, flipped bits, nonsense profiles."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable

from tests.corpus import containers
from tests.corpus.picture import SEED

#: Good samples (see `SAMPLES`) that have enough bytes to lose a tenth of them.
CUTTABLE = (
    "jpeg",
    "jpeg-progressive",
    "png",
    "png-interlaced",
    "webp",
    "webp-lossless",
    "webp-alpha",
    "webp-animated",
    "gif",
    "gif-animated",
    "avif",
    "avif-alpha",
    "avif-grid",
    "heic",
    "heic-alpha",
    "heic-grid",
    "tiff",
    "tiff-lzw",
    "tiff-deflate",
    "tiff-tiled",
    "tiff-jpeg",
)

_SVG = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><rect width='9'/></svg>"
_HTML = b"<!doctype html><title>404</title><p>Not found"


def cut(data: bytes, part: float) -> bytes:
    """The first `part` (0 to 1) of the file; always at least one byte of its pixels short."""
    size = len(data)
    if data[8:12] == b"WEBP" and (exif := data.rfind(b"EXIF")) > 0:
        size = exif - 1  # in front of it may be a byte of padding
    return data[: min(size - 1, int(size * part))]


def flip_bits(data: bytes, count: int = 40, *, seed: int = SEED, spare: int = 64) -> bytes:
    """The file with `count` bits turned over, none of them in its first `spare` bytes."""
    chance = random.Random(seed)
    damaged = bytearray(data)
    for _ in range(count):
        damaged[chance.randrange(spare, len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def with_broken_profile(jpeg: bytes) -> bytes:
    """The JPEG with 300 bytes of nonsense as its ICC profile (APP2)."""
    return containers.jpeg_with_segment(jpeg, 0xE2, b"ICC_PROFILE\x00\x01\x01" + b"nonsense" * 38)


def with_stray_bytes(jpeg: bytes) -> bytes:
    """The JPEG with bytes between its segments that belong to none, as some phones write them; decoders only warn."""
    second = 2 + 2 + struct.unpack(">H", jpeg[4:6])[0]
    return jpeg[:second] + b"\x00\x00\x00\x00" + jpeg[second:]


def _bmp() -> bytes:
    pixels = b"\x10\x20\x30\x00"
    header = struct.pack("<IiiHHIIiiII", 40, 1, 1, 1, 24, 0, len(pixels), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(pixels), 0, 0, 54) + header + pixels


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("photo.jpg"), b"not an image")
    return buffer.getvalue()


#: Files of other formats, whole and valid.
FOREIGN: dict[str, Callable[[], bytes]] = {
    "text": lambda: b"Just some words.\n" * 20,
    "html": lambda: _HTML,
    "svg": lambda: _SVG,
    "pdf": lambda: b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n",
    "bmp": _bmp,
    "ppm": lambda: b"P6 1 1 255\n\x01\x02\x03",
    "zip": _zip,
    "jpeg-xl": lambda: b"\xff\x0a" + b"\x00" * 64,
    "jpeg-2000": lambda: b"\x00\x00\x00\x0cjP  \r\n\x87\n" + b"\x00" * 64,
    "csv": lambda: b"1,2,3\n4,5,6\n",
    "raw": lambda: bytes(range(256)),
    "two-bytes": lambda: b"\xff\xd8",
    "riff-wave": lambda: b"RIFF\x24\x00\x00\x00WAVEfmt " + b"\x00" * 32,
}
