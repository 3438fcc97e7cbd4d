"""Many calls in one request. Each item is done, counted and answered like the single call."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import PydanticCustomError
from structlog.contextvars import bind_contextvars

from processor.aside import aside
from processor.bulk.operations import DELETE, PROCESS
from processor.erasure import Erasure
from processor.errors import BulkInProgress, ImageNotFound, PresetNotFound
from service.auth.middleware import tenant_of
from service.calls import groups, images, samples
from service.calls.bulk import BULK_JOB, ImageFilter, start
from service.calls.files import PresetName
from service.calls.images import ProcessAnswer
from service.calls.jobs import JOBS, JobAnswer, named_job
from service.calls.names import UniqueId, is_unique_id, unique_id_of
from service.calls.uploads import UPLOAD_URL, UploadUrlAnswer, UploadUrlRequest, issue, issue_again
from service.calls.use_cases import CATALOG
from service.http.body import json_body
from service.http.call import call, reply
from service.http.middleware import request_id_of
from service.http.problems import FieldError, InvalidRequest, ProblemDocument, problem_of
from service.http.rendering import LINKS, render_rows
from service.http.wire import Answer, Heard, Question, Time, as_plain, is_none, read_object
from service.idempotency import ITEM_KEY, earlier, good_for, once
from service.limits.batches import each
from service.limits.long_bodies import asked_by, understood

#: Most items of a batch.
MAX_ITEMS = 100
#: Names that other APIs have for a list of ids.
_ID_WORDS = ("ids", "images", "imageIds", "jobs", "jobIds")

Shown = TypeVar("Shown", bound=Answer)


# -- what is asked ------------------------------------------------------------------------------------------------


class BatchUpload(UploadUrlRequest):
    """One of the files to upload."""

    idempotency_key: str | None = Field(
        default=None,
        pattern=ITEM_KEY,
        description="A name of your choice for this upload. Whoever asks for it again within a day, in any batch, "
        "gets the same image; `replayed` in the result says so. The rest of the item must be the same.",
    )


class _ShownAs:
    """Describes a value that is parsed later, as the model of which it will be."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model

    def __get_pydantic_json_schema__(self, _: object, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(self._model.__pydantic_core_schema__)


class BatchUploadsRequest(Question):
    """The files to upload."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"uploads": [{"filename": "a.jpg"}, {"filename": "b.jpg", "size": 482113}]}]}
    )
    other_words: ClassVar[Mapping[str, str]] = dict.fromkeys(("files", "items", "requests"), "uploads")

    # Each item is parsed separately, so that its error is in its own result.
    uploads: list[Annotated[Any, _ShownAs(BatchUpload)]] = Field(
        min_length=1,
        max_length=MAX_ITEMS,
        description=f"1 to {MAX_ITEMS} files, each as `POST /images/upload-url` is asked for it.",
    )


class BatchStatusRequest(Question):
    """The jobs to look up."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"processingIds": [samples.PENDING.processing_id]}]})
    other_words: ClassVar[Mapping[str, str]] = dict.fromkeys((*_ID_WORDS, "uniqueIds"), "processingIds")

    processing_ids: list[str] = Field(
        min_length=1,
        max_length=MAX_ITEMS,
        description=f"1 to {MAX_ITEMS} jobs. A `uniqueId` stands for the image's current job.",
    )


class ImagesRequest(Question):
    """The ids of the images."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"uniqueIds": [samples.UNIQUE_ID]}, {"filter": {"status": "failed"}}]}
    )
    other_words: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys((*_ID_WORDS, "processingIds"), "uniqueIds"),
        **dict.fromkeys(("where", "query", "matching"), "filter"),
    }

    unique_ids: list[str] | None = Field(
        default=None, min_length=1, max_length=MAX_ITEMS, description=f"1 to {MAX_ITEMS} images."
    )
    filter: ImageFilter | None = Field(
        default=None, description="In their place: all that match, by a bulk job in the background."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.unique_ids is None) == (self.filter is None):
            raise PydanticCustomError("one_way", "must have uniqueIds or a filter")
        return self


class BatchProcessRequest(ImagesRequest):
    """The images to convert again."""

    preset: PresetName | None = Field(
        default=None,
        description="Name of the preset, in its newest version; by default the one that each image has.",
    )


class BatchDeleteRequest(ImagesRequest):
    """The images to delete for ever."""


# -- what is answered ---------------------------------------------------------------------------------------------


class ItemResult(Answer, Generic[Shown]):
    """The answer that the single call would give."""

    index: int = Field(description="Which item of the request it is, from 0 on; results are in that order.")
    status: int = Field(description="The HTTP status that the single call would have.", examples=[200])
    answer: Shown | None = Field(description="What the single call answers; null where there is a problem.")
    problem: ProblemDocument | None = Field(description="What the single call is refused with; null where it is not.")
    retry_after: int | None = Field(
        default=None,
        exclude_if=is_none,
        description="Beside a problem that may pass: when it makes sense to ask for this item again, in seconds.",
    )

    @classmethod
    def of(
        cls, index: int, found: Shown | Exception, request_id: str, *, good: HTTPStatus = HTTPStatus.OK, **named: str
    ) -> Self:
        """A result from the return value or the error of the single call."""
        if not isinstance(found, Exception):
            return cls(index=index, status=good, answer=found, problem=None, **named)
        problem = problem_of(found)
        return cls(
            index=index,
            status=problem.status,
            answer=None,
            problem=problem.document(request_id),
            retry_after=problem.retry_after,
            **named,
        )


class NamedResult(ItemResult[Shown], Generic[Shown]):
    """The result of an item with an id."""

    id: str = Field(description="As it was asked for.", examples=[samples.UNIQUE_ID])


class UploadResult(ItemResult[UploadUrlAnswer]):
    """The result for one upload."""

    replayed: bool | None = Field(
        default=None,
        exclude_if=is_none,
        description="Its `idempotencyKey` was used before: this is the image that was made then, with new URLs if "
        "nothing has been uploaded yet.",
    )


class StatusResult(NamedResult[JobAnswer]):
    """The result for one job."""


class ProcessResult(NamedResult[ProcessAnswer]):
    """The result for one image to convert again."""


class DeletedImage(Answer):
    """A deleted image, without the keys that the single call's receipt has."""

    message: str = "Image deleted"
    unique_id: UniqueId
    deleted_processed_images: int = Field(description="How many variants there were.", examples=[4])
    erased_at: Time

    @classmethod
    def of(cls, unique_id: str, erasure: Erasure) -> Self:
        return cls(unique_id=unique_id, deleted_processed_images=len(erasure.variants), erased_at=erasure.erased_at)


class DeleteResult(NamedResult[DeletedImage]):
    """The result for one image to delete."""


Result = TypeVar("Result", bound=ItemResult[Any])


class BatchAnswer(Heard, Generic[Result]):
    """The result of each item, even if none succeeded."""

    results: list[Result]
    succeeded: int = Field(description="How many results have an `answer`.")
    failed: int = Field(description="How many have a `problem`.")

    @classmethod
    def of(cls, results: Sequence[Result]) -> Self:
        failed = sum(result.problem is not None for result in results)
        return cls(results=list(results), succeeded=len(results) - failed, failed=failed)


class BatchUploadsAnswer(BatchAnswer[UploadResult]):
    """The result for each upload."""


class BatchStatusAnswer(BatchAnswer[StatusResult]):
    """The result for each job."""


class BatchProcessAnswer(BatchAnswer[ProcessResult]):
    """The result for each image to convert again."""


class BatchDeleteAnswer(BatchAnswer[DeleteResult]):
    """The result for each image to delete."""


_UNKNOWN, _REQUEST = ImageNotFound(), "0b6c7e5f4a3d4a0f8c2d1e9b7a605f43"
_OTHER_ID = "0d9f6b7c-2f0a-4a55-8c1e-5b1f3a6e9d4e"
UPLOADS_ANSWER = BatchUploadsAnswer.of(
    [
        UploadResult.of(0, UPLOAD_URL, _REQUEST),
        UploadResult.of(1, InvalidRequest([FieldError(field="filename", message="is required")]), _REQUEST),
    ]
)
STATUS_ANSWER = BatchStatusAnswer.of(
    [
        StatusResult.of(0, JOBS["completed"], _REQUEST, id=samples.PENDING.processing_id),
        StatusResult.of(1, _UNKNOWN, _REQUEST, id=_OTHER_ID),
    ]
)
PROCESS_ANSWER = BatchProcessAnswer.of(
    [
        ProcessResult.of(0, images.PROCESS, _REQUEST, good=HTTPStatus.ACCEPTED, id=samples.UNIQUE_ID),
        ProcessResult.of(1, _UNKNOWN, _REQUEST, id=_OTHER_ID),
    ]
)
DELETE_ANSWER = BatchDeleteAnswer.of(
    [
        DeleteResult.of(
            0,
            DeletedImage(unique_id=samples.UNIQUE_ID, deleted_processed_images=4, erased_at=samples.DONE_AT),
            _REQUEST,
            id=samples.UNIQUE_ID,
        ),
        DeleteResult.of(1, _UNKNOWN, _REQUEST, id=_OTHER_ID),
    ]
)


# -- the calls ----------------------------------------------------------------------------------------------------


@call("createUploadUrls", groups.BATCHES, reply("The upload URLs", UPLOADS_ANSWER), body=BatchUploadsRequest)
async def upload_urls(request: web.Request) -> web.Response:
    """Get up to 100 upload URLs at once.

    Each upload is counted, and answered or refused, like `POST /images/upload-url`. A refused one does not stop the
    others.
    """
    body = await json_body(request)
    asked = await asked_by(request, BatchUploadsRequest, body)
    uploads = await understood(request, partial(_read_each, asked.uploads), body)
    answered = earlier(request)
    if answered is not None:
        return await _issued_again(request, uploads, answered)

    async def one(upload: BatchUpload | InvalidRequest) -> tuple[UploadUrlAnswer, bool]:
        if isinstance(upload, InvalidRequest):
            raise upload
        issued, replayed = await _issued(request, upload)
        bind_contextvars(uniqueId=issued.unique_id, processingId=issued.processing_id)
        return issued, replayed

    found = await each(request, "upload-urls", one, uploads)
    _tell_how_long(request, [each[0] for each in found if not isinstance(each, Exception)])
    return await _rendered(
        request,
        lambda request_id: BatchUploadsAnswer.of(
            [_upload_result(index, each, request_id) for index, each in enumerate(found)]
        ).ignoring(asked.ignored),
        len(found),
    )


@call("getStatuses", groups.BATCHES, reply("The jobs", STATUS_ANSWER), body=BatchStatusRequest, anew=True)
async def status(request: web.Request) -> web.Response:
    """See how far up to 100 jobs have come.

    A repeated call shows the present states, also with an `Idempotency-Key`.
    """
    asked = await asked_by(request, BatchStatusRequest, await json_body(request))
    app, tenant = request.app, tenant_of(request)

    async def one(name: str) -> JobAnswer:
        processing_id = await named_job(app, tenant, name)
        return JobAnswer.of(await app[CATALOG].status(tenant, processing_id))

    found = await _by_name(request, "status", one, asked.processing_ids)
    return await _named(request, asked, found, StatusResult, BatchStatusAnswer)


@call(
    "processImages",
    groups.BATCHES,
    reply("The new jobs", PROCESS_ANSWER),
    reply("The bulk job, where there was a filter", BULK_JOB, status=HTTPStatus.ACCEPTED),
    body=BatchProcessRequest,
    problems=(BulkInProgress, PresetNotFound),
)
async def process(request: web.Request) -> web.Response:
    """Convert up to 100 images again, or all that match a filter.

    With `uniqueIds`, each image is handled like `POST /images/process/{uniqueId}`. A repeated id counts once.

    With `filter`, a bulk job does it in the background: see `GET /images/batch/{batchId}`. A tenant may have one bulk
    job for each operation at the same time.
    """
    asked = await asked_by(request, BatchProcessRequest, await json_body(request))
    if asked.filter is not None:
        return await start(request, PROCESS, asked.filter, preset=asked.preset)
    catalog, tenant = request.app[CATALOG], tenant_of(request)

    async def one(name: str) -> ProcessAnswer:
        return ProcessAnswer.of(await catalog.reprocess(tenant, unique_id_of(name), preset=asked.preset))

    found = await _by_name(request, PROCESS, one, asked.unique_ids or ())
    return await _named(request, asked, found, ProcessResult, BatchProcessAnswer, good=HTTPStatus.ACCEPTED)


@call(
    "deleteImages",
    groups.BATCHES,
    reply("What is gone", DELETE_ANSWER),
    reply("The bulk job, where there was a filter", BULK_JOB, status=HTTPStatus.ACCEPTED),
    body=BatchDeleteRequest,
    problems=(BulkInProgress,),
)
async def delete(request: web.Request) -> web.Response:
    """Delete up to 100 images for ever, or all that match a filter.

    With `uniqueIds`, each image is handled like `DELETE /images/image/{uniqueId}`. A repeated id counts once, and has
    two results.

    With `filter`, a bulk job does it in the background: see `GET /images/batch/{batchId}`. A tenant may have one bulk
    job for each operation at the same time. An image that no longer matches when its turn comes is not deleted.
    """
    asked = await asked_by(request, BatchDeleteRequest, await json_body(request))
    if asked.filter is not None:
        return await start(request, DELETE, asked.filter)
    catalog, tenant = request.app[CATALOG], tenant_of(request)

    async def one(name: str) -> DeletedImage:
        unique_id = unique_id_of(name)
        return DeletedImage.of(unique_id, await catalog.delete(tenant, unique_id))

    found = await _by_name(request, DELETE, one, asked.unique_ids or ())
    return await _named(request, asked, found, DeleteResult, BatchDeleteAnswer)


async def _by_name(
    request: web.Request, call: str, work: Callable[[str], Awaitable[Shown]], names: Sequence[str]
) -> list[tuple[str, Shown | Exception]]:
    """The result for each name. A repeated name is done and counted once."""
    meant = [name.lower() if is_unique_id(name) else name for name in names]
    distinct = list(dict.fromkeys(meant))
    found = dict(zip(distinct, await each(request, call, work, distinct), strict=True))
    return [(name, found[each]) for name, each in zip(names, meant, strict=True)]


async def _named(
    request: web.Request,
    asked: Question,
    found: Sequence[tuple[str, Shown | Exception]],
    result: type[NamedResult[Shown]],
    answer: type[BatchAnswer[Any]],
    *,
    good: HTTPStatus = HTTPStatus.OK,
) -> web.Response:
    """The answer to a batch whose items have names."""
    return await _rendered(
        request,
        lambda request_id: answer.of(
            [result.of(index, each, request_id, good=good, id=name) for index, (name, each) in enumerate(found)]
        ).ignoring(asked.ignored),
        len(found),
    )


async def _rendered(request: web.Request, make: Callable[[str], BatchAnswer[Any]], items: int) -> web.Response:
    request_id = request_id_of(request)
    return await render_rows(request, lambda: make(request_id), rows=items, tenant=tenant_of(request))


# -- uploads ------------------------------------------------------------------------------------------------------


def _read_each(uploads: Sequence[object]) -> list[BatchUpload | InvalidRequest]:
    return [_read(upload) for upload in uploads]


def _read(upload: object) -> BatchUpload | InvalidRequest:
    try:
        return read_object(BatchUpload, upload)
    except InvalidRequest as refusal:
        return refusal


async def _issued(request: web.Request, upload: BatchUpload) -> tuple[UploadUrlAnswer, bool]:
    """The answer for one upload, and whether its image was made under its key before."""
    app, tenant = request.app, tenant_of(request)
    if upload.idempotency_key is None:
        return await issue(app, tenant, upload), False

    async def again(kept: Mapping[str, Any]) -> UploadUrlAnswer:
        if kept["isDuplicate"]:
            return UploadUrlAnswer.of_duplicate(await app[CATALOG].status(tenant, kept["processingId"]))
        return await issue_again(app, tenant, upload, kept)

    return await once(
        request,
        upload.idempotency_key,
        upload.model_dump_json(exclude={"idempotency_key"}, exclude_unset=True).encode(),
        make=lambda: issue(app, tenant, upload),
        kept=lambda issued: {
            "uniqueId": issued.unique_id,
            "processingId": issued.processing_id,
            "isDuplicate": issued.duplicate_of is not None,
        },
        again=again,
    )


def _upload_result(index: int, found: tuple[UploadUrlAnswer, bool] | Exception, request_id: str) -> UploadResult:
    if isinstance(found, Exception):
        return UploadResult.of(index, found, request_id)
    issued, replayed = found
    return UploadResult.of(index, issued, request_id).model_copy(update={"replayed": replayed or None})


def _tell_how_long(request: web.Request, issued: Sequence[UploadUrlAnswer]) -> None:
    """The time until the first of the URLs expires."""
    signed = [each for each in issued if each.upload_url is not None]
    if signed:
        good_for(request, min(each.expires_in for each in signed), [each.unique_id for each in signed])


async def _issued_again(
    request: web.Request, uploads: Sequence[BatchUpload | InvalidRequest], answered: Mapping[str, Any]
) -> web.Response:
    """The earlier answer. Each item with a URL gets a new one, or the present state of its image."""
    app, tenant = request.app, tenant_of(request)
    results: list[Any] = list(answered["results"])
    signed = [result["index"] for result in results if (result["answer"] or {}).get("uploadUrl")]

    async def one(index: int) -> UploadUrlAnswer:
        upload = uploads[index]
        if isinstance(upload, InvalidRequest):  # the request was valid before, but this release may be stricter
            raise upload
        return await issue_again(app, tenant, upload, results[index]["answer"])

    found = await each(request, "upload-urls", one, signed)
    request_id, links = request_id_of(request), app[LINKS]

    def written() -> bytes:
        for index, issued in zip(signed, found, strict=True):
            results[index] = as_plain(UploadResult.of(index, issued, request_id), links)
        failed = sum(result["problem"] is not None for result in results)
        counts = {"succeeded": len(results) - failed, "failed": failed}
        return json.dumps({**answered, "results": results, **counts}).encode()

    return web.Response(body=await aside(written, tenant), content_type="application/json", charset="utf-8")
