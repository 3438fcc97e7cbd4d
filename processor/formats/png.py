"""PNG and APNG (W3C, "Portable Network Graphics", third edition)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress

from processor.formats.anatomy import MAX_PIECES, MAX_PROFILE_BYTES, Anatomy, Pieces
from processor.formats.blocks import Block, Kind, photoshop_blocks
from processor.formats.format import Decoding, Format, composed
from processor.formats.inflating import inflated_lengths
from processor.formats.info import ImageInfo
from processor.formats.signatures import begins_with

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Bytes of a chunk besides its data.
_FRAME = 12
#: Pixels are divided into pieces too, usually of 8 KiB. An average of so many bytes per piece is allowed.
_BYTES_A_PIECE = 64
#: Bytes per pixel of a frame while it is drawn: for its decoder, the screen and the frame itself.
_DRAWN_BYTES = 16
#: The most bytes of a packed text that are unpacked; of a keyword (PNG, 11.3.3.2).
_MOST_UNPACKED, _KEYWORD = 128 * 1024, 79
#: Names of texts that hold other metadata: XMP; what ImageMagick writes in hexadecimal digits.
_XMP, _RAW = "XML:com.adobe.xmp", "Raw profile type "
_RAW_KINDS = {"exif": Kind.EXIF, "APP1": Kind.EXIF, "iptc": Kind.IPTC, "8bim": Kind.IPTC, "xmp": Kind.XMP}
#: Nanoseconds per byte of an interlaced picture for which libspng checks no deadline; see `pipeline.silence`.
_INTERLACED_NS = 20


def _dissect(data: bytes, pieces: Pieces) -> Anatomy:
    view, profile = memoryview(data), 0
    for kind, start, end in chunks(data, pieces):
        if kind == b"iCCP":
            profile = max(profile, profile_bytes(view[start + 8 : end - 4]))
    used = profile if profile <= MAX_PROFILE_BYTES else 0  # a larger one is dropped
    return Anatomy(metadata_bytes=used, profile_bytes=used)


def profile_bytes(body: memoryview) -> int:
    """Unpacked length of the profile in an iCCP chunk, at most one more than `MAX_PROFILE_BYTES`."""
    head, length = len(bytes(body[: _KEYWORD + 1]).partition(b"\0")[0]) + 2, 0
    with suppress(zlib.error):
        for piece in inflated_lengths(body[head:], MAX_PROFILE_BYTES + 1):
            length += piece
    return length


def chunks(data: bytes, pieces: Pieces) -> Iterator[tuple[bytes, int, int]]:
    """The kind, start and end of each chunk, its frame included. Raises `TooManyPieces`."""
    at = len(SIGNATURE)
    while at + _FRAME <= len(data):
        pieces.one()
        end = at + _FRAME + int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], at, end
        at = end


def _blocks(data: bytes) -> Iterator[Block]:
    view = memoryview(data)
    for kind, start, end in chunks(data, Pieces(MAX_PIECES)):
        body = view[start + 8 : end - 4]
        if kind == b"eXIf":
            yield Block(kind=Kind.EXIF, data=body)
        elif kind == b"iCCP":
            yield Block(kind=Kind.PROFILE, data=body)
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            yield from _text(kind, body)


def _text(kind: bytes, body: memoryview) -> Iterator[Block]:
    keyword, _, rest = bytes(body[: _KEYWORD + 1]).partition(b"\0")
    name, at = keyword.decode("latin-1"), len(keyword) + 1
    if kind == b"zTXt":
        said: memoryview | bytes = _unpacked(body[at + 1 :])
    elif kind == b"iTXt":
        packed, start = rest[:1] == b"\1", at + 2
        head = bytes(body[start : start + 2 * _KEYWORD])
        start += len(head) - len(head.split(b"\0", 2)[-1])
        said = _unpacked(body[start:]) if packed else body[start:]
    else:
        said = bytes(body[at : at + _MOST_UNPACKED]).decode("latin-1").encode()
    if name == _XMP:
        yield Block(kind=Kind.XMP, data=said)
    elif name.startswith(_RAW):
        yield from _raw(name.removeprefix(_RAW), said)
    else:
        yield Block(kind=Kind.TEXT, data=said, name=name)


def _raw(name: str, said: memoryview | bytes) -> Iterator[Block]:
    """A line with its name, a line with its length, and hexadecimal digits."""
    kind = _RAW_KINDS.get(name)
    lines = bytes(said[:_MOST_UNPACKED]).split(b"\n", 3)
    data = b""
    if kind is not None and len(lines) == 4:  # noqa: PLR2004 - see above
        with suppress(ValueError):
            data = bytes.fromhex(lines[3].decode("latin-1"))
    if kind is None or not data:  # a text like any other, so that it counts as one
        yield Block(kind=Kind.TEXT, data=b"", name=_RAW + name)
        return
    if kind is Kind.IPTC and data.startswith(b"8BIM"):
        yield from photoshop_blocks(data)
    else:
        yield Block(kind=kind, data=data.removeprefix(b"Exif\0\0"))


def _unpacked(packed: memoryview) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed[:_MOST_UNPACKED], _MOST_UNPACKED)
    except zlib.error:
        return b""


def _is_animated(info: ImageInfo) -> bool:
    return info.frames > 1


def _working_bytes(info: ImageInfo, held_bytes: int) -> int:
    return composed(info, held_bytes, _DRAWN_BYTES) if _is_animated(info) else held_bytes + info.decoder_bytes


def _silent_seconds(info: ImageInfo) -> float:
    return info.decoder_bytes * _INTERLACED_NS / 1e9


PNG = Format(
    name="png",
    title="PNG",
    extensions=("png", "apng"),
    content_types=("image/png", "image/x-png", "image/apng"),
    begins=begins_with(SIGNATURE),
    decoding=Decoding(
        loader="pngload_source",
        loader_class="VipsForeignLoadPng",
        dissect=_dissect,
        bytes_a_piece=_BYTES_A_PIECE,
        working_bytes=_working_bytes,
        loses_nothing=True,
        is_composed=_is_animated,
        silent_seconds=_silent_seconds,
        forgives=True,
        blocks=_blocks,
    ),
)
