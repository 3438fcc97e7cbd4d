"""A call as an operation of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from openapi_pydantic.v3.v3_1 import Example, MediaType, Operation, Parameter, Reference, RequestBody, Response, Schema

from processor.errors import ImageNotFound, NotFound, TrussError
from service.calls import samples
from service.http.call import Call, Reply
from service.http.problems import problem_of
from service.http.wire import as_plain
from service.openapi.components import (
    IDEMPOTENCY_KEY,
    PROBLEM_NAMES,
    REQUEST_ID,
    path_parameter,
    problem,
    query_parameters,
    ref,
)
from service.routes import PUBLIC, Route

#: What calls may meet beside their own problems, by what they have.
_ANY = ("401", "403", "429", "500", "503")
_QUERY = ("400",)
_BODY = ("400", "408", "413", "415")
#: Of a POST: it may be repeated under an `Idempotency-Key`, for which its body is read, whatever it is.
_REPEATABLE = ("400", "408", "409", "422")


#: A message of a stream, field by field.
_MESSAGE = Schema(type="object", properties={name: Schema(type="string") for name in ("id", "event", "data")})


def operation(route: Route, told: Call) -> Operation:
    """What a caller is told of a route."""
    public = route.scope is PUBLIC
    problems = {} if public else _problems(route, told)
    fields: dict[str, Any] = {
        "operationId": told.operation_id,
        "tags": [told.group.name],
        "summary": told.summary,
        "security": [] if route.scope is None else [{way: [route.scope.value]} for way in ("bearerJwt", "apiKey")],
        "responses": {str(reply.status.value): _answer(reply) for reply in told.replies} | problems,
    }
    parameters = _parameters(route, told)
    if told.description is not None:
        fields["description"] = told.description
    if parameters:
        fields["parameters"] = parameters
    if told.body is not None:
        content = {"application/json": MediaType(schema=ref(told.body))}
        fields["requestBody"] = RequestBody(required=told.body_required, content=content)
    return Operation(**fields)


def _parameters(route: Route, told: Call) -> list[Parameter | Reference]:
    return [
        *map(path_parameter, told.path),
        *([] if told.query is None else query_parameters(told.query)),
        *([IDEMPOTENCY_KEY] if _is_repeatable(route, told) else []),
    ]


def _is_repeatable(route: Route, told: Call) -> bool:
    return route.method == "POST" and not told.anew


def _answer(reply: Reply) -> Response:
    if reply.streamed is not None:
        content = {"text/event-stream": MediaType(schema=_MESSAGE, example=reply.streamed)}
        return Response(description=reply.description, headers={"X-Request-Id": REQUEST_ID}, content=content)
    if reply.model is None:
        return Response(description=reply.description, headers={"X-Request-Id": REQUEST_ID})
    examples = {name: Example(value=as_plain(answer, samples.URL)) for name, answer in reply.examples.items()}
    content = {"application/json": MediaType(schema=ref(reply.model), examples=examples)}
    return Response(description=reply.description, headers={"X-Request-Id": REQUEST_ID}, content=content)


def _problems(route: Route, told: Call) -> dict[str, Response | Reference]:
    """By status. Many calls share one description of a status; what is not found differs from call to call."""
    own = list(_first_of_each_status(told.problems))
    statuses = {
        *_ANY,
        *(_QUERY if told.query is not None else ()),
        *(_BODY if told.body is not None else ()),
        *(_REPEATABLE if _is_repeatable(route, told) else ()),
        *(status for status, _ in own),
    }
    met: dict[str, Response | Reference] = {
        status: Reference(**{"$ref": f"#/components/responses/{PROBLEM_NAMES[status]}"}) for status in sorted(statuses)
    }
    for status, kind in own:
        if issubclass(kind, NotFound) and kind is not ImageNotFound:
            met[status] = problem("There is no such thing", kind())
    return met


def _first_of_each_status(kinds: Iterable[type[TrussError]]) -> Iterable[tuple[str, type[TrussError]]]:
    found: dict[str, type[TrussError]] = {}
    for kind in kinds:
        found.setdefault(str(problem_of(kind()).status), kind)
    return found.items()
