"""GIF and APNG written frame by frame, so that every flag of theirs can be set, and set wrong."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from processor.pipeline import gif
from tests.corpus.containers import PNG_SIGNATURE, chunk, png_chunks

#: The palette of every GIF here; the first colour is the background's.
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
PALETTE = (RED, GREEN, BLUE, WHITE)
#: Disposal methods of GIF.
KEEP, BACKGROUND, PREVIOUS = 1, 2, 3
#: Disposal and blending of APNG.
APNG_KEEP, APNG_BACKGROUND, APNG_PREVIOUS = 0, 1, 2
SOURCE, OVER = 0, 1

Colour = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A frame of one colour somewhere on the screen. In a GIF, `colour` is an index of the palette."""

    left: int = 0
    top: int = 0
    width: int
    height: int
    colour: Colour | int
    dispose: int = 0
    delay: int = 10
    transparent: int | None = None
    blend: int = SOURCE


def gif_of(
    width: int,
    height: int,
    parts: Sequence[Part],
    *,
    repeats: int | None = None,
    trailer: bytes = b"\x3b",
    pixels: int | None = None,
) -> bytes:
    """A GIF of these frames, delays in 10 ms; `pixels` replaces how many pixels the last frame brings."""
    screen = struct.pack("<HHBBB", width, height, 0x80 | 0x01, 0, 0)
    looping = b"" if repeats is None else b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", repeats) + b"\x00"
    frames = [_gif_frame(part, None if part is not parts[-1] else pixels) for part in parts]
    return b"GIF89a" + screen + bytes(sum(PALETTE, ())) + looping + b"".join(frames) + trailer


def _gif_frame(part: Part, pixels: int | None) -> bytes:
    transparent = part.transparent
    flags = part.dispose << 2 | (transparent is not None)
    control = b"\x21\xf9\x04" + struct.pack("<BHBB", flags, part.delay, transparent or 0, 0)
    area = struct.pack("<BHHHHB", 0x2C, part.left, part.top, part.width, part.height, 0)
    count = part.width * part.height if pixels is None else pixels
    assert isinstance(part.colour, int)
    return control + area + b"\x02" + _blocks(_lzw([part.colour] * count)) + b"\x00"


def _lzw(indices: Sequence[int]) -> bytes:
    """Two bits a pixel in codes of three, with a clear code before they would grow."""
    codes = [code for at in range(0, len(indices), 2) for code in (4, *indices[at : at + 2])] or [4]
    bits = sum(code << 3 * place for place, code in enumerate([*codes, 5]))
    return bits.to_bytes((3 * (len(codes) + 1) + 7) // 8, "little")


def _blocks(data: bytes) -> bytes:
    return b"".join(bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255))


def apng_chunks(
    width: int,
    height: int,
    parts: Sequence[Part],
    *,
    plays: int = 0,
    hidden: Colour | None = None,
    told: int | None = None,
    before: Sequence[tuple[bytes, bytes]] = (),
) -> list[tuple[bytes, bytes]]:
    """The chunks of an APNG of these frames, delays in 10 ms; `hidden` is a default image of its own."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    count = len(parts) if told is None else told
    chunks = [(b"IHDR", header), *before, (b"acTL", struct.pack(">II", count, plays))]
    if hidden is not None:
        chunks.append((b"IDAT", _pixels(width, height, hidden)))
    numbers = iter(range(1 << 31))
    for place, part in enumerate(parts):
        chunks += _apng_frame(part, numbers, default=place == 0 and hidden is None)
    return [*chunks, (b"IEND", b"")]


def _apng_frame(part: Part, numbers: Iterator[int], *, default: bool) -> list[tuple[bytes, bytes]]:
    placed = (part.width, part.height, part.left, part.top)
    control = struct.pack(">IIIIIHHBB", next(numbers), *placed, part.delay, 100, part.dispose, part.blend)
    assert isinstance(part.colour, tuple)
    pixels = _pixels(part.width, part.height, part.colour)
    if default:
        return [(b"fcTL", control), (b"IDAT", pixels)]
    half = len(pixels) // 2
    parts = [(b"fdAT", struct.pack(">I", next(numbers)) + data) for data in (pixels[:half], pixels[half:])]
    return [(b"fcTL", control), *parts]


def apng_of(width: int, height: int, parts: Sequence[Part], **options: object) -> bytes:
    """An APNG of these frames; see `apng_chunks`."""
    return png_of_chunks(apng_chunks(width, height, parts, **options))  # type: ignore[arg-type]


def png_of_chunks(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A PNG file of chunks, each with its checksum."""
    return PNG_SIGNATURE + b"".join(chunk(kind, body) for kind, body in chunks)


def _pixels(width: int, height: int, colour: Colour) -> bytes:
    row = b"\x00" + bytes(colour) * width
    return zlib.compress(row * height)


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """A file of its own that becomes a frame. `dispose` and `blend` as in `Part`."""

    data: bytes
    left: int = 0
    top: int = 0
    dispose: int = 0
    blend: int = SOURCE


def gif_of_stills(width: int, height: int, stills: Sequence[Still]) -> bytes:
    """A GIF of GIFs of one frame each, with their palettes."""
    screen = struct.pack("<HHBBB", width, height, 0, 0, 0)
    return b"GIF89a" + screen + b"".join(map(_gif_still, stills)) + b"\x3b"


def _gif_still(still: Still) -> bytes:
    flags = still.data[10]
    palette = still.data[13 : 13 + 3 * 2 ** ((flags & 7) + 1)] if flags & 0x80 else b""
    (frame,) = gif.read(still.data).frames
    local = 0x80 | flags & 7 if palette else 0
    own = still.data[frame.start + 9]
    if own & 0x80:
        palette, local = b"", own
    control = b"\x21\xf9\x04" + struct.pack("<BHBB", still.dispose << 2, 10, 0, 0)
    area = struct.pack("<BHHHHB", 0x2C, still.left, still.top, frame.width, frame.height, local)
    return control + area + palette + still.data[frame.start + 10 : frame.end]


def apng_of_stills(width: int, height: int, stills: Sequence[Still]) -> bytes:
    """An APNG of PNGs, all of the first one's kind; the first covers the screen."""
    numbers = iter(range(1 << 31))
    chunks: list[tuple[bytes, bytes]] = []
    for place, still in enumerate(stills):
        parts = png_chunks(still.data)
        header = next(body for kind, body in parts if kind == b"IHDR")
        pixels = b"".join(body for kind, body in parts if kind == b"IDAT")
        if place == 0:
            chunks += [(b"IHDR", header), (b"acTL", struct.pack(">II", len(stills), 0))]
            chunks += [(kind, body) for kind, body in parts if kind in (b"PLTE", b"tRNS")]
        size = struct.unpack(">II", header[:8])
        control = (next(numbers), *size, still.left, still.top, 10, 100, still.dispose, still.blend)
        chunks.append((b"fcTL", struct.pack(">IIIIIHHBB", *control)))
        chunks.append((b"fdAT", struct.pack(">I", next(numbers)) + pixels) if place else (b"IDAT", pixels))
    return png_of_chunks([*chunks, (b"IEND", b"")])
