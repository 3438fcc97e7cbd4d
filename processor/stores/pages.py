"""Parses many items outside the event loop, where the SDK would block it for a tenth of a second."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from processor.aside import aside
from processor.errors import Unavailable
from processor.stores.clients import RAW
from processor.stores.records import Item, from_wire

Row = TypeVar("Row")
Unpacked = TypeVar("Unpacked")

#: Below so many bytes, parsing is faster than handing the work to another thread.
SMALL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """One page of a partition. `next_key` is the start of the next page, in DynamoDB's notation."""

    rows: list[Row]
    next_key: Mapping[str, Any] | None
    read_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[Row]):
    """Some of the items that were asked for. `left` must be asked for again, in DynamoDB's notation."""

    rows: list[Row]
    left: Mapping[str, Any]


async def page_of_answer(answer: Mapping[str, Any], read: Callable[[Item], Row], tenant: str) -> Page[Row]:
    """Parses a query's answer; `read` converts each item. Raises `Unavailable` if it is no answer of DynamoDB."""
    return await _beside_the_loop(answer, partial(_page, read), tenant)


async def batch_of_answer(
    answer: Mapping[str, Any], table: str, read: Callable[[Item], Row], tenant: str
) -> Batch[Row]:
    """The same for the answer of a batch."""
    return await _beside_the_loop(answer, partial(_batch, table, read), tenant)


async def _beside_the_loop(answer: Mapping[str, Any], unpack: Callable[[bytes], Unpacked], tenant: str) -> Unpacked:
    work = partial(unpack, answer[RAW])
    return work() if len(answer[RAW]) < SMALL_BYTES else await aside(work, tenant)


def _page(read: Callable[[Item], Row], raw: bytes) -> Page[Row]:
    with _what_dynamodb_answers():
        answer = json.loads(raw)
        items = [from_wire(item) for item in answer["Items"]]
    rows = [read(item) for item in items]
    return Page(rows=rows, next_key=answer.get("LastEvaluatedKey"), read_bytes=len(raw))


def _batch(table: str, read: Callable[[Item], Row], raw: bytes) -> Batch[Row]:
    with _what_dynamodb_answers():
        answer = json.loads(raw)
        items = [from_wire(item) for item in answer["Responses"].get(table, ())]
    return Batch(rows=[read(item) for item in items], left=answer.get("UnprocessedKeys") or {})


@contextmanager
def _what_dynamodb_answers() -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unavailable from None
