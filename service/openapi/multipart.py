"""The calls about uploads in parts, as the OpenAPI document describes them."""

from __future__ import annotations

from openapi_pydantic.v3.v3_1 import PathItem

from service.auth.principal import Scope
from service.calls import answers, examples
from service.calls.schemas import MultipartRequest, PartsRequest
from service.openapi.parts import body, call, json_answer, post, unique_id

BEGIN = """\
For a file so large that losing a connection should not cost all of it. Cut the file into parts of `partSize` bytes, the
last one less, and PUT each to its `url` with its `headers`, several at once if you like; a part that fails is sent
again. Then complete the upload. What is not completed within a day is removed.

`size` is that of your own file: replace the one of the example, or S3 refuses the parts.
"""
COMPLETE = """\
The service asks S3 itself which parts there are. While one is missing, or has another size, the answer is 409 with
`upload_incomplete` and their numbers in `missingParts`; nothing is lost. The call may be repeated, also after it
succeeded.
"""
SHOW = """\
Asks S3. A page that was reloaded goes on with this: it asks for new URLs of the `missingParts`. When the file is whole
already, the answer is 409 with `already_uploaded`; when its parts were removed after a day, with `upload_expired`.
"""
ABORT = """\
Removes the parts and the records. Only an upload that has not been completed can be aborted; afterwards there is an
image, which is deleted by the call for images.
"""


def multipart_paths() -> dict[str, PathItem]:
    """Every call about uploads in parts."""
    return {
        "/images/multipart": PathItem(
            post=post(
                Scope.WRITE,
                "413",
                "415",
                operationId="beginMultipartUpload",
                tags=["uploads"],
                summary="Begin to upload a large file in parts",
                description=BEGIN,
                requestBody=body(MultipartRequest),
                responses={
                    "200": json_answer("The bytes are known already", answers.MultipartAnswer, examples.KNOWN_PARTS),
                    "201": json_answer("The parts", answers.MultipartAnswer, examples.MULTIPART),
                },
            )
        ),
        "/images/multipart/{uniqueId}/parts": PathItem(
            post=post(
                Scope.WRITE,
                "404",
                "413",
                "415",
                operationId="signParts",
                tags=["uploads"],
                summary="Get new URLs for parts of an upload that is not completed",
                description="On the same terms, under the same ids. What was signed before holds until its own end.",
                parameters=[unique_id()],
                requestBody=body(PartsRequest, required=False),
                responses={"200": json_answer("The parts", answers.MultipartAnswer, examples.PARTS)},
            )
        ),
        "/images/multipart/{uniqueId}/complete": PathItem(
            post=post(
                Scope.WRITE,
                "404",
                operationId="completeMultipartUpload",
                tags=["uploads"],
                summary="Make one file of the parts, and convert it",
                description=COMPLETE,
                parameters=[unique_id()],
                responses={"200": json_answer("It is whole", answers.CompletedUploadAnswer, examples.COMPLETED_UPLOAD)},
            )
        ),
        "/images/multipart/{uniqueId}": PathItem(
            get=call(
                Scope.WRITE,
                "404",
                "409",
                operationId="getMultipartUpload",
                tags=["uploads"],
                summary="See which parts of an upload are there",
                description=SHOW,
                parameters=[unique_id()],
                responses={"200": json_answer("The parts", answers.PartsAnswer, examples.PARTS_STATE)},
            ),
            delete=call(
                Scope.WRITE,
                "404",
                "409",
                operationId="abortMultipartUpload",
                tags=["uploads"],
                summary="Give up an upload in parts",
                description=ABORT,
                parameters=[unique_id()],
                responses={"200": json_answer("What is gone", answers.DeleteAnswer, examples.ABORTED_UPLOAD)},
            ),
        ),
    }
