"""Builds conditional writes, and retries them after conflicts with other writes."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError
from tenacity import retry_if_exception_type

from processor.errors import Busy
from processor.pauses import jittered
from processor.stores.again import again
from processor.stores.records import Item, from_wire, to_wire
from processor.stores.translate import code_of, translated

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

#: Tries of a write that conflicts with a transaction on the same item. Our transactions take milliseconds.
CONFLICT_TRIES = 6
#: The longest pause after the first try, in seconds. It doubles; the real pause is a random fraction of it.
CONFLICT_PAUSE_SECONDS = 0.02
#: Single writes and items of transactions have different names for the same conflict.
CONFLICT_CODES = frozenset({"TransactionConflict", "TransactionConflictException", "TransactionInProgressException"})
CONDITION_CODES = frozenset({"ConditionalCheckFailed", "ConditionalCheckFailedException"})

T = TypeVar("T")


class ConditionFailed(Exception):
    """A condition did not hold. For a write of a single item, `item` is the item that was found."""

    def __init__(self, item: Item | None) -> None:
        super().__init__("condition failed")
        self.item = item


class _Conflict(Exception):
    """Another transaction was changing one of the items."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A change to one item. In every expression, attributes are `#name` and values are `:name`.

    `sets` are plain assignments. `also` are further SET clauses. `values` has their values and those of the condition.
    """

    key: Item
    condition: str
    sets: Mapping[str, Any] = field(default_factory=dict)
    also: Sequence[str] = ()
    remove: Sequence[str] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    def to_request(self, table: str) -> dict[str, Any]:
        """The parameters of `UpdateItem`, and of an `Update` in a transaction."""
        assignments = [*(f"#{name} = :new_{name}" for name in self.sets), *self.also]
        clauses = [f"SET {', '.join(assignments)}"] if assignments else []
        if self.remove:
            clauses.append(f"REMOVE {', '.join(f'#{name}' for name in self.remove)}")
        expression = " ".join(clauses)
        new = {f"new_{name}": value for name, value in self.sets.items()}
        return {
            "TableName": table,
            "Key": to_wire(self.key),
            "UpdateExpression": expression,
            "ConditionExpression": self.condition,
            **attributes(f"{expression} {self.condition}", {**self.values, **new}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """A new item. It must not exist yet."""

    item: Item

    def to_request(self, table: str) -> dict[str, Any]:
        """The parameters of `PutItem`, and of a `Put` in a transaction."""
        condition = "attribute_not_exists(#processingId)"
        return {
            "TableName": table,
            "Item": to_wire(self.item),
            "ConditionExpression": condition,
            **attributes(condition, {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """The removal of an item. Without a condition, a missing item is no error."""

    key: Item
    condition: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    def to_request(self, table: str) -> dict[str, Any]:
        """The parameters of a `Delete` in a transaction."""
        request: dict[str, Any] = {"TableName": table, "Key": to_wire(self.key)}
        if self.condition:
            request |= {"ConditionExpression": self.condition, **attributes(self.condition, self.values)}
        return request


def attributes(expressions: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The names and values that expressions use, and no others: DynamoDB refuses unused ones."""
    named = {f"#{name}": name for name in re.findall(r"#(\w+)", expressions)}
    used = {f":{name}": values[name] for name in re.findall(r":(\w+)", expressions)}
    found: dict[str, Any] = {"ExpressionAttributeNames": named}
    if used:
        found["ExpressionAttributeValues"] = to_wire(used)
    return found


async def update(dynamodb: DynamoDBClient, table: str, change: Update) -> Item:
    """Make one update; returns the new item. Raises `ConditionFailed`, `Busy`, `Unavailable`."""

    async def call() -> Item:
        answer = await dynamodb.update_item(
            **change.to_request(table), ReturnValues="ALL_NEW", ReturnValuesOnConditionCheckFailure="ALL_OLD"
        )
        return from_wire(answer["Attributes"])

    return await _through_conflicts(call)


async def put(dynamodb: DynamoDBClient, table: str, new: Put) -> None:
    """Write one new item. Raises `ConditionFailed`, `Busy`, `Unavailable`."""

    async def call() -> None:
        await dynamodb.put_item(**new.to_request(table))

    await _through_conflicts(call)


async def transact(dynamodb: DynamoDBClient, table: str, *changes: Update | Put | Delete) -> None:
    """Make all changes or none. Raises `ConditionFailed`, `Busy`, `Unavailable`.

    All tries have the same token. So a transaction whose answer was lost is not made twice, and the retry succeeds.
    """
    items = [{type(change).__name__: change.to_request(table)} for change in changes]
    token = str(uuid.uuid4())

    async def call() -> None:
        await dynamodb.transact_write_items(TransactItems=items, ClientRequestToken=token)  # type: ignore[arg-type]

    await _through_conflicts(call)


async def _through_conflicts(call: Callable[[], Awaitable[T]]) -> T:
    async def attempt() -> T:
        with translated(), _conditions():
            return await call()

    with suppress(_Conflict):
        return await attempt()  # nearly always: what repeats it costs a tenth of a millisecond
    await asyncio.sleep(jittered(CONFLICT_PAUSE_SECONDS, least=0))
    conflict, pauses = retry_if_exception_type(_Conflict), 2 * CONFLICT_PAUSE_SECONDS  # it doubles
    return await again(conflict, tries=CONFLICT_TRIES - 1, pause_seconds=pauses, else_=Busy)(attempt)


@contextmanager
def _conditions() -> Iterator[None]:
    """Turns failed conditions and conflicts into errors of their own."""
    try:
        yield
    except ClientError as error:
        response: Mapping[str, Any] = error.response
        codes = {reason.get("Code", "") for reason in response.get("CancellationReasons", ())} | {code_of(error)}
        if codes & CONDITION_CODES:
            found = response.get("Item")
            raise ConditionFailed(from_wire(found) if found else None) from error
        if codes & CONFLICT_CODES:
            raise _Conflict from error
        raise
