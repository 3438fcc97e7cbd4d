"""The OpenAPI 3.1 document, made from the routes and the documentation of their handlers."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from functools import cache
from typing import Any

from openapi_pydantic.v3.v3_1 import Components, Info, OpenAPI, PathItem, Server, Tag
from pydantic import BaseModel

from service.calls import uploads
from service.http.call import Call, call_of
from service.http.problems import ProblemDocument, known_failures, known_problems
from service.openapi.components import HEADERS, PARAMETERS, PROBLEMS, SECURITY, schemas
from service.openapi.operations import operation
from service.routes import ROUTES

DESCRIPTION = """\
Upload a picture straight to S3 and get WebP variants of it behind a CDN.

1. Ask for an upload URL: `{create}`.
2. Send the file to the `uploadUrl` of the answer with PUT and its `headers`, or as the form in `post`. On a terminal:
   `curl -T photo.jpg -H 'Content-Type: image/jpeg' 'the uploadUrl'`.
3. Ask for the status of the `processingId` until it is `completed` or `failed`. The variants' URLs are known from the
   beginning.

Variants: `thumbnail` fits into 300 x 300 pixels, `medium` into 800 x 600, `large` into 1920 x 1080, `webp` keeps the
original's size. All are WebP, keep their aspect and are never enlarged.

Errors are problem documents (RFC 9457); their `code` is stable. Answers with 503 say in `Retry-After` when to try
again. Every answer carries an `X-Request-Id`: the caller's, when it is well formed. A query parameter that is there
twice, or whose name is nearly right, is refused, and so are such fields of a body and nearly right spellings of
`Idempotency-Key` and `X-Tenant`. Other names that nobody knows are ignored, and named in `ignored` of the answer.

Callers send an API key as `X-Api-Key`, or a JWT of the installation's Cognito pool as `Authorization: Bearer`. Each
call names the scope that it needs: `images:read`, `images:write`, `images:delete`, or `images:admin`, which allows
everything. `images:position` allows one thing more: to see where pictures were taken, and `images:review` another: to
look at images that are held for a review, and to decide about them. A caller sees the images of its
own tenant; those of others are as good as none. An administrator may act for another tenant by naming it in `X-Tenant`.
"""


@cache
def document() -> dict[str, Any]:
    """The document as JSON values: every route that is part of the API."""
    listed = [(route, told) for route in ROUTES if (told := call_of(route.handler)) is not None]
    calls = [told for _, told in listed]
    paths: dict[str, dict[str, Any]] = {}
    for route, told in listed:
        paths.setdefault(route.path, {})[route.method.lower()] = operation(route, told)
    shell = OpenAPI(
        openapi="3.1.1",
        info=Info(title="Truss image service", version=_version(), description=_description()),
        # Relative to where the document lies, so that a prefix in front of the service does no harm.
        servers=[Server(url="..")],
        tags=[Tag(name=group.name, description=group.description) for group in dict.fromkeys(c.group for c in calls)],
        paths={path: PathItem(**operations) for path, operations in paths.items()},
        components=Components(headers=HEADERS, parameters=PARAMETERS, responses=PROBLEMS, securitySchemes=SECURITY),
    ).model_dump(mode="json", by_alias=True, exclude_unset=True)
    found = schemas(_bodies(calls), [*_answers(calls), ProblemDocument])
    # Examples, because there may be more one day: a client must not break over a code that it does not know.
    found["ProblemDocument"]["properties"]["code"]["examples"] = [problem.code for problem in known_problems()]
    found["FailureAnswer"]["properties"]["code"]["examples"] = [code for code, _ in known_failures()]
    shell["components"]["schemas"] = found
    return shell


def _description() -> str:
    (create,) = (f"{route.method} {route.path}" for route in ROUTES if route.handler is uploads.create_from_body)
    return DESCRIPTION.format(create=create)


def _bodies(calls: Iterable[Call]) -> list[type[BaseModel]]:
    return list(dict.fromkeys(told.body for told in calls if told.body is not None))


def _answers(calls: Iterable[Call]) -> list[type[BaseModel]]:
    models = dict.fromkeys(reply.model for told in calls for reply in told.replies)
    return [model for model in models if model is not None]


def _version() -> str:
    try:
        return importlib.metadata.version("truss-image")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        return "0.0.0"
