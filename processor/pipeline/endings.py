"""Whether a PNG or GIF is all there: their decoders make do with less, and show a cut animation as a short one."""

from __future__ import annotations

#: Length of a PNG's signature, in bytes.
_PNG_SIGNATURE = 8
#: What frames the body of a PNG chunk: length and kind before it, a checksum behind.
_PNG_FRAME = 12
#: Length of a GIF's signature and screen descriptor; the byte that holds the screen's flags.
_GIF_SCREEN, _GIF_SCREEN_FLAGS = 13, 10
#: Length of a GIF image descriptor with its separator; the byte that holds its flags.
_GIF_IMAGE, _GIF_IMAGE_FLAGS = 10, 9
#: How the blocks of a GIF begin (GIF89a, section 18 onwards).
_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
#: Flag of a colour table behind a descriptor; its size is 3 * 2 ** (low three bits + 1) bytes.
_HAS_TABLE = 0x80


def is_whole(data: bytes, format_: str) -> bool:
    """Whether the file goes on to its end marker. JPEG and WebP always pass: their decoders miss what is missing."""
    try:
        if format_ == "png":
            return _png_is_whole(data)
        return format_ != "gif" or _gif_is_whole(data)
    except IndexError:
        return False


def _png_is_whole(data: bytes) -> bool:
    at = _PNG_SIGNATURE
    while at + _PNG_FRAME <= len(data):
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at += _PNG_FRAME + int.from_bytes(data[at : at + 4], "big")
    return False


def _gif_is_whole(data: bytes) -> bool:
    at = _GIF_SCREEN + _colour_table(data[_GIF_SCREEN_FLAGS])
    while (kind := data[at]) != _TRAILER:
        if kind == _EXTENSION:
            at = _after_sub_blocks(data, at + 2)
        elif kind == _IMAGE:
            table = _colour_table(data[at + _GIF_IMAGE_FLAGS])
            at = _after_sub_blocks(data, at + _GIF_IMAGE + table + 1)  # one byte of code size
        else:
            return True  # stray bytes: not cut, and for the decoder to judge
    return True


def _colour_table(flags: int) -> int:
    return 3 * 2 ** ((flags & 0b111) + 1) if flags & _HAS_TABLE else 0


def _after_sub_blocks(data: bytes, at: int) -> int:
    while length := data[at]:
        at += 1 + length
    return at + 1
