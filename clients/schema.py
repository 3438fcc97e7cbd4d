"""The OpenAPI document as the clients need it: types and operations, without the words of JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from service.openapi import document

#: For Uppy alone; the same call by GET; a stream, which the clients read by hand.
LEFT_OUT = ("/images/s3/",)
BY_HAND = frozenset({"createUploadUrlByQuery", "getEvents", "processImages", "deleteImages"})
#: Names of types that clients read better under another name.
RENAMED = {
    "ProblemDocument": "Problem",
    "ListAnswer": "ImagePage",
    "FailedAnswer": "FailedPage",
    "SimilarAnswer": "SimilarPage",
    "BulkResultsAnswer": "BulkResultPage",
    "DeliveryList": "DeliveryPage",
    "DeleteAnswer": "Deleted",
    "DefaultAnswer": "DefaultPreset",
    "FileAnswer": "VariantFile",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """`kind` is a JSON type, `model`, `enum`, `time`, `date`, `moment` (either), `list`, `map`, `any` or `union`."""

    kind: str
    name: str = ""
    of: tuple[Type, ...] = ()
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """`required`: it is always there. `nullable`: it may be null. `default`: what it has where it is left out."""

    name: str
    type: Type
    required: bool
    nullable: bool
    default: Any
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """An object of the API."""

    name: str
    description: str
    fields: tuple[Field, ...]
    #: Clients write it; else they read it.
    asked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call. `rows` is the field of the answer with the rows of a page, where it is one page of a list."""

    name: str
    method: str
    path: str
    description: str
    in_path: tuple[Field, ...]
    in_query: tuple[Field, ...]
    in_body: tuple[Field, ...]
    idempotent: bool
    answer: str
    rows: Field | None

    @property
    def sends_json(self) -> bool:
        return self.method in {"POST", "PUT", "PATCH"}


class Api:
    """All models and operations of the document."""

    def __init__(self) -> None:
        self._document = document()
        self._schemas: Mapping[str, Any] = self._document["components"]["schemas"]

    @cached_property
    def operations(self) -> list[Operation]:
        return sorted(self._operations(), key=lambda operation: (operation.path, operation.name))

    @cached_property
    def models(self) -> list[Model]:
        read, written = self._reached()
        names = [name for name in self._schemas if name in read | written and self._is_model(name)]
        return [self._model(name, asked=name not in read) for name in names]

    @cached_property
    def enums(self) -> dict[str, tuple[str, ...]]:
        read, written = self._reached()
        return {name: tuple(s["enum"]) for name, s in self._schemas.items() if "enum" in s and name in read | written}

    def model(self, name: str) -> Model:
        return next(model for model in self.models if model.name == name)

    def _operations(self) -> Iterator[Operation]:
        for path, method, told in self._told():
            if told["operationId"] not in BY_HAND:
                yield self._operation(path, method, told)

    def _told(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        for path, calls in self._document["paths"].items():
            for method, told in calls.items():
                if not path.startswith(LEFT_OUT):
                    yield path, method.upper(), told

    def _operation(self, path: str, method: str, told: Mapping[str, Any]) -> Operation:
        given = told.get("parameters", [])
        named = [parameter for parameter in given if "$ref" not in parameter]
        fields = {where: tuple(self._parameter(p) for p in named if p["in"] == where) for where in ("path", "query")}
        (answer,) = _answers(told)
        rows = self._rows(answer) if any(field.name == "lastKey" for field in fields["query"]) else None
        body = _body(told)
        return Operation(
            name=told["operationId"],
            method=method,
            path=path,
            description="\n\n".join(filter(None, (f"{told['summary']}.", told.get("description", "")))),
            in_path=fields["path"],
            in_query=fields["query"],
            in_body=self._fields(body) if body else (),
            idempotent=len(named) < len(given),
            answer=readable(answer),
            rows=rows,
        )

    def _rows(self, answer: str) -> Field:
        (rows,) = (f for f in self._fields(answer) if f.type.kind == "list" and f.type.of[0].kind == "model")
        return rows

    def _parameter(self, told: Mapping[str, Any]) -> Field:
        return self._field(
            told["name"], {**told["schema"], "description": told.get("description", "")}, told["required"]
        )

    def _model(self, name: str, *, asked: bool) -> Model:
        told = self._schemas[name]
        return Model(
            name=readable(name), description=told.get("description", ""), fields=self._fields(name), asked=asked
        )

    def _fields(self, name: str) -> tuple[Field, ...]:
        told = self._schemas[name]
        required = told.get("required", ())
        return tuple(self._field(each, schema, each in required) for each, schema in told["properties"].items())

    def _field(self, name: str, schema: Mapping[str, Any], required: bool) -> Field:  # noqa: FBT001 - by place
        choices = schema.get("anyOf", ())
        return Field(
            name=name,
            type=self._type(schema),
            required=required,
            nullable={"type": "null"} in choices,
            default=schema.get("default"),
            description=schema.get("description", ""),
        )

    def _type(self, schema: Mapping[str, Any]) -> Type:  # noqa: C901, PLR0911 - one line for each word of JSON Schema
        if "$ref" in schema:
            return self._referred(schema["$ref"].rpartition("/")[2])
        choices = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
        if {each.get("format") for each in choices} == {"date-time", "date"}:
            return Type(kind="moment")
        if len(choices) == 1:
            return self._type(choices[0])
        if choices:
            return Type(kind="union", of=tuple(self._type(each) for each in choices))
        if "enum" in schema or "const" in schema:
            return Type(kind="enum", values=tuple(schema.get("enum") or [schema["const"]]))
        if schema.get("format") in {"date-time", "date"}:
            return Type(kind="time" if schema["format"] == "date-time" else "date")
        if schema.get("type") == "array":
            return Type(kind="list", of=(self._type(schema["items"]),))
        if schema.get("type") == "object":
            values = schema.get("additionalProperties", True)
            return Type(kind="map", of=(self._type(values) if isinstance(values, dict) else Type(kind="any"),))
        return Type(kind=schema.get("type", "any"))

    def _referred(self, name: str) -> Type:
        if "enum" in self._schemas[name]:
            return Type(kind="enum", name=name)
        if self._is_model(name):
            return Type(kind="model", name=readable(name))
        return Type(kind="map", of=(Type(kind="any"),))

    def _is_model(self, name: str) -> bool:
        """Objects with any further field are maps."""
        schema = self._schemas[name]
        return "properties" in schema and schema.get("additionalProperties") is not True

    def _reached(self) -> tuple[set[str], set[str]]:
        """The schemas that answers and requests are made of."""
        read = {name for _, _, told in self._told() for name in _answers(told)} | {"ProblemDocument"}
        written = {body for _, _, told in self._told() if (body := _body(told))}
        return self._closure(read), self._closure(
            {part for body in written for part in _references(self._schemas[body])}
        )

    def _closure(self, names: set[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += _references(self._schemas[name])
        return found


def _answers(told: Mapping[str, Any]) -> set[str]:
    schemas = [
        answer["content"]["application/json"]["schema"]
        for status, answer in told["responses"].items()
        if status.startswith("2") and "application/json" in answer.get("content", {})
    ]
    return {schema["$ref"].rpartition("/")[2] for schema in schemas}


def _body(told: Mapping[str, Any]) -> str:
    schema = told.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _references(schema: object) -> set[str]:
    return set(re.findall(r"#/components/schemas/(\w+)", repr(schema)))


def readable(name: str) -> str:
    """The name of a schema as clients have it."""
    return RENAMED.get(name, name.removesuffix("Answer"))
