"""The calls that Uppy makes of its Companion, as the OpenAPI document describes them."""

from __future__ import annotations

from openapi_pydantic.v3.v3_1 import Parameter, PathItem

from service.auth.principal import Scope
from service.calls import examples
from service.calls import uppy_wire as companion
from service.calls.answers import DeleteAnswer
from service.openapi.parts import body, call, json_answer, path_parameter, post, query_parameters

PARAMS = """\
For Uppy's plugin `@uppy/aws-s3`, whose `companionEndpoint` is the base URL with `/images`. Metadata is spread over the
query as `metadata[name]`. The image is known by the key: its status is asked for by the UUID in it.
"""
START = """\
For Uppy. Unlike the call for uploads in parts, this one is told no size: parts are signed one by one, of whatever size.
What has arrived is counted before a further one is signed, and before the file is made of them. What is not completed
within a day is removed.
"""
FINISH = """\
Parts 1 to the last that is named must be there with these ETags; else the answer is 409 with `upload_incomplete`, and
nothing is lost. Every part but the last has at least 5 MiB. The call may be repeated, also after it succeeded.
"""


def uppy_paths() -> dict[str, PathItem]:
    """Every call of Uppy's."""
    return {
        "/images/s3/params": PathItem(
            get=call(
                Scope.WRITE,
                "400",
                "409",
                operationId="uppyParams",
                tags=["uppy"],
                summary="Get a form for a small file",
                description=PARAMS,
                parameters=query_parameters(companion.UppyFile, without=("metadata",)),
                responses={"200": json_answer("The form", companion.FormAnswer, examples.UPPY_FORM)},
            )
        ),
        "/images/s3/multipart": PathItem(
            post=post(
                Scope.WRITE,
                "413",
                "415",
                operationId="uppyStart",
                tags=["uppy"],
                summary="Begin to upload a large file in parts, of a size that is not known",
                description=START,
                requestBody=body(companion.UppyFile),
                responses={"200": json_answer("It has begun", companion.StartedAnswer, examples.UPPY_STARTED)},
            )
        ),
        "/images/s3/multipart/{uploadId}/complete": PathItem(
            post=post(
                Scope.WRITE,
                "404",
                "413",
                "415",
                operationId="uppyFinish",
                tags=["uppy"],
                summary="Make one file of the parts, and convert it",
                description=FINISH,
                parameters=_named(),
                requestBody=body(companion.CompleteRequest),
                responses={"200": json_answer("It is whole", companion.FinishedAnswer, examples.UPPY_FINISHED)},
            )
        ),
        "/images/s3/multipart/{uploadId}/{partNumber}": PathItem(
            get=call(
                Scope.WRITE,
                "400",
                "404",
                "409",
                operationId="uppySignPart",
                tags=["uppy"],
                summary="Get a URL for one part",
                parameters=[*_named(), path_parameter("partNumber", "Beginning at 1.", r"^([1-9][0-9]{0,3}|10000)$")],
                responses={"200": json_answer("The URL", companion.PartUrlAnswer, examples.UPPY_PART)},
            )
        ),
        "/images/s3/multipart/{uploadId}": PathItem(
            get=call(
                Scope.WRITE,
                "400",
                "404",
                "409",
                operationId="uppyListParts",
                tags=["uppy"],
                summary="List the parts that have arrived",
                parameters=_named(),
                responses={"200": json_answer("All of them", companion.ListedParts, examples.UPPY_PARTS)},
            ),
            delete=call(
                Scope.WRITE,
                "400",
                "404",
                "409",
                operationId="uppyGiveUp",
                tags=["uppy"],
                summary="Give up an upload in parts",
                description="Removes the parts and the records, unless the upload has been completed.",
                parameters=_named(),
                responses={"200": json_answer("What is gone", DeleteAnswer, examples.ABORTED_UPLOAD)},
            ),
        ),
    }


def _named() -> list[Parameter]:
    return [
        path_parameter("uploadId", "As answered when the upload began.", r"^img_[0-9]+_[A-Za-z0-9]+$"),
        *query_parameters(companion.UploadName),
    ]
