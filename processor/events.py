"""What a queue message means: S3 notifications in all their forms, and this service's own requests.

A message may be forged, late or damaged, so an event only says where to look. S3 says what is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from processor.errors import NotAnEvent
from processor.images import unique_id_of

#: SNS, EventBridge and S3 nest at most two levels; more is an attack on the parser.
_MAX_DEPTH = 3
#: Characters that JSON may hold and an SQS message may not, which leaves them to be escaped.
_UNSENDABLE = re.compile("[\ud800-\udfff\ufffe\uffff]")
#: What S3 calls an event, such as `ObjectRemoved:Delete`; EventBridge, in words.
_S3_NAME, _WORDS = re.compile("[A-Z][A-Za-z]+(:[A-Z][A-Za-z]+)?"), re.compile("[A-Za-z][A-Za-z0-9 ._/-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceArrived:
    """S3 says that an object was created. `key` is decoded. The other fields may be empty or wrong."""

    bucket: str
    key: str
    etag: str = ""
    event_time: str = ""
    version: str = ""

    @property
    def unique_id(self) -> str | None:
        """The image that it is about; None when this service never issued such a key."""
        return unique_id_of(self.key)

    def to_message(self) -> str:
        """The body of a notification as S3 writes it, which `parse` reads back."""
        thing = {"key": quote_plus(self.key), "eTag": self.etag}
        if self.version:
            thing["versionId"] = self.version
        record = {
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "eventTime": self.event_time,
            "s3": {"bucket": {"name": self.bucket}, "object": thing},
        }
        return json.dumps({"Records": [record]})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequested:
    """The service's own request to run a recorded job."""

    unique_id: str
    processing_id: str

    def to_message(self) -> str:
        """The body of the queue message that `parse` reads back."""
        return json.dumps({"jobRequested": {"uniqueId": self.unique_id, "processingId": self.processing_id}})


Event = SourceArrived | JobRequested


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A record that the service cannot read; `body` is a message with this record only."""

    body: str = field(repr=False)


def parse(body: str) -> tuple[Event | Unreadable, ...]:
    """The events of a message body, in order.

    Reads a bare notification with any number of records, one wrapped by SNS (raw delivery on or off), an EventBridge
    event, and this service's own requests. `s3:TestEvent` and notifications about anything but created objects are no
    events: the result is empty. Raises `NotAnEvent` when the body as a whole is something else.
    """
    return tuple(_read(_load(body), depth=1))


def _load(text: object) -> Mapping[str, Any]:
    try:
        # A number is not asked for anywhere, so that none can be too long or too large.
        document = json.loads(text, parse_int=_number) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise NotAnEvent
    return document


def _number(text: str) -> object:
    try:
        return int(text)
    except ValueError:  # more digits than Python converts
        return text


def _read(document: Mapping[str, Any], depth: int) -> Iterator[Event | Unreadable]:
    records = document.get("Records")
    if isinstance(records, list):
        for record in records:
            yield from _record(record, depth)
        return
    try:
        if document.get("Type") == "Notification":
            yield from _nested(document["Message"], depth)
        elif "detail-type" in document:
            yield from _event_bridge(document)
        elif "jobRequested" in document:
            yield _job_requested(document["jobRequested"])
        elif document.get("Event") != "s3:TestEvent":
            raise NotAnEvent
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotAnEvent from error


def _record(record: object, depth: int) -> Iterator[Event | Unreadable]:
    """A record as an event; a bad one becomes `Unreadable` and does not affect the others."""
    try:
        yield from _events_of(record, depth)
    except (NotAnEvent, KeyError, TypeError, ValueError, AttributeError):
        yield Unreadable(body=_alone(record))


def _alone(record: object) -> str:
    """A message with this one record. It is no longer than the original, except for floats that are written out."""
    try:
        text = json.dumps({"Records": [record]}, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise NotAnEvent from None
    return _UNSENDABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _events_of(record: Any, depth: int) -> Iterator[Event | Unreadable]:
    if "Sns" in record:  # the shape in which SNS calls a Lambda; some bridges forward it to queues
        yield from _nested(record["Sns"]["Message"], depth)
        return
    if not _named(record["eventName"], _S3_NAME).startswith("ObjectCreated:"):
        return
    thing = record["s3"]["object"]
    yield SourceArrived(
        bucket=_text(record["s3"]["bucket"]["name"]),
        # S3 encodes keys in notifications like form data: space as `+`, the rest in percent (AWS, "Event message
        # structure"). This is the only place that decodes them.
        key=unquote_plus(_text(thing["key"]), errors="strict"),
        etag=_hint(thing.get("eTag")),
        event_time=_hint(record.get("eventTime")),
        version=_hint(thing.get("versionId")),
    )


def _nested(text: object, depth: int) -> Iterator[Event | Unreadable]:
    if depth >= _MAX_DEPTH:
        raise NotAnEvent
    yield from _read(_load(text), depth + 1)


def _event_bridge(document: Mapping[str, Any]) -> Iterator[Event]:
    """EventBridge carries keys as they are, without any encoding (AWS, "EventBridge event message structure")."""
    if _named(document["detail-type"], _WORDS) != "Object Created":
        return
    thing = document["detail"]["object"]
    yield SourceArrived(
        bucket=_text(document["detail"]["bucket"]["name"]),
        key=_text(thing["key"]),
        etag=_hint(thing.get("etag")),
        event_time=_hint(document.get("time")),
        version=_hint(thing.get("version-id")),
    )


def _job_requested(request: Mapping[str, Any]) -> JobRequested:
    return JobRequested(unique_id=_text(request["uniqueId"]), processing_id=_text(request["processingId"]))


def _hint(value: object) -> str:
    """An optional text; anything else counts as empty. No decision depends on it."""
    return value.strip('"') if isinstance(value, str) else ""


def _named(value: object, names: re.Pattern[str]) -> str:
    """The name of what happened. Raises `NotAnEvent` if it is missing, so that an upload is not lost silently."""
    name = _text(value).removeprefix("s3:")
    if not names.fullmatch(name):
        raise NotAnEvent
    return name


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("expected a string")
    return value
