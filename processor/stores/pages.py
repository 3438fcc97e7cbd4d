"""Pages of queries, taken apart beside the event loop, which the SDK would keep busy for a tenth of a second."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from processor.aside import aside
from processor.errors import Unavailable
from processor.stores.clients import RAW
from processor.stores.records import Item, from_wire

Row = TypeVar("Row")

#: What is less, in bytes, is taken apart sooner than it is handed to another thread.
SMALL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """A part of a partition; `next_key` is where the next one starts, as DynamoDB writes it."""

    rows: list[Row]
    next_key: Mapping[str, Any] | None
    read_bytes: int = 0


async def page_of_answer(answer: Mapping[str, Any], read: Callable[[Item], Row], tenant: str) -> Page[Row]:
    """Every item through `read`. Raises `Unavailable` for what is no answer of DynamoDB."""
    work = partial(_unpack, answer[RAW], read)
    return work() if len(answer[RAW]) < SMALL_BYTES else await aside(work, tenant)


def _unpack(raw: bytes, read: Callable[[Item], Row]) -> Page[Row]:
    try:
        answer = json.loads(raw)
        items = [from_wire(item) for item in answer["Items"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unavailable from None
    rows = [read(item) for item in items]
    return Page(rows=rows, next_key=answer.get("LastEvaluatedKey"), read_bytes=len(raw))
