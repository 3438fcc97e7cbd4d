"""Every error of the AWS SDK means something here."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import aiohttp
import botocore.exceptions as sdk
import pytest
from botocore.retries.standard import ThrottledRetryableChecker

from processor.errors import ObjectChanged, ObjectNotFound, Throttled, TrussError, Unavailable
from processor.stores.translate import CODES, DEFECT_CODES, DEFECTS, code_of, meaning_of, translate, translated

SDK_ERRORS = [
    each
    for each in vars(sdk).values()
    if inspect.isclass(each) and issubclass(each, Exception) and not issubclass(each, Warning)
    if each.__module__.startswith("botocore")
]


def client_error(code: str, text: str = "AWS's own words") -> sdk.ClientError:
    return sdk.ClientError({"Error": {"Code": code, "Message": text}}, "GetObject")


def instance(kind: type[Exception]) -> Exception:
    """An error without its message, which every class formats from other arguments."""
    if issubclass(kind, sdk.ClientError):
        return kind({"Error": {"Code": "InternalError"}}, "GetObject")
    return kind.__new__(kind)


@pytest.mark.parametrize("kind", SDK_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_of_the_sdk_is_either_unavailable_or_known_as_a_defect(kind: type[Exception]) -> None:
    meaning = translate(instance(kind))
    assert meaning is (None if issubclass(kind, DEFECTS) else Unavailable)


@pytest.mark.parametrize("code", getattr(ThrottledRetryableChecker, "_THROTTLED_ERROR_CODES"))  # noqa: B009 - the types do not know it
def test_what_the_sdk_calls_throttling_is_throttling(code: str) -> None:
    assert translate(client_error(code)) is Throttled


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("NoSuchKey", ObjectNotFound),
        ("404", ObjectNotFound),
        ("PreconditionFailed", ObjectChanged),
        ("412", ObjectChanged),
        ("SlowDown", Throttled),
        ("ServiceUnavailable", Unavailable),
        ("503", Unavailable),
        ("NoSuchBucket", Unavailable),
        ("AccessDenied", Unavailable),
        ("ExpiredToken", Unavailable),
        ("BadDigest", Unavailable),
        ("ResourceNotFoundException", Unavailable),
        ("AWS.SimpleQueueService.NonExistentQueue", Unavailable),
        ("a code of tomorrow", Unavailable),
        ("", Unavailable),
    ],
)
def test_a_code_has_one_meaning(code: str, meaning: type[TrussError]) -> None:
    assert translate(client_error(code)) is meaning
    assert meaning_of(code) is meaning


def test_every_error_that_the_table_can_tell_apart_is_in_it() -> None:
    assert set(CODES.values()) == {ObjectNotFound, ObjectChanged, Throttled}


def test_an_answer_without_a_code_is_unavailable() -> None:
    assert translate(sdk.ClientError({}, "GetObject")) is Unavailable


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        ConnectionResetError(),
        OSError("no route"),
        aiohttp.ClientPayloadError("cut short"),
        aiohttp.ServerDisconnectedError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_the_network_are_unavailable(error: Exception) -> None:
    assert translate(error) is Unavailable


@pytest.mark.parametrize("error", [ValueError("ours"), KeyError("ours"), Unavailable(), ObjectNotFound()])
def test_other_errors_go_on_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, translated():
        raise error
    assert raised.value is error


def test_cancellation_goes_on_unchanged() -> None:
    with pytest.raises(asyncio.CancelledError), translated():
        raise asyncio.CancelledError


def test_the_words_of_aws_are_in_the_cause_and_nowhere_else() -> None:
    with pytest.raises(Unavailable) as raised, translated():
        raise client_error("AccessDenied", "arn:aws:iam::123456789012:user/x is not authorized")
    assert raised.value.message == Unavailable().message
    assert isinstance(raised.value.__cause__, sdk.ClientError)


def test_what_is_missing_means_what_the_caller_says() -> None:
    with pytest.raises(Unavailable), translated(missing=Unavailable):
        raise client_error("404")
    with pytest.raises(ObjectNotFound), translated():
        raise client_error("404")


def test_the_prefix_of_sqs_is_no_part_of_a_code() -> None:
    assert code_of(client_error("AWS.SimpleQueueService.OverLimit")) == "OverLimit"


@pytest.mark.parametrize("code", sorted(DEFECT_CODES))
@pytest.mark.parametrize("within", ["answer", "transaction"])
def test_what_can_never_succeed_is_a_defect_and_does_not_look_like_an_outage(code: str, within: str) -> None:
    response: Any = {"Error": {"Code": code}}
    if within == "transaction":
        reasons = [{"Code": "None"}, {"Code": code}]
        response = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
    with pytest.raises(sdk.ClientError), translated():
        raise sdk.ClientError(response, "TransactWriteItems")
