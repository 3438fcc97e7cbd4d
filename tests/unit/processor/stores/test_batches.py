"""Answers that hold failures inside a success, and writes that meet others, on a client that is told what to say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from processor import clock
from processor.errors import Busy, FileTooLarge, RecordChanged, Throttled, Unavailable
from processor.jobs import Image
from processor.stores import table, writes
from processor.stores.clients import AwsClients
from processor.stores.config import AwsConfig
from processor.stores.dynamodb import DynamoJobStore
from processor.stores.records import to_wire
from processor.stores.s3 import PURGE_ROUNDS, S3ObjectStore
from processor.stores.sqs import SqsMessageQueue
from processor.stores.table import Table
from processor.stores.writes import ConditionFailed, Update

Answer = dict[str, Any] | Exception


class Scripted:
    """A client whose every operation gives the next answer; remembers what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        async def call(**parameters: Any) -> dict[str, Any]:
            self.asked.append(parameters)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def clients(client: Scripted) -> AwsClients:
    any_client: Any = client
    return AwsClients(
        config=AwsConfig(region="us-east-1"),
        s3=any_client,
        s3_presign=any_client,
        sqs=any_client,
        dynamodb=any_client,
        dynamodb_once=any_client,
        cloudfront=any_client,
        events=any_client,
        credentials=None,
    )


def failed(codes: Sequence[str]) -> dict[str, Any]:
    return {"Failed": [{"Id": str(n), "Code": code, "SenderFault": False} for n, code in enumerate(codes)]}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writes, "CONFLICT_PAUSE_SECONDS", 0)
    monkeypatch.setattr(table, "BATCH_PAUSE_SECONDS", 0)


# -- messages ---------------------------------------------------------------------------------------------------------


async def test_what_failed_in_a_batch_of_messages_is_tried_once_more() -> None:
    client = Scripted({"Failed": [{"Id": "1", "Code": "InternalError", "SenderFault": False}]}, {})
    await SqsMessageQueue(clients(client), "url").settle(["a", "b", "c"])
    assert [[entry["ReceiptHandle"] for entry in asked["Entries"]] for asked in client.asked] == [
        ["a", "b", "c"],
        ["b"],
    ]


@pytest.mark.parametrize(("code", "error"), [("InternalError", Unavailable), ("ThrottlingException", Throttled)])
async def test_what_fails_again_is_unavailable(code: str, error: type[Exception]) -> None:
    client = Scripted(failed([code]))
    with pytest.raises(error):
        await SqsMessageQueue(clients(client), "url").set_visibility(["a"], 5)
    assert len(client.asked) == 2


@pytest.mark.parametrize(
    "code", ["ReceiptHandleIsInvalid", "InvalidParameterValue", "AWS.SimpleQueueService.MessageNotInflight"]
)
async def test_a_stale_receipt_is_no_failure(code: str) -> None:
    client = Scripted(failed([code]))
    await SqsMessageQueue(clients(client), "url").settle(["a"])
    await SqsMessageQueue(clients(client), "url").set_visibility(["a"], 5)
    assert len(client.asked) == 2


async def test_a_batch_that_fails_does_not_keep_the_next_from_its_turn() -> None:
    client = Scripted(ConnectionResetError(), {})
    with pytest.raises(Unavailable):
        await SqsMessageQueue(clients(client), "url").settle([str(number) for number in range(15)])
    assert [len(asked["Entries"]) for asked in client.asked] == [10, 5]


# -- objects ----------------------------------------------------------------------------------------------------------


class NoUploads:
    """A listing of unfinished uploads, of which there are none."""

    async def paginate(self, **_: Any) -> AsyncIterator[dict[str, Any]]:
        yield {}


class Versioned(Scripted):
    """A client that lists so many versions each time it is asked, and deletes as the script says."""

    def __init__(self, *listings: int, deleting: Answer) -> None:
        super().__init__(deleting)
        self.listings = list(listings)

    def get_paginator(self, operation: str) -> Any:
        return self if operation == "list_object_versions" else NoUploads()

    async def paginate(self, **_: Any) -> AsyncIterator[dict[str, Any]]:
        count = self.listings.pop(0)
        told = {"VersionId": "null", "Size": 5, "ETag": '"e"', "LastModified": clock.now()}
        yield {"Versions": [{"Key": f"{number:04}", **told} for number in range(count)]}


async def test_versions_are_deleted_a_hundred_at_a_time_until_none_is_left() -> None:
    client = Versioned(101, 1, 0, deleting={})
    assert len(await S3ObjectStore(clients(client), "bucket").purge("")) == 101
    assert [len(asked["Delete"]["Objects"]) for asked in client.asked] == [100, 1, 1]


async def test_versions_that_cannot_be_deleted_are_unavailable() -> None:
    client = Versioned(*[1] * PURGE_ROUNDS, deleting={"Errors": [{"Key": "0000", "Code": "AccessDenied"}]})
    with pytest.raises(Unavailable):
        await S3ObjectStore(clients(client), "bucket").purge("")


async def test_a_prefix_that_is_filled_faster_than_it_is_emptied_is_busy_and_nothing_is_away() -> None:
    client = Versioned(*[1] * PURGE_ROUNDS, deleting={})
    with pytest.raises(Busy):
        await S3ObjectStore(clients(client), "bucket").purge("")


class Body:
    """An object's body, which need not be as long as S3 says."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.closed = False

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        self.closed = True

    async def read(self, size: int) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""


FOUND = {"ETag": '"e"', "LastModified": clock.now()}


async def test_a_body_that_is_too_long_is_not_read() -> None:
    body = Body(b"12345", b"6")
    client = Scripted({**FOUND, "ContentLength": 6, "Body": body})
    with pytest.raises(FileTooLarge):
        await S3ObjectStore(clients(client), "bucket").fetch("key", max_bytes=5)
    assert len(body.chunks) == 2
    assert body.closed


async def test_a_body_that_is_longer_than_it_says_is_not_read_to_its_end() -> None:
    body = Body(b"12345", b"6", b"7")
    client = Scripted({**FOUND, "ContentLength": 5, "Body": body})
    with pytest.raises(FileTooLarge):
        await S3ObjectStore(clients(client), "bucket").fetch("key", max_bytes=5)
    assert body.chunks == [b"7"]
    assert body.closed


# -- records ----------------------------------------------------------------------------------------------------------


def cancelled(*codes: str) -> ClientError:
    reasons = [{"Code": code} for code in codes]
    response: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
    return ClientError(response, "TransactWriteItems")


def image(jobs: int = 1) -> Image:
    return Image(
        unique_id="u",
        tenant="t",
        key="uploads/u.jpg",
        filename="a.jpg",
        current_job="img_1",
        created_at=clock.now(),
        job_ids=tuple(f"img_{number}" for number in range(jobs)),
    )


async def test_a_transaction_that_meets_another_is_repeated_under_its_own_token() -> None:
    client = Scripted(cancelled("None", "TransactionConflict"), {})
    await DynamoJobStore(Table(clients(client), "table")).tombstone(image(), clock.now(), 1)
    assert len(client.asked) == 2
    assert client.asked[0] == client.asked[1]
    assert client.asked[0]["ClientRequestToken"]


async def test_a_transaction_that_always_meets_others_is_busy_and_nothing_is_away() -> None:
    client = Scripted(cancelled("TransactionConflict"))
    with pytest.raises(Busy):
        await DynamoJobStore(Table(clients(client), "table")).tombstone(image(), clock.now(), 1)
    assert len(client.asked) == writes.CONFLICT_TRIES


async def test_a_condition_that_fails_is_told_from_a_conflict_beside_it() -> None:
    client = Scripted(cancelled("TransactionConflict", "ConditionalCheckFailed"))
    with pytest.raises(RecordChanged):
        await DynamoJobStore(Table(clients(client), "table")).tombstone(image(), clock.now(), 1)
    assert len(client.asked) == 1


async def test_a_transaction_cancelled_for_another_reason_is_unavailable() -> None:
    client = Scripted(cancelled("None", "AccessDenied"))
    with pytest.raises(Unavailable):
        await DynamoJobStore(Table(clients(client), "table")).tombstone(image(), clock.now(), 1)


async def test_a_record_that_is_too_large_is_no_outage() -> None:
    client = Scripted(cancelled("None", "ValidationError"))
    with pytest.raises(ClientError):
        await DynamoJobStore(Table(clients(client), "table")).tombstone(image(), clock.now(), 1)


async def test_a_single_write_waits_for_a_transaction_on_its_item() -> None:
    conflict = ClientError({"Error": {"Code": "TransactionConflictException"}}, "UpdateItem")
    client: Any = Scripted(conflict, {"Attributes": to_wire({"a": 1})})
    change = Update(key={"processingId": "x"}, condition="#a = :b", values={"b": 1}, sets={"a": 2})
    assert await writes.update(client, "table", change) == {"a": 1}


async def test_a_failed_condition_shows_what_was_found() -> None:
    response: Any = {"Error": {"Code": "ConditionalCheckFailedException"}, "Item": to_wire({"a": "other"})}
    client: Any = Scripted(ClientError(response, "UpdateItem"))
    with pytest.raises(ConditionFailed) as raised:
        await writes.update(client, "table", Update(key={"k": "x"}, condition="#a = :a", values={"a": "mine"}))
    assert raised.value.item == {"a": "other"}


def test_a_request_names_what_it_uses_and_nothing_else() -> None:
    change = Update(
        key={"processingId": "x"},
        sets={"status": "failed"},
        also=("#attempts = #attempts + :one",),
        remove=("lease",),
        condition="#status = :status AND #lease.#token = :token",
        values={"one": 1, "status": "uploaded", "token": "t", "unused": 0},
    )
    request = change.to_request("table")
    assert request["UpdateExpression"] == ("SET #status = :new_status, #attempts = #attempts + :one REMOVE #lease")
    assert set(request["ExpressionAttributeNames"]) == {"#status", "#attempts", "#lease", "#token"}
    assert set(request["ExpressionAttributeValues"]) == {":new_status", ":one", ":status", ":token"}


async def test_what_a_batch_of_deletes_leaves_undone_is_sent_again() -> None:
    left = {"table": [{"DeleteRequest": {"Key": to_wire({"processingId": "img_7"})}}]}
    client = Scripted({"UnprocessedItems": left}, {}, {}, {"Attributes": {}})
    await DynamoJobStore(Table(clients(client), "table")).forget_jobs(image(jobs=30), clock.now())
    sizes = [len(asked["RequestItems"]["table"]) for asked in client.asked[:3]]
    assert sizes == [25, 1, 5]
    assert client.asked[1]["RequestItems"] == left


async def test_a_batch_of_deletes_that_is_never_done_is_throttled() -> None:
    client = Scripted({"UnprocessedItems": {"table": [{}]}})
    with pytest.raises(Throttled):
        await DynamoJobStore(Table(clients(client), "table")).forget_jobs(image(), clock.now())
