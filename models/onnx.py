"""Writes ONNX files, with large weights in half precision, and rewrites those of others in that form.

The numbers of fields and types are those of onnx.proto (https://github.com/onnx/onnx, IR version 8).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from models.protobuf import Value, fields, message

_IR_VERSION = 8
#: Types of elements.
_FLOAT, _INT64, _HALF = 1, 7, 10
#: Types of attributes.
_AN_INT, _A_TEXT, _A_FLOAT, _INTS = 2, 3, 1, 7
#: What weights in half precision have behind their name.
_STORED = "/half"

Attribute = int | float | str | Sequence[int]
#: Numbers, or names of sizes that differ from picture to picture.
Shape = Sequence[int | str]


@dataclass(frozen=True, slots=True)
class Weights:
    """A tensor of floats, the last index fastest."""

    shape: tuple[int, ...]
    values: array[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A model. `inputs` and `outputs` are pictures and results with their shapes; `nodes` are written already."""

    opset: int
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]
    nodes: list[bytes] = field(default_factory=list)
    weights: dict[str, Weights] = field(default_factory=dict)
    #: Tensors that stay as they are, as they are written in the file.
    others: list[bytes] = field(default_factory=list)

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Attribute) -> str:
        """Add a node of ONNX's operator `kind`, and return the name of its output."""
        written = [_attribute(name, value) for name, value in attributes.items()]
        self.nodes.append(message((1, inputs), (2, output), (3, output), (4, kind), *((5, each) for each in written)))
        return output

    def to_bytes(self) -> bytes:
        """The file. Weights with more than one dimension are stored in half precision, and converted when loaded."""
        casts, tensors = [], list(self.others)
        for name, weights in self.weights.items():
            if len(weights.shape) > 1:
                tensors.append(_tensor(name + _STORED, weights, _HALF, "e"))
                casts.append(message((1, name + _STORED), (2, name), (4, "Cast"), (5, _attribute("to", _FLOAT))))
            else:
                tensors.append(_tensor(name, weights, _FLOAT, "f"))
        inputs = [_value(name, shape) for name, shape in self.inputs.items()]
        outputs = [_value(name, shape) for name, shape in self.outputs.items()]
        graph = message(
            *((1, node) for node in (*casts, *self.nodes)),
            (2, "model"),
            *((5, tensor) for tensor in tensors),
            *((11, each) for each in inputs),
            *((12, each) for each in outputs),
        )
        return message((1, _IR_VERSION), (7, graph), (8, message((2, self.opset))))


def rewritten(file: bytes, *, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]) -> bytes:
    """The same model with other shapes of its inputs and outputs, and its large weights in half precision.

    What no node uses is left out. Raises `ValueError` for what is no model.
    """
    model = _by_number(file)
    opset = next(int(_one(_by_number(each), 2)) for each in _messages(model, 8))
    parts = _by_number(_bytes(_one(model, 7)))
    graph = Graph(opset=opset, inputs=inputs, outputs=outputs, nodes=_messages(parts, 1))
    used = {name for node in graph.nodes for name in _messages(_by_number(node), 1)}
    for tensor in _messages(parts, 5):
        told = _by_number(tensor)
        name, kind = _bytes(_one(told, 8)), _one(told, 2)
        if name not in used:
            continue
        if kind == _FLOAT:
            graph.weights[name.decode()] = _weights(told)
        else:
            graph.others.append(tensor)
    return graph.to_bytes()


def _weights(tensor: Mapping[int, list[Value]]) -> Weights:
    shape = _numbers(tensor.get(1, []))
    values = array("f")
    values.frombytes(b"".join(_messages(tensor, 9)) or b"".join(_messages(tensor, 4)))
    if len(values) != prod(shape):
        raise ValueError("a tensor is not of its size")
    return Weights(shape, values)


def _numbers(values: Sequence[Value]) -> tuple[int, ...]:
    """A list of numbers, packed or not."""
    found: list[int] = []
    for value in values:
        if isinstance(value, int):
            found.append(value)
        else:  # a packed list is a row of bare numbers: each is read as if it stood behind a key
            found += [int(each) for _, each in fields(b"".join(b"\x08" + digit for digit in _digits(value)))]
    return tuple(found)


def _digits(packed: bytes) -> list[bytes]:
    found, begin = [], 0
    for at, digit in enumerate(packed):
        if digit < 0x80:  # noqa: PLR2004 - the last byte of a number
            found.append(packed[begin : at + 1])
            begin = at + 1
    return found


def _by_number(file: bytes) -> dict[int, list[Value]]:
    found: dict[int, list[Value]] = {}
    for number, value in fields(file):
        found.setdefault(number, []).append(value)
    return found


def _messages(told: Mapping[int, list[Value]], number: int) -> list[bytes]:
    return [_bytes(value) for value in told.get(number, [])]


def _one(told: Mapping[int, list[Value]], number: int) -> Value:
    if number not in told:
        raise ValueError(f"there is no field {number}")
    return told[number][0]


def _bytes(value: Value) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number is where text should be")  # noqa: TRY004 - the file is wrong
    return value


def _tensor(name: str, weights: Weights, kind: int, code: str) -> bytes:
    raw = struct.pack(f"<{len(weights.values)}{code}", *weights.values)
    return message((1, weights.shape), (2, kind), (8, name), (9, raw))


def _value(name: str, shape: Shape) -> bytes:
    sizes = [message((1, size) if isinstance(size, int) else (2, size)) for size in shape]
    tensor = message((1, _FLOAT), (2, message(*((1, size) for size in sizes))))
    return message((1, name), (2, message((1, tensor))))


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        return message((1, name), (3, value), (20, _AN_INT))
    if isinstance(value, float):
        # The only field of fixed size: its key says so (field 2, 32 bits).
        return message((1, name)) + b"\x15" + struct.pack("<f", value) + message((20, _A_FLOAT))
    if isinstance(value, str):
        return message((1, name), (4, value), (20, _A_TEXT))
    return message((1, name), (8, value), (20, _INTS))
