"""Files that are valid, or nearly, and cost a decoder far more than they cost whoever sends them."""

from __future__ import annotations

import struct
import zlib

from tests.corpus import containers, heif

#: A GIF comment without a word in it.
_EMPTY_COMMENT = b"\x21\xfe\x00"


def jpeg_of_scans(width: int, height: int, scans: int) -> bytes:
    """A grey progressive JPEG: one scan that draws it, and empty ones behind; each a few bytes for all its blocks.

    Empty are those in which runs of "nothing more in so many blocks" (T.81, G.1.2.2) cover the whole picture.
    """
    blocks = (width + 7) // 8 * ((height + 7) // 8)
    head = b"\xff\xd8" + _segment(0xDB, b"\0" + bytes([1] * 64))
    head += _segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00")
    head += _segment(0xC4, b"\x00" + bytes([1] + [0] * 15) + b"\x00")
    head += _segment(0xC4, b"\x10" + bytes([1, 1] + [0] * 14) + b"\xe0\x00")
    first = _segment(0xDA, b"\x01\x01\x00\x00\x00\x00") + b"\0" * ((blocks + 7) // 8)
    empty = _segment(0xDA, b"\x01\x01\x00\x01\x3f\x00") + _runs(blocks)
    return head + first + empty * (scans - 1) + b"\xff\xd9"


def jpeg_of_segments(jpeg: bytes, count: int, *, behind: bool = False) -> bytes:
    """The JPEG with so many empty application segments, behind its start marker or in front of its end marker."""
    segments = _segment(0xE1, b"") * count
    return jpeg[:-2] + segments + jpeg[-2:] if behind else jpeg[:2] + segments + jpeg[2:]


def png_of_chunks(png: bytes, count: int) -> bytes:
    """The PNG with so many chunks behind its header that no decoder knows."""
    head = len(containers.PNG_SIGNATURE) + 25
    return png[:head] + containers.chunk(b"abCd", b"") * count + png[head:]


def png_of_inflating_text(png: bytes, count: int, megabytes: int) -> bytes:
    """The PNG with texts that are small in the file only."""
    head = len(containers.PNG_SIGNATURE) + 25
    text = b"k\0\0" + zlib.compress(bytes(megabytes << 20), 9)
    return png[:head] + containers.chunk(b"zTXt", text) * count + png[head:]


def webp_of_chunks(webp: bytes, count: int) -> bytes:
    """The WebP with so many chunks at its end that no decoder knows."""
    return containers.riff(webp[12:] + (b"abcd" + struct.pack("<I", 0)) * count)


def gif_of_comments(count: int) -> bytes:
    """A GIF of two frames with so many empty comments."""
    return containers.gif_of_frames(2)[:-1] + _EMPTY_COMMENT * count + b"\x3b"


def profile(steps: int) -> bytes:
    """A colour profile (ICC.1:2010) whose table has so many steps for each of red, green and blue: it is all black."""
    curves = (b"para" + bytes(8) + _fixed(1)) * 3
    table = bytes([steps] * 3) + bytes(13) + bytes([1, 0, 0, 0]) + bytes(3 * steps**3)
    table += bytes(-len(table) % 4)
    places = struct.pack(">IIIII", 32, 0, 0, 32 + len(curves), 32 + len(curves) + len(table))
    tags = {
        b"desc": b"desc" + struct.pack(">II", 0, 2) + b"x" + bytes(79 + 2),
        b"wtpt": b"XYZ " + bytes(4) + _white(),
        b"A2B0": b"mAB " + bytes(4) + bytes([3, 3, 0, 0]) + places + curves + table + curves,
    }
    listed, body, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        listed += name + struct.pack(">II", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    kinds = b"lcms" + struct.pack(">I", 0x04300000) + b"mntrRGB Lab "
    head = struct.pack(">I", at + len(body)) + kinds + bytes(12) + b"acsp" + bytes(28)
    return (head + _white()).ljust(128, b"\0") + listed + body


def heif_of_shared_metadata(picture: heif.Item, count: int, size: int) -> bytes:
    """The picture with so many items of metadata, which all lie in the same bytes of the file."""
    shared = heif.Item(kind=b"Exif", data=bytes(size))
    references = [(b"cdsc", number, (1,)) for number in range(2, count + 2)]
    whole = heif.file(picture, *([heif.Item(kind=b"Exif", data=b"")] * (count - 1)), shared, references=references)
    place = struct.pack(">II", len(whole) - size, size)
    alone = struct.pack(">II", len(whole) - size, 0)
    return whole.replace(alone, place)


def _fixed(number: float) -> bytes:
    return struct.pack(">i", round(number * 65_536))


def _white() -> bytes:
    return b"".join(map(_fixed, (0.9642, 1, 0.8249)))


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _runs(blocks: int) -> bytes:
    """So many blocks without coefficients: code 0 for a run of 2**14 and 14 bits more, code 10 for a single block."""
    bits = ""
    while blocks >= 1 << 14:
        run = min(blocks, (1 << 15) - 1)
        bits += "0" + format(run - (1 << 14), "014b")
        blocks -= run
    bits += "10" * blocks
    bits += "1" * (-len(bits) % 8)
    return int(bits or "1" * 8, 2).to_bytes(max(1, len(bits) // 8), "big").replace(b"\xff", b"\xff\x00")
