"""How requests are read: path ids, queries and JSON bodies, checked and handed on in the core's words."""

from __future__ import annotations

import base64
import binascii
import codecs
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from datetime import datetime
from itertools import islice
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError, from_json

from processor.catalog.images import UploadRequest
from processor.catalog.parts import MAX_PARTS
from processor.catalog.redrive import RedriveOrder
from processor.errors import FileTooLarge, ImageNotFound, JobNotFound
from processor.jobs import UNAVAILABLE, JobStatus, Terms
from processor.ports.jobs import JobQuery
from service.formats import ACCEPTED_NAMES, CONTENT_TYPES, refusal_of
from service.http.moments import NotAMoment, first_moment, last_moment
from service.http.near_misses import near_misses
from service.http.problems import FieldError, InvalidJson, InvalidRequest, UnsupportedContentType

#: Longest time that an upload URL may hold, in seconds: 12 hours, the longest session that signs for it.
MAX_EXPIRES_SECONDS = 43_200
#: Metadata is copied into the records of every job and into every row of a list: a few small entries, not a second
#: store. The bytes are those of all keys and values together, in UTF-8.
MAX_METADATA_ENTRIES = 20
MAX_METADATA_KEY = 64
MAX_METADATA_VALUE = 256
MAX_METADATA_BYTES = 4096
#: How many fields that nobody knows are listed in an answer.
MAX_IGNORED = 20
ANY_CONTENT_TYPE = "application/octet-stream"
#: Longest name of a field that an error repeats, in characters: the name may come from the request.
MAX_FIELD_NAME = 100

#: Where pydantic says what the bound of a field is.
_BOUNDS = ("limit", "le", "ge", "lt", "gt", "max_length", "min_length")
#: What JSON keeps exactly everywhere (RFC 8259, 6), and how many digits it has.
LARGEST_NUMBER = 2**53
LONGEST_NUMBER = 16

#: What is said of a name that is there again: nobody could say which one is meant.
_TWICE = "must not be there more than once"
_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NUMBER = re.compile(r"-?[0-9]{1,100}")
#: Tabs and line ends are part of a text that people write; half a surrogate pair is part of none.
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_METADATA_KEY = re.compile(r"[A-Za-z0-9._-]+")
#: A type and a subtype (RFC 6838, 4.2) without parameters, because the upload must repeat the text exactly.
_CONTENT_TYPE = re.compile(r"image/[a-z0-9][a-z0-9!#$&^_.+-]{0,99}|application/octet-stream", re.IGNORECASE)
_UNIQUE_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PROCESSING_ID = re.compile(r"img_[0-9]{1,16}_[A-Za-z0-9]{1,64}")


def is_unique_id(text: str) -> bool:
    """Whether it looks like the id of an image."""
    return _UNIQUE_ID.fullmatch(text.lower()) is not None


def unique_id_of(text: str) -> str:
    """The id of an image in a path, in lower case. Raises `ImageNotFound` for what never was an id."""
    if not is_unique_id(text):
        raise ImageNotFound
    return text.lower()


def processing_id_of(text: str) -> str:
    """The id of a job in a path. Raises `JobNotFound` for what never was an id."""
    if _PROCESSING_ID.fullmatch(text) is None:
        raise JobNotFound
    return text


def printable(text: str) -> str:
    """A name as people write them. Control characters could forge lines wherever it is shown."""
    if _CONTROL.search(text):
        raise PydanticCustomError("printable", "must not contain control characters")
    return text


def _checksum(text: str) -> str:
    """S3 compares the text, so only the one canonical spelling of the 32 bytes can ever match."""
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 32 or base64.b64encode(digest).decode() != text:  # noqa: PLR2004 - SHA-256
        raise PydanticCustomError("checksum", "must be the base64 form of a SHA-256 digest")
    return text


def _metadata(entries: dict[str, str]) -> dict[str, str]:
    if any(_METADATA_KEY.fullmatch(key) is None for key in entries):
        raise PydanticCustomError("metadata", "must have keys of letters, digits, dots, dashes and underscores")
    if any(_NO_TEXT.search(value) for value in entries.values()):
        raise PydanticCustomError("metadata", "must have values without control characters")
    _bound("entries", MAX_METADATA_ENTRIES, len(entries))
    for key, value in entries.items():
        _bound("characters in a key", MAX_METADATA_KEY, len(key))
        _bound(f"characters in the value of {key}", MAX_METADATA_VALUE, len(value))
    _bound("bytes in all", MAX_METADATA_BYTES, sum(len(text.encode()) for entry in entries.items() for text in entry))
    return entries


def _bound(what: str, limit: int, actual: int) -> None:
    """Raises `PydanticCustomError` with both numbers."""
    if actual > limit:
        told = {"what": what, "limit": limit, "actual": actual}
        raise PydanticCustomError("bound", "must have at most {limit} {what}; it has {actual}", told)


def _json_object(value: object) -> object:
    """Metadata in a query string is JSON text."""
    if not isinstance(value, str):
        return value
    try:
        found = from_json(value)
    except ValueError:
        raise PydanticCustomError("metadata", "must be a JSON object") from None
    if _repeated_names(value):
        raise PydanticCustomError("metadata", "must not have a key more than once")
    return found


def _moment(read: Callable[[str], datetime]) -> BeforeValidator:
    def validate(value: object) -> object:
        try:
            return read(value) if isinstance(value, str) else value
        except NotAMoment as error:
            raise PydanticCustomError("moment", "{complaint}", {"complaint": str(error)}) from None

    return BeforeValidator(validate)


def _whole_number(value: object) -> object:
    """Text as a query has it: `1e2`, `10.0`, ` 10` and `1_0` are slips, not numbers."""
    if isinstance(value, str) and _NUMBER.fullmatch(value) is None:
        raise PydanticCustomError("whole_number", "must be a whole number, in digits")
    return value


Metadata = Annotated[dict[str, str], AfterValidator(_metadata)]
FailureCode = Annotated[str, Field(pattern=r"^[a-z_]{1,64}$", json_schema_extra={"examples": [UNAVAILABLE]})]
_MOMENT = WithJsonSchema({"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]})
FirstMoment = Annotated[datetime, _moment(first_moment), _MOMENT]
LastMoment = Annotated[datetime, _moment(last_moment), _MOMENT]
WholeNumber = Annotated[int, BeforeValidator(_whole_number)]


class Question(BaseModel):
    """What is asked; fields that nobody knows are ignored, as the earlier service did, unless they mean a known one.

    The answer to a body names those that were ignored.
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)
    #: Names that are not known here, but mean one that is.
    other_words: ClassVar[Mapping[str, str]] = {}
    _ignored: tuple[str, ...] = PrivateAttr(default=())

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of the fields of a body that nobody knows; the first few."""
        return self._ignored

    def ignoring(self, names: Iterable[str]) -> Self:
        """Note what nobody knows."""
        self._ignored = tuple(name[:MAX_FIELD_NAME] for name in islice(names, MAX_IGNORED))
        return self

    @classmethod
    def names(cls) -> list[str]:
        """What its fields are called on the wire."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @classmethod
    def misspelled(cls, given: Iterable[str]) -> dict[str, str]:
        """Which of the given names mean a known one, and which that is."""
        return near_misses(given, cls.names(), cls.other_words)


class _FileRequest(Question):
    """What is said of a file, however it is uploaded."""

    filename: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(printable)] = Field(
        description="Name of the file, without control characters. It comes back with the status; its extension "
        "becomes part of the key.",
        examples=["photo.jpg"],
    )
    content_type: str | None = Field(
        default=None,
        description="`image/*` or `application/octet-stream`; by default what the extension says. What can never be "
        "converted is refused; `GET /images/limits` lists the formats. A type that is accepted is believed, whatever "
        "the file is called.",
        examples=["image/jpeg"],
    )
    expires_in: WholeNumber = Field(
        default=3600, ge=60, le=MAX_EXPIRES_SECONDS, description="How long the URL holds, in seconds."
    )
    checksum_sha256: Annotated[str, AfterValidator(_checksum)] | None = Field(
        default=None,
        alias="checksumSha256",
        description="SHA-256 of the file in base64; the upload is then bound to it.",
    )
    metadata: Metadata = Field(
        default_factory=dict,
        description=f"At most {MAX_METADATA_ENTRIES} entries and {MAX_METADATA_BYTES} bytes (UTF-8) in all; keys of 1 "
        f"to {MAX_METADATA_KEY} letters, digits, `.`, `_` and `-`, values of at most {MAX_METADATA_VALUE} characters. "
        "They come back with the status.",
        examples=[{"album": "summer"}],
    )

    def _upload(self, size: int | None, *, max_bytes: int, once: bool = False) -> UploadRequest:
        named = _extension_of(self.filename)
        content_type = self.content_type or CONTENT_TYPES.get(named or "", ANY_CONTENT_TYPE)
        if _CONTENT_TYPE.fullmatch(content_type) is None:
            raise UnsupportedContentType(
                "The contentType must be an image type or application/octet-stream, without spaces and parameters; "
                f"{ACCEPTED_NAMES} are converted."
            )
        refusal = refusal_of(content_type, named)
        if refusal is not None:
            raise UnsupportedContentType(refusal)
        if size is not None and size > max_bytes:
            raise FileTooLarge(limit=max_bytes, actual=size)
        return UploadRequest(
            filename=self.filename,
            extension=named or _extension_for(content_type),
            terms=Terms(content_type=content_type, size=size, checksum_sha256=self.checksum_sha256, once=once),
            expires_in_seconds=self.expires_in,
            metadata=self.metadata,
        )


class UploadUrlRequest(_FileRequest):
    """The file that is about to be uploaded."""

    # The first example of a request is what the reference page sends: it must be right for any file. What binds the
    # upload to one file is in the second.
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"filename": "photo.jpg"},
                {
                    "filename": "photo.jpg",
                    "size": 482113,
                    "checksumSha256": "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
                    "metadata": {"album": "summer"},
                },
            ]
        }
    )

    size: WholeNumber | None = Field(
        default=None, ge=1, description="Exact size in bytes; the upload is then bound to it."
    )
    once: bool = Field(
        default=False,
        description="The URL is good for one object: S3 refuses to overwrite it. There is no form then.",
    )
    dedupe: bool = Field(
        default=False,
        description="With `checksumSha256`: when this tenant has these bytes completed already, the answer names that "
        "image in `duplicateOf`, there is nothing to upload, and no record is made.",
    )

    def to_upload(self, *, max_bytes: int) -> UploadRequest:
        """What the catalog is asked. Raises `UnsupportedContentType`, `FileTooLarge`."""
        return self._upload(self.size, max_bytes=max_bytes, once=self.once)


class MultipartRequest(_FileRequest):
    """The large file that is about to be uploaded in parts."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"filename": "photo.jpg", "size": 73400320}]})

    size: int = Field(ge=1, description="Exact size of your file in bytes: S3 refuses any other.")
    dedupe: bool = Field(default=False, description="As for a file in one piece; the answer then has no parts.")

    def to_upload(self, *, max_bytes: int) -> UploadRequest:
        """What is asked, but for the parts. Raises `UnsupportedContentType`, `FileTooLarge`."""
        return self._upload(self.size, max_bytes=max_bytes)


class RefreshRequest(Question):
    """How long the new URL is to hold."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"expiresIn": 3600}]})

    expires_in: WholeNumber = Field(
        default=3600, ge=60, le=MAX_EXPIRES_SECONDS, description="How long the URL holds, in seconds."
    )


class PartsRequest(Question):
    """Which parts to sign again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"partNumbers": [2, 3]}]})

    part_numbers: Annotated[list[int], Field(min_length=1, max_length=MAX_PARTS)] | None = Field(
        default=None, description="Numbers of the parts, beginning at 1; by default all."
    )
    expires_in: WholeNumber = Field(
        default=3600, ge=60, le=MAX_EXPIRES_SECONDS, description="How long the URLs hold, in seconds."
    )


class UploadUrlQuery(UploadUrlRequest):
    """The same as query parameters."""

    metadata: Annotated[Metadata, BeforeValidator(_json_object)] = Field(
        default_factory=dict, description="The same as a JSON object in text.", examples=[{"album": "summer"}]
    )


#: What other APIs call the cursor, and the answer, too. Whoever gives it back under such a name would be shown one page
#: for ever.
CURSOR_WORDS = dict.fromkeys(
    (
        "lastEvaluatedKey",
        "exclusiveStartKey",
        "cursor",
        "next",
        "nextKey",
        "nextToken",
        "nextCursor",
        "pageToken",
        "nextPageToken",
        "continuationToken",
        "startAfter",
        "startKey",
        "startingAfter",
        "after",
        "page",
        "pageNumber",
        "offset",
        "skip",
    ),
    "lastKey",
)
#: What they call the rest of a question. Whoever asks so would take what was not filtered or sorted for what was.
_PAGE_WORDS = {
    **CURSOR_WORDS,
    **dict.fromkeys(("pageSize", "perPage", "maxKeys", "maxResults", "maxItems", "count", "size", "take"), "limit"),
    **dict.fromkeys(("since", "start", "startDate", "startTime", "createdFrom", "createdAfter", "dateFrom"), "from"),
    **dict.fromkeys(("until", "before", "end", "endDate", "endTime", "createdTo", "createdBefore", "dateTo"), "to"),
    **dict.fromkeys(("sort", "sortOrder", "sortBy", "orderBy", "direction"), "order"),
}


class _PageQuery(Question):
    """Which page of a listing."""

    other_words: ClassVar[Mapping[str, str]] = _PAGE_WORDS

    limit: WholeNumber = Field(default=50, ge=1, le=100, description="Most images on a page.")
    last_key: str | None = Field(
        default=None,
        description="`lastEvaluatedKey` of the page before; empty or left out for the first one. It holds for the same "
        "filters and order alone.",
    )
    created_from: FirstMoment | None = Field(
        default=None,
        alias="from",
        description="Only images made at or after this (`listedAt`): a time in RFC 3339 with its zone, like "
        "`2026-01-02T03:04:05Z`, or a date, like `2026-01-02`, which begins at 00:00 in UTC. Write a `+` as `%2B`.",
    )
    created_to: LastMoment | None = Field(
        default=None,
        alias="to",
        description="Only images made at or before this: the same; a date ends at 24:00 in UTC, so that its day is "
        "included.",
    )
    order: Literal["asc", "desc"] = Field(default="desc", description="`desc`: newest first.")

    def _to_query(self, tenant: str, status: JobStatus | None) -> JobQuery:
        if self.created_from and self.created_to and self.created_from > self.created_to:
            raise InvalidRequest([FieldError(field="from", message="must not be later than to")])
        return JobQuery(
            tenant=tenant,
            limit=self.limit,
            status=status,
            newest_first=self.order == "desc",
            created_from=self.created_from,
            created_to=self.created_to,
        )


class ListQuery(_PageQuery):
    """Which images to list."""

    other_words: ClassVar[Mapping[str, str]] = _PAGE_WORDS | {"statuses": "status", "state": "status"}

    status: JobStatus | None = Field(default=None, description="Only images whose current job has this status.")

    def to_query(self, tenant: str) -> JobQuery:
        """What the catalog is asked, without the position. Raises `InvalidRequest`."""
        return self._to_query(tenant, self.status)


class FailedQuery(_PageQuery):
    """Which failed images to list."""

    code: FailureCode | None = Field(
        default=None,
        description="Only images that failed with this code. A page is filtered after it is read: it may be short, or "
        "empty, while `lastEvaluatedKey` is not null.",
    )

    def to_query(self, tenant: str) -> JobQuery:
        """What the catalog is asked, without the position and the code. Raises `InvalidRequest`."""
        return self._to_query(tenant, JobStatus.FAILED)


class RedriveRequest(Question):
    """Which failures to process again. Nothing happens unless `dryRun` is false."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"code": "unavailable", "limit": 20, "dryRun": True},
                {"code": "unavailable", "limit": 100, "perSecond": 10, "dryRun": False},
            ]
        }
    )
    other_words: ClassVar[Mapping[str, str]] = CURSOR_WORDS

    code: FailureCode | None = Field(
        default=None, description="Only images that failed with this code, and no dead letters."
    )
    limit: int = Field(
        default=20, ge=1, le=100, description="Most failed images to look at, and most dead letters to move."
    )
    per_second: int = Field(
        default=10, ge=1, le=100, description="How many of them the workers get to see in a second."
    )
    dry_run: bool = Field(default=True, description="Say what would be done, and do nothing.")
    last_key: str | None = Field(default=None, description="`lastEvaluatedKey` of the call before.")

    def to_order(self, tenant: str) -> RedriveOrder:
        """What is to be redriven, without the position."""
        return RedriveOrder(
            tenant=tenant, limit=self.limit, per_second=self.per_second, code=self.code, dry_run=self.dry_run
        )


Q = TypeVar("Q", bound=Question)


def read_body(model: type[Q], body: bytes) -> Q:
    """A JSON body as a model; null is as good as absent.

    Raises `InvalidJson`; `InvalidRequest`, also for a name that is twice in an object.
    """
    text = body.removeprefix(codecs.BOM_UTF8)  # as RFC 8259 allows, for the sake of libraries that write one
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        raise InvalidJson from None
    _refuse_repeated(_repeated_names(text))
    if not isinstance(value, dict):
        raise InvalidRequest([FieldError(field="body", message="must be a JSON object")])
    # Whoever gives the known name, too, has not misspelled it.
    misspelled = {name: known for name, known in model.misspelled(value).items() if known not in value}
    asked = _validated(model, value, strict=True, misspelled=misspelled)
    return asked.ignoring(name for name in value if name not in model.names())


def read_query(model: type[Q], query: Mapping[str, object]) -> Q:
    """Query parameters as a model; an empty one is as good as none.

    Raises `InvalidRequest`, also for a parameter that is there twice, and for one whose name is nearly right.
    """
    values = single_values(query)
    asked = _validated(model, values, strict=False, misspelled=model.misspelled(values))
    return asked.ignoring(name for name in values if name not in model.names())


def single_values(query: Mapping[str, object]) -> dict[str, object]:
    """A query of which no parameter is there twice: nobody could say which one is meant. Raises `InvalidRequest`."""
    _refuse_repeated(_repeated(name for name, _ in query.items()))
    return dict(query)


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _repeated_names(text: str | bytes) -> list[str]:
    """Names that are twice in one object, however deep, of text that is JSON."""
    found: list[str] = []

    def note(pairs: list[tuple[str, object]]) -> None:
        found.extend(_repeated(name for name, _ in pairs))

    json.loads(text, object_pairs_hook=note, parse_int=str)  # a number may be longer than Python converts
    return found


def _refuse_repeated(names: Sequence[str]) -> None:
    if names:
        raise InvalidRequest([_about(name, "must not be there more than once") for name in names])


def _validated(model: type[Q], values: Mapping[str, object], *, strict: bool, misspelled: Mapping[str, str]) -> Q:
    if misspelled:
        raise InvalidRequest([_about(name, f"is not known here, but {meant} is") for name, meant in misspelled.items()])
    # Earlier clients send what they have, and a browser that does not know a file's type has "".
    given = {name: value for name, value in values.items() if value is not None and value != ""}
    try:
        return model.model_validate(given, strict=strict)
    except ValidationError as error:
        raise InvalidRequest([_complaint(detail) for detail in error.errors(include_url=False)]) from None


def _complaint(detail: ErrorDetails) -> FieldError:
    name = ".".join(str(part) for part in detail["loc"] if part != "[key]")
    message = "is required" if detail["type"] == "missing" else detail["msg"]
    message = message.removeprefix("Input ").removeprefix("String ")
    limit, actual = _numbers(detail)
    if actual is not None and not {"actual", "actual_length"} & detail.get("ctx", {}).keys():
        message += f"; it {'has' if _is_long(detail) else 'is'} {actual}"
    return _about(name, message, limit, actual)


def _about(name: str, message: str, limit: float | None = None, actual: float | None = None) -> FieldError:
    return FieldError(field=name[:MAX_FIELD_NAME], message=message, limit=limit, actual=actual)


def _numbers(detail: ErrorDetails) -> tuple[float | None, float | None]:
    """What is accepted and what was given, of a complaint about a number, a length or a count."""
    context, given = detail.get("ctx", {}), detail["input"]
    limit = next((context[name] for name in _BOUNDS if name in context), None)
    if not isinstance(limit, int | float):
        return None, None
    actual = context.get("actual", context.get("actual_length"))
    if actual is None:
        actual = len(given) if _is_long(detail) and isinstance(given, Sized) else given
    if isinstance(actual, str):  # a number in a query is text
        actual = int(actual) if actual.lstrip("-").isdecimal() and len(actual) <= LONGEST_NUMBER else None
    if isinstance(actual, bool) or not isinstance(actual, int | float) or abs(actual) > LARGEST_NUMBER:
        return limit, None
    return limit, actual


def _is_long(detail: ErrorDetails) -> bool:
    return detail["type"].endswith(("too_long", "too_short"))


def _extension_of(filename: str) -> str | None:
    _, dot, extension = filename.lower().rpartition(".")
    return extension if dot and _EXTENSION.fullmatch(extension) else None


def _extension_for(content_type: str) -> str:
    subtype = content_type.lower().partition("/")[2]
    extension = "jpg" if subtype == "jpeg" else subtype
    return extension if _EXTENSION.fullmatch(extension) else "bin"
