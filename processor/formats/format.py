"""The record of a format: how its files are recognised, read and written. It has libvips' operations as names."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from processor.formats.anatomy import Anatomy, Pieces
from processor.formats.blocks import Block, no_blocks
from processor.formats.info import ImageInfo
from processor.formats.signatures import Signature

Size = tuple[int, int]
#: Bytes per pixel of all frames while `pipeline.roll` composes them. They are freed once the picture is in memory.
ROLL_BYTES = 4


def _unshrunk(width: int, height: int, shrink: float) -> Size:
    del shrink
    return width, height


def _what_the_header_tells(info: ImageInfo, held_bytes: int) -> int:
    return held_bytes + info.decoder_bytes


def _never_composed(_: ImageInfo) -> bool:
    return False


def composed(info: ImageInfo, held_bytes: int, drawn_bytes: int) -> int:
    """Bytes that `pipeline.roll` needs to compose an animation.

    `drawn_bytes` is per pixel of one frame: for its decoder, the screen and the frame itself.
    """
    frame = info.width * info.height
    return held_bytes + info.pixels * ROLL_BYTES + frame * drawn_bytes + info.decoder_bytes


def sizes_at(known: Mapping[int, float]) -> Callable[[int], float]:
    """A function for `Encoding.size_at` that interpolates between known qualities."""
    qualities = list(known)

    def size_at(quality: int) -> float:
        above = min(max(1, bisect_left(qualities, quality)), len(qualities) - 1)
        low, high = qualities[above - 1], qualities[above]
        return known[low] + (known[high] - known[low]) * (quality - low) / (high - low)

    return size_at


def _never_silent(_: ImageInfo) -> float:
    return 0.0


def _never_bare(_: bytes) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How files of a format are read."""

    #: Reads the structure of a file; it does not check whether the file is complete. Raises `TooManyPieces`, and
    #: `IndexError` if the file ends within a piece.
    dissect: Callable[[bytes, Pieces], Anatomy]
    #: libvips' loader, which is called by this name, and its class. All other loaders are blocked. None: libvips has no
    #: loader, and another library decodes the file, only in a child process.
    loader: str | None = None
    loader_class: str | None = None
    #: A file may have one more piece for each so many bytes. None: a long file needs no more pieces than a short one.
    bytes_a_piece: int | None = None
    #: The size that the earlier service got from its decoder. Parameters: width, height, the shrink factor.
    shrunk_on_load: Callable[[int, int, float], Size] = _unshrunk
    #: Bytes that decoding needs. Parameters: the header, the bytes of the decoded picture.
    #: `benchmarks/memory.py` measures it.
    working_bytes: Callable[[ImageInfo, int], int] = _what_the_header_tells
    #: Whether `pipeline.roll` composes the frames. It also drops a solid alpha.
    is_composed: Callable[[ImageInfo], bool] = _never_composed
    #: The longest time in seconds for which the decoder checks no deadline, for the worst picture with this header.
    silent_seconds: Callable[[ImageInfo], float] = _never_silent
    #: Whether to try strict decoding first, because lenient decoding costs more.
    forgives: bool = False
    #: Whether the format compresses without loss.
    loses_nothing: bool = False
    #: Whether a file may be served unchanged: upright, in sRGB, without metadata, and complete to the last byte.
    is_bare: Callable[[bytes], bool] = _never_bare
    #: The blocks of metadata in a file. It may raise `IndexError` where a file is damaged; blocks before that count.
    blocks: Callable[[bytes], Iterator[Block]] = no_blocks

    @property
    def is_suspect(self) -> bool:
        """Whether its files are suspects from the start."""
        return self.loader is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How variants of a format are written."""

    #: libvips' operation that saves to memory.
    saver: str
    #: Longest side that the container can express, in pixels.
    longest_side: int
    #: The saver's options for a quality (0 to 100) and an effort (0: fast, to 6: small).
    options: Callable[[int, int], Mapping[str, object]]
    #: The relative size of a file, by its quality. The lowest quality that `pipeline.guard` tries, so that a variant is
    #: no larger than its source.
    size_at: Callable[[int], float]
    least_quality: int
    #: The saver's options for a file without loss, and the most pixels for it. More would need too much memory, and too
    #: much time without checking a deadline.
    lossless: Mapping[str, object]
    lossless_pixels: int
    #: The most pixels of a variant. Viewers need not show larger pictures of this format. None: any number.
    most_pixels: int | None = None
    #: Whether the format has animations.
    animates: bool = True
    #: Least and most bytes that encoding a still needs, besides its pixels. Parameters: pixels, header, quality,
    #: effort. None: `pipeline.estimate` has its own figures.
    still_bytes: Callable[[int, ImageInfo, int, int], tuple[int, int]] | None = None
    #: The least effort at which every picture can be encoded. A picture that failed with less is tried again with it.
    careful_effort: int = 0
    #: As in `Decoding`, for the encoder.
    silent_seconds: Callable[[ImageInfo], float] = _never_silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A kind of file. Its first extension and its first content type are the usual ones."""

    name: str
    #: Its name for people.
    title: str
    extensions: tuple[str, ...]
    content_types: tuple[str, ...]
    #: Whether a file is of this format, by its first bytes.
    begins: Signature
    #: None: it is not converted yet.
    decoding: Decoding | None = None
    #: None: no variants are made in it.
    encoding: Encoding | None = None

    @property
    def extension(self) -> str:
        return self.extensions[0]

    @property
    def content_type(self) -> str:
        return self.content_types[0]
