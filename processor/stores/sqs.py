"""A message queue in SQS."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from processor.errors import TrussError, Unavailable
from processor.ports.queue import Message, QueueDepth
from processor.stores.clients import AwsClients
from processor.stores.translate import meaning_of, translated

if TYPE_CHECKING:
    from types_aiobotocore_sqs.type_defs import BatchResultErrorEntryTypeDef, MessageAttributeValueOutputTypeDef

#: Most entries of one batch (AWS, "Amazon SQS message quotas").
BATCH = 10
#: The longest time for which a message can be hidden, in seconds: twelve hours.
MAX_VISIBILITY_SECONDS = 43_200
#: The message attribute with the reason why a message is a dead letter.
REASON = "Reason"
#: The message attribute with the number of times that a message was received before it was resent.
TRIES = "Tries"
#: SQS's codes for a receipt of a message that was settled, given back or delivered again. It needs no more work.
STALE_CODES = frozenset({"ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight"})

_COUNT = re.compile(r"[0-9]{1,4}")

log = structlog.get_logger(__name__)

Entry = dict[str, Any]
Call = Callable[[Sequence[Entry]], Awaitable[Sequence["BatchResultErrorEntryTypeDef"]]]


class SqsMessageQueue:
    """A queue, by its URL."""

    def __init__(self, clients: AwsClients, queue_url: str) -> None:
        self._sqs = clients.sqs
        self._url = queue_url

    async def receive(self, limit: int, *, wait_seconds: int, visibility_seconds: int) -> list[Message]:
        """At most `limit` messages. Raises `Unavailable`."""
        with translated():
            answer = await self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=limit,
                WaitTimeSeconds=wait_seconds,
                VisibilityTimeout=min(visibility_seconds, MAX_VISIBILITY_SECONDS),
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
                MessageAttributeNames=[REASON, TRIES],
            )
        return [
            Message(
                message_id=found["MessageId"],
                receipt=found["ReceiptHandle"],
                body=found["Body"],
                receive_count=int(found["Attributes"]["ApproximateReceiveCount"])
                + _tries(found.get("MessageAttributes", {})),
                sent_at=int(found["Attributes"]["SentTimestamp"]) / 1000,
                reason=_reason(found.get("MessageAttributes", {})),
            )
            for found in answer.get("Messages", ())
        ]

    async def settle(self, receipts: Sequence[str]) -> None:
        """Delete messages. Raises `Unavailable` if any is left, after all were tried."""

        async def delete(entries: Sequence[Entry]) -> Sequence[BatchResultErrorEntryTypeDef]:
            answer = await self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)  # type: ignore[arg-type]
            return answer.get("Failed", ())

        await _in_batches([{"ReceiptHandle": receipt} for receipt in receipts], delete)

    async def set_visibility(self, receipts: Sequence[str], seconds: int) -> None:
        """Hide messages. Raises `Unavailable` if that failed for any, after all were tried."""

        async def change(entries: Sequence[Entry]) -> Sequence[BatchResultErrorEntryTypeDef]:
            answer = await self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)  # type: ignore[arg-type]
            return answer.get("Failed", ())

        hidden = min(seconds, MAX_VISIBILITY_SECONDS)
        await _in_batches([{"ReceiptHandle": receipt, "VisibilityTimeout": hidden} for receipt in receipts], change)

    async def send(self, body: str, *, delay_seconds: int = 0, reason: str = "", tries: int = 0) -> None:
        """Raises `Unavailable`."""
        told = ({REASON: ("String", reason)} if reason else {}) | ({TRIES: ("Number", str(tries))} if tries else {})
        given: Any = {name: {"DataType": kind, "StringValue": value} for name, (kind, value) in told.items()}
        with translated():
            await self._sqs.send_message(
                QueueUrl=self._url, MessageBody=body, DelaySeconds=delay_seconds, MessageAttributes=given
            )

    async def depth(self) -> QueueDepth:
        """The counts of SQS (AWS, "GetQueueAttributes"). Raises `Unavailable`."""
        visible, delayed, hidden = (
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesDelayed",
            "ApproximateNumberOfMessagesNotVisible",
        )
        counts = await self._attributes(visible, delayed, hidden)
        later = int(counts[delayed])
        return QueueDepth(waiting=int(counts[visible]) + later, in_flight=int(counts[hidden]), delayed=later)

    async def max_receive_count(self) -> int | None:
        """The number in the queue's redrive policy; None: it has none. Raises `Unavailable`."""
        attributes = await self._attributes("RedrivePolicy")
        policy = attributes.get("RedrivePolicy")
        return int(json.loads(policy)["maxReceiveCount"]) if policy else None

    async def ping(self) -> None:
        """Raises `Unavailable` if the queue cannot be reached."""
        await self._attributes("QueueArn")

    async def _attributes(self, *names: Any) -> Mapping[str, str]:
        with translated():
            answer = await self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)
        return {str(key): value for key, value in answer.get("Attributes", {}).items()}


def _reason(attributes: Mapping[str, MessageAttributeValueOutputTypeDef]) -> str:
    return attributes[REASON].get("StringValue", "") if REASON in attributes else ""


def _tries(attributes: Mapping[str, MessageAttributeValueOutputTypeDef]) -> int:
    """The number in the attribute; 0 if it is not one of ours: a sender may write anything."""
    told = attributes[TRIES].get("StringValue", "") if TRIES in attributes else ""
    return int(told) if _COUNT.fullmatch(told) else 0


async def _in_batches(entries: Sequence[Entry], call: Call) -> None:
    """Call `call` for all entries, ten at a time. If a batch fails, the others are still tried."""
    errors: list[TrussError] = []
    for start in range(0, len(entries), BATCH):
        batch = [{"Id": str(number), **entry} for number, entry in enumerate(entries[start : start + BATCH])]
        try:
            await _one_batch(batch, call)
        except Unavailable as error:
            errors.append(error)
    if errors:
        raise errors[-1]


async def _one_batch(batch: Sequence[Entry], call: Call) -> None:
    """Call `call` for one batch, and once more for its failures. The SDK retries none: they are in an answer 200."""
    with translated():
        codes = _failures(await call(batch))
        if not codes:
            return
        codes = _failures(await call([entry for entry in batch if entry["Id"] in codes]))
    if codes:
        log.warning("Messages of a batch failed", codes=sorted(set(codes.values())), count=len(codes))
        raise meaning_of(next(iter(codes.values())))


def _failures(failed: Sequence[BatchResultErrorEntryTypeDef]) -> dict[str, str]:
    """Codes by entry, without stale receipts."""
    codes = {entry["Id"]: entry["Code"].removeprefix("AWS.SimpleQueueService.") for entry in failed}
    return {entry: code for entry, code in codes.items() if code not in STALE_CODES}
