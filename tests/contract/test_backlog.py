"""What the processes of a fleet expect of the record of their queues."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from processor.ports.backlog import Backlog, BacklogStore
from processor.stores.backlog import DynamoBacklogStore
from processor.stores.memory import MemoryBacklogStore
from processor.stores.table import Table
from tests.contract.conftest import Backend

pytestmark = pytest.mark.asyncio(loop_scope="session")

FIRST = Backlog(look=1, visible=3, in_flight=2, delayed=1, dead_letters=4, received_through=1_700_000_000)


@pytest_asyncio.fixture(loop_scope="session")
async def store(backend: Backend) -> AsyncIterator[BacklogStore]:
    """There is one record in a table; each test begins without it."""
    if not (backend.service and backend.made):
        yield MemoryBacklogStore()
        return
    table = Table(backend.service, backend.made.names.table)
    yield DynamoBacklogStore(table)
    await table.delete([{"processingId": "backlog_all"}])


async def test_nothing_is_known_before_the_first_look(store: BacklogStore) -> None:
    assert await store.latest() is None
    await store.received(1_700_000_000)
    assert await store.latest() is None


async def test_what_was_seen_is_known_to_all_and_a_later_look_takes_its_place(store: BacklogStore) -> None:
    assert await store.replace(None, FIRST)
    assert await store.latest() == FIRST
    second = replace(FIRST, look=2, visible=0, dead_letters=None)
    assert await store.replace(FIRST, second)
    assert await store.latest() == second


async def test_a_look_that_was_overtaken_changes_nothing(store: BacklogStore) -> None:
    await store.replace(None, FIRST)
    assert not await store.replace(None, replace(FIRST, visible=99))
    second = replace(FIRST, look=2)
    await store.replace(FIRST, second)
    assert not await store.replace(FIRST, replace(FIRST, look=2, visible=99))
    assert await store.latest() == second


async def test_of_many_looks_at_once_one_is_kept(backend: Backend, store: BacklogStore) -> None:
    backend.skip_on("moto", because="it checks a condition and writes in two steps, between which others get in")
    looks = [replace(FIRST, visible=number) for number in range(10)]
    kept = await asyncio.gather(*(store.replace(None, look) for look in looks))
    assert kept.count(True) == 1
    assert await store.latest() == looks[kept.index(True)]


async def test_what_was_received_moves_forward_alone(store: BacklogStore) -> None:
    await store.replace(None, FIRST)
    await store.received(FIRST.received_through + 7)
    await store.received(FIRST.received_through + 3)
    assert await store.latest() == replace(FIRST, received_through=FIRST.received_through + 7)
