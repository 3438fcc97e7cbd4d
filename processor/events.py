"""What a queue message means: S3 notifications in every shape that reaches a queue, and this service's own requests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from processor.errors import NotAnEvent

#: Largest object that S3 holds, in bytes (AWS, "Amazon S3 objects overview").
MAX_OBJECT_BYTES = 5 * 2**40
#: S3's own have some twenty hex digits; those that this service makes up for lost events have 64.
_SEQUENCER = re.compile(r"[0-9A-Fa-f]{0,32}|[0-9A-Fa-f]{64}")
#: SNS, EventBridge and S3 nest at most two levels; more is an attack on the parser.
_MAX_DEPTH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceArrived:
    """S3 says that an object was created. `key` is decoded; `size` in bytes; `sequencer` may be empty."""

    bucket: str
    key: str
    size: int = 0
    etag: str = ""
    sequencer: str = ""
    event_time: str = ""

    def to_message(self) -> str:
        """The body of a notification as S3 writes it, which `parse` reads back."""
        thing = {"key": quote_plus(self.key), "size": self.size, "eTag": self.etag, "sequencer": self.sequencer}
        record = {
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "eventTime": self.event_time,
            "s3": {"bucket": {"name": self.bucket}, "object": thing},
        }
        return json.dumps({"Records": [record]})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequested:
    """This service asks itself to run a job that is already recorded."""

    unique_id: str
    processing_id: str

    def to_message(self) -> str:
        """The body of the queue message that `parse` reads back."""
        return json.dumps({"jobRequested": {"uniqueId": self.unique_id, "processingId": self.processing_id}})


Event = SourceArrived | JobRequested


def parse(body: str) -> tuple[Event, ...]:
    """The events in a message body, in order.

    Reads a bare notification with any number of records, one wrapped by SNS (raw delivery on or off), an EventBridge
    event, and this service's own requests. `s3:TestEvent` and notifications about anything but created objects are no
    events: the result is empty. Raises `NotAnEvent` for everything else.
    """
    return tuple(_events(_load(body), depth=1))


def _load(text: object) -> Mapping[str, Any]:
    try:
        document = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise NotAnEvent
    return document


def _events(document: Mapping[str, Any], depth: int) -> Iterator[Event]:
    try:
        if "Records" in document:
            for record in document["Records"]:
                yield from _record(record, depth)
        elif document.get("Type") == "Notification" and "Message" in document:
            yield from _nested(document["Message"], depth)
        elif "detail-type" in document:
            yield from _event_bridge(document)
        elif "jobRequested" in document:
            yield _job_requested(document["jobRequested"])
        elif document.get("Event") != "s3:TestEvent":
            raise NotAnEvent
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotAnEvent from error


def _nested(text: object, depth: int) -> Iterator[Event]:
    if depth >= _MAX_DEPTH:
        raise NotAnEvent
    yield from _events(_load(text), depth + 1)


def _record(record: Mapping[str, Any], depth: int) -> Iterator[Event]:
    if "Sns" in record:  # the shape in which SNS calls a Lambda; some bridges forward it to queues
        yield from _nested(record["Sns"]["Message"], depth)
        return
    name = record["eventName"]
    if not name.removeprefix("s3:").startswith("ObjectCreated:"):
        return
    thing = record["s3"]["object"]
    yield SourceArrived(
        bucket=_text(record["s3"]["bucket"]["name"]),
        # S3 encodes keys in notifications like form data: space as `+`, the rest in percent (AWS, "Event message
        # structure"). This is the only place that decodes them.
        key=unquote_plus(_text(thing["key"]), errors="strict"),
        size=_size(thing.get("size", 0)),
        etag=_text(thing.get("eTag", "")).strip('"'),
        sequencer=_sequencer(thing.get("sequencer", "")),
        event_time=_text(record.get("eventTime", "")),
    )


def _event_bridge(document: Mapping[str, Any]) -> Iterator[Event]:
    """EventBridge carries keys as they are, without any encoding (AWS, "EventBridge event message structure")."""
    if document["detail-type"] != "Object Created":
        return
    thing = document["detail"]["object"]
    yield SourceArrived(
        bucket=_text(document["detail"]["bucket"]["name"]),
        key=_text(thing["key"]),
        size=_size(thing.get("size", 0)),
        etag=_text(thing.get("etag", "")).strip('"'),
        sequencer=_sequencer(thing.get("sequencer", "")),
        event_time=_text(document.get("time", "")),
    )


def _job_requested(request: Mapping[str, Any]) -> JobRequested:
    return JobRequested(unique_id=_text(request["uniqueId"]), processing_id=_text(request["processingId"]))


def _size(value: object) -> int:
    size = int(_text(value) if isinstance(value, str) else value)  # type: ignore[call-overload]
    if not 0 <= size <= MAX_OBJECT_BYTES:
        raise ValueError("no object has this size")
    return int(size)


def _sequencer(value: object) -> str:
    """Longer ones would be newer than whatever S3 hands out, for ever."""
    text = _text(value)
    if _SEQUENCER.fullmatch(text) is None:
        raise ValueError("not a sequencer")
    return text


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("expected a string")
    return value
