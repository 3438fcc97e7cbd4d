"""How a file is put together: counted in plain steps before a decoder sees it, for decoders believe what they read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from processor.errors import TooManyPieces

#: Pieces (segments, chunks, blocks) that any file may have. Decoders keep a record of each, libjpeg some 200 bytes.
MAX_PIECES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """What decoders will keep of a file beside its pixels; zero where there is nothing to tell."""

    #: How often the decoder goes over the whole picture.
    scans: int = 1
    #: Coefficients that it keeps from scan to scan.
    coefficient_bytes: int = 0
    #: EXIF, profiles, comments.
    metadata_bytes: int = 0


class Pieces:
    """Counts pieces, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0

    def one(self) -> None:
        """Raises `TooManyPieces`."""
        self._count += 1
        if self._count > self._limit:
            raise TooManyPieces(limit=self._limit)


#: Bytes searched at once: other threads run in between.
_STRIDE = 256 * 1024


def find_pair(pattern: re.Pattern[bytes], data: bytes, at: int) -> re.Match[bytes] | None:
    """The first match of a pattern that is two bytes long."""
    while at < len(data):
        if found := pattern.search(data, at, at + _STRIDE):
            return found
        at += _STRIDE - 1  # it may lie across the border
    return None
