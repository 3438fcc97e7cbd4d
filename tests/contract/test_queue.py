"""What a message queue promises."""

from __future__ import annotations

import asyncio
import time

import pytest

from processor.errors import Unavailable
from processor.ports.queue import Message, MessageQueue, QueueDepth
from processor.stores.sqs import SqsMessageQueue
from tests.contract.conftest import Backend, MakeQueue
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def receive(queue: MessageQueue, limit: int = 10, *, wait: int = 0, visibility: int = 60) -> list[Message]:
    return await queue.receive(limit, wait_seconds=wait, visibility_seconds=visibility)


async def receive_all(queue: MessageQueue, count: int) -> list[Message]:
    """SQS hands out what it finds, not all there is."""
    messages: list[Message] = []

    async def enough() -> bool:
        messages.extend(await receive(queue))
        return len(messages) >= count

    await eventually(enough, what=f"{count} messages")
    return messages


async def test_a_message_arrives_as_it_was_sent(queue: MessageQueue) -> None:
    await queue.send('{"text": "Grüße & <b>"}')
    [message] = await receive(queue)
    assert message.body == '{"text": "Grüße & <b>"}'
    assert message.receive_count == 1
    assert message.message_id
    assert message.receipt


async def test_a_message_tells_when_it_was_sent_however_often_it_is_received(queue: MessageQueue) -> None:
    before = time.time()
    await queue.send("message")
    after = time.time()
    [first] = await receive(queue)
    await queue.set_visibility([first.receipt], 0)
    [again] = await receive(queue, wait=10)
    assert before - 1 <= again.sent_at <= after + 1  # queues tell it in milliseconds, or in seconds
    assert again.sent_at == first.sent_at


async def test_a_message_that_was_sent_anew_counts_the_receives_before_and_its_own(make_queue: MakeQueue) -> None:
    under_test = await make_queue(max_receive_count=2)
    queue = under_test.queue
    await queue.send("message", tries=4)
    [first] = await receive(queue)
    assert first.receive_count == 5
    await queue.set_visibility([first.receipt], 0)
    [again] = await receive(queue, wait=10)  # the queue itself has counted two
    assert again.receive_count == 6
    await queue.set_visibility([again.receipt], 0)

    async def moved() -> bool:
        assert await receive(queue) == []
        return await under_test.dead_letters() == 1

    await eventually(moved, what="a dead letter")


async def test_a_delayed_message_is_received_when_its_time_has_come_and_not_before(queue: MessageQueue) -> None:
    sent = time.monotonic()
    await queue.send("later", delay_seconds=2)
    await queue.send("now")
    came: dict[str, tuple[int, float]] = {}
    while "later" not in came:
        for message in await receive(queue, wait=5):
            came[message.body] = message.receive_count, time.monotonic() - sent
    assert {body: count for body, (count, _) in came.items()} == {"now": 1, "later": 1}
    assert came["later"][1] > 1.9  # the clocks of two processes


async def test_a_message_may_be_delayed_for_a_quarter_of_an_hour(queue: MessageQueue) -> None:
    await queue.send("later", delay_seconds=900)
    assert await receive(queue) == []


async def test_the_depth_tells_what_waits_and_what_is_in_flight(queue: MessageQueue) -> None:
    async def becomes(waiting: int, in_flight: int, delayed: int = 1) -> None:
        async def reached() -> bool:
            return await queue.depth() == QueueDepth(waiting=waiting, in_flight=in_flight, delayed=delayed)

        await eventually(reached, what=f"{waiting} waiting, {in_flight} in flight")

    await becomes(0, 0, delayed=0)
    for body in ("one", "two"):
        await queue.send(body)
    await queue.send("later", delay_seconds=600)
    await becomes(3, 0)
    [message] = await receive(queue, 1)
    await becomes(2, 1)
    await queue.set_visibility([message.receipt], 0)
    await becomes(3, 0)
    messages = await receive_all(queue, 2)
    await queue.settle([each.receipt for each in messages])
    await becomes(1, 0)


async def test_an_empty_queue_answers_with_nothing(queue: MessageQueue) -> None:
    assert await receive(queue) == []


async def test_no_more_than_the_limit_is_received(queue: MessageQueue) -> None:
    for number in range(5):
        await queue.send(str(number))
    assert len(await receive(queue, 3)) <= 3


async def test_a_received_message_is_hidden_from_others(queue: MessageQueue) -> None:
    await queue.send("one")
    assert len(await receive(queue)) == 1
    assert await receive(queue) == []


async def test_concurrent_receivers_never_get_the_same_message(queue: MessageQueue, backend: Backend) -> None:
    backend.skip_on("moto", because="its threads race for one message")
    for number in range(12):
        await queue.send(str(number))
    answers = await asyncio.gather(*(receive(queue, 4) for _ in range(4)))
    ids = [message.message_id for messages in answers for message in messages]
    assert len(ids) == len(set(ids))


async def test_a_long_poll_wakes_when_a_message_comes(queue: MessageQueue) -> None:
    started = time.monotonic()
    waiting = asyncio.create_task(receive(queue, wait=20))
    await asyncio.sleep(0)
    await queue.send("late")
    [message] = await waiting
    assert message.body == "late"
    assert time.monotonic() - started < 19  # it did not wait for its end


async def test_a_message_that_is_not_settled_returns_when_its_time_is_over(queue: MessageQueue) -> None:
    await queue.send("again")
    await receive(queue, visibility=1)
    [message] = await receive(queue, wait=10)
    assert message.receive_count == 2


async def test_a_settled_message_never_returns(queue: MessageQueue) -> None:
    await queue.send("once")
    [message] = await receive(queue, visibility=1)
    await queue.settle([message.receipt])
    assert await receive(queue, wait=2) == []


async def test_settling_twice_is_no_error(queue: MessageQueue) -> None:
    await queue.send("once")
    [message] = await receive(queue)
    await queue.settle([message.receipt])
    await queue.settle([message.receipt])


async def test_more_messages_than_a_batch_takes_are_settled_with_stale_ones_among_them(queue: MessageQueue) -> None:
    for number in range(23):
        await queue.send(str(number))
    receipts = [message.receipt for message in await receive_all(queue, 23)]
    await queue.settle(receipts[:3])
    await queue.settle(receipts)
    await queue.set_visibility(receipts, 0)
    assert await receive(queue) == []


async def test_settling_nothing_does_nothing(queue: MessageQueue) -> None:
    await queue.settle([])
    await queue.set_visibility([], 5)


async def test_a_message_is_given_back_at_once_and_counts_its_receives(queue: MessageQueue) -> None:
    await queue.send("back")
    for expected in (1, 2, 3):
        [message] = await receive(queue, wait=5)
        assert message.receive_count == expected
        await queue.set_visibility([message.receipt], 0)


async def test_a_heartbeat_keeps_many_messages_hidden(queue: MessageQueue) -> None:
    for number in range(12):
        await queue.send(str(number))
    messages = await receive_all(queue, 12)
    await queue.set_visibility([message.receipt for message in messages], 0)
    again = await receive_all(queue, 12)
    await queue.set_visibility([message.receipt for message in again], 600)
    assert await receive(queue) == []


async def test_a_message_that_is_gone_cannot_be_hidden_and_that_is_no_error(queue: MessageQueue) -> None:
    await queue.send("gone")
    [message] = await receive(queue)
    await queue.settle([message.receipt])
    await queue.set_visibility([message.receipt], 30)
    assert await receive(queue) == []


async def test_a_longer_time_than_the_queue_knows_is_cut(queue: MessageQueue, backend: Backend) -> None:
    backend.skip_on("moto", because="it refuses the whole batch when one message would be hidden for over twelve hours")
    await queue.send("long")
    [message] = await receive(queue, visibility=30)
    await queue.set_visibility([message.receipt], 1_000_000)
    assert await receive(queue) == []


async def test_a_message_received_too_often_is_moved_to_the_dead_letters(make_queue: MakeQueue) -> None:
    under_test = await make_queue(max_receive_count=2)
    await under_test.queue.send("poison")
    for _ in range(2):
        [message] = await receive(under_test.queue, wait=5)
        await under_test.queue.set_visibility([message.receipt], 0)
    assert await receive(under_test.queue) == []
    assert await eventually(under_test.dead_letters, what="a dead letter") == 1


async def test_the_queue_knows_how_often_it_delivers(make_queue: MakeQueue) -> None:
    assert await (await make_queue(max_receive_count=4)).queue.max_receive_count() == 4
    assert await (await make_queue()).queue.max_receive_count() is None


async def test_the_reason_of_a_dead_letter_goes_with_it(queue: MessageQueue) -> None:
    await queue.send("dead", reason="not_an_event")
    await queue.send("alive")
    messages = await receive_all(queue, 2)
    assert {message.body: message.reason for message in messages} == {"dead": "not_an_event", "alive": ""}


async def test_the_service_may_make_count_and_take_dead_letters(backend: Backend) -> None:
    backend.skip_on("memory", because="it has no rights")
    assert backend.service
    assert backend.made
    dead_letters = SqsMessageQueue(backend.service, backend.made.dead_letter_queue_url)
    await dead_letters.send("dead", reason="not_an_event")
    [message] = await receive(dead_letters, wait=5)
    assert message.reason == "not_an_event"
    assert (await dead_letters.depth()).in_flight == 1
    await dead_letters.settle([message.receipt])


async def test_a_queue_that_is_there_answers(queue: MessageQueue) -> None:
    await queue.ping()


async def test_a_queue_that_is_not_there_is_unavailable(backend: Backend) -> None:
    backend.skip_on("memory", because="it is always there")
    assert backend.service
    assert backend.made
    missing = SqsMessageQueue(backend.service, f"{backend.made.queue_url}-missing")
    with pytest.raises(Unavailable):
        await missing.ping()
    with pytest.raises(Unavailable):
        await missing.send("lost")
    with pytest.raises(Unavailable):
        await missing.depth()
    with pytest.raises(Unavailable):
        await missing.settle(["receipt"])
