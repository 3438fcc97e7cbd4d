"""The OpenAPI 3.1 document, made from the models that read requests and write answers."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from functools import cache
from typing import Any

from openapi_pydantic.v3.v3_1 import (
    Components,
    Example,
    Header,
    Info,
    MediaType,
    OpenAPI,
    Operation,
    Parameter,
    PathItem,
    Reference,
    RequestBody,
    Response,
    Schema,
    SecurityScheme,
    Tag,
)
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from processor.errors import ImageNotFound, JobNotFound, NotUploaded, TrussError, Unavailable
from service import answers, examples
from service.problems import (
    CONTENT_TYPE,
    FieldError,
    InvalidRequest,
    PayloadTooLarge,
    ProblemDocument,
    UnsupportedMediaType,
)
from service.schemas import FailedQuery, ListQuery, RedriveRequest, UploadUrlQuery, UploadUrlRequest

DESCRIPTION = """\
Upload a picture straight to S3 and get WebP variants of it behind a CDN.

1. Ask for an upload URL.
2. Send the file to `uploadUrl` with PUT and the `headers` of the answer, or as the form in `post`.
3. Ask for the status until it is `completed` or `failed`. The variants' URLs are known from the beginning.

Variants: `thumbnail` fits into 300 x 300 pixels, `medium` into 800 x 600, `large` into 1920 x 1080, `webp` keeps the
original's size. All are WebP, keep their aspect and are never enlarged.

Errors are problem documents (RFC 9457); their `code` is stable. Answers with 503 say in `Retry-After` when to try
again. Every answer carries an `X-Request-Id`: the caller's, when it is well formed.

**This version does not authenticate callers.** The security schemes are declared for what is to come; whatever
credentials a request carries are ignored. Restrict who can reach the service.
"""

REDRIVE = """\
Makes a new job in place of each failed one, newest first, and moves messages from the dead-letter queue back to the
queue; with a `code` it leaves the messages alone. The workers get to see `perSecond` of them in a second.

A dry run, which is the default, changes nothing. A call may be repeated, also after a 503: an image that was redriven
is not failed any more. While there is more, `lastEvaluatedKey` is not null; give it back as `lastKey`.
"""

_REF = "#/components/schemas/{model}"
_ANSWERS: tuple[type[BaseModel], ...] = (
    answers.UploadUrlAnswer,
    answers.JobAnswer,
    answers.ListAnswer,
    answers.FailedAnswer,
    answers.RedriveAnswer,
    answers.ProcessAnswer,
    answers.ProcessedAnswer,
    answers.DeleteAnswer,
    answers.HealthAnswer,
    ProblemDocument,
)
_REQUESTS: tuple[type[BaseModel], ...] = (UploadUrlRequest, UploadUrlQuery, ListQuery, FailedQuery, RedriveRequest)
#: Models that are spread over query parameters instead of being a body.
_QUERIES = (UploadUrlQuery.__name__, ListQuery.__name__, FailedQuery.__name__)


class _Untitled(GenerateJsonSchema):
    """Leaves out the titles that are made from a field's name: they say nothing that the name does not."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        del schema
        return False


@cache
def document() -> dict[str, Any]:
    """The document as JSON values."""
    schemas = _schemas()
    shell = OpenAPI(
        openapi="3.1.1",
        info=Info(title="Truss image service", version=_version(), description=DESCRIPTION),
        tags=[
            Tag(name="uploads", description="Upload URLs"),
            Tag(name="images", description="Images and their variants"),
            Tag(name="failures", description="Images whose conversion failed"),
            Tag(name="service", description="The service itself"),
        ],
        paths=_paths(schemas),
        components=Components(headers=_HEADERS, responses=_PROBLEMS, securitySchemes=_SECURITY),
    ).model_dump(mode="json", by_alias=True, exclude_unset=True)
    shell["components"]["schemas"] = {name: schema for name, schema in schemas.items() if name not in _QUERIES}
    return shell


def _paths(schemas: Mapping[str, Any]) -> dict[str, PathItem]:
    created = _json("The upload URL", answers.UploadUrlAnswer, examples.UPLOAD_URL)
    return {
        "/images/upload-url": PathItem(
            post=Operation(
                operationId="createUploadUrl",
                tags=["uploads"],
                summary="Get a URL to upload to",
                requestBody=RequestBody(
                    required=True, content={"application/json": MediaType(schema=_ref(UploadUrlRequest))}
                ),
                responses={"200": created, **_problems("400", "413", "415")},
            ),
            get=Operation(
                operationId="createUploadUrlByQuery",
                tags=["uploads"],
                summary="Get a URL to upload to, asked by query parameters",
                parameters=_query(schemas, UploadUrlQuery),
                responses={"200": created, **_problems("400")},
            ),
        ),
        "/images/status/{processingId}": PathItem(
            get=Operation(
                operationId="getStatus",
                tags=["images"],
                summary="See how far a job has come",
                parameters=[_path("processingId", "As answered with the upload URL.", r"^img_[0-9]+_[A-Za-z0-9]+$")],
                responses={
                    "200": _json("The job", answers.JobAnswer, **examples.JOBS),
                    **_problems("404", not_found=JobNotFound()),
                },
            )
        ),
        "/images/list": PathItem(
            get=Operation(
                operationId="listImages",
                tags=["images"],
                summary="List images, newest first",
                description="A list lags a moment behind what the other calls answer.",
                parameters=_query(schemas, ListQuery),
                responses={"200": _json("A page", answers.ListAnswer, examples.LIST), **_problems("400")},
            )
        ),
        "/images/failed": PathItem(
            get=Operation(
                operationId="listFailedImages",
                tags=["failures"],
                summary="List images whose conversion failed, newest first",
                description="A list lags a moment behind what the other calls answer.",
                parameters=_query(schemas, FailedQuery),
                responses={"200": _json("A page", answers.FailedAnswer, examples.FAILED), **_problems("400")},
            )
        ),
        "/images/failed/redrive": PathItem(
            post=Operation(
                operationId="redriveFailedImages",
                tags=["failures"],
                summary="Convert failed images again",
                description=REDRIVE,
                requestBody=RequestBody(
                    required=True, content={"application/json": MediaType(schema=_ref(RedriveRequest))}
                ),
                responses={
                    "200": _json("What was done, or would be", answers.RedriveAnswer, **examples.REDRIVES),
                    **_problems("400", "413", "415"),
                },
            )
        ),
        "/images/process/{uniqueId}": PathItem(
            post=Operation(
                operationId="processImage",
                tags=["images"],
                summary="Convert an uploaded image again",
                description="Makes a new job. The variants of the last completed job are shown until this one is.",
                parameters=[_unique_id()],
                responses={
                    "202": _json("The new job", answers.ProcessAnswer, examples.PROCESS),
                    **_problems("404", "409"),
                },
            )
        ),
        "/images/processed/{uniqueId}": PathItem(
            get=Operation(
                operationId="listProcessedImages",
                tags=["images"],
                summary="List the variants of an image",
                parameters=[_unique_id()],
                responses={
                    "200": _json("The variants", answers.ProcessedAnswer, examples.PROCESSED),
                    **_problems("404"),
                },
            )
        ),
        "/images/image/{uniqueId}": PathItem(
            delete=Operation(
                operationId="deleteImage",
                tags=["images"],
                summary="Delete an image for ever",
                parameters=[_unique_id()],
                responses={"200": _json("What is gone", answers.DeleteAnswer, examples.DELETE), **_problems("404")},
            )
        ),
        "/images/health": PathItem(
            get=Operation(
                operationId="getHealth",
                tags=["service"],
                summary="See whether the service can work",
                security=[],
                responses={
                    "200": _json("It can", answers.HealthAnswer, examples.HEALTHY),
                    "503": _json(
                        "A dependency is gone, or the process is ending", answers.HealthAnswer, examples.UNHEALTHY
                    ),
                },
            )
        ),
    }


# -- parts -------------------------------------------------------------------------------------------------------


def _schemas() -> dict[str, Any]:
    validation: JsonSchemaMode = "validation"
    serialization: JsonSchemaMode = "serialization"
    models = [*((model, validation) for model in _REQUESTS), *((model, serialization) for model in _ANSWERS)]
    _, definitions = models_json_schema(models, ref_template=_REF, schema_generator=_Untitled)
    schemas: dict[str, Any] = definitions["$defs"]
    return schemas


def _ref(model: type[BaseModel]) -> Reference:
    return Reference(**{"$ref": _REF.format(model=model.__name__)})


def _json(
    description: str, model: type[BaseModel], example: answers.Answer | None = None, **named: answers.Answer
) -> Response:
    shown = {"example": example} if example is not None else named
    return Response(
        description=description,
        headers={"X-Request-Id": _REQUEST_ID},
        content={
            "application/json": MediaType(
                schema=_ref(model),
                examples={name: Example(value=_plain(answer)) for name, answer in shown.items()},
            )
        },
    )


def _plain(model: BaseModel) -> Any:
    return model.model_dump(mode="json", by_alias=True)


def _query(schemas: Mapping[str, Any], model: type[BaseModel]) -> list[Parameter | Reference]:
    schema = schemas[model.__name__]
    required = schema.get("required", ())
    return [_parameter(name, dict(prop), required=name in required) for name, prop in schema["properties"].items()]


def _parameter(name: str, prop: dict[str, Any], *, required: bool) -> Parameter:
    shared = {"name": name, "in": "query", "description": prop.pop("description", ""), "required": required}
    # An absent parameter is not a null one.
    options = [option for option in prop.pop("anyOf", ()) if option != {"type": "null"}]
    schema = {key: value for key, value in prop.items() if value is not None}
    schema |= options[0] if options else {}
    if schema.get("type") == "object":
        # The OpenAPI way to say: JSON as text.
        return Parameter.model_validate({**shared, "content": {"application/json": {"schema": schema}}})
    return Parameter.model_validate({**shared, "schema": schema})


def _path(name: str, description: str, pattern: str) -> Parameter:
    schema = {"type": "string", "pattern": pattern}
    return Parameter.model_validate(
        {"name": name, "in": "path", "required": True, "description": description, "schema": schema}
    )


def _unique_id() -> Parameter:
    return _path(
        "uniqueId", "A UUID, as answered with the upload URL.", r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
    )


def _problem(description: str, error: TrussError, *, retry: bool = False) -> Response:
    example = examples.problem(error).model_dump(mode="json", by_alias=True, exclude_none=True)
    headers = {"X-Request-Id": _REQUEST_ID, **({"Retry-After": _RETRY_AFTER} if retry else {})}
    return Response(
        description=description,
        headers=headers,
        content={CONTENT_TYPE: MediaType(schema=_ref(ProblemDocument), example=example)},
    )


def _problems(*statuses: str, not_found: TrussError | None = None) -> dict[str, Response | Reference]:
    """The problems of one call, and those that every call may meet."""
    found: dict[str, Response | Reference] = {
        status: Reference(**{"$ref": f"#/components/responses/{_NAMES[status]}"})
        for status in (*statuses, "500", "503")
    }
    if not_found is not None:
        found["404"] = _problem("There is no such thing", not_found)
    return found


def _version() -> str:
    try:
        return importlib.metadata.version("truss-image")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        return "0.0.0"


_REQUEST_ID = Reference(**{"$ref": "#/components/headers/RequestId"})
_RETRY_AFTER = Reference(**{"$ref": "#/components/headers/RetryAfter"})
_HEADERS: dict[str, Header | Reference] = {
    "RequestId": Header(description="Names this request in the logs.", required=True, schema=Schema(type="string")),
    "RetryAfter": Header(
        description="Try again after this many seconds.", required=True, schema=Schema(type="integer")
    ),
}
_NAMES = {
    "400": "InvalidRequest",
    "404": "ImageNotFound",
    "409": "Conflict",
    "413": "PayloadTooLarge",
    "415": "UnsupportedMediaType",
    "500": "InternalError",
    "503": "Unavailable",
}
_PROBLEMS: dict[str, Response | Reference] = {
    "InvalidRequest": _problem(
        "The request is not valid", InvalidRequest([FieldError(field="filename", message="is required")])
    ),
    "ImageNotFound": _problem("There is no such image, or it was deleted", ImageNotFound()),
    "Conflict": _problem("The state of the image does not allow this now", NotUploaded()),
    "PayloadTooLarge": _problem("The body is too large", PayloadTooLarge()),
    "UnsupportedMediaType": _problem("The body is not JSON", UnsupportedMediaType()),
    "InternalError": _problem("Something went wrong", TrussError()),
    "Unavailable": _problem("A dependency is away or busy; try again", Unavailable(), retry=True),
}
_SECURITY: dict[str, SecurityScheme | Reference] = {
    "bearerJwt": SecurityScheme(
        type="http", scheme="bearer", bearerFormat="JWT", description="Not enforced in this version."
    ),
    "apiKey": SecurityScheme(
        type="apiKey", name="X-Api-Key", security_scheme_in="header", description="Not enforced in this version."
    ),
}
