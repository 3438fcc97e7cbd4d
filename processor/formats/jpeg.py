"""JPEG (ITU-T T.81)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from processor.formats.anatomy import MAX_PIECES, Anatomy, Pieces, find_pair
from processor.formats.blocks import MOST_RESOURCES, Block, Kind, photoshop_blocks
from processor.formats.format import Decoding, Format, Size
from processor.formats.info import ImageInfo
from processor.formats.signatures import begins_with

#: Factors by which libjpeg shrinks while it decodes.
FACTORS = (8, 4, 2)
#: About so many rows of a picture are in buffers while it is decoded.
_BUFFERED_ROWS = 600
#: Nanoseconds per pixel and scan for which libjpeg checks no deadline; see `pipeline.silence`.
_SCAN_NS = 4

#: A marker of JPEG (ITU-T T.81, B.1.1), but no stuffed byte and no restart.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_TEM, _SOI, EOI, SOS, COM = 0x01, 0xD8, 0xD9, 0xDA, 0xFE
APP = range(0xE0, 0xF0)
#: The kind of a segment, the offset of its marker, the offset behind that, and its end.
Segment = tuple[int, int, int, int]
#: Start of frame, without the markers of tables in the same range; start of a progressive frame.
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
#: What segments with metadata begin with; the numbers of the segments.
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_PHOTOSHOP, _PROFILE, _SMALL = b"Photoshop 3.0\0", b"ICC_PROFILE\0", b"JFXX\0"
_APP0, _APP1, _APP2, _APP13 = 0xE0, 0xE1, 0xE2, 0xED
#: Pixels on a side of a block, and bytes of its coefficients.
_BLOCK, _BLOCK_BYTES = 8, 128


def _dissect(data: bytes, pieces: Pieces) -> Anatomy:
    scans, metadata_bytes, profile_bytes, frame, several = 0, 0, 0, (0, 0), False
    for kind, _, at, end in segments(data, pieces):
        length = end - at  # that of the file's end is none
        if kind == SOS:
            scans += 1
            several = several or data[at + 2 : at + 3] < bytes([frame[0]])
        elif kind in _SOF and not frame[0]:
            frame = _frame(data[at : at + length])
            several = kind in _PROGRESSIVE
        elif kind == COM or kind in APP:
            metadata_bytes += length
            profile_bytes += length if kind == _APP2 and data.startswith(_PROFILE, at + 2) else 0
    return Anatomy(
        scans=max(1, scans),
        coefficient_bytes=frame[1] if several else 0,
        metadata_bytes=metadata_bytes,
        profile_bytes=profile_bytes,
    )


def segments(data: bytes, pieces: Pieces) -> Iterator[Segment]:
    """The segments up to the end of the picture, which is the last. What lies between them is not looked at.

    Raises `TooManyPieces`.
    """
    at = 2
    while found := find_pair(_MARKER, data, at):
        kind, start, at = found[1][0], found.start(), found.end()
        if kind == EOI:
            yield kind, start, at, at
            return
        pieces.one()
        if kind not in (_TEM, _SOI):
            end = at + max(2, int.from_bytes(data[at : at + 2], "big"))
            yield kind, start, at, end
            at = end


def _frame(segment: bytes) -> tuple[int, int]:
    """Number of components in a frame, and the bytes of all their coefficients (T.81, B.2.2)."""
    height, width = int.from_bytes(segment[3:5], "big"), int.from_bytes(segment[5:7], "big")
    count = segment[7] if len(segment) > 7 else 0  # noqa: PLR2004 - the offset in T.81
    factors = [(factor >> 4 or 1, factor & 0xF or 1) for factor in segment[9 : 8 + 3 * count : 3]]
    if not factors:
        return 0, 0
    widest, highest = max(factor[0] for factor in factors), max(factor[1] for factor in factors)
    columns, rows = -(-width // (_BLOCK * widest)), -(-height // (_BLOCK * highest))
    return count, columns * rows * _BLOCK_BYTES * sum(across * down for across, down in factors)


def _blocks(data: bytes) -> Iterator[Block]:
    """Those before the first scan, where cameras and programs write them."""
    view, resources = memoryview(data), bytearray()
    for kind, _, at, end in segments(data, Pieces(MAX_PIECES)):
        if kind in (SOS, EOI):
            break
        body = view[at + 2 : end]
        if kind == _APP13 and _begins(body, _PHOTOSHOP):
            resources += body[len(_PHOTOSHOP) : MOST_RESOURCES - len(resources)]  # long ones lie in several segments
        else:
            yield from _block(kind, body)
    yield from photoshop_blocks(bytes(resources))


def _block(kind: int, body: memoryview) -> Iterator[Block]:
    if kind == COM:
        yield Block(kind=Kind.COMMENT, data=body)
    elif kind == _APP1 and _begins(body, _EXIF):
        yield Block(kind=Kind.EXIF, data=body[len(_EXIF) :])
    elif kind == _APP1 and _begins(body, _XMP):
        yield Block(kind=Kind.XMP, data=body[len(_XMP) :])
    elif kind == _APP2 and _begins(body, _PROFILE):
        yield Block(kind=Kind.PROFILE, data=body)
    elif kind == _APP0 and _begins(body, _SMALL):
        yield Block(kind=Kind.THUMBNAIL, data=body)


def _begins(body: memoryview, signature: bytes) -> bool:
    return bytes(body[: len(signature)]) == signature


def _shrunk_on_load(width: int, height: int, shrink: float) -> Size:
    factor = next((factor for factor in FACTORS if shrink >= factor), 1)
    if factor > 1 and int(shrink) == factor:
        factor //= 2
    return width // factor, height // factor


def _working_bytes(info: ImageInfo, held_bytes: int) -> int:
    # A damaged JPEG is decoded twice and compared: with several scans one after the other, else side by side.
    buffered = min(info.height, _BUFFERED_ROWS)
    compared = info.width * info.bands * (buffered + (info.height if info.scans > 1 else buffered))
    return info.decoder_bytes + max(held_bytes, compared)


def _silent_seconds(info: ImageInfo) -> float:
    return info.pixels * info.scans * _SCAN_NS / 1e9 if info.decoder_bytes else 0.0


JPEG = Format(
    name="jpeg",
    title="JPEG",
    extensions=("jpg", "jpeg", "jpe", "jfif"),
    content_types=("image/jpeg", "image/jpg", "image/pjpeg"),
    begins=begins_with(b"\xff\xd8\xff"),
    decoding=Decoding(
        loader="jpegload_source",
        loader_class="VipsForeignLoadJpeg",
        dissect=_dissect,
        shrunk_on_load=_shrunk_on_load,
        working_bytes=_working_bytes,
        silent_seconds=_silent_seconds,
        forgives=True,
        blocks=_blocks,
    ),
)
