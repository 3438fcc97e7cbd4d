"""What repeatable requests expect of their store."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from processor.errors import IdempotencyKeyReused, RequestInProgress
from processor.ports.replays import Recorded, Repeatable, ReplayStore
from processor.stores.memory import MemoryReplayStore
from processor.stores.replay import KEPT_SECONDS, LOCK_SECONDS, DynamoReplayStore
from processor.stores.table import Table
from tests.contract.conftest import Backend, Clock

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def replays(backend: Backend, clock: Clock) -> ReplayStore:
    if backend.service and backend.made:
        return DynamoReplayStore(Table(backend.service, backend.made.names.table, now=clock))
    return MemoryReplayStore(now=clock)


def request(fingerprint: str = "f", name: str | None = None) -> Repeatable:
    return Repeatable(name=name or uuid.uuid4().hex, fingerprint=fingerprint)


async def test_the_first_answers_and_the_others_are_told_what(replays: ReplayStore) -> None:
    asked = request()
    assert await replays.begin(asked) is None
    with pytest.raises(RequestInProgress):
        await replays.begin(asked)
    await replays.record(asked, b"answer")
    assert await replays.begin(asked) == Recorded(answer=b"answer")


async def test_one_of_many_at_once_is_the_first(backend: Backend, replays: ReplayStore) -> None:
    backend.skip_on("moto", because="it checks a condition and writes in two steps, between which others get in")
    asked = request()
    outcomes = await asyncio.gather(*(replays.begin(asked) for _ in range(10)), return_exceptions=True)
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, RequestInProgress) for outcome in outcomes) == 9


async def test_an_abandoned_request_is_begun_anew(replays: ReplayStore) -> None:
    asked = request()
    await replays.begin(asked)
    await replays.abandon(asked)
    assert await replays.begin(asked) is None


async def test_another_request_of_the_same_name_is_refused(replays: ReplayStore) -> None:
    asked = request()
    other = request("g", asked.name)
    await replays.begin(asked)
    with pytest.raises(IdempotencyKeyReused):
        await replays.begin(other)
    await replays.record(asked, b"")
    with pytest.raises(IdempotencyKeyReused):
        await replays.begin(other)


async def test_whoever_was_too_slow_takes_nothing_from_who_took_over(replays: ReplayStore, clock: Clock) -> None:
    slow = request()
    quick = request(name=slow.name)
    await replays.begin(slow)
    clock.passed += LOCK_SECONDS + 1
    assert await replays.begin(quick) is None
    await replays.abandon(slow)
    await replays.record(slow, b"late")
    with pytest.raises(RequestInProgress):
        await replays.begin(request(name=slow.name))
    await replays.record(quick, b"answer")
    await replays.abandon(slow)
    assert await replays.begin(slow) == Recorded(answer=b"answer")


async def test_a_lock_runs_out_and_an_answer_is_forgotten_after_a_day(replays: ReplayStore, clock: Clock) -> None:
    asked = request()
    await replays.begin(asked)
    clock.passed += LOCK_SECONDS + 1
    assert await replays.begin(asked) is None
    await replays.record(asked, b"answer")
    clock.passed += KEPT_SECONDS - 10
    assert await replays.begin(asked) == Recorded(answer=b"answer")
    clock.passed += 20
    assert await replays.begin(asked) is None
