"""Checks the tags of one page of a TIFF (TIFF 6.0), and makes a file of only that page, for libtiff."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from processor.errors import CorruptImage, UnsupportedFormat
from processor.formats.anatomy import MAX_PIECES, Pieces
from processor.formats.inflating import inflated_lengths
from processor.formats.tiff import TIFF, Name, Page, read_page

#: Signs of camera raw: the page is only a preview of a sub-page, or has raw sensor data (DNG, CR2).
_SUB_PAGES, _DNG = 330, 50_706
_CR2, _CR2_AT = b"CR", 8
#: Number of colour samples, by photometric interpretation: white is 0, black is 0, RGB, palette, CMYK, YCbCr.
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3}
_PALETTE, _INKS, _SENSORS = 3, 5, frozenset({32_803, 34_892})
#: Accepted compressions: none, CCITT (1D, T.4, T.6), LZW, JPEG, deflate (two numbers), PackBits.
_PACKED = frozenset({1, 2, 3, 4, 5, 7, 8, 32_946, 32_773})
_PLAIN, _OLD_JPEG, _DEFLATED = 1, 6, frozenset({8, 32_946})
_BYTE, _WIDE, _WHOLE = 8, 16, frozenset({1, 4})
_APART, _CMYK = 2, 1
#: Bytes per decoded pixel that the estimate of memory already includes: three samples of 16 bits.
_USUAL_BYTES = 6
#: Lines that libvips keeps, with all samples, while it reads from top to bottom: of the picture, and of the pixels in
#: work. `benchmarks/memory.py` measures them.
_LINES, _LINES_AT_WORK = 512, 100
#: Kinds of extra samples: premultiplied alpha, which libvips undoes, and straight alpha.
_ALPHAS = frozenset({1, 2})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiff:
    """A page that can be decoded. `bands`: the bands to keep, including alpha.

    `pieces`: for each strip or tile its offset, its length, and its decoded bytes. `piece_bytes`: the bytes that are
    decoded at once, for a strip or a row of tiles.
    """

    page: Page
    width: int
    height: int
    bands: int
    has_alpha: bool
    orientation: int
    pieces: tuple[tuple[int, int, int], ...] = field(repr=False)
    piece_bytes: int
    #: Bytes per decoded pixel, including extra samples. There may be thousands of those.
    pixel_bytes: int

    @property
    def surplus_bytes(self) -> int:
        """Bytes that extra samples need during decoding, before they are dropped."""
        lines = min(self.height, _LINES) + min(self.height, _LINES_AT_WORK)
        return max(0, self.pixel_bytes - _USUAL_BYTES) * self.width * lines


def read(data: bytes) -> Tiff:
    """The page to show. Raises `CorruptImage`; `UnsupportedFormat` if it cannot be decoded."""
    try:
        page = read_page(data, Pieces(MAX_PIECES))
        _check_kind(page)
        return _tiff(page)
    except (IndexError, struct.error):
        raise CorruptImage from None


def single(tiff: Tiff) -> bytes:
    """The same file with a new directory at its end. It has only known tags, and leads to no other page."""
    page = tiff.page
    tags = [(name, page.tags[name]) for name in Name if name in page.tags]
    data, even = memoryview(page.data), bytes(len(page.data) % 2)
    wide, head, inline = ("Q", 8, 8) if page.is_big else ("I", 4, 4)
    listed = [struct.pack(f"{page.order}{'Q' if page.is_big else 'H'}", len(tags))]
    for name, tag in tags:
        told = struct.pack(f"{page.order}{wide}", tag.at)
        if tag.size <= inline:
            told = bytes(data[tag.at : tag.at + tag.size]).ljust(inline, b"\0")
        listed.append(struct.pack(f"{page.order}HH{wide}", name, tag.kind, tag.count) + told)
    pointer = struct.pack(f"{page.order}{wide}", len(data) + len(even))
    return b"".join((data[:head], pointer, data[head + len(pointer) :], even, *listed, bytes(inline)))


def check_pieces(tiff: Tiff, check: Callable[[], None]) -> None:
    """Raises `CorruptImage` if pixels are missing and libtiff would not report it; also what `check` raises."""
    packed = tiff.page.number(Name.COMPRESSION, _PLAIN)
    if packed == _PLAIN and any(length < needed for _, length, needed in tiff.pieces):
        raise CorruptImage
    view, most = memoryview(tiff.page.data), max(needed for _, _, needed in tiff.pieces)
    for start, length, needed in tiff.pieces if packed in _DEFLATED else ():
        check()
        if not needed <= _inflated_bytes(view[start : start + length], most + 1) <= most:
            raise CorruptImage


def _inflated_bytes(piece: memoryview, limit: int) -> int:
    """Decompressed length, at most `limit`; 0 if the data is damaged."""
    try:
        return sum(inflated_lengths(piece, limit))
    except zlib.error:
        return 0


def _check_kind(page: Page) -> None:
    """Raises `UnsupportedFormat`."""
    bits, photometric = set(page.numbers(Name.BITS)) or {1}, page.number(Name.PHOTOMETRIC, -1)
    packed, formats = page.number(Name.COMPRESSION, _PLAIN), set(page.numbers(Name.SAMPLE_FORMAT))
    few = max(bits) < _BYTE and page.number(Name.SAMPLES, 1) > 1
    is_raw = page.data[_CR2_AT : _CR2_AT + len(_CR2)] == _CR2 or _DNG in page.tags or photometric in _SENSORS
    if is_raw or (page.is_companion and _SUB_PAGES in page.tags):
        kind = "camera raw"
    elif not formats <= _WHOLE:
        kind = "samples that are no whole numbers"
    elif len(bits) != 1 or max(bits) not in (1, 2, 4, _BYTE, _WIDE) or few:
        kind = f"{max(bits)} bits a sample"
    elif packed not in _PACKED:
        kind = "old JPEG" if packed == _OLD_JPEG else f"compression {packed}"
    elif photometric not in _COLOURS or (photometric == _INKS and page.number(Name.INK_SET, _CMYK) != _CMYK):
        kind = f"colours of kind {max(photometric, 0)}"
    else:
        return
    raise UnsupportedFormat(f"{TIFF.title} ({kind})")


def _tiff(page: Page) -> Tiff:
    width, height = page.number(Name.WIDTH), page.number(Name.HEIGHT)
    photometric, samples = page.number(Name.PHOTOMETRIC), page.number(Name.SAMPLES, 1)
    colours = _COLOURS[photometric]
    needed = (page.tags[name] for name in Name if name in page.tags)
    if not width or not height or samples < colours or any(tag.at + tag.size > len(page.data) for tag in needed):
        raise CorruptImage
    extra = page.numbers(Name.EXTRA_SAMPLES)[:1] if samples > colours else ()
    has_alpha = photometric != _PALETTE and bool(_ALPHAS.intersection(extra))
    orientation = page.number(Name.ORIENTATION, 1)
    pieces, piece_bytes = _pieces(page, width, height, samples)
    return Tiff(
        page=page,
        width=width,
        height=height,
        bands=(3 if photometric == _PALETTE else colours) + has_alpha,
        has_alpha=has_alpha,
        orientation=orientation if orientation in range(1, 9) else 1,
        pieces=pieces,
        piece_bytes=piece_bytes,
        pixel_bytes=samples * (2 if page.number(Name.BITS, 1) > _BYTE else 1),
    )


def _pieces(page: Page, width: int, height: int, samples: int) -> tuple[tuple[tuple[int, int, int], ...], int]:
    """`Tiff.pieces` and `Tiff.piece_bytes`. Raises `CorruptImage` unless all pieces are in the file."""
    planes = samples if page.number(Name.PLANAR, 1) == _APART else 1
    bits = page.number(Name.BITS, 1) * samples // planes
    is_tiled = Name.TILE_OFFSETS in page.tags
    if is_tiled:
        across, down = page.number(Name.TILE_WIDTH), page.number(Name.TILE_HEIGHT)
        starts, lengths = page.numbers(Name.TILE_OFFSETS), page.numbers(Name.TILE_BYTES)
    else:
        across, down = width, min(page.number(Name.ROWS_PER_STRIP, height), height)
        starts, lengths = page.numbers(Name.STRIP_OFFSETS), page.numbers(Name.STRIP_BYTES)
    if not across or not down:
        raise CorruptImage
    columns, rows = -(-width // across), -(-height // down)
    line = (across * bits + 7) // 8
    if page.number(Name.COMPRESSION, _PLAIN) == _PLAIN and not lengths and columns * rows * planes == 1:
        lengths = (line * height,)
    if not len(starts) == len(lengths) == columns * rows * planes:
        raise CorruptImage
    lowest = line * down if is_tiled else line * (height - down * (rows - 1))
    needed = [lowest if number // columns % rows == rows - 1 else line * down for number in range(len(starts))]
    pieces = tuple(zip(starts, lengths, needed, strict=True))
    if any(not length or start + length > len(page.data) for start, length, _ in pieces):
        raise CorruptImage
    return pieces, line * down * columns * planes + max(lengths)
