"""What a query brought, as DynamoDB wrote it."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from processor.errors import Unavailable
from processor.stores.clients import RAW
from processor.stores.pages import SMALL_BYTES, page_of_answer
from processor.stores.records import Item


def answer(items: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {RAW: json.dumps({"Items": items, **more}).encode()}


def where(_: Item) -> str:
    return threading.current_thread().name


async def test_items_and_the_place_to_go_on_come_out() -> None:
    key = {"processingId": {"S": "b"}}
    page = await page_of_answer(answer([{"a": {"S": "x"}, "n": {"N": "1"}}], LastEvaluatedKey=key), dict, "t")
    assert page.rows == [{"a": "x", "n": 1}]
    assert page.next_key == key


async def test_a_large_page_is_taken_apart_beside_the_loop_and_a_small_one_at_once() -> None:
    large = await page_of_answer(answer([{"a": {"S": "x" * SMALL_BYTES}}]), where, "t")
    small = await page_of_answer(answer([{"a": {"S": "x"}}]), where, "t")
    assert small.rows == [threading.current_thread().name]
    assert large.rows != small.rows


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b"{}", b'{"Items": [1]}', b'{"Items": [{"a": {"Z": 1}}]}']
)
async def test_what_is_no_answer_of_dynamodb_is_an_outage(body: bytes) -> None:
    with pytest.raises(Unavailable):
        await page_of_answer({RAW: body}, dict, "t")
