"""Measures what a zlib stream (RFC 1950) unpacks to, without holding it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

#: Bytes that are unpacked at once.
_STEP = 256 * 1024


def inflated_lengths(packed: bytes | memoryview, most: int) -> Iterator[int]:
    """The lengths of the pieces that the stream unpacks to, together at most `most`. Raises `zlib.error`."""
    inflater, rest, left = zlib.decompressobj(), packed, most
    while left > 0 and not inflater.eof:
        length = len(inflater.decompress(rest, min(_STEP, left)))
        rest = inflater.unconsumed_tail
        if not length and not rest:
            return
        left -= length
        yield length
