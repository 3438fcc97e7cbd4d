"""What a queue message means, in every shape that reaches a queue."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import NotAnEvent
from processor.events import JobRequested, SourceArrived, Unreadable, parse

KEY = "uploads/0c7c40e5-8f6c-4b6e-9f4e-0a4c5c9d8b11.jpg"


def record(key: str = KEY, name: str = "ObjectCreated:Put", **thing: Any) -> dict[str, Any]:
    """One record as S3 writes it."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": "2026-01-02T03:04:05.678Z",
        "eventName": name,
        "s3": {
            "bucket": {"name": "source"},
            "object": {"key": key, "size": 1024, "eTag": "d41d8", "sequencer": "0055AED6DCD90281E5", **thing},
        },
    }


def notification(*records: dict[str, Any]) -> str:
    return json.dumps({"Records": list(records)})


ARRIVED = SourceArrived(
    bucket="source",
    key=KEY,
    etag="d41d8",
    event_time="2026-01-02T03:04:05.678Z",
)


def test_a_bare_notification_names_its_object() -> None:
    assert parse(notification(record())) == (ARRIVED,)


def test_every_record_of_a_notification_is_an_event_in_order() -> None:
    keys = [event.key for event in parse(notification(record("a"), record("b"), record("c")))]  # type: ignore[union-attr]
    assert keys == ["a", "b", "c"]


def test_sns_wraps_a_notification_as_text() -> None:
    assert parse(json.dumps({"Type": "Notification", "Message": notification(record())})) == (ARRIVED,)


def test_sns_raw_delivery_looks_like_a_bare_notification() -> None:
    wrapped = {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": notification(record())}}]}
    assert parse(json.dumps(wrapped)) == (ARRIVED,)


def test_event_bridge_names_the_object_without_encoding_its_key() -> None:
    event = {
        "detail-type": "Object Created",
        "source": "aws.s3",
        "time": "2026-01-02T03:04:05Z",
        "detail": {
            "bucket": {"name": "source"},
            "object": {"key": "uploads/a+b%2Bc d.jpg", "size": 7, "etag": "e", "sequencer": "01"},
        },
    }
    (arrived,) = parse(json.dumps(event))
    assert arrived == SourceArrived(
        bucket="source",
        key="uploads/a+b%2Bc d.jpg",
        etag="e",
        event_time="2026-01-02T03:04:05Z",
    )


@pytest.mark.parametrize(
    "body",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "source"},
        {"detail-type": "Object Deleted", "detail": {}},
        {"Records": []},
        {"Records": [record(name="ObjectRemoved:Delete")]},
    ],
    ids=["test event", "other EventBridge event", "no records", "removed object"],
)
def test_what_is_not_about_a_created_object_is_no_event(body: dict[str, Any]) -> None:
    assert parse(json.dumps(body)) == ()


@pytest.mark.parametrize(
    ("encoded", "key"),
    [
        ("uploads/my+photo.jpg", "uploads/my photo.jpg"),
        ("uploads/1%2B1.jpg", "uploads/1+1.jpg"),
        ("uploads/a%20b.jpg", "uploads/a b.jpg"),
        ("uploads/%C3%BCber+gr%C3%B6%C3%9Fe.jpg", "uploads/über größe.jpg"),
        ("uploads/100%25.jpg", "uploads/100%.jpg"),
    ],
)
def test_keys_are_decoded_as_s3_encodes_them(encoded: str, key: str) -> None:
    (arrived,) = parse(notification(record(encoded)))
    assert isinstance(arrived, SourceArrived)
    assert arrived.key == key


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_any_key_survives_the_way_through_a_notification(key: str) -> None:
    sent = SourceArrived(bucket="source", key=key, etag="e", event_time="2026-01-02T03:04:05.678Z")
    assert parse(sent.to_message()) == (sent,)


def test_a_request_of_our_own_survives_the_way_through_the_queue() -> None:
    request = JobRequested(unique_id="u", processing_id="img_1_a")
    assert parse(request.to_message()) == (request,)


def _nested(depth: int) -> str:
    body = notification(record())
    for _ in range(depth):
        body = json.dumps({"Type": "Notification", "Message": body})
    return body


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not json",
        "[]",
        "null",
        "{}",
        '{"Records": 1}',
        '{"Records": "abc"}',
        '{"Records": {"0": {}}}',
        '{"Type": "Notification", "Message": 5}',
        '{"detail-type": "Object Created", "detail": {"object": {}}}',
        '{"jobRequested": {"uniqueId": "u"}}',
        '{"jobRequested": null}',
        "[" * 100_000,
        '{"Records": ' + "[" * 100_000,
        _nested(4),
    ],
)
def test_anything_else_is_refused_as_no_event(body: str) -> None:
    with pytest.raises(NotAnEvent):
        parse(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "Records",
                        "s3",
                        "object",
                        "bucket",
                        "Sns",
                        "Message",
                        "Type",
                        "detail-type",
                        "detail",
                        "eventName",
                    ]
                ),
                inner,
            )
        ),
    )
)
def test_no_json_breaks_the_parser(document: object) -> None:
    try:
        events = parse(json.dumps(document))
    except NotAnEvent:
        return
    assert isinstance(events, tuple)


# -- one bad record among others ----------------------------------------------------------------------------------


UNREADABLE: list[Any] = [
    1,
    "Sns",
    None,
    [],
    {},
    {"eventName": "ObjectCreated:Put"},
    {"eventName": 7, "s3": {}},
    {"Sns": {"Message": "not json"}},
    {"Sns": {"Message": 5}},
    {"Sns": "Message"},
    record(key="%FF"),
    {**record(), "s3": {"bucket": {"name": 1}, "object": {"key": KEY}}},
    {**record(), "s3": {"bucket": {"name": "source"}, "object": {"key": ["a"]}}},
    {**record(), "s3": [], "odd": "\ud800 \uffff \x00 größe"},
]


@pytest.mark.parametrize("bad", UNREADABLE, ids=str)
def test_a_record_that_cannot_be_read_says_nothing_against_its_neighbours(bad: Any) -> None:
    first, unreadable, last = parse(json.dumps({"Records": [record("a"), bad, record("b")]}))
    assert [event.key for event in (first, last)] == ["a", "b"]  # type: ignore[union-attr]
    assert isinstance(unreadable, Unreadable)
    assert json.loads(unreadable.body) == {"Records": [bad]}
    assert not re.search("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", unreadable.body)  # what SQS takes
    assert parse(unreadable.body) == (unreadable,)


@pytest.mark.parametrize(
    "odd", ["many", -1, 5 * 2**40, 2**70, 10**400, float("inf"), float("nan"), True, None, [], {}, "9" * 230_000]
)
@pytest.mark.parametrize("name", ["size", "sequencer", "eTag", "versionId"])
def test_no_value_beside_the_name_of_the_object_makes_a_record_unreadable(name: str, odd: object) -> None:
    given: Any = {name: odd}
    (event,) = parse(notification(record(**given)))
    assert isinstance(event, SourceArrived)
    assert event.key == KEY


def test_a_number_of_any_length_makes_no_message_unreadable() -> None:
    body = notification(record(size=12345)).replace("12345", "9" * 5000).replace("2.1", "1e400")
    assert [event.key for event in parse(body)] == [KEY]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "name",
    [
        "s3:ObjectRemoved:DeleteMarkerCreated",
        "ObjectRestore:Completed",
        "ReducedRedundancyLostObject",
        "ObjectTagging:Put",
        "LifecycleExpiration:Delete",
        "s3:Replication:OperationMissedThreshold",
        "IntelligentTiering",
    ],
)
def test_every_other_name_that_s3_has_is_no_event(name: str) -> None:
    assert parse(notification(record(name=name))) == ()


@pytest.mark.parametrize(
    "name", ["", "%", "objectcreated:put", "\u0000", "ObjectCreated:", "Object Created", "x" * 999]
)
def test_a_name_that_s3_does_not_have_is_kept_as_evidence(name: str) -> None:
    """It may have been an upload; settled as something else, it would be gone without a word."""
    first, odd, last = parse(notification(record("a"), record(name=name), record("b")))

    assert isinstance(odd, Unreadable)
    assert [getattr(each, "key", None) for each in (first, last)] == ["a", "b"]


@pytest.mark.parametrize("name", [None, 7, "", "\u0000", ["Object Created"], "\ud83d\ude00"])
def test_a_message_of_event_bridge_that_does_not_say_what_happened_is_no_event(name: object) -> None:
    with pytest.raises(NotAnEvent):
        parse(json.dumps({"detail-type": name, "detail": {}}))
