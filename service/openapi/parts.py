"""What the OpenAPI document is put together from: schemas, parameters, answers, problems, security."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openapi_pydantic.v3.v3_1 import (
    Example,
    Header,
    MediaType,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Response,
    Schema,
    SecurityScheme,
)
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from processor.errors import IdempotencyKeyReused, ImageNotFound, NotUploaded, TrussError, Unavailable
from service.auth.principal import Scope
from service.calls import examples
from service.http.problems import (
    CONTENT_TYPE,
    FieldError,
    Forbidden,
    InvalidRequest,
    PayloadTooLarge,
    ProblemDocument,
    RequestTimeout,
    TooManyRequests,
    Unauthenticated,
    UnsupportedMediaType,
)

_REF = "#/components/schemas/{model}"


class _Untitled(GenerateJsonSchema):
    """Leaves out the titles that are made from a field's name: they say nothing that the name does not."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        del schema
        return False


def schemas(requests: Sequence[type[BaseModel]], shown: Sequence[type[BaseModel]]) -> dict[str, Any]:
    """The JSON schemas of everything that is asked and answered, by name."""
    validation: JsonSchemaMode = "validation"
    serialization: JsonSchemaMode = "serialization"
    models = [*((model, validation) for model in requests), *((model, serialization) for model in shown)]
    _, definitions = models_json_schema(models, ref_template=_REF, schema_generator=_Untitled)
    found: dict[str, Any] = definitions["$defs"]
    return found


def ref(model: type[BaseModel]) -> Reference:
    """Where a model's schema lies."""
    return Reference(**{"$ref": _REF.format(model=model.__name__)})


def json_answer(
    description: str, model: type[BaseModel], example: BaseModel | None = None, **named: BaseModel
) -> Response:
    """A good answer, with one example or several by name."""
    shown = {"example": example} if example is not None else named
    return Response(
        description=description,
        headers={"X-Request-Id": _REQUEST_ID},
        content={
            "application/json": MediaType(
                schema=ref(model),
                examples={name: Example(value=_plain(answer)) for name, answer in shown.items()},
            )
        },
    )


def _plain(model: BaseModel) -> Any:
    return model.model_dump(mode="json", by_alias=True)


def query_parameters(model: type[BaseModel], *, without: Sequence[str] = ()) -> list[Parameter]:
    """A model that is spread over the query, but for the fields `without`."""
    schema = schemas((model,), ())[model.__name__]
    required = schema.get("required", ())
    return [
        _parameter(name, dict(prop), required=name in required)
        for name, prop in schema["properties"].items()
        if name not in without
    ]


def _parameter(name: str, prop: dict[str, Any], *, required: bool) -> Parameter:
    shared = {"name": name, "in": "query", "description": prop.pop("description", ""), "required": required}
    # An absent parameter is not a null one.
    options = [option for option in prop.pop("anyOf", ()) if option != {"type": "null"}]
    schema = {key: value for key, value in prop.items() if value is not None}
    schema |= options[0] if options else {}
    if required and "examples" in schema:
        # The page that shows this document fills in a parameter's own example, and none of its schema's.
        shared["example"] = schema["examples"][0]
    if schema.get("type") == "object":
        # The OpenAPI way to say: JSON as text.
        return Parameter.model_validate({**shared, "content": {"application/json": {"schema": schema}}})
    return Parameter.model_validate({**shared, "schema": schema})


def path_parameter(name: str, description: str, pattern: str) -> Parameter:
    """A part of the path."""
    schema = {"type": "string", "pattern": pattern}
    return Parameter.model_validate(
        {"name": name, "in": "path", "required": True, "description": description, "schema": schema}
    )


def unique_id() -> Parameter:
    """The id of an image, in the path."""
    return path_parameter(
        "uniqueId", "A UUID, as answered with the upload URL.", r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
    )


def _problem(description: str, error: TrussError, *, retry: bool = False) -> Response:
    example = examples.problem(error).model_dump(mode="json", by_alias=True, exclude_none=True)
    headers = {"X-Request-Id": _REQUEST_ID, **({"Retry-After": _RETRY_AFTER} if retry else {})}
    return Response(
        description=description,
        headers=headers,
        content={CONTENT_TYPE: MediaType(schema=ref(ProblemDocument), example=example)},
    )


def call(
    scope: Scope, *problems: str, responses: Mapping[str, Response], not_found: TrussError | None = None, **fields: Any
) -> Operation:
    """An operation that asks its caller for `scope`, with its own problems and those that every call may meet."""
    met: dict[str, Response | Reference] = {
        status: Reference(**{"$ref": f"#/components/responses/{_NAMES[status]}"})
        for status in sorted({*problems, "401", "403", "429", "500", "503"})
    }
    if not_found is not None:
        met["404"] = _problem("There is no such thing", not_found)
    security = [{"bearerJwt": [scope.value]}, {"apiKey": [scope.value]}]
    return Operation(security=security, responses={**responses, **met}, **fields)


def post(scope: Scope, *problems: str, parameters: Sequence[Parameter | Reference] = (), **fields: Any) -> Operation:
    """An operation that may be repeated under an `Idempotency-Key`."""
    key = Reference(**{"$ref": "#/components/parameters/IdempotencyKey"})
    return call(scope, *problems, "400", "408", "409", "422", parameters=[*parameters, key], **fields)


def body(model: type[BaseModel], *, required: bool = True) -> RequestBody:
    """A body in JSON."""
    return RequestBody(required=required, content={"application/json": MediaType(schema=ref(model))})


_REQUEST_ID = Reference(**{"$ref": "#/components/headers/RequestId"})
_RETRY_AFTER = Reference(**{"$ref": "#/components/headers/RetryAfter"})
HEADERS: dict[str, Header | Reference] = {
    "RequestId": Header(description="Names this request in the logs.", required=True, schema=Schema(type="string")),
    "RetryAfter": Header(
        description="Try again after this many seconds.", required=True, schema=Schema(type="integer")
    ),
}
_NAMES = {
    "400": "InvalidRequest",
    "401": "Unauthenticated",
    "403": "Forbidden",
    "404": "ImageNotFound",
    "408": "RequestTimeout",
    "409": "Conflict",
    "413": "PayloadTooLarge",
    "415": "UnsupportedMediaType",
    "422": "IdempotencyKeyReused",
    "429": "TooManyRequests",
    "500": "InternalError",
    "503": "Unavailable",
}
PROBLEMS: dict[str, Response | Reference] = {
    "InvalidRequest": _problem(
        "The request is not valid", InvalidRequest([FieldError(field="filename", message="is required")])
    ),
    "Unauthenticated": _problem("The credentials are missing or not valid", Unauthenticated()),
    "Forbidden": _problem("These credentials do not allow this", Forbidden()),
    "ImageNotFound": _problem("There is no such image, or it was deleted", ImageNotFound()),
    "RequestTimeout": _problem("The request took too long to arrive", RequestTimeout()),
    "Conflict": _problem("The state of the image does not allow this now", NotUploaded()),
    "PayloadTooLarge": _problem("The body is too large", PayloadTooLarge()),
    "UnsupportedMediaType": _problem("The body is not JSON", UnsupportedMediaType()),
    "IdempotencyKeyReused": _problem("The Idempotency-Key was used for another request", IdempotencyKeyReused()),
    "TooManyRequests": _problem("Too many requests, or a limit is reached", TooManyRequests(1), retry=True),
    "InternalError": _problem("Something went wrong", TrussError()),
    "Unavailable": _problem("A dependency is away or busy; try again", Unavailable(), retry=True),
}
PARAMETERS: dict[str, Parameter | Reference] = {
    "IdempotencyKey": Parameter.model_validate(
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "A name of your choice for this request. Whoever repeats it within a day, because the "
            "answer got lost, gets the same answer, marked by `Idempotent-Replayed`, and nothing is done twice; "
            "presigned URLs in it are signed anew once a tenth of their time is over.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": '^"?[!#-~]+"?$'},
        }
    )
}
SECURITY: dict[str, SecurityScheme | Reference] = {
    "bearerJwt": SecurityScheme(
        type="http",
        scheme="bearer",
        bearerFormat="JWT",
        description="An access or id token of the installation's Cognito pool.",
    ),
    "apiKey": SecurityScheme(
        type="apiKey", name="X-Api-Key", security_scheme_in="header", description="A key that an administrator made."
    ),
}
