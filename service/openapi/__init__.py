"""The OpenAPI 3.1 document, made from the models that read requests and write answers."""

from __future__ import annotations

import importlib.metadata
from functools import cache
from typing import Any

from openapi_pydantic.v3.v3_1 import Components, Info, OpenAPI, Server, Tag
from pydantic import BaseModel

from service.calls import answers, limits
from service.calls import keys_wire as access
from service.calls import uppy_wire as companion
from service.calls.schemas import MultipartRequest, PartsRequest, RedriveRequest, RefreshRequest, UploadUrlRequest
from service.http.problems import ProblemDocument, known_failures, known_problems
from service.openapi.access import access_paths
from service.openapi.images import image_paths
from service.openapi.multipart import multipart_paths
from service.openapi.parts import HEADERS, PARAMETERS, PROBLEMS, SECURITY, schemas
from service.openapi.uppy import uppy_paths

DESCRIPTION = """\
Upload a picture straight to S3 and get WebP variants of it behind a CDN.

1. Ask for an upload URL: `POST /images/upload-url`.
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
everything. A caller sees the images of its own tenant; those of others are as good as none. An administrator may act
for another tenant by naming it in `X-Tenant`.
"""

_ANSWERS: tuple[type[BaseModel], ...] = (
    answers.UploadUrlAnswer,
    answers.MultipartAnswer,
    answers.PartsAnswer,
    answers.CompletedUploadAnswer,
    answers.JobAnswer,
    answers.ListAnswer,
    answers.FailedAnswer,
    answers.RedriveAnswer,
    answers.ProcessAnswer,
    answers.ProcessedAnswer,
    answers.DeleteAnswer,
    answers.HealthAnswer,
    companion.FormAnswer,
    companion.StartedAnswer,
    companion.PartUrlAnswer,
    companion.ListedParts,
    companion.FinishedAnswer,
    access.ApiKeyAnswer,
    access.ApiKeyList,
    access.NewApiKeyAnswer,
    limits.LimitsAnswer,
    ProblemDocument,
)
_REQUESTS: tuple[type[BaseModel], ...] = (
    UploadUrlRequest,
    RefreshRequest,
    MultipartRequest,
    PartsRequest,
    companion.UppyFile,
    companion.CompleteRequest,
    RedriveRequest,
    access.NewApiKeyRequest,
    access.RotateRequest,
    limits.OverridesRequest,
)


@cache
def document() -> dict[str, Any]:
    """The document as JSON values."""
    shell = OpenAPI(
        openapi="3.1.1",
        info=Info(title="Truss image service", version=_version(), description=DESCRIPTION),
        # Relative to where the document lies, so that a prefix in front of the service does no harm.
        servers=[Server(url="..")],
        tags=[
            Tag(name="uploads", description="Upload URLs"),
            Tag(name="uppy", description="Uploads by Uppy, in the words of its Companion"),
            Tag(name="images", description="Images and their variants"),
            Tag(name="failures", description="Images whose conversion failed"),
            Tag(name="access", description="API keys and limits"),
            Tag(name="service", description="The service itself"),
        ],
        paths=image_paths() | multipart_paths() | uppy_paths() | access_paths(),
        components=Components(headers=HEADERS, parameters=PARAMETERS, responses=PROBLEMS, securitySchemes=SECURITY),
    ).model_dump(mode="json", by_alias=True, exclude_unset=True)
    found = schemas(_REQUESTS, _ANSWERS)
    # Examples, because there may be more one day: a client must not break over a code that it does not know.
    found["ProblemDocument"]["properties"]["code"]["examples"] = [problem.code for problem in known_problems()]
    found["FailureAnswer"]["properties"]["code"]["examples"] = [code for code, _ in known_failures()]
    shell["components"]["schemas"] = found
    return shell


def _version() -> str:
    try:
        return importlib.metadata.version("truss-image")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        return "0.0.0"
