"""GIF (version 89a)."""

from __future__ import annotations

from collections.abc import Iterator

from processor.formats.anatomy import MAX_PIECES, Anatomy, Pieces
from processor.formats.blocks import Block, Kind
from processor.formats.format import Decoding, Format, composed
from processor.formats.info import ImageInfo
from processor.formats.signatures import begins_with

#: Length of the head with the screen descriptor, and the offset of its flags; the same for an image.
_SCREEN, _SCREEN_FLAGS, _IMAGE_HEAD, _IMAGE_FLAGS = 13, 10, 10, 9
EXTENSION, IMAGE = 0x21, 0x2C
_HAS_TABLE = 0x80
#: The extension of a comment; that of an application, with the name and the length of XMP's, which lies there in one
#: piece; what ends it (Adobe, "XMP Specification", part 3), and the most bytes before that.
_COMMENT, _APPLICATION, _XMP, _XMP_AT = 0xFE, 0xFF, b"\x0bXMP DataXMP", 12
_XMP_END, _MOST_XMP = b"\x01\xff\xfe\xfd", 256 * 1024
#: Pixels are divided into pieces too, usually of 255 bytes. An average of so many bytes per piece is allowed.
_BYTES_A_PIECE = 64
#: Bytes per pixel of a frame while it is drawn: for its decoder, the screen and the frame itself. Then the same for a
#: file with one frame, which needs no screen.
_DRAWN_BYTES, _ONE_FRAME_BYTES = 13, 10


def _dissect(data: bytes, pieces: Pieces) -> Anatomy:
    at = _SCREEN + colour_table(data[_SCREEN_FLAGS])
    while (kind := data[at]) in (EXTENSION, IMAGE):
        pieces.one()
        if kind == EXTENSION:
            at += 2
        else:
            at += _IMAGE_HEAD + colour_table(data[at + _IMAGE_FLAGS]) + 1
        while length := data[at]:
            pieces.one()
            at += 1 + length
        at += 1
    return Anatomy()


def _blocks(data: bytes) -> Iterator[Block]:
    view, at = memoryview(data), _SCREEN + colour_table(data[_SCREEN_FLAGS])
    left = MAX_PIECES
    while left > 0:
        left -= 1
        if (kind := data[at]) not in (EXTENSION, IMAGE):
            return
        if kind == IMAGE:
            at += _IMAGE_HEAD + colour_table(data[at + _IMAGE_FLAGS]) + 1
        else:
            at += 2
            if data[at - 1] == _COMMENT:
                yield Block(kind=Kind.COMMENT, data=view[at + 1 : at + 1 + data[at]])
            elif data[at - 1] == _APPLICATION and data[at : at + _XMP_AT] == _XMP:
                end = data.find(_XMP_END, at, at + _MOST_XMP)
                yield Block(kind=Kind.XMP, data=view[at + _XMP_AT : end if end > 0 else at + _MOST_XMP])
        while length := data[at]:
            left -= 1
            at += 1 + length
        at += 1


def colour_table(flags: int) -> int:
    """Bytes of the table that flags tell of."""
    return 3 * 2 ** ((flags & 0b111) + 1) if flags & _HAS_TABLE else 0


def _working_bytes(info: ImageInfo, held_bytes: int) -> int:
    if info.frames == 1:
        return held_bytes + info.width * info.height * _ONE_FRAME_BYTES
    return composed(info, held_bytes, _DRAWN_BYTES)


GIF = Format(
    name="gif",
    title="GIF",
    extensions=("gif",),
    content_types=("image/gif",),
    begins=begins_with(b"GIF87a", b"GIF89a"),
    decoding=Decoding(
        loses_nothing=True,
        loader="gifload_source",
        loader_class="VipsForeignLoadNsgif",
        dissect=_dissect,
        bytes_a_piece=_BYTES_A_PIECE,
        working_bytes=_working_bytes,
        is_composed=lambda _: True,
        blocks=_blocks,
    ),
)
