"""The calls about images, as the OpenAPI document describes them."""

from __future__ import annotations

from openapi_pydantic.v3.v3_1 import Operation, PathItem

from processor.errors import JobNotFound
from service.auth.principal import Scope
from service.calls import answers, examples
from service.calls.schemas import (
    FailedQuery,
    ListQuery,
    RedriveRequest,
    RefreshRequest,
    UploadUrlQuery,
    UploadUrlRequest,
)
from service.openapi.parts import body, call, json_answer, path_parameter, post, query_parameters, unique_id

LISTING = """\
In the order of `listedAt`, which never changes: whoever reads page after page, until `lastEvaluatedKey` is null, sees
once each image that matched all the while. A list lags a moment behind what the other calls answer; an image whose new
job took the place of an old one in this very moment may be missing from a page.
"""

REDRIVE = """\
Makes a new job in place of each failed one, newest first, and moves messages from the dead-letter queue back to the
queue; with a `code` it leaves the messages alone. The workers get to see `perSecond` of them in a second.

A dry run, which is the default, changes nothing. A call may be repeated, also after a 503: an image that was redriven
is not failed any more. While there is more, `lastEvaluatedKey` is not null; give it back as `lastKey`.
"""


def image_paths() -> dict[str, PathItem]:
    """Every call about images."""
    created = json_answer("The upload URL", answers.UploadUrlAnswer, examples.UPLOAD_URL)
    return {
        "/images/upload-url": PathItem(
            post=post(
                Scope.WRITE,
                "413",
                "415",
                operationId="createUploadUrl",
                tags=["uploads"],
                summary="Get a URL to upload to",
                requestBody=body(UploadUrlRequest),
                responses={"200": created},
            ),
            get=call(
                Scope.WRITE,
                "400",
                "409",
                operationId="createUploadUrlByQuery",
                tags=["uploads"],
                summary="Get a URL to upload to, asked by query parameters",
                parameters=query_parameters(UploadUrlQuery),
                responses={"200": created},
            ),
        ),
        "/images/upload-url/{uniqueId}/refresh": PathItem(
            post=post(
                Scope.WRITE,
                "404",
                "413",
                "415",
                operationId="refreshUploadUrl",
                tags=["uploads"],
                summary="Get a new URL for an upload that has not come yet",
                description="On the same terms, under the same ids. What was signed before holds until its own end.",
                parameters=[unique_id()],
                requestBody=body(RefreshRequest, required=False),
                responses={"200": created},
            )
        ),
        "/images/status/{processingId}": PathItem(
            get=call(
                Scope.READ,
                "404",
                not_found=JobNotFound(),
                operationId="getStatus",
                tags=["images"],
                summary="See how far a job has come",
                parameters=[
                    path_parameter(
                        "processingId",
                        "As answered with the upload URL. A `uniqueId` stands for the image's current job.",
                        r"^(img_[0-9]+_[A-Za-z0-9]+|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$",
                    )
                ],
                responses={
                    "200": json_answer("The job", answers.JobAnswer, **examples.JOBS),
                },
            )
        ),
        "/images/list": PathItem(
            get=call(
                Scope.READ,
                "400",
                operationId="listImages",
                tags=["images"],
                summary="List images, newest first",
                description=LISTING,
                parameters=query_parameters(ListQuery),
                responses={"200": json_answer("A page", answers.ListAnswer, examples.LIST)},
            )
        ),
        "/images/failed": PathItem(
            get=call(
                Scope.READ,
                "400",
                operationId="listFailedImages",
                tags=["failures"],
                summary="List images whose conversion failed, newest first",
                description=LISTING,
                parameters=query_parameters(FailedQuery),
                responses={"200": json_answer("A page", answers.FailedAnswer, examples.FAILED)},
            )
        ),
        "/images/failed/redrive": PathItem(
            post=post(
                Scope.ADMIN,
                "413",
                "415",
                operationId="redriveFailedImages",
                tags=["failures"],
                summary="Convert failed images again",
                description=REDRIVE,
                requestBody=body(RedriveRequest),
                responses={
                    "200": json_answer("What was done, or would be", answers.RedriveAnswer, **examples.REDRIVES)
                },
            )
        ),
        "/images/process/{uniqueId}": PathItem(
            post=post(
                Scope.WRITE,
                "404",
                operationId="processImage",
                tags=["images"],
                summary="Convert an uploaded image again",
                description="Makes a new job. The variants of the last completed job are shown until this one is.",
                parameters=[unique_id()],
                responses={"202": json_answer("The new job", answers.ProcessAnswer, examples.PROCESS)},
            )
        ),
        "/images/processed/{uniqueId}": PathItem(
            get=call(
                Scope.READ,
                "404",
                operationId="listProcessedImages",
                tags=["images"],
                summary="List the variants of an image",
                parameters=[unique_id()],
                responses={"200": json_answer("The variants", answers.ProcessedAnswer, examples.PROCESSED)},
            )
        ),
        "/images/image/{uniqueId}": PathItem(
            delete=call(
                Scope.DELETE,
                "404",
                operationId="deleteImage",
                tags=["images"],
                summary="Delete an image for ever",
                parameters=[unique_id()],
                responses={"200": json_answer("What is gone", answers.DeleteAnswer, examples.DELETE)},
            )
        ),
        "/images/health": _probe(
            "getHealth", "See whether the service and all that it needs can work", examples.HEALTHY, examples.UNHEALTHY
        ),
        "/images/live": _probe(
            "getLiveness", "See whether this process needs a restart", examples.LIVE, examples.NOT_LIVE
        ),
        "/images/ready": _probe(
            "getReadiness", "See whether to send requests to this process", examples.READY, examples.NOT_READY
        ),
    }


def _probe(operation_id: str, summary: str, well: answers.HealthAnswer, unwell: answers.HealthAnswer) -> PathItem:
    return PathItem(
        get=Operation(
            operationId=operation_id,
            tags=["service"],
            summary=summary,
            security=[],
            responses={
                "200": json_answer("All is well", answers.HealthAnswer, well),
                "503": json_answer("A check fails, or the process is ending", answers.HealthAnswer, unwell),
            },
        )
    )
