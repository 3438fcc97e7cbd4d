"""Reads the chunks of a PNG (third edition): its colours, its animation, and whether anything was cut off."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from processor.errors import CorruptImage, TooManyPieces, UnsupportedFormat
from processor.formats.anatomy import MAX_PROFILE_BYTES
from processor.formats.png import PNG, SIGNATURE, profile_bytes
from processor.pipeline.colour import (
    PEAK,
    PRIMARIES,
    SRGB,
    TRANSFERS,
    Colour,
    Primaries,
    Transfer,
    is_possible,
)
from processor.pipeline.roll import Dispose

#: In front of a chunk's body: its length and kind. Behind it: a checksum of so many bytes.
_HEAD, _CHECKSUM = struct.Struct(">I4s"), 4
#: IHDR: width, height, bits per sample, colour type, compression, filter, interlacing.
_HEADER = struct.Struct(">IIBBBBB")
_COLOUR_TYPE_AT, _GREY, _RGB, _PALETTE = 9, 0, 2, 3
#: fcTL: sequence number, width, height, left, top, delay as a fraction of a second, disposal, blending.
_CONTROL = struct.Struct(">IIIIIHHBB")
#: acTL: number of frames, number of plays.
_ANIMATION = struct.Struct(">II")
_SEQUENCE_BYTES = 4
#: The most unknown chunks: each cuts the file into one more piece when it is copied.
MAX_FOREIGN = 100
#: The critical chunks of this edition.
_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
#: Chunks in front of the first pixels: those that each frame needs, and all that are read. The first of a kind counts.
_SHARED = (b"PLTE", b"tRNS")
_PLAYING = frozenset({b"IDAT", b"fcTL", b"fdAT"})
_HEEDED = frozenset({*_SHARED, b"acTL", b"cICP", b"sRGB", b"gAMA", b"cHRM", b"cLLI", b"mDCV"})
#: cICP: primaries, transfer, matrix, full range. gAMA and cHRM are in units of 1/100,000.
_CODE_POINTS, _FRACTION, _CHROMATICITIES = struct.Struct(">BBBB"), struct.Struct(">I"), struct.Struct(">8I")
#: cLLI and mDCV are in units of 1/10,000 cd/m².
_FRACTIONS_OF, _LUMINANCES_OF = 100_000, 10_000
#: About this gAMA without cHRM means sRGB. The second value is the tolerance. A curve steeper than the third is a
#: mistake in the file.
_USUAL_GAMMA, _USUAL_WITHIN, _STEEPEST = 1 / 2.2, 0.01, 10
_DISPOSALS = (Dispose.KEEP, Dispose.CLEAR, Dispose.RESTORE)
_OVER = 1
#: A delay with denominator 0 is in hundredths of a second.
_HUNDREDTHS = 100
#: The largest integer in PNG (PNG, 7.1); the number of rendering intents in sRGB.
_LARGEST, _INTENTS = 2**31 - 1, 4
#: A zlib stream (RFC 1950). Its head is a multiple of 31, names deflate, and needs no dictionary. At its end is the
#: checksum of the uncompressed data.
_ZLIB_HEAD, _ZLIB_END, _ZLIB_CHECK, _DEFLATE, _DICTIONARY = 2, 4, 31, 8, 0x20
#: Samples per pixel, by colour type. The passes of an interlaced picture: left, top, step to the right, step down.
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
#: Bytes that are decompressed at once, and the level at which they are compressed again: the fastest.
_PIECE_BYTES, _LEVEL = 1024 * 1024, 1


class Chunk(NamedTuple):
    """Position of a chunk's body. It is a tuple, because a file may have a million chunks."""

    kind: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame of an animation, and the chunks of its compressed pixels. `over`: it is blended by its alpha."""

    left: int
    top: int
    width: int
    height: int
    delay_ms: int
    dispose: Dispose
    over: bool
    chunks: list[Chunk] = field(default_factory=list, repr=False)
    #: A frame draws its whole area. The colour type says whether pixels may be transparent.
    draws_all: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Animation:
    """The frames of an APNG, and how often they play (0: for ever). `promised` is the number of frames in acTL."""

    promised: int
    loop: int
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Png:
    """The chunks of a file: `preamble` has those in front of the pixels, by kind.

    `foreign` are chunks that may be dropped: unknown ones, and profiles that are too large to be used. The last
    complete chunk ends at `sound_end`; `ended`: it is the end marker.
    """

    width: int
    height: int
    header: Chunk
    preamble: Mapping[bytes, Chunk]
    pixels: tuple[Chunk, ...] = field(repr=False)
    foreign: tuple[Chunk, ...] = field(repr=False)
    sound_end: int
    ended: bool
    animation: Animation | None


def read(data: bytes) -> Png:
    """Reads the chunks up to the end marker, or to bytes that are no chunk.

    Raises `CorruptImage` if there is no header, no pixel, or a damaged animation; `UnsupportedFormat` for an unknown
    critical chunk; `TooManyPieces`.
    """
    chunks = _chunks(data)
    header = _header(data, next(chunks, None))
    first: dict[bytes, Chunk] = {}
    playing: list[Chunk] = []
    foreign: list[Chunk] = []
    sound_end, ended = _end(header), False
    for chunk in chunks:
        _check_known(data, chunk)
        if chunk.kind in _PLAYING:
            playing.append(chunk)
        elif chunk.kind in _HEEDED:
            first.setdefault(chunk.kind, chunk)
        elif (chunk.kind[:1].islower() and chunk.kind[2:3].islower()) or _is_huge_profile(data, chunk):
            foreign.append(_allowed(chunk, len(foreign)))
        if _end(chunk) > len(data):
            break
        sound_end, ended = _end(chunk), chunk.kind == b"IEND"
    pixels = tuple(chunk for chunk in playing if chunk.kind == b"IDAT")
    if not pixels:
        raise CorruptImage
    heeded = {kind: chunk for kind, chunk in first.items() if chunk.start < pixels[0].start}
    width, height = struct.unpack_from(">II", data, header.start)
    return Png(
        width=width,
        height=height,
        header=header,
        preamble=heeded,
        pixels=pixels,
        foreign=tuple(foreign),
        sound_end=sound_end,
        ended=ended,
        animation=_animation(data, width, height, heeded.get(b"acTL"), playing),
    )


def _is_huge_profile(data: bytes, chunk: Chunk) -> bool:
    return chunk.kind == b"iCCP" and profile_bytes(memoryview(data)[chunk.start : chunk.end]) > MAX_PROFILE_BYTES


def mended(data: bytes, png: Png) -> bytes:
    """The same picture in a file that libpng reads, if all pixels are there.

    Foreign chunks are dropped. A missing end marker is added. If a chunk of pixels was
    cut off, it is shortened to the bytes that are there.
    """
    if not png.foreign:
        return data if png.ended else b"".join((memoryview(data)[: png.sound_end], _rest(data, png)))
    view, at, kept = memoryview(data), 0, []
    for chunk in png.foreign:
        kept.append(view[at : chunk.start - _HEAD.size])
        at = _end(chunk)
    kept.append(view[at:] if png.ended else view[at : png.sound_end])
    return b"".join((*kept, b"" if png.ended else _rest(data, png)))


def completed(data: bytes, png: Png, check: Callable[[], None]) -> bytearray:
    """A still whose pixels are compressed again, because libpng refuses the stream although no pixel is missing.

    The stream may be cut off behind the last pixel, or need a larger zlib window than it declares. A wrong checksum is
    damage. Raises `CorruptImage`, and what `check` raises; it is called now and then.
    """
    view = memoryview(data)
    stream = b"".join(view[chunk.start : chunk.end] for chunk in _arrived(data, png.pixels))
    again = zlib.compressobj(_LEVEL)
    head = view[: png.pixels[0].start - _HEAD.size]
    file, at = bytearray(head), len(head)
    file += bytes(_HEAD.size)
    for piece in _inflated(stream, _raw_bytes(data, png), check):
        file += again.compress(piece)
    file += again.flush()
    _HEAD.pack_into(file, at, len(file) - at - _HEAD.size, b"IDAT")
    file += struct.pack(">I", zlib.crc32(memoryview(file)[at + _HEAD.size - len(b"IDAT") :]))
    file += _chunk(b"IEND", b"")
    return file


def still(data: bytes, png: Png, frame: Frame) -> bytes:
    """One frame of an animation as a PNG of its own. Raises `CorruptImage` for a chunk with a wrong checksum."""
    view = memoryview(data)
    size = struct.pack(">II", frame.width, frame.height)
    head = _chunk(b"IHDR", size + data[png.header.start + len(size) : png.header.end])
    found = (png.preamble[kind] for kind in _SHARED if kind in png.preamble)
    shared = [view[chunk.start - _HEAD.size : _end(chunk)] for chunk in found]
    pixels = b"".join(
        view[chunk.start + (_SEQUENCE_BYTES if chunk.kind == b"fdAT" else 0) : chunk.end]
        for chunk in _arrived(data, frame.chunks)
    )
    return b"".join((SIGNATURE, head, *shared, _chunk(b"IDAT", pixels), _chunk(b"IEND", b"")))


def _arrived(data: bytes, chunks: Sequence[Chunk]) -> Sequence[Chunk]:
    """The chunks. Raises `CorruptImage` if one is damaged.

    The file may end within the last one. Then the decoder finds out whether the rest has all pixels.
    """
    torn = 1 if chunks and _end(chunks[-1]) > len(data) else 0
    if not chunks or not all(is_intact(data, chunk) for chunk in chunks[: len(chunks) - torn]):
        raise CorruptImage
    return chunks


def _inflated(stream: bytes, wanted: int, check: Callable[[], None]) -> Iterator[bytes]:
    """The first `wanted` bytes of a zlib stream. Raises `CorruptImage` if it has fewer, or a wrong checksum."""
    head = int.from_bytes(stream[:_ZLIB_HEAD], "big")
    if head % _ZLIB_CHECK or head >> 8 & 0x0F != _DEFLATE or head & _DICTIONARY:
        raise CorruptImage
    inflater, left, checksum = zlib.decompressobj(-zlib.MAX_WBITS), wanted, 1
    for piece in _pieces(inflater, stream):
        check()
        checksum = zlib.adler32(piece, checksum)
        yield piece[: max(0, left)]
        left -= len(piece)
        if left < -_PIECE_BYTES:
            raise CorruptImage
    end = inflater.unused_data[:_ZLIB_END]
    if left > 0 or not checksum.to_bytes(_ZLIB_END, "big").startswith(end):
        raise CorruptImage


def _pieces(inflater: zlib._Decompress, stream: bytes) -> Iterator[bytes]:
    """The decompressed stream, piece by piece. Raises `CorruptImage` if it is damaged."""
    view = memoryview(stream)
    try:
        for at in range(_ZLIB_HEAD, len(stream), _PIECE_BYTES):
            rest: bytes | memoryview = view[at : at + _PIECE_BYTES]
            if inflater.eof:
                inflater.decompress(rest[:_ZLIB_END])  # the checksum, or the remaining bytes of it
                return
            while rest and not inflater.eof:
                yield inflater.decompress(rest, _PIECE_BYTES)
                rest = inflater.unconsumed_tail
        while not inflater.eof and (piece := inflater.decompress(b"", _PIECE_BYTES)):
            yield piece
    except zlib.error:
        raise CorruptImage from None


def _raw_bytes(data: bytes, png: Png) -> int:
    """Length of all rows, including the filter byte of each. Raises `CorruptImage`."""
    width, height, depth, kind, _, _, interlaced = _HEADER.unpack_from(data, png.header.start)
    if kind not in _SAMPLES:
        raise CorruptImage
    bits, whole = depth * _SAMPLES[kind], ((0, 0, 1, 1),)
    sizes = (
        (-(-(width - left) // right), -(-(height - top) // down))
        for left, top, right, down in (_PASSES if interlaced else whole)
    )
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)


def is_intact(data: bytes, chunk: Chunk) -> bool:
    """Whether the chunk is complete and its checksum is right."""
    if _end(chunk) > len(data):
        return False
    found: int = struct.unpack_from(">I", data, chunk.end)[0]
    return zlib.crc32(memoryview(data)[chunk.start - 4 : chunk.end]) == found


def alpha_levels(data: bytes, png: Png) -> int:
    """The most alpha levels that the pixels can have. Blending frames may add levels; then a palette counts as 256."""
    kind = data[png.header.start + _COLOUR_TYPE_AT]
    if kind in (_GREY, _RGB):
        return 2  # solid and clear: tRNS names one transparent colour
    chunk = png.preamble.get(b"tRNS")
    told = data[chunk.start : chunk.end] if chunk else b""
    over = png.animation is not None and any(frame.over for frame in png.animation.frames)
    levels = len({*told, 0, 255})
    return levels if kind == _PALETTE and (not over or levels == 2) else 256  # noqa: PLR2004 - solid and clear


def coded_colour(data: bytes, png: Png) -> Colour | None:
    """The colour in cICP, which has priority over all others; None: there is none, or it cannot be used."""
    body = _body(data, png, b"cICP", _CODE_POINTS.size)
    if body is None:
        return None
    primaries, transfer, matrix, full_range = _CODE_POINTS.unpack(body)
    if primaries not in PRIMARIES or transfer not in TRANSFERS or matrix != 0 or full_range > 1:
        return None
    return Colour(PRIMARIES[primaries], TRANSFERS[transfer], full_range == 1, _peak(data, png))


def measured_colour(data: bytes, png: Png) -> Colour | None:
    """The colour in gAMA and cHRM. A profile has priority over it. None: there is none, or it is sRGB."""
    gamma = _body(data, png, b"gAMA", _FRACTION.size)
    intent = _body(data, png, b"sRGB", 1)
    if gamma is None or (intent is not None and intent[0] < _INTENTS):
        return None  # browsers ignore cHRM without gAMA
    exponent = _FRACTIONS_OF / max(_FRACTION.unpack(gamma)[0], 1)
    if not 1 / _STEEPEST <= exponent <= _STEEPEST:
        return None
    primaries = _measured_primaries(data, png)
    if primaries is None:
        if abs(exponent * _USUAL_GAMMA - 1) < _USUAL_WITHIN:
            return None
        primaries = SRGB.primaries
    return Colour(primaries, Transfer("gamma", exponent))


def _measured_primaries(data: bytes, png: Png) -> Primaries | None:
    body = _body(data, png, b"cHRM", _CHROMATICITIES.size)
    if body is None:
        return None
    x = [value / _FRACTIONS_OF for value in _CHROMATICITIES.unpack(body)]
    primaries = Primaries((x[0], x[1]), (x[2], x[3]), (x[4], x[5]), (x[6], x[7]))
    return primaries if is_possible(primaries) else None


def _peak(data: bytes, png: Png) -> float:
    """Brightness of the brightest pixel, in cd/m²: as measured (cLLI), or else of the mastering display (mDCV)."""
    measured = _body(data, png, b"cLLI", 8)
    made_on = _body(data, png, b"mDCV", 24)
    told = [int.from_bytes(measured[:4], "big")] if measured else []
    told += [int.from_bytes(made_on[16:20], "big")] if made_on else []
    return next((value / _LUMINANCES_OF for value in told if value), PEAK)


def _body(data: bytes, png: Png, kind: bytes, size: int) -> bytes | None:
    """Body of the first such chunk in front of the pixels; None: missing or damaged, so the next in priority counts."""
    chunk = png.preamble.get(kind)
    if chunk is None or chunk.end - chunk.start != size or not is_intact(data, chunk):
        return None
    return data[chunk.start : chunk.end]


def _chunks(data: bytes) -> Iterator[Chunk]:
    """Every chunk. The last one may be cut off by the end of the file."""
    at = len(SIGNATURE)
    while at + _HEAD.size <= len(data):
        length, kind = _HEAD.unpack_from(data, at)
        if not kind.isalpha():
            return
        chunk = Chunk(kind, at + _HEAD.size, at + _HEAD.size + length)
        yield chunk
        if kind == b"IEND":
            return
        at = _end(chunk)


def _end(chunk: Chunk) -> int:
    return chunk.end + _CHECKSUM


def _header(data: bytes, chunk: Chunk | None) -> Chunk:
    """The first chunk. Raises `CorruptImage` if it is no intact IHDR; `UnsupportedFormat`."""
    if chunk is not None:
        _check_known(data, chunk)
    if chunk is None or chunk.kind != b"IHDR" or chunk.end - chunk.start != _HEADER.size or not is_intact(data, chunk):
        raise CorruptImage
    return chunk


def _allowed(chunk: Chunk, already: int) -> Chunk:
    if already == MAX_FOREIGN:
        raise TooManyPieces(limit=MAX_FOREIGN)
    return chunk


def _check_known(data: bytes, chunk: Chunk) -> None:
    if chunk.kind[:1].isupper() and chunk.kind not in _CRITICAL and is_intact(data, chunk):
        raise UnsupportedFormat(f"{PNG.title} (with {chunk.kind.decode()})")


def _rest(data: bytes, png: Png) -> bytes:
    """Replaces the chunk that was cut off: its pixels, if any, in a complete chunk, then the end marker."""
    rest = data[png.sound_end :]
    pixels = _chunk(b"IDAT", rest[_HEAD.size :][: int.from_bytes(rest[:4], "big")]) if rest[4:8] == b"IDAT" else b""
    return pixels + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return b"".join((_HEAD.pack(len(body), kind), body, struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))))


def _animation(data: bytes, width: int, height: int, told: Chunk | None, playing: Sequence[Chunk]) -> Animation | None:
    """None: a still. Damage in front of the first frame makes it a still (PNG, third edition).

    Raises `CorruptImage` for later damage.
    """
    if told is None or told.end - told.start != _ANIMATION.size or not is_intact(data, told):
        return None
    promised, loop = _ANIMATION.unpack_from(data, told.start)
    if not 0 < promised <= _LARGEST or not _begins(data, playing):
        return None
    return Animation(promised=promised, loop=loop, frames=_frames(data, width, height, playing))


def _begins(data: bytes, playing: Sequence[Chunk]) -> bool:
    """Whether there is a frame. If the first frame is also the default image, its fcTL must be intact."""
    first = playing[0]
    if first.kind == b"fcTL":
        return first.end - first.start == _CONTROL.size and is_intact(data, first)
    return any(chunk.kind != b"IDAT" for chunk in playing)


def _frames(data: bytes, width: int, height: int, playing: Sequence[Chunk]) -> tuple[Frame, ...]:
    frames: list[Frame] = []
    number = 0
    for chunk in playing:
        if chunk.kind == b"IDAT":
            if frames:
                _check_default(frames, width, height)
                frames[0].chunks.append(chunk)
            continue
        if chunk.end > len(data) and chunk.kind == b"fcTL":
            break  # the missing frame shows in the number of frames
        if data[chunk.start : min(chunk.start + _SEQUENCE_BYTES, chunk.end)] != struct.pack(">I", number):
            raise CorruptImage
        number += 1
        if chunk.kind == b"fcTL":
            frames.append(_frame(data, chunk, width, height))
        elif frames:
            frames[-1].chunks.append(chunk)
        else:
            raise CorruptImage
    return tuple(frames)


def _check_default(frames: Sequence[Frame], width: int, height: int) -> None:
    """The default image must be as large as the screen; it can be no frame except the first. Raises `CorruptImage`."""
    first = frames[0]
    if len(frames) > 1 or (first.left, first.top, first.width, first.height) != (0, 0, width, height):
        raise CorruptImage


def _frame(data: bytes, chunk: Chunk, screen_width: int, screen_height: int) -> Frame:
    if chunk.end - chunk.start != _CONTROL.size or not is_intact(data, chunk):
        raise CorruptImage
    _, width, height, left, top, units, of, disposal, blending = _CONTROL.unpack_from(data, chunk.start)
    fits = 0 < width <= screen_width - left and 0 < height <= screen_height - top
    if not fits or disposal >= len(_DISPOSALS) or blending > _OVER:
        raise CorruptImage
    return Frame(
        left=left,
        top=top,
        width=width,
        height=height,
        delay_ms=round(1000 * units / (of or _HUNDREDTHS)),
        dispose=_DISPOSALS[disposal],
        over=blending == _OVER,
    )
