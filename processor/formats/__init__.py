"""What a file can be, going in and coming out: a record for each format, and the table of them."""

from __future__ import annotations

from collections.abc import Iterable

from processor.errors import EmptyFile, UnsupportedFormat
from processor.formats.anatomy import MAX_PIECES, Anatomy, Pieces
from processor.formats.avif import AVIF
from processor.formats.format import Decoding, Encoding, Format
from processor.formats.gif import GIF
from processor.formats.heic import HEIC
from processor.formats.jpeg import JPEG
from processor.formats.png import PNG
from processor.formats.tiff import TIFF
from processor.formats.webp import WEBP

__all__ = ["AVIF", "DECODED", "FORMATS", "GIF", "HEIC", "JPEG", "PNG", "TIFF", "WEBP"]
__all__ += ["decoding_of", "dissect", "encoding_of", "format_of", "in_words", "sniff"]

#: In the order in which they are tried.
FORMATS: tuple[Format, ...] = (JPEG, PNG, WEBP, GIF, AVIF, HEIC, TIFF)
#: What is converted.
DECODED = tuple(each for each in FORMATS if each.decoding)


def in_words(conjunction: str, formats: Iterable[Format] = DECODED) -> str:
    """Some formats as a sentence lists them: what is converted, unless others are given."""
    *others, last = (each.title for each in formats)
    return f"{', '.join(others)} {conjunction} {last}" if others else last


_BY_NAME = {each.name: each for each in FORMATS}


def decoding_of(name: str) -> Decoding:
    """How files of a format are read, by its name."""
    decoding = _BY_NAME[name].decoding
    if decoding is None:
        raise LookupError(name)
    return decoding


def encoding_of(name: str) -> Encoding:
    """How variants of a format are written, by its name."""
    encoding = _BY_NAME[name].encoding
    if encoding is None:
        raise LookupError(name)
    return encoding


def format_of(name: str) -> Format:
    return _BY_NAME[name]


def sniff(data: bytes) -> Format:
    """The format that is converted, by the file's first bytes. Raises `EmptyFile`, `UnsupportedFormat`."""
    if not data:
        raise EmptyFile
    for each in FORMATS:
        if each.begins(data) and each.decoding:
            return each
    raise UnsupportedFormat


def dissect(data: bytes, name: str) -> Anatomy:
    """Walk through a file of a known format as far as it goes. Raises `TooManyPieces`."""
    decoding = decoding_of(name)
    per_piece = decoding.bytes_a_piece
    pieces = Pieces(MAX_PIECES + (len(data) // per_piece if per_piece else 0))
    try:
        return decoding.dissect(data, pieces)
    except IndexError:  # the file ends in the middle of a piece
        return Anatomy()
