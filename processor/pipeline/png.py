"""What a PNG holds, by its chunks (PNG, third edition): colours, animation, and whether anything was cut off."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from processor.errors import CorruptImage, UnsupportedFormat
from processor.formats.png import PNG, SIGNATURE
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

#: Length and kind in front of a chunk's body; length of the checksum behind it.
_HEAD, _CHECKSUM = struct.Struct(">I4s"), 4
#: IHDR: width, height, bits a sample, colour type, compression, filter, interlacing.
_HEADER = struct.Struct(">IIBBBBB")
#: fcTL: number in sequence, width, height, left, top, delay as a fraction of seconds, disposal, blending.
_CONTROL = struct.Struct(">IIIIIHHBB")
#: acTL: number of frames, number of plays.
_ANIMATION = struct.Struct(">II")
_SEQUENCE_BYTES = 4
#: Critical chunks that this edition knows.
_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
#: What each frame needs of the chunks in front of the first pixels.
_SHARED = frozenset({b"PLTE", b"tRNS"})
#: cICP: primaries, transfer, matrix, full range. gAMA and each part of cHRM count 1/100,000; brightness, 1/10,000.
_CODE_POINTS, _FRACTION, _CHROMATICITIES = struct.Struct(">BBBB"), struct.Struct(">I"), struct.Struct(">8I")
_FRACTIONS_OF, _LUMINANCES_OF = 100_000, 10_000
#: gAMA without cHRM that says this, within so much, means sRGB; a steeper curve than that is a mistake.
_USUAL_GAMMA, _USUAL_WITHIN, _STEEPEST = 1 / 2.2, 0.01, 10
_DISPOSALS = (Dispose.KEEP, Dispose.CLEAR, Dispose.RESTORE)
_OVER = 1
#: A fraction of seconds without a denominator counts hundredths.
_HUNDREDTHS = 100
#: Bits of the first byte of a zlib stream that tell its window, and their largest value (RFC 1950).
_WINDOW_BITS, _WINDOW_MAX, _ZLIB_HEAD = 0xF0, 0x70, 2


@dataclass(frozen=True, slots=True)
class Chunk:
    """Where the body of a chunk lies."""

    kind: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame of an animation, and the parts of its compressed pixels."""

    left: int
    top: int
    width: int
    height: int
    delay_ms: int
    dispose: Dispose
    over: bool
    parts: list[Chunk] = field(default_factory=list, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Animation:
    """What an APNG plays, and how often (0: for ever). `promised` is the number of frames that it tells."""

    promised: int
    loop: int
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Png:
    """A file's chunks: those in front of the pixels, the first and last of the pixels', and how it ends.

    `sound_end` is where the last whole chunk ends; `ended` tells whether that one is the end marker.
    """

    width: int
    height: int
    header: Chunk
    preamble: tuple[Chunk, ...]
    pixels: Chunk
    sound_end: int
    ended: bool
    animation: Animation | None


def read(data: bytes) -> Png:
    """The chunks, up to the end marker or what is no chunk any more.

    Raises `CorruptImage` when there is no header, no pixel, or a damaged animation; `UnsupportedFormat` when a chunk
    that must be understood is of a kind that no edition knows.
    """
    header: Chunk | None = None
    pixels: Chunk | None = None
    preamble: list[Chunk] = []
    playing: list[Chunk] = []
    sound_end, ended = len(SIGNATURE), False
    for chunk in _chunks(data):
        _check_known(data, chunk)
        if header is None:
            if chunk.kind != b"IHDR" or chunk.end - chunk.start != _HEADER.size or not is_intact(data, chunk):
                raise CorruptImage
            header = chunk
        elif chunk.kind in (b"IDAT", b"fcTL", b"fdAT"):
            playing.append(chunk)
            pixels = pixels or (chunk if chunk.kind == b"IDAT" else None)
        elif pixels is None:
            preamble.append(chunk)
        if _end(chunk) > len(data):
            break
        sound_end, ended = _end(chunk), chunk.kind == b"IEND"
    if header is None or pixels is None:
        raise CorruptImage
    width, height = struct.unpack_from(">II", data, header.start)
    return Png(
        width=width,
        height=height,
        header=header,
        preamble=tuple(preamble),
        pixels=pixels,
        sound_end=sound_end,
        ended=ended,
        animation=_animation(data, width, height, preamble, playing),
    )


def mended(data: bytes, png: Png) -> bytes:
    """The same picture in a file that libpng reads, where nothing is missing but what it can do without.

    An end marker that was cut off is put back, behind a chunk that is as long as what came of it. A zlib window that is
    too small for its data, as some encoders declare it, is declared as large as may be.
    """
    data = data if png.ended else _with_end(data, png)
    first = png.pixels
    small = first.end - first.start >= _ZLIB_HEAD and data[first.start] & _WINDOW_BITS < _WINDOW_MAX
    if not small or not is_intact(data, first):
        return data
    method = data[first.start] | _WINDOW_MAX
    flags = data[first.start + 1] & 0xE0
    flags += -(method * 256 + flags) % 31
    body = bytes((method, flags)) + data[first.start + 2 : first.end]
    return data[: first.start - _HEAD.size] + _chunk(b"IDAT", body) + data[_end(first) :]


def still(data: bytes, png: Png, frame: Frame) -> bytes:
    """One frame of an animation as a PNG of its own. Raises `CorruptImage` when a part of it has a wrong checksum."""
    if not frame.parts or not all(is_intact(data, part) for part in frame.parts):
        raise CorruptImage
    view = memoryview(data)
    size = struct.pack(">II", frame.width, frame.height)
    head = _chunk(b"IHDR", size + data[png.header.start + len(size) : png.header.end])
    shared = [view[chunk.start - _HEAD.size : _end(chunk)] for chunk in png.preamble if chunk.kind in _SHARED]
    skip = [_SEQUENCE_BYTES if part.kind == b"fdAT" else 0 for part in frame.parts]
    pixels = b"".join(view[part.start + less : part.end] for part, less in zip(frame.parts, skip, strict=True))
    return b"".join((SIGNATURE, head, *shared, _chunk(b"IDAT", pixels), _chunk(b"IEND", b"")))


def is_intact(data: bytes, chunk: Chunk) -> bool:
    """Whether the chunk is all there and its checksum is right."""
    if _end(chunk) > len(data):
        return False
    found: int = struct.unpack_from(">I", data, chunk.end)[0]
    return zlib.crc32(memoryview(data)[chunk.start - 4 : chunk.end]) == found


def coded_colour(data: bytes, png: Png) -> Colour | None:
    """What cICP says, which goes before everything else; None where it says nothing that can be used."""
    body = _body(data, png, b"cICP", _CODE_POINTS.size)
    if body is None:
        return None
    primaries, transfer, matrix, full_range = _CODE_POINTS.unpack(body)
    if primaries not in PRIMARIES or transfer not in TRANSFERS or matrix != 0 or full_range > 1:
        return None
    return Colour(PRIMARIES[primaries], TRANSFERS[transfer], full_range == 1, _peak(data, png))


def measured_colour(data: bytes, png: Png) -> Colour | None:
    """What gAMA and cHRM say, which go behind a profile; None where they say nothing, or sRGB."""
    gamma = _body(data, png, b"gAMA", _FRACTION.size)
    if gamma is None or _body(data, png, b"sRGB", 1) is not None:
        return None  # without gAMA, browsers do not heed cHRM
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
    """How bright the picture gets, in cd/m²: what was measured, or else what it was made on."""
    measured = _body(data, png, b"cLLI", 8)
    made_on = _body(data, png, b"mDCV", 24)
    told = [int.from_bytes(measured[:4], "big")] if measured else []
    told += [int.from_bytes(made_on[16:20], "big")] if made_on else []
    return next((value / _LUMINANCES_OF for value in told if value), PEAK)


def _body(data: bytes, png: Png, kind: bytes, size: int) -> bytes | None:
    """Of the first such chunk in front of the pixels; None where it is damaged, so that the next in rank counts."""
    chunk = next((chunk for chunk in png.preamble if chunk.kind == kind), None)
    if chunk is None or chunk.end - chunk.start != size or not is_intact(data, chunk):
        return None
    return data[chunk.start : chunk.end]


def _chunks(data: bytes) -> Iterator[Chunk]:
    """Every chunk; the last one may end behind the file."""
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


def _check_known(data: bytes, chunk: Chunk) -> None:
    if chunk.kind[:1].isupper() and chunk.kind not in _CRITICAL and is_intact(data, chunk):
        raise UnsupportedFormat(f"{PNG.title} (with {chunk.kind.decode()})")


def _with_end(data: bytes, png: Png) -> bytes:
    """Up to the cut; pixels from a chunk that was cut are kept in one that is whole."""
    whole, rest = data[: png.sound_end], data[png.sound_end :]
    if rest[4:8] == b"IDAT":
        whole += _chunk(b"IDAT", rest[_HEAD.size :][: int.from_bytes(rest[:4], "big")])
    return whole + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return b"".join((_HEAD.pack(len(body), kind), body, struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))))


def _animation(
    data: bytes, width: int, height: int, preamble: Sequence[Chunk], playing: Sequence[Chunk]
) -> Animation | None:
    """Damage in front of the first frame leaves a still, as the specification has it; later damage is damage."""
    told = [chunk for chunk in preamble if chunk.kind == b"acTL"]
    if not told or told[0].end - told[0].start != _ANIMATION.size or not is_intact(data, told[0]):
        return None
    promised, loop = _ANIMATION.unpack_from(data, told[0].start)
    if not promised:
        return None
    return Animation(promised=promised, loop=loop, frames=_frames(data, width, height, playing))


def _frames(data: bytes, width: int, height: int, playing: Sequence[Chunk]) -> tuple[Frame, ...]:
    frames: list[Frame] = []
    number = 0
    for chunk in playing:
        if chunk.kind == b"IDAT":
            if frames:
                _check_default(frames, width, height)
                frames[0].parts.append(chunk)
            continue
        if chunk.end > len(data):
            break  # told by the number of frames, or by their parts
        if data[chunk.start : min(chunk.start + _SEQUENCE_BYTES, chunk.end)] != struct.pack(">I", number):
            raise CorruptImage
        number += 1
        if chunk.kind == b"fcTL":
            frames.append(_frame(data, chunk, width, height))
        elif frames:
            frames[-1].parts.append(chunk)
        else:
            raise CorruptImage
    return tuple(frames)


def _check_default(frames: Sequence[Frame], width: int, height: int) -> None:
    """The picture that other viewers show is the first frame or none of them, and as large as the screen."""
    first = frames[0]
    if len(frames) > 1 or (first.left, first.top, first.width, first.height) != (0, 0, width, height):
        raise CorruptImage


def _frame(data: bytes, chunk: Chunk, screen_width: int, screen_height: int) -> Frame:
    if chunk.end - chunk.start != _CONTROL.size or not is_intact(data, chunk):
        raise CorruptImage
    _, width, height, left, top, parts, of, disposal, blending = _CONTROL.unpack_from(data, chunk.start)
    fits = 0 < width <= screen_width - left and 0 < height <= screen_height - top
    if not fits or disposal >= len(_DISPOSALS) or blending > _OVER:
        raise CorruptImage
    return Frame(
        left=left,
        top=top,
        width=width,
        height=height,
        delay_ms=round(1000 * parts / (of or _HUNDREDTHS)),
        dispose=_DISPOSALS[disposal],
        over=blending == _OVER,
    )
