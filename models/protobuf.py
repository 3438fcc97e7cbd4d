"""Reads and writes the fields of protocol buffers, as far as ONNX files need them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

#: A number, or the bytes of a text, a message or a packed list.
Value = int | bytes
#: Wire types (protobuf.dev, "Encoding").
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
#: The most bits of a number.
_BITS = 64


def fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """Number and value of each field, in order; fixed-size ones as bytes. Raises `ValueError`."""
    at = 0
    while at < len(message):
        key, at = _number(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _number(message, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, at = _number(message, at)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise ValueError("no such wire type")
        if at + length > len(message):
            raise ValueError("the message is cut")
        yield key >> 3, message[at : at + length]
        at += length


def encoded(number: int, value: Value) -> bytes:
    """A field with its number."""
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def message(*parts: tuple[int, Value | str | Sequence[str] | Sequence[int]]) -> bytes:
    """The fields in order; of a list, each element."""
    written = bytearray()
    for number, value in parts:
        for each in [value] if isinstance(value, int | bytes | str) else value:
            written += encoded(number, each.encode() if isinstance(each, str) else each)
    return bytes(written)


def _varint(value: int) -> bytes:
    value &= (1 << _BITS) - 1
    digits = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits in each byte
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def _number(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _BITS, 7):
        if at >= len(message):
            raise ValueError("the message is cut")
        digit = message[at]
        at += 1
        value |= (digit & 0x7F) << shift
        if digit < 0x80:  # noqa: PLR2004 - the last byte
            return value, at
    raise ValueError("the number is too long")
