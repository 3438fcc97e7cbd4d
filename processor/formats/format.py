"""What is known of a format: how its files are known, read and written. libvips' operations are names here."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from processor.formats.anatomy import Anatomy, Pieces
from processor.formats.info import ImageInfo
from processor.formats.signatures import Signature

Size = tuple[int, int]
#: Bytes per pixel of all frames while they are put together, which ends once the picture is held; see `pipeline.roll`.
ROLL_BYTES = 4


def _unshrunk(width: int, height: int, shrink: float) -> Size:
    del shrink
    return width, height


def _what_the_header_tells(info: ImageInfo, held_bytes: int) -> int:
    return held_bytes + info.decoder_bytes


def _never_composed(_: ImageInfo) -> bool:
    return False


def composed(info: ImageInfo, held_bytes: int, drawn_bytes: int) -> int:
    """What an animation takes that this service puts together of its frames; see `pipeline.roll`.

    `drawn_bytes` for each pixel of a frame: what its decoder holds, the screen, the frame itself.
    """
    frame = info.width * info.height
    return held_bytes + info.pixels * ROLL_BYTES + frame * drawn_bytes + info.decoder_bytes


def sizes_at(known: Mapping[int, float]) -> Callable[[int], float]:
    """For `Encoding.size_at`, out of some qualities: what lies between is on a straight line."""
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

    #: Walks through a file as far as it goes; whether it is whole is for others to tell. Raises `TooManyPieces`, and
    #: `IndexError` when the file ends in the middle of a piece.
    dissect: Callable[[bytes, Pieces], Anatomy]
    #: libvips' loader and its class. It is called by name, and every other loader is blocked. None: libvips has none,
    #: and what decodes it in its place is run in a child process alone.
    loader: str | None = None
    loader_class: str | None = None
    #: Bytes for which a file may have one more piece; None: however long it is, it has no reason to have more.
    bytes_a_piece: int | None = None
    #: The size that the earlier service's decoder handed over, by width, height and how much is to be shrunk.
    shrunk_on_load: Callable[[int, int, float], Size] = _unshrunk
    #: What memory decoding takes, by the header and the bytes of the picture that comes out of it:
    #: `benchmarks/memory_peak.py` measures it.
    working_bytes: Callable[[ImageInfo, int], int] = _what_the_header_tells
    #: Whether the frames are drawn by `pipeline.roll`, which drops an alpha that hides nothing while it does so.
    is_composed: Callable[[ImageInfo], bool] = _never_composed
    #: How long the decoder hears of no deadline, in seconds, of the worst picture with this header.
    silent_seconds: Callable[[ImageInfo], float] = _never_silent
    #: Whether a strict look is worth while, because one that is not costs more.
    forgives: bool = False
    #: Whether its files have lost nothing of their picture.
    loses_nothing: bool = False
    #: Whether a file may be served as it is: upright, in sRGB, with nothing to strip, and whole to the last byte.
    is_bare: Callable[[bytes], bool] = _never_bare

    @property
    def is_suspect(self) -> bool:
        """Whether its files are suspects from the start."""
        return self.loader is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How variants of a format are written."""

    #: libvips' saver, into memory.
    saver: str
    #: Longest side that the container can express, in pixels.
    longest_side: int
    #: What the saver is told of a quality (0 to 100) and an effort (0, fast, to 6, small).
    options: Callable[[int, int], Mapping[str, object]]
    #: How large a file gets by its quality, on a scale of its own; the least quality to which one is lowered so that
    #: it is no larger than its source: see `pipeline.guard`.
    size_at: Callable[[int], float]
    least_quality: int
    #: What the saver is told of a file that loses nothing, and up to how many pixels it is: that takes memory, and time
    #: in which no deadline is heard.
    lossless: Mapping[str, object]
    lossless_pixels: int
    #: The largest picture that is written, in pixels: what is larger, players of the format need not show. None: any.
    most_pixels: int | None = None
    #: Whether it holds animations.
    animates: bool = True
    #: What memory it takes to write so many pixels of a still, by quality and effort, beside the pixels themselves: the
    #: least and the most. None: `pipeline.estimate` knows.
    still_bytes: Callable[[int, ImageInfo, int, int], tuple[int, int]] | None = None
    #: The least effort at which every picture can be written: what failed below is tried once more with it.
    careful_effort: int = 0
    #: As of `Decoding`.
    silent_seconds: Callable[[ImageInfo], float] = _never_silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A kind of file. The first of its extensions and of its content types stand for it."""

    name: str
    #: What people call it.
    title: str
    extensions: tuple[str, ...]
    content_types: tuple[str, ...]
    #: Whether a file with these first bytes is one.
    begins: Signature
    #: None: it is not converted yet.
    decoding: Decoding | None = None
    #: None: no variants are made of it.
    encoding: Encoding | None = None

    @property
    def extension(self) -> str:
        return self.extensions[0]

    @property
    def content_type(self) -> str:
        return self.content_types[0]
