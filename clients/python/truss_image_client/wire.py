"""From the values of Python to JSON and back."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints
from urllib.parse import quote

from truss_image_client.errors import NotThisService

T = TypeVar("T")


class Model:
    """What an answer, or a part of one, is read as."""

    __slots__ = ("_document",)

    _document: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A call that succeeded. `document` is its JSON as it came, and None where there is none.

    `replayed`: an earlier call with the same idempotency key had this answer.
    """

    status: int
    document: Any
    etag: str
    replayed: bool
    #: What to raise when it turns out that the document is none of this API.
    stranger: NotThisService = field(repr=False, compare=False)

    def model(self, kind: type[T]) -> T:
        """The document as a model. Raises `NotThisService`."""
        try:
            return read(kind, self.document)
        except NotThisService as error:
            raise self.stranger from error


def document(model: Model) -> Mapping[str, Any]:
    """The JSON that a model was read from, with what this release does not know. Of a model that was made in a program,
    what is sent of it."""
    found: Mapping[str, Any] = getattr(model, "_document", None) or plain(model)
    return found


def camel(name: str) -> str:
    """A name of Python as the API writes it."""
    return re.sub(r"_(\w)", lambda found: found[1].upper(), name.removesuffix("_"))


def quoted(name: str) -> str:
    """A name within a path. Dots would lead out of it."""
    return quote(name, safe="").replace("..", "%2E%2E")


def plain(value: Any) -> Any:
    """A value as JSON has it, without what is None: the service then takes its default."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items() if each is not None}
    if is_dataclass(value):
        named = {camel(field.name): getattr(value, field.name) for field in fields(value)}
        return plain(named)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.astimezone()).astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return [plain(each) for each in value] if isinstance(value, list | tuple | set | frozenset) else value


def read(kind: type[T], value: object) -> T:
    """A model from JSON. What this release does not know is left out. Raises `NotThisService`."""
    try:
        found: T = _read(kind, value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotThisService(f"the answer is no {kind.__name__} of this API: {error!r}") from None
    return found


def _read(kind: Any, value: Any) -> Any:  # noqa: PLR0911 - one line for each kind
    origin, arguments = get_origin(kind), get_args(kind)
    if value is None or kind is Any:
        return value
    if origin in {Union, types.UnionType}:
        return _read(next(each for each in arguments if each is not type(None)), value)
    if origin is list:
        return [_read(arguments[0], each) for each in value]
    if origin is dict:
        return {name: _read(arguments[1], each) for name, each in value.items()}
    if is_dataclass(kind):
        return _model(kind, value)
    if kind in {datetime, date}:
        return kind.fromisoformat(value)
    return value


def _model(kind: Any, value: Mapping[str, Any]) -> Any:
    given = {}
    for name, wire_name, hint, required in _layout(kind):
        if wire_name in value:
            given[name] = _read(hint, value[wire_name])
        elif required:
            raise KeyError(wire_name)
    found = kind(**given)
    if isinstance(found, Model):
        object.__setattr__(found, "_document", value)  # it is frozen
    return found


@cache
def _layout(kind: Any) -> tuple[tuple[str, str, Any, bool], ...]:
    hints = get_type_hints(kind)
    return tuple(
        (each.name, camel(each.name), hints[each.name], each.default is MISSING and each.default_factory is MISSING)
        for each in fields(kind)
    )
