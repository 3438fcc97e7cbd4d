"""The queue in memory under a clock that a test sets."""

from __future__ import annotations

import asyncio

from processor.stores.memory import MemoryQueue
from tests.waiting import PATIENCE_SECONDS


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_message_returns_when_its_time_is_over_and_not_before() -> None:
    clock = Clock()
    queue = MemoryQueue(clock=clock)
    await queue.send("a")
    [first] = await queue.receive(10, wait_seconds=0, visibility_seconds=30)
    clock.now += 29
    assert await queue.receive(10, wait_seconds=0, visibility_seconds=30) == []
    await queue.set_visibility([first.receipt], 30)
    clock.now += 29
    assert await queue.receive(10, wait_seconds=0, visibility_seconds=30) == []
    clock.now += 1
    [second] = await queue.receive(10, wait_seconds=0, visibility_seconds=30)
    assert (second.message_id, second.receive_count) == (first.message_id, 2)


async def test_the_receipt_of_an_earlier_receive_does_nothing() -> None:
    clock = Clock()
    queue = MemoryQueue(clock=clock)
    await queue.send("a")
    [first] = await queue.receive(10, wait_seconds=0, visibility_seconds=1)
    clock.now += 1
    await queue.receive(10, wait_seconds=0, visibility_seconds=30)
    await queue.settle([first.receipt])
    await queue.set_visibility([first.receipt], 0)
    assert queue.count == 1
    assert await queue.receive(10, wait_seconds=0, visibility_seconds=30) == []


async def test_a_dead_letter_is_kept_with_its_count() -> None:
    clock = Clock()
    queue = MemoryQueue(max_receive_count=2, clock=clock)
    await queue.send("poison")
    for _ in range(3):
        await queue.receive(10, wait_seconds=0, visibility_seconds=1)
        clock.now += 1
    assert [(letter.body, letter.receive_count) for letter in queue.dead_letters] == [("poison", 2)]
    assert queue.count == 0


async def test_a_poll_that_waits_is_woken_by_a_message_given_back() -> None:
    queue = MemoryQueue()
    await queue.send("a")
    [held] = await queue.receive(1, wait_seconds=0, visibility_seconds=600)
    waiting = asyncio.create_task(queue.receive(1, wait_seconds=600, visibility_seconds=600))
    await asyncio.sleep(0)
    await queue.set_visibility([held.receipt], 0)
    async with asyncio.timeout(PATIENCE_SECONDS):
        [again] = await waiting
    assert again.receive_count == 2


async def test_every_poll_that_waits_gets_a_message_of_its_own() -> None:
    queue = MemoryQueue()
    polls = [asyncio.create_task(queue.receive(1, wait_seconds=600, visibility_seconds=600)) for _ in range(3)]
    await asyncio.sleep(0)
    for number in range(3):
        await queue.send(str(number))
    async with asyncio.timeout(PATIENCE_SECONDS):
        answers = await asyncio.gather(*polls)
    assert sorted(message.body for messages in answers for message in messages) == ["0", "1", "2"]
