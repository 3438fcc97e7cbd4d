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

#: What is less, in bytes, is taken apart sooner than it is handed to another thread.
SMALL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """One page of a partition; `next_key` is where the next page starts, as DynamoDB writes it."""

    rows: list[Row]
    next_key: Mapping[str, Any] | None
    read_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[Row]):
    """Some of the items that were asked for; `left` is what is to be asked for again, as DynamoDB writes it."""

    rows: list[Row]
    left: Mapping[str, Any]


async def page_of_answer(answer: Mapping[str, Any], read: Callable[[Item], Row], tenant: str) -> Page[Row]:
    """Every item through `read`. Raises `Unavailable` for what is no answer of DynamoDB."""
    return await _beside_the_loop(answer, partial(_page, read), tenant)


async def batch_of_answer(
    answer: Mapping[str, Any], table: str, read: Callable[[Item], Row], tenant: str
) -> Batch[Row]:
    """Likewise."""
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
