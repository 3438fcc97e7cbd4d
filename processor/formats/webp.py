"""WebP (RFC 9649)."""

from __future__ import annotations

from collections.abc import Mapping

from processor.formats.anatomy import Anatomy, Pieces
from processor.formats.format import ROLL_BYTES, Decoding, Encoding, Format, Size
from processor.formats.info import ImageInfo
from processor.formats.signatures import riff

#: Bytes of the file's head, and of a chunk's.
_HEAD, _FRAME = 12, 8
#: Longest side that the container can express: 14 bits less one.
_LONGEST_SIDE = 16_383
#: From this effort on, libwebp looks at the whole picture before it decides how to write the modes of its blocks, for
#: which there are 512 KiB. Below, it looks at a quarter, and gives up when the rest is not alike.
_CAREFUL_EFFORT = 1
#: Bytes per pixel of a frame of an animation that libwebp holds while it decodes.
_DRAWN_BYTES = 8
#: Nanoseconds a pixel in which libwebp hears of no deadline, decoding without loss; see `pipeline.silence`.
_DECODING_NS = 100
#: The same compressing the noisiest alpha; not doubled, since it is rare and a smooth one takes a sixth.
_ALPHA_NS = 150


def _dissect(data: bytes, pieces: Pieces) -> Anatomy:
    at = _HEAD
    while at + _FRAME <= len(data):
        pieces.one()
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at += _FRAME + length + length % 2
    return Anatomy()


def _shrunk_on_load(width: int, height: int, shrink: float) -> Size:
    scale = 1.0 / shrink
    return max(1, round(width * scale)), max(1, round(height * scale))


def _working_bytes(info: ImageInfo, held_bytes: int) -> int:
    drawn = _DRAWN_BYTES if info.frames > 1 else ROLL_BYTES
    return held_bytes + info.pixels * info.bands + info.width * info.height * drawn


def _silent_decoding(info: ImageInfo) -> float:
    return info.pixels * _DECODING_NS / 1e9


def _silent_encoding(info: ImageInfo) -> float:
    return info.width * info.height * _ALPHA_NS / 1e9 if info.has_alpha else 0.0


def _options(quality: int, effort: int) -> Mapping[str, object]:
    return {"Q": quality, "effort": effort}


WEBP = Format(
    name="webp",
    title="WebP",
    extensions=("webp",),
    content_types=("image/webp",),
    begins=riff(b"WEBP"),
    decoding=Decoding(
        loader="webpload_source",
        loader_class="VipsForeignLoadWebp",
        dissect=_dissect,
        shrunk_on_load=_shrunk_on_load,
        working_bytes=_working_bytes,
        silent_seconds=_silent_decoding,
    ),
    encoding=Encoding(
        saver="webpsave_buffer",
        longest_side=_LONGEST_SIDE,
        options=_options,
        careful_effort=_CAREFUL_EFFORT,
        silent_seconds=_silent_encoding,
    ),
)
