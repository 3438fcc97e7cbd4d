"""PNG and APNG (W3C, "Portable Network Graphics", third edition)."""

from __future__ import annotations

from processor.formats.anatomy import Anatomy, Pieces
from processor.formats.format import Decoding, Format, composed
from processor.formats.info import ImageInfo
from processor.formats.signatures import begins_with

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Bytes of a chunk besides its data.
_FRAME = 12
#: Pixels are divided into pieces too, usually of 8 KiB. An average of so many bytes per piece is allowed.
_BYTES_A_PIECE = 64
#: Bytes per pixel of a frame while it is drawn: for its decoder, the screen and the frame itself.
_DRAWN_BYTES = 16
#: Nanoseconds per byte of an interlaced picture for which libspng checks no deadline; see `pipeline.silence`.
_INTERLACED_NS = 20


def _dissect(data: bytes, pieces: Pieces) -> Anatomy:
    at = len(SIGNATURE)
    while at + _FRAME <= len(data):
        pieces.one()
        at += _FRAME + int.from_bytes(data[at : at + 4], "big")
    return Anatomy()


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
    ),
)
