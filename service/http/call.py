"""The documentation of a call. It stands at the handler; only `service/routes.py` has path and scope."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel

from processor.errors import TrussError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
H = TypeVar("H", bound=Handler)

#: Where a handler carries what is told of it.
_TOLD = "told_of_the_call"


class Undocumented(Exception):
    """A handler has no documentation, and is not marked as unlisted."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group of calls in the document."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class PathPart:
    """A parameter of a path, by its name; `pattern` is a regular expression."""

    name: str
    description: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A good answer; the examples, by name, are all of one model. Without any it has no body."""

    description: str
    status: HTTPStatus
    examples: Mapping[str, BaseModel]
    #: Of an answer that does not end by itself: one message of it.
    streamed: Mapping[str, str] | None = None

    @property
    def model(self) -> type[BaseModel] | None:
        """Of this answer, whatever is in it."""
        return next((type(example) for example in self.examples.values()), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The documentation of a call, except path and scope."""

    operation_id: str
    group: Group
    summary: str
    description: str | None
    path: Sequence[PathPart]
    #: What is spread over the query.
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    body_required: bool
    replies: Sequence[Reply]
    #: Beside those that every call of its kind may meet; the first of a status is the example.
    problems: Sequence[type[TrussError]]
    #: Largest body in bytes, if it may be larger than those of other calls.
    largest_body: int | None
    #: Asked every few seconds by whatever watches this process: noise in the log while all is well.
    quiet: bool
    #: It changes nothing: a repetition is answered as things are then, whatever its `Idempotency-Key` is.
    anew: bool


def reply(description: str, shown: BaseModel | Mapping[str, BaseModel], *, status: HTTPStatus = HTTPStatus.OK) -> Reply:
    """A good answer, with one example or several by name."""
    return Reply(description, status, {"example": shown} if isinstance(shown, BaseModel) else shown)


def unchanged(description: str) -> Reply:
    """To whoever has the answer already."""
    return Reply(description, HTTPStatus.NOT_MODIFIED, {})


def stream(description: str, shown: Mapping[str, str]) -> Reply:
    """Server-Sent Events."""
    return Reply(description, HTTPStatus.OK, {}, streamed=shown)


def call(
    operation_id: str,
    group: Group,
    *replies: Reply,
    path: Sequence[PathPart] = (),
    query: type[BaseModel] | None = None,
    body: type[BaseModel] | None = None,
    body_required: bool = True,
    problems: Sequence[type[TrussError]] = (),
    largest_body: int | None = None,
    quiet: bool = False,
    anew: bool = False,
) -> Callable[[H], H]:
    """Document a handler. The first paragraph of its docstring is the summary, the others are the description."""

    def document(handler: H) -> H:
        summary, _, description = (inspect.getdoc(handler) or "").partition("\n\n")
        told = Call(
            operation_id=operation_id,
            group=group,
            summary=" ".join(summary.split()).removesuffix("."),
            description=description or None,
            path=path,
            query=query,
            body=body,
            body_required=body_required,
            replies=replies,
            problems=problems,
            largest_body=largest_body,
            quiet=quiet,
            anew=anew,
        )
        setattr(handler, _TOLD, told)
        return handler

    return document


def unlisted(handler: H) -> H:
    """Mark a handler for people or the local mode: it is not part of the API or its document."""
    setattr(handler, _TOLD, None)
    return handler


def is_quiet(handler: Handler) -> bool:
    """Whether successful calls should not be logged; also for answers of aiohttp itself."""
    told: Call | None = getattr(handler, _TOLD, None)
    return told is not None and told.quiet


def is_done_anew(request: web.Request) -> bool:
    """Whether the call changes nothing, so that its repetitions are calls like any other."""
    told: Call | None = getattr(request.match_info.handler, _TOLD, None)
    return told is not None and told.anew


def largest_body(request: web.Request) -> int:
    """The largest body that the call accepts, in bytes."""
    told: Call | None = getattr(request.match_info.handler, _TOLD, None)
    own = told.largest_body if told is not None else None
    return request.client_max_size if own is None else own


def call_of(handler: Handler) -> Call | None:
    """The documentation of a handler; None if it is not part of the API. Raises `Undocumented`."""
    try:
        told: Call | None = getattr(handler, _TOLD)
    except AttributeError:
        raise Undocumented(f"{handler!r} has neither @call nor @unlisted") from None
    return told
