"""The packets between parent and child. Each is a short JSON text, and bytes behind it.

::

    parent                                     child
    {recipe, limits, memory_bytes, assets, ...} + the assets  ──>   limits itself, loads libvips
                                         <──   {}
    {} + the file                        ──>   reads the header
                                         <──   {source}, or {error}
    {memory_bytes, ...}, once they are free   ──>   limits itself to them, renders, smallest first
                                         <──   {left_bytes}, once the picture is decoded, if it takes less from then on
                                         <──   {name, width, height, same} + the file, for each variant, or {error}
                                         <──   {facts}, if the recipe asks for any, or {error}
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

#: In front of each packet: length of its JSON, length of its bytes.
HEAD = struct.Struct(">IQ")
#: The most bytes of JSON that the child may send. A usual description of a variant has a thousandth of that.
MAX_HEADER_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One message: a JSON object, and bytes."""

    header: Mapping[str, Any]
    body: bytes = field(default=b"", repr=False)


def opening(header: Mapping[str, Any], body_bytes: int) -> bytes:
    """The start of a packet, up to its bytes."""
    text = json.dumps(header).encode()
    return HEAD.pack(len(text), body_bytes) + text


def send(stream: BinaryIO, header: Mapping[str, Any], buffers: tuple[bytes, ...] = ()) -> None:
    """Write a packet. Its bytes are the buffers, one after the other."""
    stream.write(opening(header, sum(map(len, buffers))))
    stream.writelines(buffers)
    stream.flush()


def receive(stream: BinaryIO) -> Packet:
    """Read a packet from a trusted sender. Raises `EOFError` if the sender has gone."""
    header_bytes, body_bytes = HEAD.unpack(_exactly(stream, HEAD.size))
    header = json.loads(_exactly(stream, header_bytes))
    return Packet(header=header, body=_exactly(stream, body_bytes))


async def hear(reader: asyncio.StreamReader, *, max_body_bytes: int) -> Packet:
    """Read a packet from a sender that is not trusted.

    Raises `EOFError` if the stream ends within it, `ValueError` if it is no packet or too large.
    """
    header_bytes, body_bytes = HEAD.unpack(await reader.readexactly(HEAD.size))
    if header_bytes > MAX_HEADER_BYTES or body_bytes > max_body_bytes:
        raise ValueError("too large")
    try:
        header = json.loads(await reader.readexactly(header_bytes))
    except RecursionError:
        raise ValueError("nested without end") from None
    if not isinstance(header, dict):
        raise ValueError("no object")  # noqa: TRY004 - the data is wrong, not a type in the code
    return Packet(header=header, body=await reader.readexactly(body_bytes))


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
