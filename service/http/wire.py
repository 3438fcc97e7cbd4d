"""Reads requests and writes answers: JSON in camelCase, validated, with readable error messages."""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Sized
from datetime import datetime
from itertools import islice
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    ValidationError,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError, from_json

from processor import clock
from service.http.links import Links
from service.http.near_misses import near_misses
from service.http.problems import FieldError, InvalidJson, InvalidRequest

#: How many fields that nobody knows are listed in an answer.
MAX_IGNORED = 20
#: Longest name of a field that an error repeats, in characters: the name may come from the request.
MAX_FIELD_NAME = 100

#: Where pydantic says what the bound of a field is.
_BOUNDS = ("limit", "le", "ge", "lt", "gt", "max_length", "min_length")
#: What JSON keeps exactly everywhere (RFC 8259, 6), and how many digits it has.
LARGEST_NUMBER = 2**53
LONGEST_NUMBER = 16

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NUMBER = re.compile(r"-?[0-9]{1,100}")


def _whole_number(value: object) -> object:
    """Text as a query has it: `1e2`, `10.0`, ` 10` and `1_0` are slips, not numbers."""
    if isinstance(value, str) and _NUMBER.fullmatch(value) is None:
        raise PydanticCustomError("whole_number", "must be a whole number, in digits")
    return value


WholeNumber = Annotated[int, BeforeValidator(_whole_number)]

Time = Annotated[
    datetime,
    PlainSerializer(clock.to_iso, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-01-02T03:04:05.678Z"]}),
]


def printable(text: str) -> str:
    """A name as people write them. Control characters could forge lines wherever it is shown."""
    if _CONTROL.search(text):
        raise PydanticCustomError("printable", "must not contain control characters")
    return text


def is_none(value: object) -> bool:
    """For fields that an answer has only when there is something to tell."""
    return value is None


def is_false(value: bool) -> bool:  # noqa: FBT001 - pydantic calls it so
    """Likewise."""
    return not value


def is_empty(value: Sized) -> bool:
    """Likewise."""
    return not value


class Answer(BaseModel):
    """The base of all answers."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


def as_json(answer: BaseModel, links: Links | str) -> bytes:
    """The body; every `PublicUrl` in it is as `links` make it, or begins so, with no slash at the end."""
    return answer.model_dump_json(by_alias=True, context=_at_once(links)).encode()


def as_plain(answer: BaseModel, links: Links | str) -> Any:
    return answer.model_dump(mode="json", by_alias=True, context=_at_once(links))


def _at_once(links: Links | str) -> Links:
    return (Links(links) if isinstance(links, str) else links).now()


class Heard(Answer):
    """What answers a body or a query, and names what was not understood of it."""

    ignored: list[str] | None = Field(
        default=None,
        exclude_if=is_none,
        description="Fields of the request that mean nothing here; absent when there are none.",
    )

    def ignoring(self, names: Sequence[str]) -> Self:
        """The same, with the names of these fields."""
        return self.model_copy(update={"ignored": list(names)}) if names else self


class Question(BaseModel):
    """The base of all requests. Unknown fields are ignored, as in the earlier service, unless they are misspellings of
    known ones. The answer to a body names the ignored fields."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)
    #: Names that are not known here, but mean one that is.
    other_words: ClassVar[Mapping[str, str]] = {}
    _ignored: tuple[str, ...] = PrivateAttr(default=())

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of the fields of a body that nobody knows; the first few."""
        return self._ignored

    def ignoring(self, names: Iterable[str]) -> Self:
        """Note what nobody knows."""
        self._ignored = tuple(name[:MAX_FIELD_NAME] for name in islice(names, MAX_IGNORED))
        return self

    @classmethod
    def names(cls) -> list[str]:
        """What its fields are called on the wire."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @classmethod
    def misspelled(cls, given: Iterable[str]) -> dict[str, str]:
        """Which of the given names mean a known one, and which that is."""
        return near_misses(given, cls.names(), cls.other_words)


Q = TypeVar("Q", bound=Question)


def read_body(model: type[Q], body: bytes) -> Q:
    """A JSON body as a model; null counts as absent. Raises `InvalidJson`; `InvalidRequest`, also for a repeated name
    in an object."""
    text = body.removeprefix(codecs.BOM_UTF8)  # as RFC 8259 allows, for the sake of libraries that write one
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        raise InvalidJson from None
    _refuse_repeated(repeated_names(text))
    return read_object(model, value)


def read_object(model: type[Q], value: object) -> Q:
    """What stands in a body as a model; null is as good as absent. Raises `InvalidRequest`."""
    if not isinstance(value, dict):
        raise InvalidRequest([FieldError(field="body", message="must be a JSON object")])
    # Whoever gives the known name, too, has not misspelled it.
    misspelled = {name: known for name, known in model.misspelled(value).items() if known not in value}
    asked = _validated(model, value, strict=True, misspelled=misspelled)
    return asked.ignoring(name for name in value if name not in model.names())


def read_query(model: type[Q], query: Mapping[str, object]) -> Q:
    """Query parameters as a model; an empty one counts as absent.

    Raises `InvalidRequest`, also for a repeated parameter, and for a misspelled one.
    """
    values = single_values(query)
    asked = _validated(model, values, strict=False, misspelled=model.misspelled(values))
    return asked.ignoring(name for name in values if name not in model.names())


def single_values(query: Mapping[str, object]) -> dict[str, object]:
    """The parameters of a query. Raises `InvalidRequest` for a repeated one, because it is unclear which one
    is meant."""
    _refuse_repeated(_repeated(name for name, _ in query.items()))
    return dict(query)


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def repeated_names(text: str | bytes) -> list[str]:
    """Names that are twice in one object, however deep, of text that is JSON."""
    found: list[str] = []

    def note(pairs: list[tuple[str, object]]) -> None:
        if len(pairs) > 1 and len(dict(pairs)) < len(pairs):
            found.extend(_repeated(name for name, _ in pairs))

    json.loads(text, object_pairs_hook=note, parse_int=str)  # a number may be longer than Python converts
    return found


def _refuse_repeated(names: Sequence[str]) -> None:
    if names:
        raise InvalidRequest([_about(name, "must not be there more than once") for name in names])


def _validated(model: type[Q], values: Mapping[str, object], *, strict: bool, misspelled: Mapping[str, str]) -> Q:
    if misspelled:
        raise InvalidRequest([_about(name, f"is not known here, but {meant} is") for name, meant in misspelled.items()])
    # Earlier clients send what they have, and a browser that does not know a file's type has "".
    given = {name: value for name, value in values.items() if value is not None and value != ""}
    try:
        return model.model_validate(given, strict=strict)
    except ValidationError as error:
        raise InvalidRequest([_complaint(detail) for detail in error.errors(include_url=False)]) from None


def _complaint(detail: ErrorDetails) -> FieldError:
    name = ".".join(str(part) for part in detail["loc"] if part != "[key]")
    message = "is required" if detail["type"] == "missing" else detail["msg"]
    message = message.removeprefix("Input ").removeprefix("String ")
    limit, actual = _numbers(detail)
    if actual is not None and not {"actual", "actual_length"} & detail.get("ctx", {}).keys():
        message += f"; it {'has' if _is_long(detail) else 'is'} {actual}"
    return _about(name, message, limit, actual)


def _about(name: str, message: str, limit: float | None = None, actual: float | None = None) -> FieldError:
    return FieldError(field=name[:MAX_FIELD_NAME], message=message, limit=limit, actual=actual)


def _numbers(detail: ErrorDetails) -> tuple[float | None, float | None]:
    """The accepted and the given number in an error about a number, a length or a count."""
    context, given = detail.get("ctx", {}), detail["input"]
    limit = next((context[name] for name in _BOUNDS if name in context), None)
    if not isinstance(limit, int | float):
        return None, None
    actual = context.get("actual", context.get("actual_length"))
    if actual is None:
        actual = len(given) if _is_long(detail) and isinstance(given, Sized) else given
    if isinstance(actual, str):  # a number in a query is text
        actual = int(actual) if actual.lstrip("-").isdecimal() and len(actual) <= LONGEST_NUMBER else None
    if isinstance(actual, bool) or not isinstance(actual, int | float) or abs(actual) > LARGEST_NUMBER:
        return limit, None
    return limit, actual


def _is_long(detail: ErrorDetails) -> bool:
    return detail["type"].endswith(("too_long", "too_short"))
