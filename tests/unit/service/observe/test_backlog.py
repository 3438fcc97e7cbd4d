"""How much there is to do: one process of many looks, all tell the same, and nothing is told that is old."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs

from processor.errors import Unavailable
from processor.ports.backlog import Backlog
from processor.ports.queue import QueueDepth
from processor.stores.memory import MemoryBacklogStore, MemoryQueue
from service.observe import backlog
from service.observe.backlog import LOOK_SECONDS, STALE_SECONDS, WORTH_SECONDS, BacklogWatch
from service.observe.metrics import Metrics
from tests.waiting import eventually

AGE, DEAD = "truss_queue_oldest_message_age_seconds", "truss_dead_letter_messages"
EPOCH = 1_700_000_000


@dataclass
class Time:
    """The one time of a test."""

    passed: float = 0.0

    def monotonic(self) -> float:
        return self.passed

    def now(self) -> float:
        return EPOCH + self.passed


class Queue(MemoryQueue):
    """Counts who asks how much is in it, and answers nobody while it is away."""

    asked = 0
    away = False

    async def depth(self) -> QueueDepth:
        self.asked += 1
        if self.away:
            raise Unavailable
        return await super().depth()


class Store(MemoryBacklogStore):
    """Answers nobody while it is away."""

    away = False

    async def latest(self) -> Backlog | None:
        self._check()
        return await super().latest()

    async def replace(self, old: Backlog | None, new: Backlog) -> bool:
        self._check()
        return await super().replace(old, new)

    def _check(self) -> None:
        if self.away:
            raise Unavailable


@dataclass
class Process:
    """One of the fleet."""

    watch: BacklogWatch
    #: Up to when what was sent was received here; 0 in one that receives nothing.
    received: float = 0.0

    def told(self) -> dict[str, float]:
        """What Prometheus would hear of it: a state or the name of a metric, and its value."""
        metrics = Metrics()
        metrics.registry.register(self.watch)
        return {
            sample.labels.get("state", sample.name): sample.value
            for family in metrics.registry.collect()
            if family.name in (AGE, DEAD, "truss_queue_messages")
            for sample in family.samples
        }


@dataclass
class Fleet:
    """Processes over the same queues and the same record."""

    time: Time = field(default_factory=Time)
    queue: Queue = field(default_factory=Queue)
    dead_letters: Queue | None = field(default_factory=Queue)
    store: Store = field(default_factory=Store)

    def process(self) -> Process:
        watch = BacklogWatch(
            queue=self.queue,
            dead_letters=self.dead_letters,
            store=self.store,
            received_through=lambda: process.received,
            monotonic=self.time.monotonic,
            now=self.time.now,
        )
        process = Process(watch)
        return process

    async def pass_seconds(self, seconds: float, *processes: Process) -> None:
        """Each process looks when its time has come, a little after one another."""
        rounds = int(seconds / LOOK_SECONDS)
        for _ in range(rounds):
            self.time.passed += LOOK_SECONDS
            for process in processes:
                await process.watch.look()


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


async def test_one_process_of_many_asks_the_queues_and_all_tell_the_same(fleet: Fleet) -> None:
    processes = [fleet.process() for _ in range(20)]
    for number in range(3):
        await fleet.queue.send(f"message {number}")
    await fleet.queue.send("later", delay_seconds=900)
    await fleet.queue.receive(1, wait_seconds=0, visibility_seconds=600)
    await fleet.pass_seconds(LOOK_SECONDS, *processes)
    at_first = fleet.queue.asked
    await fleet.pass_seconds(60 * LOOK_SECONDS, *processes)

    assert at_first == 20  # nobody tells a process that begins how old the record is
    assert fleet.queue.asked - at_first == 60
    told = processes[0].told()
    assert told == {"visible": 2, "in_flight": 1, "delayed": 1, AGE: told[AGE], DEAD: 0}
    assert all(process.told() == told for process in processes)


async def test_when_the_one_that_looks_dies_another_looks(fleet: Fleet) -> None:
    first, second = fleet.process(), fleet.process()
    await fleet.pass_seconds(3 * LOOK_SECONDS, first, second)
    await fleet.queue.send("message")
    await fleet.pass_seconds(2 * LOOK_SECONDS, second)
    assert second.told()["visible"] == 1


async def test_what_is_old_is_not_told(fleet: Fleet) -> None:
    process = fleet.process()
    await process.watch.look()
    assert "visible" in process.told()
    fleet.queue.away = True
    fleet.time.passed += STALE_SECONDS + 1
    with pytest.raises(Unavailable):
        await process.watch.look()
    assert process.told() == {}
    fleet.queue.away = False
    await process.watch.look()
    assert "visible" in process.told()


async def test_a_record_that_nobody_renews_is_not_told_as_news_by_whoever_reads_it(fleet: Fleet) -> None:
    await fleet.process().watch.look()
    process = fleet.process()
    fleet.queue.away = True
    for _ in range(20):
        fleet.time.passed += LOOK_SECONDS
        with pytest.raises(Unavailable):
            await process.watch.look()
    assert process.told() == {}


async def test_while_the_record_is_away_each_process_looks_for_itself(fleet: Fleet) -> None:
    process = fleet.process()
    fleet.store.away = True
    for _ in range(3):
        await fleet.queue.send("message")
        fleet.time.passed += LOOK_SECONDS
        with pytest.raises(Unavailable):
            await process.watch.look()
    assert process.told()["visible"] == 3
    fleet.store.away = False
    await fleet.pass_seconds(2 * LOOK_SECONDS, process)
    assert await fleet.store.latest() is not None


async def test_the_oldest_message_ages_while_no_worker_lives_and_whoever_answers_the_api_tells(fleet: Fleet) -> None:
    api = fleet.process()
    await fleet.pass_seconds(LOOK_SECONDS, api)
    await fleet.queue.send("message")
    await fleet.pass_seconds(600, api)
    assert api.told()[AGE] == 600


async def test_the_age_follows_what_any_worker_receives(fleet: Fleet) -> None:
    api, worker, idle = fleet.process(), fleet.process(), fleet.process()
    await fleet.pass_seconds(LOOK_SECONDS, api, worker, idle)
    await fleet.queue.send("message")
    await fleet.pass_seconds(600, api, worker, idle)
    worker.received = fleet.time.now() - 20
    await fleet.pass_seconds(2 * LOOK_SECONDS, api, worker, idle)
    assert api.told()[AGE] == worker.told()[AGE] == idle.told()[AGE] == 40


async def test_a_worker_writes_only_what_makes_a_difference(fleet: Fleet) -> None:
    first, second = fleet.process(), fleet.process()
    await fleet.queue.send("message")
    await fleet.pass_seconds(LOOK_SECONDS, first, second)
    with patch.object(fleet.store, "received", wraps=fleet.store.received) as written:
        fleet.time.passed += LOOK_SECONDS / 2
        second.received = EPOCH + LOOK_SECONDS + WORTH_SECONDS
        await second.watch.look()
        assert written.call_count == 0
        second.received += 1
        await second.watch.look()
        assert written.call_count == 1


async def test_in_an_empty_queue_nothing_is_old(fleet: Fleet) -> None:
    process = fleet.process()
    await fleet.queue.send("message")
    [message] = await fleet.queue.receive(1, wait_seconds=0, visibility_seconds=6000)
    await fleet.pass_seconds(600, process)
    assert process.told() == {"visible": 0, "in_flight": 1, "delayed": 0, AGE: 0, DEAD: 0}
    await fleet.queue.set_visibility([message.receipt], 0)
    await fleet.pass_seconds(2 * LOOK_SECONDS, process)
    assert process.told()[AGE] == 2 * LOOK_SECONDS  # since it was last seen empty


async def test_dead_letters_that_nobody_knows_of_are_not_told(fleet: Fleet) -> None:
    fleet.dead_letters = None
    process = fleet.process()
    await process.watch.look()
    assert DEAD not in process.told()
    assert "visible" in process.told()


async def test_dead_letters_are_told(fleet: Fleet) -> None:
    assert fleet.dead_letters is not None
    await fleet.dead_letters.send("message")
    process = fleet.process()
    await process.watch.look()
    assert process.told()[DEAD] == 1


async def test_an_outage_and_a_defect_do_not_end_the_looking(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "LOOK_SECONDS", 0.001)
    process = fleet.process()
    fleet.queue.away = True
    with capture_logs() as lines:
        looking = asyncio.create_task(process.watch.run())
        await eventually(lambda: _reached(fleet.queue.asked > 3), what="more than one look")
        fleet.queue.away = False
        with patch.object(fleet.queue, "depth", side_effect=RuntimeError):
            fleet.time.passed += 1
            await eventually(lambda: _reached("Looking at the queues broke" in [line["event"] for line in lines]))
        fleet.time.passed += 1
        await eventually(lambda: _reached("visible" in process.told()), what="a look that succeeds")
        looking.cancel()
    assert "Queues not looked at" in [line["event"] for line in lines]


async def _reached(condition: bool) -> bool:
    return condition
