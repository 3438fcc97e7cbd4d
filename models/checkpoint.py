"""Reads weights that PyTorch wrote, without PyTorch, and without running what a pickle may ask for.

The format is that of before PyTorch 1.6: three pickles that say what it is, one with the names, one with the order of
the storages, and then the storages, each with its number of elements in front.
"""

from __future__ import annotations

import io
import itertools
import pickle
import struct
from array import array
from dataclasses import dataclass
from math import prod
from typing import Any

from models.onnx import Weights

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
#: Type code and bytes of the elements that are read.
_ELEMENTS = {"FloatStorage": ("f", 4), "LongStorage": ("q", 8)}


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Where a tensor lies in a storage: offset and strides are in elements."""

    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Names(dict[str, Any]):
    """An ordered map with attributes, which are not used."""


def _tensor(storage: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


class _Reader(pickle.Unpickler):
    """A pickle names what it wants to call. Nothing but these names is known here, and each stands for a record."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        #: Type of the elements of each storage, by the storage's key.
        self.storages: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case "torch._utils", "_rebuild_tensor_v2":
                return _tensor
            case "collections", "OrderedDict":
                return _Names
            case "torch", kind if kind in _ELEMENTS:
                return kind
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")

    def persistent_load(self, pid: Any) -> str:
        what, kind, key, *_ = pid
        if what != "storage" or kind not in _ELEMENTS:
            raise pickle.UnpicklingError("not a storage")
        self.storages[str(key)] = kind
        return str(key)


def read_checkpoint(data: bytes) -> dict[str, Weights]:
    """All tensors of floats by name. Raises `ValueError` for anything else."""
    file = io.BytesIO(data)
    try:
        if (_Reader(file).load(), _Reader(file).load()) != (_MAGIC, _PROTOCOL):
            raise ValueError("not a checkpoint")
        _Reader(file).load()  # sizes of C's types, which stand in the elements already
        reader = _Reader(file)
        tensors, order = reader.load(), _Reader(file).load()
        storages = {key: _elements(file, reader.storages[key]) for key in order}
        return {
            name: Weights(tensor.shape, _in_order(storages[tensor.storage], tensor))
            for name, tensor in tensors.items()
            if reader.storages[tensor.storage] == "FloatStorage"
        }
    except (pickle.UnpicklingError, struct.error, KeyError, IndexError, EOFError, AttributeError) as error:
        raise ValueError(f"not a checkpoint: {error}") from error


def _elements(file: io.BytesIO, kind: str) -> array[Any]:
    code, size = _ELEMENTS[kind]
    (count,) = struct.unpack("<q", file.read(8))
    read = file.read(count * size)
    if len(read) != count * size:
        raise ValueError("the checkpoint is cut")
    values = array(code)
    values.frombytes(read)
    return values


def _in_order(storage: array[float], tensor: _Tensor) -> array[float]:
    """The elements, the last index fastest, however they lie in the storage."""
    inner = tensor.shape[-1:]
    if not inner:
        return storage[tensor.offset : tensor.offset + 1]
    step, values = tensor.strides[-1], array("f")
    for index in itertools.product(*map(range, tensor.shape[:-1])):
        begin = tensor.offset + sum(at * stride for at, stride in zip(index, tensor.strides, strict=False))
        values.extend(storage[begin : begin + (inner[0] - 1) * step + 1 : step])
    if len(values) != prod(tensor.shape):
        raise ValueError("a tensor does not lie in its storage")
    return values
