"""The formats of sources and variants: a record for each, and the table of them."""

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

#: All formats, in the order in which `sniff` tries them.
FORMATS: tuple[Format, ...] = (JPEG, PNG, WEBP, GIF, AVIF, HEIC, TIFF)
#: The formats that are converted.
DECODED = tuple(each for each in FORMATS if each.decoding)


def in_words(conjunction: str, formats: Iterable[Format] = DECODED) -> str:
    """The titles of formats as a list in a sentence, such as "JPEG, PNG or WebP"."""
    *others, last = (each.title for each in formats)
    return f"{', '.join(others)} {conjunction} {last}" if others else last


_BY_NAME = {each.name: each for each in FORMATS}


def decoding_of(name: str) -> Decoding:
    """How files of a format are read, by its name. Raises `LookupError` if it is not converted."""
    decoding = _BY_NAME[name].decoding
    if decoding is None:
        raise LookupError(name)
    return decoding


def encoding_of(name: str) -> Encoding:
    """How variants of a format are written, by its name. Raises `LookupError` if there are none."""
    encoding = _BY_NAME[name].encoding
    if encoding is None:
        raise LookupError(name)
    return encoding


def format_of(name: str) -> Format:
    return _BY_NAME[name]


def sniff(data: bytes) -> Format:
    """The format of a file, by its first bytes. Raises `EmptyFile`; `UnsupportedFormat` if it is not converted."""
    if not data:
        raise EmptyFile
    for each in FORMATS:
        if each.begins(data) and each.decoding:
            return each
    raise UnsupportedFormat


def pieces_in(data: bytes, name: str) -> Pieces:
    """Counts the pieces of a file, up to the most that one of its size and format may have."""
    per_piece = decoding_of(name).bytes_a_piece
    return Pieces(MAX_PIECES + (len(data) // per_piece if per_piece else 0))


def dissect(data: bytes, name: str) -> Anatomy:
    """Read the structure of a file, up to damage or its end. Raises `TooManyPieces`."""
    try:
        return decoding_of(name).dissect(data, pieces_in(data, name))
    except IndexError:  # the file ends within a piece
        return Anatomy()
