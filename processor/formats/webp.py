"""WebP (RFC 9649)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from processor.formats.anatomy import MAX_PIECES, Anatomy, Pieces
from processor.formats.blocks import Block, Kind
from processor.formats.format import ROLL_BYTES, Decoding, Encoding, Format, Size, sizes_at
from processor.formats.info import ImageInfo
from processor.formats.signatures import riff

#: Bytes of the file's head; the part of it that its length field does not count; bytes of a chunk's head.
_HEAD, _UNCOUNTED, _FRAME = 12, 8, 8
#: Bytes of a frame of an animation before its chunks.
_FRAME_HEAD = 16
#: Offset of the flags in an extended file. The flags of a file without profile and metadata: animation, alpha.
_FLAGS_AT, _BARE_FLAGS = 20, 0x02 | 0x10
#: The chunks of a file without anything but its picture, and of a frame.
_BARE_STILL = re.compile(rb"VP8 |VP8L|VP8X(?:ALPH)?VP8 |VP8XVP8L")
_BARE_ANIMATION = re.compile(rb"VP8XANIM(?:ANMF)+")
_BARE_FRAME = re.compile(rb"(?:ALPH)?VP8 |VP8L")
#: The chunks with metadata.
_METADATA: Mapping[bytes, Kind] = {b"EXIF": Kind.EXIF, b"XMP ": Kind.XMP, b"ICCP": Kind.PROFILE}
#: Longest side that the container can express: 14 bits less one.
_LONGEST_SIDE = 16_383
#: From this effort on, libwebp looks at the whole picture before it decides how to code the modes of its blocks. They
#: must fit into 512 KiB. With less effort it looks at a quarter, and gives up if the rest is different.
_CAREFUL_EFFORT = 1
#: Bytes per pixel of one frame of an animation that libwebp needs while it decodes.
_DRAWN_BYTES = 8
#: Nanoseconds per pixel for which libwebp decodes a lossless file without checking a deadline; see `pipeline.silence`.
_DECODING_NS = 100
#: The same for compressing the noisiest alpha. It is not doubled, because it is rare, and smooth alpha needs a sixth.
_ALPHA_NS = 150


def _dissect(data: bytes, pieces: Pieces) -> Anatomy:
    found = [(kind, min(end, len(data)) - at) for kind, at, end in chunks(data, pieces) if kind in _METADATA]
    return Anatomy(
        metadata_bytes=sum(length for _, length in found),
        profile_bytes=sum(length for kind, length in found if _METADATA[kind] is Kind.PROFILE),
    )


def chunks(data: bytes, pieces: Pieces) -> Iterator[tuple[bytes, int, int]]:
    """The kind, start and end of each chunk, its head and its padding included. Raises `TooManyPieces`."""
    at = _HEAD
    while at + _FRAME <= len(data):
        pieces.one()
        length = int.from_bytes(data[at + 4 : at + _FRAME], "little")
        end = at + _FRAME + length + length % 2
        yield data[at : at + 4], at, end
        at = end


def _blocks(data: bytes) -> Iterator[Block]:
    view = memoryview(data)
    for name, start, _ in chunks(data, Pieces(MAX_PIECES)):
        if (kind := _METADATA.get(name)) is not None:
            length = int.from_bytes(data[start + 4 : start + _FRAME], "little")
            body = view[start + _FRAME : start + _FRAME + length]
            yield Block(kind=kind, data=body[6 * (bytes(body[:6]) == b"Exif\0\0") :])


def _shrunk_on_load(width: int, height: int, shrink: float) -> Size:
    scale = 1.0 / shrink
    return max(1, round(width * scale)), max(1, round(height * scale))


def _working_bytes(info: ImageInfo, held_bytes: int) -> int:
    drawn = _DRAWN_BYTES if info.frames > 1 else ROLL_BYTES
    return held_bytes + info.pixels * info.bands + info.width * info.height * drawn + info.decoder_bytes


def _silent_decoding(info: ImageInfo) -> float:
    return info.pixels * _DECODING_NS / 1e9


def _silent_encoding(info: ImageInfo) -> float:
    return info.width * info.height * _ALPHA_NS / 1e9 if info.has_alpha else 0.0


#: Relative size of files, by quality, for pictures that JPEG or WebP had compressed before. One in twenty shrinks less;
#: see `docs/performance.md`.
_SIZES = {40: 0.55, 50: 0.60, 60: 0.645, 70: 0.69, 75: 0.715, 80: 0.79, 85: 0.87, 90: 1.0, 95: 1.23, 100: 2.0}
#: With this quality, a variant is no larger than nearly every JPEG of quality 30.
_LEAST_QUALITY = 40
#: About 1920 x 1080. For the worst picture found, libwebp needs 58 MiB, and checks no deadline for a second.
_LOSSLESS_PIXELS = 2**21


def _is_bare(data: bytes) -> bool:
    if _UNCOUNTED + int.from_bytes(data[4:8], "little") != len(data):
        return False
    try:
        chunks = list(_chunks(data, _HEAD, len(data)))
        kinds = b"".join(kind for kind, _, _ in chunks)
        if kinds.startswith(b"VP8X") and data[_FLAGS_AT] & ~_BARE_FLAGS:
            return False
        frames = [list(_chunks(data, start + _FRAME_HEAD, end)) for kind, start, end in chunks if kind == b"ANMF"]
    except ValueError:
        return False
    whole = _BARE_ANIMATION if frames else _BARE_STILL
    in_frames = (b"".join(kind for kind, _, _ in frame) for frame in frames)
    return bool(whole.fullmatch(kinds)) and all(map(_BARE_FRAME.fullmatch, in_frames))


def _chunks(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each chunk. Raises `ValueError` unless they fill the bytes from `at` to `end`."""
    while at < end:
        start = at + _FRAME
        stop = start + int.from_bytes(data[at + 4 : start], "little")
        at, kind = stop + stop % 2, data[at : at + 4]
        if start > end or at > end:
            raise ValueError("not chunks to the end")
        yield kind, start, stop


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
        is_bare=_is_bare,
        blocks=_blocks,
    ),
    encoding=Encoding(
        saver="webpsave_buffer",
        longest_side=_LONGEST_SIDE,
        options=_options,
        size_at=sizes_at(_SIZES),
        least_quality=_LEAST_QUALITY,
        lossless={"lossless": True},
        lossless_pixels=_LOSSLESS_PIXELS,
        careful_effort=_CAREFUL_EFFORT,
        silent_seconds=_silent_encoding,
    ),
)
