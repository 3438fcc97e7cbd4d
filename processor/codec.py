"""Converts values to plain data and back. The class of a value decides the names and the form of its fields."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from processor import clock

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a class is written where that does not follow from its fields."""

    #: What a field is called; the others are called what they are called here, in camelCase.
    names: Mapping[str, str] = field(default_factory=dict)
    #: Fields that are written always; of the others, what is as by default is not there.
    always: Collection[str] = ()
    #: What is written beside the fields, and read by nobody here.
    beside: Mapping[str, Any] = field(default_factory=dict)


class Codec:
    """Writes frozen dataclasses as maps, and reads them; times as `clock` writes them, durations in whole seconds.

    A class with a text form (`to_text`, `from_text`) is written as that text. A missing field gets its default, and an
    unknown field is ignored. So two releases can share data while a field with a default comes or goes. `number`
    converts a float.
    """

    def __init__(self, layouts: Mapping[type, Layout], *, number: Callable[[float], Any] = float) -> None:
        self._layouts = layouts
        self._converter = Converter(detailed_validation=False)
        self._converter.register_unstructure_hook(datetime, clock.to_iso)
        self._converter.register_structure_hook(datetime, lambda text, _: clock.from_iso(text))
        self._converter.register_unstructure_hook(timedelta, lambda span: int(span.total_seconds()))
        self._converter.register_structure_hook(timedelta, lambda seconds, _: timedelta(seconds=int(seconds)))
        self._converter.register_unstructure_hook(float, number)
        self._converter.register_unstructure_hook_factory(is_dataclass, self._writer)
        self._converter.register_structure_hook_factory(is_dataclass, self._reader)

    def encode(self, value: Any) -> dict[str, Any]:
        encoded: dict[str, Any] = self._converter.unstructure(value)
        return encoded

    def decode(self, data: Mapping[str, Any], kind: type[T]) -> T:
        """The inverse of `encode`. Raises `KeyError`, `TypeError`, `ValueError`, `AttributeError` for anything else."""
        return self._converter.structure(data, kind)

    def names(self, kind: type) -> dict[str, str]:
        """What each field of a class is called."""
        own = self._layout(kind).names
        return {each.name: own.get(each.name, _camel(each.name)) for each in fields(kind)}

    def _layout(self, kind: type) -> Layout:
        return self._layouts.get(kind, Layout())

    def _writer(self, kind: type) -> Callable[[Any], Mapping[str, Any]]:
        if hasattr(kind, "to_text"):
            return kind.to_text  # type: ignore[no-any-return]
        layout = self._layout(kind)
        settings: dict[str, Any] = {
            field: override(rename=name, omit_if_default=field not in layout.always)
            for field, name in self.names(kind).items()
        }
        write: Callable[[Any], dict[str, Any]] = make_dict_unstructure_fn(kind, self._converter, **settings)
        return write if not layout.beside else lambda value: {**write(value), **layout.beside}

    def _reader(self, kind: type) -> Callable[[Any, Any], Any]:
        if hasattr(kind, "from_text"):
            return lambda text, _: kind.from_text(text)
        settings: dict[str, Any] = {field: override(rename=name) for field, name in self.names(kind).items()}
        return make_dict_structure_fn(kind, self._converter, **settings)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))
