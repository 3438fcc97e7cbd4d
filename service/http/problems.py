"""What a client is told when something went wrong: error class -> RFC 9457 problem, looked up along the MRO."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field

from processor.errors import (
    AssetMissing,
    Busy,
    Conflict,
    DailyLimitReached,
    FileTooLarge,
    IdempotencyKeyReused,
    ImageLimitReached,
    ImageNotFound,
    ImageRejected,
    LeaseLost,
    NotAnEvent,
    NotFound,
    ObjectChanged,
    PresetChanged,
    Rejected,
    RequestInProgress,
    Throttled,
    TrussError,
    Unavailable,
    UploadIncomplete,
    default_message,
    leaves,
)
from processor.jobs import SOURCE_MISSING, SUPERSEDED, UNAVAILABLE
from service.formats import ACCEPTED_CONTENT_TYPES

CONTENT_TYPE = "application/problem+json"
#: `type` of a problem, less its code: an anchor on the documentation page, where every code is explained.
TYPE_PREFIX = "/images/docs#problem-"
#: How many complaints about one request are listed; whoever gets that many wrong has other worries.
MAX_COMPLAINTS = 20
#: How many missing parts are listed: an upload whose parts are signed one by one may have ten thousand.
MAX_MISSING_PARTS = 1000
#: When to come again where too many calls are open, in seconds: some of those end by then.
OPEN_RETRY_SECONDS = 5
#: Characters of a header that are repeated to whoever sent it.
LONGEST_SHOWN = 200


def _is_none(value: object) -> bool:
    return value is None


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    field: str
    message: str
    limit: int | float | None = Field(default=None, exclude_if=_is_none, description="As in the problem itself.")
    actual: int | float | None = Field(default=None, exclude_if=_is_none, description="As in the problem itself.")


class ProblemDocument(BaseModel):
    """An error, as RFC 9457 wants it; `error` repeats `detail` for earlier clients."""

    model_config = ConfigDict(populate_by_name=True)

    type: str = Field(description="A URI reference that explains the code.", examples=[f"{TYPE_PREFIX}job_not_found"])
    title: str = Field(description="The kind of problem, the same for every occurrence.", examples=["Job not found"])
    status: int = Field(description="The HTTP status.", examples=[404])
    detail: str = Field(description="What happened, for people.", examples=["There is no job with this id."])
    code: str = Field(description="What happened, for programs; stable.", examples=["job_not_found"])
    request_id: str = Field(
        alias="requestId", description="The X-Request-Id of the answer.", examples=["0b6c7e5f4a3d4a0f8c2d1e9b7a605f43"]
    )
    error: str = Field(description="The same as `detail`.", examples=["There is no job with this id."])
    errors: list[FieldError] | None = Field(
        default=None, exclude_if=_is_none, description="One entry per bad field; with the code `invalid_request` alone."
    )
    limit: int | float | None = Field(
        default=None,
        exclude_if=_is_none,
        description="What is accepted, where it is a matter of a number: of bytes, seconds, requests, by the code.",
        examples=[104857600],
    )
    actual: int | float | None = Field(
        default=None,
        exclude_if=_is_none,
        description="What was sent or asked for, beside `limit`; one more than that where nobody counted further.",
    )
    accepted: list[str] | None = Field(
        default=None,
        exclude_if=_is_none,
        description="The content types that are converted; with the code `unsupported_content_type`.",
    )
    missing_parts: list[int] | None = Field(
        default=None,
        exclude_if=_is_none,
        alias="missingParts",
        description="Numbers of the parts that have not arrived, the first thousand of them; with the code "
        "`upload_incomplete`.",
    )


class InvalidRequest(Rejected):
    """A parameter or field of the request is missing or not valid."""

    code = "invalid_request"

    def __init__(self, errors: Sequence[FieldError] = ()) -> None:
        self.errors = tuple(errors[:MAX_COMPLAINTS])
        numbered = [error for error in self.errors if error.limit is not None]
        if len(self.errors) == len(numbered) == 1:
            self.limit, self.actual = numbered[0].limit, numbered[0].actual
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in self.errors) or None)


class InvalidJson(Rejected):
    """The body is not JSON in UTF-8."""

    code = "invalid_json"


class InvalidBody(Rejected):
    """The body of the request is incomplete, or not encoded as its headers say."""

    code = "invalid_body"


class InvalidCursor(Rejected):
    """The lastKey does not belong to this list; begin again without it."""

    code = "invalid_cursor"


class UnsupportedContentType(Rejected):
    """Files of this kind cannot be converted."""

    code = "unsupported_content_type"


class UnsupportedMediaType(Rejected):
    """The Content-Type header says that the body is no JSON; it must be application/json."""

    code = "unsupported_media_type"

    def __init__(self, given: str = "") -> None:
        shown = f"The Content-Type header says {given[:LONGEST_SHOWN]}; it must be application/json."
        super().__init__(shown if given else None)


class PayloadTooLarge(Rejected):
    """The body of the request is too large."""

    code = "payload_too_large"

    def __init__(self, *, limit: int | None = None, actual: int | None = None) -> None:
        #: In bytes; a body that is too large is not read to its end, so `actual` may be unknown.
        self.limit, self.actual = limit, actual
        has = "" if actual is None else f" has {actual:,} bytes and"
        super().__init__(None if limit is None else f"The body of the request{has} may have {limit:,} bytes at most.")


class _NotReadToItsEnd(Rejected):
    """Too much of the request's head, of which nobody knows how much more there is."""

    def __init__(self, message: str | None = None, *, limit: int | None = None) -> None:
        self.limit = limit
        super().__init__(message)


class UriTooLong(_NotReadToItsEnd):
    """The path and query of the request are too long."""

    code = "uri_too_long"


class HeadersTooLarge(_NotReadToItsEnd):
    """The request has too many headers, or one that is too long."""

    code = "headers_too_large"


class MalformedRequest(Rejected):
    """What was sent is not a request in HTTP/1.1."""

    code = "malformed_request"


class RequestTimeout(Rejected):
    """The request took too long to arrive."""

    code = "request_timeout"


class MethodNotAllowed(Rejected):
    """This path does not know this method; `Allow` has those that it knows."""

    code = "method_not_allowed"

    def __init__(self, known: Iterable[str] = ()) -> None:
        #: The methods that the path knows; every one answers OPTIONS.
        self.known = sorted({*known, hdrs.METH_OPTIONS})
        super().__init__(f"This path does not know this method; it knows {', '.join(self.known)}." if known else None)


class OriginRefused(Rejected):
    """Pages of this origin may not call; the operator adds it to CORS_ORIGINS (config.corsOrigins of the chart)."""

    code = "origin_refused"

    def __init__(self, origin: str = "") -> None:
        shown = origin[:LONGEST_SHOWN]
        super().__init__(default_message(type(self)).replace("this origin", shown) if shown else None)


class Unauthenticated(Rejected):
    """The credentials are missing or not valid."""

    code = "unauthenticated"

    def __init__(self, reason: str = "missing") -> None:
        #: Why, in a word, for the log alone: a caller who is guessing learns nothing.
        self.reason = reason
        super().__init__()


class Forbidden(Rejected):
    """These credentials do not allow this."""

    code = "forbidden"


class NoTenant(Forbidden):
    """These credentials belong to no tenant."""

    code = "no_tenant"


class TooMany(Rejected):
    """More than may be at once; the answer says when to come again."""

    def __init__(self, message: str | None = None, *, retry_after: int, limit: int | None) -> None:
        #: Seconds until it makes sense to try again.
        self.retry_after = retry_after
        #: How many may be at once; this was one more.
        self.limit = limit
        super().__init__(message)


class TooManyRequests(TooMany):
    """There were too many requests in a short time."""

    code = "too_many_requests"

    def __init__(self, retry_after: int = 1, *, limit: int | None = None) -> None:
        told = None if limit is None else self._told(limit, retry_after)
        super().__init__(told, retry_after=retry_after, limit=limit)

    @staticmethod
    def _told(limit: int, retry_after: int) -> str:
        requests = "1 request" if limit == 1 else f"{limit:,} requests"
        seconds = "1 second" if retry_after == 1 else f"{retry_after:,} seconds"
        return f"{requests} may come at once, and this was one more; the next may come in {seconds}."


class TooManyOpen(TooMany):
    """More calls are open than may be, each for long."""

    def __init__(self, *, limit: int | None = None) -> None:
        super().__init__(retry_after=OPEN_RETRY_SECONDS, limit=limit)


class TooManyWaiting(TooManyOpen):
    """Too many calls wait for a change already; ask without `wait`, or again later."""

    code = "too_many_waiting"


class TooManyPreviews(TooManyOpen):
    """Too many previews are being made already; try again in a moment."""

    code = "too_many_previews"


class TooManyStreams(TooManyOpen):
    """Too many streams of events are open already; try again later."""

    code = "too_many_streams"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How a class of errors is answered."""

    status: HTTPStatus
    #: When it makes sense to try again, in seconds.
    retry_after: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


#: Every leaf of the error tree reaches one of these through its MRO before it reaches the root.
RULES: Mapping[type[BaseException], Rule] = {
    Rejected: Rule(status=HTTPStatus.BAD_REQUEST),
    UnsupportedMediaType: Rule(status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    PayloadTooLarge: Rule(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    UriTooLong: Rule(status=HTTPStatus.REQUEST_URI_TOO_LONG),
    HeadersTooLarge: Rule(status=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    RequestTimeout: Rule(status=HTTPStatus.REQUEST_TIMEOUT),
    MethodNotAllowed: Rule(status=HTTPStatus.METHOD_NOT_ALLOWED),
    # RFC 9110, 15.5.2: a 401 names the ways in.
    Unauthenticated: Rule(status=HTTPStatus.UNAUTHORIZED, headers={hdrs.WWW_AUTHENTICATE: "Bearer, ApiKey"}),
    Forbidden: Rule(status=HTTPStatus.FORBIDDEN),
    DailyLimitReached: Rule(status=HTTPStatus.TOO_MANY_REQUESTS),
    TooMany: Rule(status=HTTPStatus.TOO_MANY_REQUESTS),
    OriginRefused: Rule(status=HTTPStatus.FORBIDDEN),
    NotFound: Rule(status=HTTPStatus.NOT_FOUND),
    IdempotencyKeyReused: Rule(status=HTTPStatus.UNPROCESSABLE_ENTITY),
    PresetChanged: Rule(status=HTTPStatus.PRECONDITION_FAILED),
    RequestInProgress: Rule(status=HTTPStatus.CONFLICT, retry_after=1),
    Busy: Rule(status=HTTPStatus.CONFLICT, retry_after=1),
    Conflict: Rule(status=HTTPStatus.CONFLICT),
    Unavailable: Rule(status=HTTPStatus.SERVICE_UNAVAILABLE, retry_after=5),
    Throttled: Rule(status=HTTPStatus.SERVICE_UNAVAILABLE, retry_after=1),
    TrussError: Rule(status=HTTPStatus.INTERNAL_SERVER_ERROR),
}

#: What the worker alone meets. Of what is wrong with a file, a call can tell its size alone.
_NEVER_ANSWERED = (AssetMissing, ImageRejected, NotAnEvent, LeaseLost, ObjectChanged)

#: aiohttp's own refusals, by status, in our words.
_HTTP_ERRORS: Mapping[int, type[TrussError]] = {
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: PayloadTooLarge,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error as it goes to a client, but for the request id."""

    status: int
    code: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[FieldError, ...] = ()
    #: Members that only some problems have, by their names in the document's model.
    further: Mapping[str, Any] = field(default_factory=dict)

    @property
    def retry_after(self) -> int | None:
        """When it makes sense to try again, in seconds."""
        seconds = self.headers.get(hdrs.RETRY_AFTER)
        return None if seconds is None else int(seconds)

    @property
    def title(self) -> str:
        return self.code.replace("_", " ").capitalize()

    @property
    def type(self) -> str:
        """A URI reference that stays the same and leads to an explanation."""
        return TYPE_PREFIX + self.code

    @property
    def reason(self) -> str:
        """The reason phrase of HTTP/1.1: some libraries show their users nothing else of an answer."""
        return self.detail if self.detail.isascii() and self.detail.isprintable() else self.title

    def document(self, request_id: str) -> ProblemDocument:
        return ProblemDocument(
            type=self.type,
            title=self.title,
            status=self.status,
            detail=self.detail,
            code=self.code,
            request_id=request_id,
            error=self.detail,
            errors=list(self.errors) or None,
            **self.further,
        )

    def to_response(self, request_id: str) -> web.Response:
        body = self.document(request_id).model_dump_json(by_alias=True).encode()
        return web.Response(
            status=self.status, reason=self.reason, headers=self.headers, body=body, content_type=CONTENT_TYPE
        )


def problem_of(error: BaseException) -> Problem:
    """The problem that stands for an error. What is not one of ours is an internal error and says nothing more."""
    if isinstance(error, TrussError):
        return _of_ours(error)
    if isinstance(error, web.HTTPException):
        return _of_aiohttp(error)
    return _of_ours(TrussError())


def known_problems() -> list[Problem]:
    """One of each that a call may be answered with, for the documentation."""
    answered = [kind for kind in leaves() if not issubclass(kind, _NEVER_ANSWERED) or kind is FileTooLarge]
    kinds: dict[type[TrussError], None] = dict.fromkeys(
        [NotFound, ImageNotFound, Forbidden, *answered, Unavailable, TrussError]
    )
    return sorted((_of_ours(kind()) for kind in kinds), key=lambda problem: (problem.status, problem.code))


def known_failures() -> list[tuple[str, str]]:
    """Code and meaning of everything that the `error` of a failed job may be, for the documentation."""
    return [
        *((error.code, default_message(error)) for error in leaves(ImageRejected)),
        (SUPERSEDED, "A newer upload, or a newer request for the same image, replaced this job."),
        (SOURCE_MISSING, "The uploaded file is not there any more."),
        *((error.code, default_message(error)) for error in (DailyLimitReached, ImageLimitReached, AssetMissing)),
        (UNAVAILABLE, "The job was given up after several tries; it can be redriven."),
    ]


def _of_ours(error: TrussError) -> Problem:
    rule = next(RULES[kind] for kind in type(error).__mro__ if kind in RULES)
    retry_after = error.retry_after if isinstance(error, TooMany | DailyLimitReached) else rule.retry_after
    # A failure of ours may carry the words of whatever broke; the class's own sentence cannot.
    ours = rule.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    headers: dict[str, str] = dict(rule.headers) if retry_after is None else {hdrs.RETRY_AFTER: str(retry_after)}
    if isinstance(error, MethodNotAllowed):
        headers[hdrs.ALLOW] = ", ".join(error.known)
    return Problem(
        status=rule.status,
        code=error.code,
        detail=default_message(type(error)) if ours else error.message,
        headers=headers,
        errors=error.errors if isinstance(error, InvalidRequest) else (),
        further=_further(error),
    )


def _further(error: TrussError) -> dict[str, Any]:
    limit, actual = error.numbers
    told: dict[str, Any] = {"limit": limit, "actual": actual}
    if isinstance(error, UnsupportedContentType):
        told["accepted"] = list(ACCEPTED_CONTENT_TYPES)
    if isinstance(error, UploadIncomplete) and error.missing:
        told["missing_parts"] = list(error.missing[:MAX_MISSING_PARTS])
    return told


def _of_aiohttp(error: web.HTTPException) -> Problem:
    if isinstance(error, web.HTTPMethodNotAllowed):
        return _of_ours(MethodNotAllowed(error.allowed_methods))
    known = _HTTP_ERRORS.get(error.status)
    if known is not None:
        return _of_ours(known())
    phrase = HTTPStatus(error.status).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    return Problem(status=error.status, code=code, detail=f"{phrase}.")
