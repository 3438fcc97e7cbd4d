"""How requests are read: what holds for every body and every query."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from service.calls.failed import FailedQuery
from service.calls.listing import ListQuery
from service.calls.uploads import UploadUrlQuery, UploadUrlRequest
from service.calls.uppy import UploadName, UppyFile
from service.http.problems import InvalidJson, InvalidRequest
from service.http.wire import Question, read_body, read_query
from tests.unit.service.asking import body, complaint, query


@pytest.mark.parametrize("absent", [None, ""])
def test_null_and_empty_are_as_good_as_absent(absent: str | None) -> None:
    asked = body(contentType=absent, expiresIn=absent, size=absent, checksumSha256=absent, metadata=absent)
    assert asked == body()


def test_every_bad_field_is_named_at_once() -> None:
    with pytest.raises(InvalidRequest) as error:
        body(filename=None, expiresIn=1)
    assert [found.field for found in error.value.errors] == ["filename", "expiresIn"]
    assert error.value.message.startswith("filename: is required; expiresIn: should be")


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidRequest):
        query(filename="\udcff.jpg")


def test_fields_that_nobody_knows_are_ignored_and_named() -> None:
    asked = body(userId="u", quality=80, contentLength=7)
    assert asked.to_upload(max_bytes=1) == body().to_upload(max_bytes=1)
    assert asked.ignored == ("userId", "quality", "contentLength")


@pytest.mark.parametrize(
    ("given_name", "known"),
    [("checksumSha265", "checksumSha256"), ("onces", "once"), ("Dedupe", "dedupe"), ("content_type", "contentType")],
)
def test_a_field_whose_name_is_nearly_right_is_refused_and_says_which_was_meant(given_name: str, known: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        body(**{given_name: "x"})
    assert (complaint(error), error.value.message) == (given_name, f"{given_name}: is not known here, but {known} is")


def test_what_is_given_under_its_own_name_too_was_not_misspelled() -> None:
    assert body(fileName="b.jpg").ignored == ("fileName",)


@pytest.mark.parametrize(
    ("field", "value", "limit", "actual"),
    [
        ("expiresIn", 43201, 43200, 43201),
        ("expiresIn", 59, 60, 59),
        ("size", -1, 1, -1),
        ("filename", "a" * 300, 255, 300),
        ("metadata", {"k" * 65: "v"}, 64, 65),
        ("metadata", {"k": "v" * 257}, 256, 257),
        ("metadata", {str(number): "v" for number in range(21)}, 20, 21),
        ("metadata", {f"{number:02}": "€" * 80 for number in range(20)}, 4096, 4840),
    ],
)
def test_a_refusal_over_a_number_names_the_limit_and_what_was_given(
    field: str, value: Any, limit: int, actual: int
) -> None:
    with pytest.raises(InvalidRequest) as error:
        body(**{field: value})
    assert (error.value.limit, error.value.actual) == (limit, actual)
    assert str(limit) in error.value.message
    assert str(actual) in error.value.message


def test_numbers_in_a_query_are_named_too_and_absurd_ones_are_not() -> None:
    with pytest.raises(InvalidRequest) as error:
        query(expiresIn="59")
    assert (error.value.limit, error.value.actual) == (60, 59)
    with pytest.raises(InvalidRequest) as error:
        query(expiresIn="9" * 300)
    assert error.value.actual is None


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff", b"[" * 60_000, b'{"filename":"\\ud800"}', b"9" * 10_000, b'{"size":NaN}']
)
def test_what_is_not_json_is_called_that(text: bytes) -> None:
    with pytest.raises(InvalidJson):
        read_body(UploadUrlRequest, text)


@pytest.mark.parametrize("text", [b"[]", b"null", b'"text"', b"7"])
def test_json_that_is_no_object_is_not_valid(text: bytes) -> None:
    with pytest.raises(InvalidRequest) as error:
        read_body(UploadUrlRequest, text)
    assert complaint(error) == "body"


@given(st.binary(max_size=200))
def test_no_body_whatever_breaks_the_reader(text: bytes) -> None:
    with contextlib.suppress(InvalidJson, InvalidRequest):
        read_body(UploadUrlRequest, text)


@given(st.dictionaries(st.sampled_from(["filename", "size", "metadata", "contentType", "expiresIn"]), st.text()))
def test_no_query_whatever_breaks_the_reader(values: dict[str, str]) -> None:
    with contextlib.suppress(InvalidRequest):
        read_query(UploadUrlQuery, values)


@pytest.mark.parametrize("model", [UploadUrlQuery, ListQuery, FailedQuery, UppyFile, UploadName])
def test_every_query_tells_a_misspelled_name_from_one_that_nobody_knows(model: type[Question]) -> None:
    for name in model.model_json_schema()["properties"]:
        with pytest.raises(InvalidRequest) as error:
            read_query(model, {name.upper(): "1"})
        assert error.value.message == f"{name.upper()}: is not known here, but {name} is"
    assert model.misspelled(["_", "v", "text", "theme", "utm_source", "cacheBuster"]) == {}


def test_a_parameter_that_is_there_twice_is_refused_even_if_both_say_the_same() -> None:
    for second in ("failed", "pending", ""):
        with pytest.raises(InvalidRequest) as error:
            read_query(ListQuery, MultiDict([("status", "pending"), ("limit", "2"), ("status", second)]))
        assert error.value.message == "status: must not be there more than once"
    with pytest.raises(InvalidRequest) as error:
        read_query(ListQuery, MultiDict([("theme", "1"), ("theme", "2")]))
    assert complaint(error) == "theme"
