"""Reads the chunks of a WebP (RFC 9649): whether the picture is complete although the file ends early."""

from __future__ import annotations

import struct
from collections.abc import Iterator

#: Length of the container's head; the part of it that its length field does not count. A chunk: kind and length.
_HEAD, _UNCOUNTED, _CHUNK = 12, 8, struct.Struct("<4sI")
#: Chunks with pixels: of a still; of a frame.
_STILLS, _FRAME = frozenset({b"VP8 ", b"VP8L"}), b"ANMF"


def mended(data: bytes) -> bytes:
    """The same picture in a file that libwebp reads, if only chunks behind the picture were cut off.

    Missing frames of an animation cannot be seen. So an animation is mended only if the file ends within a chunk that
    follows all frames.
    """
    if _UNCOUNTED + int.from_bytes(data[4:8], "little") <= len(data):
        return data
    end, whole = _HEAD, set()
    for kind, start, length in _chunks(data):
        if start + length > len(data):
            nothing_lost = kind not in _STILLS and kind != _FRAME
            break
        end = start + length + length % 2
        whole.add(kind)
    else:
        nothing_lost = _FRAME not in whole
    return _closed(memoryview(data)[:end]) if nothing_lost and whole & {*_STILLS, _FRAME} else data


def _closed(data: memoryview) -> bytes:
    padding = bytes(len(data) % 2)  # it may be cut off too
    length = struct.pack("<I", len(data) + len(padding) - _UNCOUNTED)
    return b"".join((data[:4], length, data[_UNCOUNTED:], padding))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and length of each chunk. The last one may be cut off by the end of the file."""
    at = _HEAD
    while at + _CHUNK.size <= len(data):
        kind, length = _CHUNK.unpack_from(data, at)
        yield kind, at + _CHUNK.size, length
        at += _CHUNK.size + length + length % 2
