"""A checkpoint is read without PyTorch, and never runs what it names."""

from __future__ import annotations

import os
import pickle
import struct
import sys
from array import array
from collections import OrderedDict
from collections.abc import Callable
from io import BytesIO
from types import ModuleType
from typing import Any

import pytest

from models.checkpoint import read_checkpoint

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Storage:
    """Stands for a storage of a checkpoint that is written."""

    def __init__(self, key: str, kind: Any, values: array[Any]) -> None:
        self.key, self.kind, self.values = key, kind, values


def _rebuild_tensor_v2(*told: Any) -> Any:
    raise AssertionError("only its name is written")


class Tensor:
    """Stands for a tensor: where it lies in its storage."""

    def __init__(self, storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.told: tuple[Any, ...] = storage, offset, shape, strides, False, OrderedDict()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _rebuild_tensor_v2, self.told


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Enough of PyTorch's names to write a checkpoint as it does."""
    package, utils = ModuleType("torch"), ModuleType("torch._utils")
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    monkeypatch.setattr(_rebuild_tensor_v2, "__module__", "torch._utils")
    for name in ("FloatStorage", "LongStorage", "HalfStorage"):
        setattr(package, name, type(name, (), {"__module__": "torch"}))
    monkeypatch.setitem(sys.modules, "torch", package)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return package


class _Writer(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return ("storage", obj.kind, obj.key, "cpu", len(obj.values), None) if isinstance(obj, Storage) else None


def written(tensors: Any, *storages: Storage) -> bytes:
    file = BytesIO()
    for each in (_MAGIC, _PROTOCOL, {"little_endian": True}):
        pickle.dump(each, file, protocol=2)
    _Writer(file, protocol=2).dump(tensors)
    pickle.dump([storage.key for storage in storages], file, protocol=2)
    for storage in storages:
        file.write(struct.pack("<q", len(storage.values)) + storage.values.tobytes())
    return file.getvalue()


def test_tensors_are_read_in_order_however_they_lie(torch: ModuleType) -> None:
    rows = Storage("7", torch.FloatStorage, array("f", range(12)))
    counts = Storage("8", torch.LongStorage, array("q", [5]))
    tensors = OrderedDict(
        plain=Tensor(rows, 0, (3, 4), (4, 1)),
        turned=Tensor(rows, 0, (4, 3), (1, 4)),
        part=Tensor(rows, 5, (2,), (2,)),
        scalar=Tensor(rows, 3, (), ()),
        counted=Tensor(counts, 0, (), ()),
    )
    tensors.extra = 1  # type: ignore[attr-defined]
    found = read_checkpoint(written(tensors, rows, counts))
    assert {name: (each.shape, list(each.values)) for name, each in found.items()} == {
        "plain": ((3, 4), list(range(12))),
        "turned": ((4, 3), [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]),
        "part": ((2,), [5, 7]),
        "scalar": ((), [3]),
    }


class Exploit:
    """What a hostile pickle does."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.system, ("exit 7",)


def test_nothing_that_a_pickle_names_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = written({"weights": Exploit()})
    monkeypatch.setattr(os, "system", lambda _: pytest.fail("it was called"))
    with pytest.raises(ValueError, match="system is not allowed"):
        read_checkpoint(hostile)


def test_other_types_of_numbers_are_refused(torch: ModuleType) -> None:
    halves = Storage("7", torch.HalfStorage, array("f", [1]))
    with pytest.raises(ValueError, match="HalfStorage is not allowed"):
        read_checkpoint(written({"weights": Tensor(halves, 0, (1,), (1,))}, halves))


def test_a_tensor_beyond_its_storage_is_refused(torch: ModuleType) -> None:
    few = Storage("7", torch.FloatStorage, array("f", [1, 2]))
    with pytest.raises(ValueError, match="does not lie in its storage"):
        read_checkpoint(written({"weights": Tensor(few, 1, (2, 2), (2, 1))}, few))


@pytest.mark.parametrize("length", [0, 10, 60, -1, -8])
def test_a_cut_file_is_refused(length: int, torch: ModuleType) -> None:
    rows = Storage("7", torch.FloatStorage, array("f", range(12)))
    with pytest.raises(ValueError, match=r"checkpoint|cut"):
        read_checkpoint(written({"plain": Tensor(rows, 0, (3, 4), (4, 1))}, rows)[:length])


def test_another_file_is_refused() -> None:
    with pytest.raises(ValueError, match="not a checkpoint"):
        read_checkpoint(b"PK\x03\x04" + bytes(100))
