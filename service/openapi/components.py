"""The shared components of the OpenAPI document: schemas, headers, parameters, problems, security."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openapi_pydantic.v3.v3_1 import (
    Header,
    MediaType,
    Parameter,
    Reference,
    Response,
    Schema,
    SecurityScheme,
)
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from processor.errors import IdempotencyKeyReused, ImageNotFound, NotUploaded, PresetChanged, TrussError, Unavailable
from service.http.call import PathPart
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
    problem_of,
)

_REF = "#/components/schemas/{model}"
_EXAMPLE_REQUEST_ID = "0b6c7e5f4a3d4a0f8c2d1e9b7a605f43"


class _Untitled(GenerateJsonSchema):
    """Removes the titles that are made from the names of fields: they add nothing."""

    def field_title_should_be_set(self, schema: Any) -> bool:
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
    return Reference(**{"$ref": _REF.format(model=model.__name__)})


def query_parameters(model: type[BaseModel]) -> list[Parameter]:
    """A model that is spread over the query."""
    schema = schemas((model,), ())[model.__name__]
    required = schema.get("required", ())
    return [_parameter(name, dict(prop), required=name in required) for name, prop in schema["properties"].items()]


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


def path_parameter(part: PathPart) -> Parameter:
    schema = {"type": "string", "pattern": part.pattern}
    return Parameter.model_validate(
        {"name": part.name, "in": "path", "required": True, "description": part.description, "schema": schema}
    )


def problem(description: str, error: TrussError, *, retry: bool = False) -> Response:
    """A call that is refused so."""
    document = problem_of(error).document(_EXAMPLE_REQUEST_ID)
    example = document.model_dump(mode="json", by_alias=True)
    headers = {"X-Request-Id": REQUEST_ID, **({"Retry-After": _RETRY_AFTER} if retry else {})}
    return Response(
        description=description,
        headers=headers,
        content={CONTENT_TYPE: MediaType(schema=ref(ProblemDocument), example=example)},
    )


REQUEST_ID = Reference(**{"$ref": "#/components/headers/RequestId"})
_RETRY_AFTER = Reference(**{"$ref": "#/components/headers/RetryAfter"})
HEADERS: dict[str, Header | Reference] = {
    "RequestId": Header(description="Names this request in the logs.", required=True, schema=Schema(type="string")),
    "RetryAfter": Header(
        description="Try again after this many seconds.", required=True, schema=Schema(type="integer")
    ),
}
#: Of the problems that many calls may meet, by status.
PROBLEM_NAMES = {
    "400": "InvalidRequest",
    "401": "Unauthenticated",
    "403": "Forbidden",
    "404": "ImageNotFound",
    "408": "RequestTimeout",
    "409": "Conflict",
    "412": "PresetChanged",
    "413": "PayloadTooLarge",
    "415": "UnsupportedMediaType",
    "422": "IdempotencyKeyReused",
    "429": "TooManyRequests",
    "500": "InternalError",
    "503": "Unavailable",
}
PROBLEMS: dict[str, Response | Reference] = {
    "InvalidRequest": problem(
        "The request is not valid", InvalidRequest([FieldError(field="filename", message="is required")])
    ),
    "Unauthenticated": problem("The credentials are missing or not valid", Unauthenticated()),
    "Forbidden": problem("These credentials do not allow this", Forbidden()),
    "ImageNotFound": problem("There is no such image, or it was deleted", ImageNotFound()),
    "RequestTimeout": problem("The request took too long to arrive", RequestTimeout()),
    "Conflict": problem("The state of the image does not allow this now", NotUploaded()),
    "PresetChanged": problem("It is not as the conditions of the request say", PresetChanged()),
    "PayloadTooLarge": problem("The body is too large", PayloadTooLarge()),
    "UnsupportedMediaType": problem("The body is not JSON", UnsupportedMediaType()),
    "IdempotencyKeyReused": problem("The Idempotency-Key was used for another request", IdempotencyKeyReused()),
    "TooManyRequests": problem("Too many requests, or a limit is reached", TooManyRequests(1), retry=True),
    "InternalError": problem("Something went wrong", TrussError()),
    "Unavailable": problem("A dependency is away or busy; try again", Unavailable(), retry=True),
}
IDEMPOTENCY_KEY = Reference(**{"$ref": "#/components/parameters/IdempotencyKey"})
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
