"""The structure of a file. Its pieces are counted before a decoder sees it, because decoders trust what they read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from processor.errors import TooManyPieces

#: The most pieces (segments, chunks, blocks) of a file. Decoders keep a record of each; libjpeg needs some 200 bytes.
MAX_PIECES = 10_000
#: The largest colour profile that is used, in bytes. Those of printers have up to 4 MiB. The library that computes with
#: them takes ten times as much.
MAX_PROFILE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """What decoders keep of a file besides its pixels; zero if nothing is known."""

    #: How often the decoder goes over the whole picture.
    scans: int = 1
    #: Bytes of the coefficients that it keeps from scan to scan.
    coefficient_bytes: int = 0
    #: Bytes of EXIF, profiles and comments.
    metadata_bytes: int = 0
    #: Of these, the bytes of the colour profile, or one more than `MAX_PROFILE_BYTES`.
    profile_bytes: int = 0


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


#: Bytes that are searched at once. Other threads can run in between.
_STRIDE = 256 * 1024


def find_pair(pattern: re.Pattern[bytes], data: bytes, at: int) -> re.Match[bytes] | None:
    """The first match of a pattern for two bytes, from offset `at` on."""
    while at < len(data):
        if found := pattern.search(data, at, at + _STRIDE):
            return found
        at += _STRIDE - 1  # a match may lie across the border
    return None
