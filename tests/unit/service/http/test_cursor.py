"""The opaque position of a list."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.jobs import JobStatus
from processor.ports.jobs import JobQuery, JobStore
from service.http.cursor import CursorSigner
from service.http.problems import InvalidCursor

QUERY = JobQuery(tenant="t", limit=10, status=JobStatus.FAILED, created_from=datetime(2026, 1, 1, tzinfo=UTC))


class Keys:
    def __init__(self, key: bytes = b"k" * 32) -> None:
        self.key = key
        self.asked = 0

    async def signing_key(self, name: str) -> bytes:
        assert name == "cursor"
        self.asked += 1
        return self.key


def signer(key: bytes = b"k" * 32) -> CursorSigner:
    return CursorSigner(cast("JobStore", Keys(key)))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300))
async def test_a_sealed_position_is_opened_again(position: str) -> None:
    cursors = signer()
    assert await cursors.open(await cursors.seal(QUERY, position), QUERY) == position


@given(st.data())
async def test_any_flipped_bit_is_refused(data: st.DataObject) -> None:
    cursors = signer()
    cursor = await cursors.seal(QUERY, "2026-01-02#img_1_a")
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidCursor):
        await cursors.open(base64.urlsafe_b64encode(raw).decode().rstrip("="), QUERY)


@given(st.data())
async def test_any_other_character_is_refused(data: st.DataObject) -> None:
    cursors = signer()
    cursor = await cursors.seal(QUERY, "2026-01-02#img_1_ab")
    place = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.characters().filter(lambda character: character != cursor[place]))
    with pytest.raises(InvalidCursor):
        await cursors.open(cursor[:place] + other + cursor[place + 1 :], QUERY)


@given(st.text(max_size=100))
async def test_no_text_whatever_breaks_the_reader(text: str) -> None:
    with pytest.raises(InvalidCursor):
        await signer().open(text, QUERY)


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": "other"},
        {"status": None},
        {"status": JobStatus.COMPLETED},
        {"newest_first": False},
        {"created_from": None},
        {"created_from": datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)},
        {"created_to": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
)
async def test_a_cursor_holds_for_its_own_question_alone(change: dict[str, Any]) -> None:
    cursors = signer()
    cursor = await cursors.seal(QUERY, "position")
    with pytest.raises(InvalidCursor):
        await cursors.open(cursor, replace(QUERY, **change))


async def test_the_size_of_a_page_may_change_on_the_way() -> None:
    cursors = signer()
    assert await cursors.open(await cursors.seal(QUERY, "position"), replace(QUERY, limit=99)) == "position"


async def test_a_cursor_of_another_key_is_refused() -> None:
    cursor = await signer(b"other" * 8).seal(QUERY, "position")
    with pytest.raises(InvalidCursor):
        await signer().open(cursor, QUERY)


async def test_a_cursor_is_opened_by_every_process_with_the_key() -> None:
    assert await signer().open(await signer().seal(QUERY, "position"), QUERY) == "position"


async def test_the_key_is_fetched_once() -> None:
    keys = Keys()
    cursors = CursorSigner(cast("JobStore", keys))
    assert keys.asked == 0
    for _ in range(3):
        await cursors.seal(QUERY, "position")
    assert keys.asked == 1


async def test_an_endless_cursor_is_refused_unread() -> None:
    with pytest.raises(InvalidCursor):
        await signer().open("A" * 4000, QUERY)
