"""The poll loop: capacity before messages, settling after the record, giving back what may succeed later, draining."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from processor import events
from processor.errors import Busy, Throttled, Unavailable
from processor.events import Event, JobRequested, SourceArrived
from processor.ports.queue import Message
from processor.probe import NO_PROBES, Probes
from processor.work import circuit, worker
from processor.work.circuit import CircuitState
from processor.work.outcomes import Outcome, OutcomeKind
from processor.work.worker import Worker, WorkerConfig
from service.observe.lines import LogLines
from tests.unit.world import Noted, RecordingQueue, World
from tests.waiting import PATIENCE_SECONDS, eventually

DONE = Outcome(kind=OutcomeKind.COMPLETED)


@dataclass
class ScriptedConverter:
    """Answers with what the script says for a job's id; waits where it is told to."""

    script: Callable[[str], Outcome | Exception] = lambda _: DONE
    gate: asyncio.Event | None = None
    started: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    last_tries: list[bool] = field(default_factory=list)
    renewals: int = 0
    away: bool = False
    pings: int = 0
    #: What is said of further formats, and who asked for them.
    further: Callable[[str], Outcome | Exception] = lambda _: Outcome(kind=OutcomeKind.ADDED)
    further_gate: asyncio.Event | None = None
    made: list[str] = field(default_factory=list)

    async def ping(self) -> None:
        self.pings += 1
        if self.away:
            raise Unavailable

    async def convert(self, event: Event, *, last_try: bool = False) -> Outcome:
        assert isinstance(event, JobRequested)
        self.started.append(event.processing_id)
        self.last_tries.append(last_try)
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(event.processing_id)
            raise
        outcome = self.script(event.processing_id)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def make_further(self, event: JobRequested) -> Outcome:
        self.made.append(event.processing_id)
        if self.further_gate is not None:
            await self.further_gate.wait()
        outcome = self.further(event.processing_id)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def tenant_of(self, event: Event) -> str:
        """Everything is one tenant's."""
        return ""

    async def renew_leases(self) -> None:
        self.renewals += 1


def owing(processing_id: str) -> Outcome:
    """Completed, and not with everything."""
    return Outcome(kind=OutcomeKind.COMPLETED, unique_id="u", processing_id=processing_id, owes=True)


def job(number: int) -> str:
    return JobRequested(unique_id="u", processing_id=f"img_{number}").to_message()


@asynccontextmanager
async def running(
    queue: RecordingQueue,
    converter: ScriptedConverter,
    *,
    drain_seconds: float = 10,
    dead_letters: RecordingQueue | None = None,
    probes: Probes = NO_PROBES,
    errands: Any = None,
    **config: Any,
) -> AsyncIterator[Worker]:
    settings = WorkerConfig(**{"slots": 2, "wait_seconds": 1, **config})
    pod = Worker(queue, converter, settings, dead_letters=dead_letters, errands=errands, probes=probes)  # type: ignore[arg-type]
    pod.start()
    try:
        yield pod
    finally:
        await pod.drain(drain_seconds)


async def _that(check: Callable[[], object]) -> None:
    async def look() -> object:
        return check()

    await eventually(look)


async def test_what_is_handled_is_settled_in_batches() -> None:
    queue, converter = RecordingQueue(), ScriptedConverter()
    for number in range(25):
        await queue.send(job(number))
    async with running(queue, converter, slots=10):
        await _that(lambda: not queue.bodies)
    assert sorted(converter.started) == sorted(f"img_{number}" for number in range(25))
    assert max(queue.settled) > 1


async def test_a_worker_knows_up_to_when_what_was_sent_has_been_received() -> None:
    queue = RecordingQueue()
    pod = Worker(queue, ScriptedConverter(), WorkerConfig(slots=2, wait_seconds=0))  # type: ignore[arg-type]
    assert pod.received_through == 0
    for number in range(3):
        await queue.send(job(number))
    sent = [letter.sent_at for letter in queue._letters.values()]
    [first, *_] = await pod._receive(2)
    assert pod.received_through == sent[0]  # the later one of the two may have overtaken another
    await pod._receive(2)
    assert pod.received_through == sent[2]
    await queue.set_visibility([first.receipt], 0)
    assert [message.receive_count for message in await pod._receive(2)] == [2]
    assert pod.received_through == sent[2]


async def test_no_more_messages_are_taken_than_there_are_free_slots() -> None:
    queue, converter = RecordingQueue(), ScriptedConverter(gate=asyncio.Event())
    for number in range(9):
        await queue.send(job(number))
    async with running(queue, converter, slots=3) as pod:
        await _that(lambda: pod.in_work == 3)
        asked_while_full = len(queue.asked)
        assert queue.asked[0] == 3
        assert converter.gate is not None
        converter.gate.set()
        await _that(lambda: not queue.bodies)
    assert asked_while_full == 1
    assert max(queue.asked) <= 3


async def test_many_slots_are_filled_by_several_receivers_of_ten() -> None:
    queue, converter = RecordingQueue(), ScriptedConverter(gate=asyncio.Event())
    for number in range(25):
        await queue.send(job(number))
    async with running(queue, converter, slots=25) as pod:
        await _that(lambda: pod.in_work == 25)
        assert converter.gate is not None
        converter.gate.set()
    assert max(queue.asked) == 10


async def test_what_is_no_event_is_kept_as_a_dead_letter_with_its_reason_and_does_not_loop() -> None:
    queue, converter, dead_letters = RecordingQueue(), ScriptedConverter(), RecordingQueue()
    await queue.send("garbage")
    with capture_logs() as logs:
        async with running(queue, converter, dead_letters=dead_letters):
            await _that(lambda: not queue.bodies)
    assert converter.started == []
    assert await letters(dead_letters) == [("garbage", "not_an_event")]
    assert [line["code"] for line in logs if line["event"] == "Message is not an event"] == ["not_an_event"]


async def test_a_test_event_is_settled_in_silence() -> None:
    queue, converter = RecordingQueue(), ScriptedConverter()
    await queue.send(json.dumps({"Event": "s3:TestEvent"}))
    async with running(queue, converter):
        await _that(lambda: not queue.bodies)
    assert converter.started == []


async def test_a_message_that_may_succeed_later_comes_back_after_a_growing_pause() -> None:
    clock = [0.0]
    queue = RecordingQueue(clock=lambda: clock[0])
    converter = ScriptedConverter(script=lambda _: Unavailable())
    await queue.send(job(1))
    pauses: list[int] = []
    for _ in range(4):
        (message,) = await queue.receive(1, wait_seconds=0, visibility_seconds=60)
        pod = Worker(queue, converter, WorkerConfig(slots=1))  # type: ignore[arg-type]
        await pod._handle(message)
        pauses.append(queue.visibilities[-1])
        clock[0] += 10_000
    assert pauses == sorted(pauses)
    assert pauses[0] <= 5
    assert sum(pauses) >= 3600  # an hour of trouble kills no message


async def test_while_a_dependency_is_away_no_message_is_taken_and_no_receive_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(circuit, "PAUSE_SECONDS", (0.01, 0.02))
    monkeypatch.setattr(worker, "RETRY_SECONDS", (0,))
    queue, converter = RecordingQueue(), ScriptedConverter(away=True)

    def script(_: str) -> Outcome | Exception:
        return Unavailable() if converter.away else DONE

    converter.script = script
    for number in range(20):
        await queue.send(job(number))
    with capture_logs() as logs:
        async with running(queue, converter, slots=1) as pod:
            await _that(lambda: converter.pings >= 50)
            assert not pod.polling
            taken = len(converter.started)
            converter.away = False
            await _that(lambda: not queue.bodies)
            await _that(lambda: pod.polling)
    assert taken == 1
    assert [line["event"] for line in logs if line["event"].startswith("Circuit")] == [
        "Circuit opened",
        "Circuit closed",
    ]


async def test_after_an_outage_one_message_at_a_time_is_tried_until_one_succeeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(circuit, "PAUSE_SECONDS", (0.01, 0.02))
    queue, converter = RecordingQueue(), ScriptedConverter(script=lambda _: Unavailable(), away=True)
    for number in range(9):
        await queue.send(job(number))
    async with running(queue, converter, slots=5) as pod:
        await _that(lambda: len(converter.started) == 5)  # taken before anybody knew
        await _that(lambda: pod.in_work == 0)
        converter.gate = asyncio.Event()
        converter.away = False
        await _that(lambda: len(converter.started) == 6)
        asked = len(queue.asked)
        assert queue.asked[-1] == 1
        converter.script = lambda _: DONE
        converter.gate.set()
        await _that(lambda: len(converter.started) == 9)
    assert asked == 2


async def test_a_worker_that_waits_for_a_dependency_stops_when_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, converter = RecordingQueue(), ScriptedConverter(script=lambda _: Unavailable(), away=True)
    await queue.send(job(1))
    async with running(queue, converter) as pod:
        await _that(lambda: pod.circuit.state is circuit.CircuitState.OPEN)
    assert pod.in_work == 0


async def test_poison_ends_in_the_dead_letter_queue_after_a_last_try_that_knows_it_is_the_last() -> None:
    now = [0.0]
    queue = RecordingQueue(max_receive_count=3, clock=lambda: now[0])
    converter = ScriptedConverter(script=lambda _: RuntimeError("a defect"))
    await queue.send(job(1))
    pod = Worker(queue, converter, WorkerConfig(slots=1, wait_seconds=0))  # type: ignore[arg-type]
    with capture_logs() as logs:
        while messages := await pod._receive(1):
            await pod._handle(messages[0])
            now[0] += 10_000
    assert converter.last_tries == [False, False, True]
    assert [letter.body for letter in queue.dead_letters] == [job(1)]
    assert [line["log_level"] for line in logs if line["event"] == "Conversion broke"] == ["error"] * 3


async def test_a_busy_job_is_looked_at_again_when_its_lease_has_run_out() -> None:
    queue = RecordingQueue()
    converter = ScriptedConverter(script=lambda _: Outcome(kind=OutcomeKind.BUSY, retry_after_seconds=42))
    await queue.send(job(1))
    async with running(queue, converter):
        await _that(lambda: 42 in queue.visibilities)
    assert queue.settled == []


async def test_a_message_with_several_events_is_settled_only_when_all_are() -> None:
    world = World()
    first, second = [(await world.uploaded())[1] for _ in range(2)]
    records = [json.loads(event.to_message())["Records"][0] for event in (first, second)]
    queue = RecordingQueue()
    await queue.send(json.dumps({"Records": records}))
    pod = Worker(queue, world.converter, WorkerConfig(slots=1, wait_seconds=1))
    pod.start()
    await _that(lambda: not queue.bodies)
    await pod.drain(5)
    assert len(world.renderer.rendered) == 2


# -- a message is many -------------------------------------------------------------------------------------------


def many(*records: Any) -> str:
    return json.dumps({"Records": list(records)})


def arrival(key: str) -> Any:
    return json.loads(SourceArrived(bucket="source", key=key).to_message())["Records"][0]


async def letters(queue: RecordingQueue) -> list[tuple[str, str]]:
    """Bodies and reasons of what is in a queue."""
    messages = await queue.receive(10, wait_seconds=0, visibility_seconds=60)
    return [(message.body, message.reason) for message in messages]


class ByKey(ScriptedConverter):
    """Goes by the key of an upload."""

    async def convert(self, event: Event, *, last_try: bool = False) -> Outcome:
        assert isinstance(event, SourceArrived)
        return await super().convert(JobRequested(unique_id="u", processing_id=event.key), last_try=last_try)


@dataclass
class Desk:
    """A worker that is handed one message after the other."""

    converter: ByKey
    queue: RecordingQueue = field(default_factory=RecordingQueue)
    dead_letters: RecordingQueue | None = field(default_factory=RecordingQueue)
    noted: Noted = field(default_factory=Noted)

    def __post_init__(self) -> None:
        self.worker = Worker(
            self.queue,
            self.converter,  # type: ignore[arg-type]
            WorkerConfig(slots=1),
            dead_letters=self.dead_letters,
            probes=Probes((self.noted,)),
        )

    async def handle(self, body: str) -> None:
        await self.queue.send(body)
        (message,) = await self.queue.receive(1, wait_seconds=0, visibility_seconds=60)
        await self.worker._handle(message)
        while not self.worker._settled.empty():
            await self.queue.settle([self.worker._settled.get_nowait()])


def scripted(**script: Outcome | Exception) -> ByKey:
    return ByKey(script=lambda key: script.get(key, DONE))


BUSY = Outcome(kind=OutcomeKind.BUSY, retry_after_seconds=42)


@pytest.mark.parametrize(
    "left",
    [BUSY, Busy(), Unavailable(), Throttled(), RuntimeError("a defect"), None],
    ids=["busy", "contended", "away", "throttled", "broken", "unreadable"],
)
async def test_whatever_becomes_of_one_record_its_neighbours_are_done(left: Outcome | Exception | None) -> None:
    desk = Desk(scripted(**({} if left is None else {"odd": left})))
    await desk.handle(many(*map(arrival, "abcd"), 7 if left is None else arrival("odd"), *map(arrival, "efghi")))
    assert [key for key in desk.converter.started if key != "odd"] == [*"abcdefghi"]


@pytest.mark.parametrize("left", [BUSY, Busy(), RuntimeError("a defect")], ids=["busy", "contended", "broken"])
async def test_what_a_message_of_many_leaves_becomes_a_message_of_its_own(left: Outcome | Exception) -> None:
    desk = Desk(scripted(odd=left))
    await desk.handle(many(arrival("a"), arrival("odd"), 7))
    (body,) = desk.queue.bodies
    assert [event.key for event in events.parse(body)] == ["odd"]  # type: ignore[union-attr]
    assert await desk.queue.receive(10, wait_seconds=0, visibility_seconds=1) == []  # not yet
    assert desk.dead_letters is not None
    assert await letters(desk.dead_letters) == [('{"Records":[7]}', "not_an_event")]


async def test_a_message_of_one_stays_the_message_that_it_is() -> None:
    desk = Desk(scripted(odd=BUSY))
    await desk.handle(many(arrival("odd")))
    assert desk.queue.bodies == [many(arrival("odd"))]
    assert desk.queue.visibilities == [42]


@pytest.mark.parametrize("error", [Unavailable(), Throttled()])
async def test_while_a_dependency_is_away_a_message_of_many_stays_whole(error: Exception) -> None:
    desk = Desk(scripted(odd=error))
    body = many(arrival("a"), arrival("odd"), 7)
    await desk.handle(body)
    assert desk.queue.bodies == [body]
    assert desk.dead_letters is not None
    assert desk.dead_letters.bodies == []


@pytest.mark.parametrize("there", [True, False], ids=["a queue that is away", "no queue"])
async def test_what_cannot_be_kept_as_a_dead_letter_stays_where_it_is(there: bool) -> None:
    dead_letters = RecordingQueue()
    dead_letters.failing = True
    desk = Desk(scripted(), dead_letters=dead_letters if there else None)
    body = many(arrival("a"), 7)
    await desk.handle(body)
    assert desk.queue.bodies == [body]
    assert desk.noted.messages == {"unreadable": 1}
    assert desk.worker.circuit.state is circuit.CircuitState.CLOSED


async def test_a_message_of_a_great_many_unreadable_records_is_one_dead_letter() -> None:
    desk = Desk(scripted())
    body = many(*range(1000), arrival("a"))
    await desk.handle(body)
    assert desk.converter.started == ["a"]
    assert desk.dead_letters is not None
    assert await letters(desk.dead_letters) == [(body, "not_an_event")]


async def test_what_is_too_long_for_a_dead_letter_is_left_to_the_queue() -> None:
    desk = Desk(scripted())
    await desk.handle("x" * 300_000)
    assert len(desk.queue.bodies) == 1


async def test_a_queue_that_fails_while_a_message_is_parted_loses_nothing() -> None:
    desk = Desk(scripted(odd=BUSY))
    body = many(arrival("a"), arrival("odd"))

    def fail_from_here(key: str) -> Outcome:
        desk.queue.failing = True
        return BUSY if key == "odd" else DONE

    desk.converter.script = fail_from_here
    await desk.handle(body)
    assert desk.queue.bodies == [body]


@pytest.mark.parametrize(("error", "reason"), [(Busy(), "busy"), (Throttled(), "throttled")])
async def test_contention_is_no_outage(error: Exception, reason: str) -> None:
    desk = Desk(scripted(odd=error))
    await desk.handle(many(arrival("odd")))
    assert desk.worker.circuit.state is circuit.CircuitState.CLOSED
    assert desk.noted.messages == {reason: 1}
    assert 0 < desk.queue.visibilities[-1] <= 5


async def test_a_heartbeat_that_fails_is_told_and_the_next_one_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, noted = RecordingQueue(), Noted()
    converter = ScriptedConverter(gate=asyncio.Event())
    beats: list[Exception | None] = [Unavailable(), None]

    async def renew_leases() -> None:
        error = beats.pop(0) if beats else None
        if error is not None:
            raise error

    converter.renew_leases = renew_leases  # type: ignore[method-assign]
    await queue.send(job(1))
    monkeypatch.setattr(WorkerConfig, "heartbeat_seconds", 0.01)
    async with running(queue, converter, probes=Probes((noted,))):
        await _that(lambda: noted.names.count("heartbeat") >= 2)
        assert converter.gate is not None
        converter.gate.set()
    errors = [span.error for span in noted.spans if span.name == "heartbeat"]
    assert errors[:2] == [Unavailable, None]


async def test_messages_and_leases_are_held_together_while_the_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkerConfig, "heartbeat_seconds", 0.01)
    converter, at_the_end = ScriptedConverter(gate=asyncio.Event()), [0.0]
    # A heartbeat moves the clock on, and nothing else does until the end.
    queue = RecordingQueue(clock=lambda: converter.renewals / 3 + at_the_end[0])
    await queue.send(job(1))
    async with running(queue, converter, visibility_seconds=1):
        await _that(lambda: converter.renewals >= 4)
        await queue.send(job(2))  # with which everything comes that is not hidden
        await _that(lambda: len(converter.started) > 1)
        assert converter.started == ["img_1", "img_2"]  # though the first visibility of the one has long ended
        assert set(queue.visibilities) == {1}
        assert converter.gate is not None
        converter.gate.set()
        await _that(lambda: not queue.bodies)
        at_the_end[0] = 60.0  # the long polls are over
    assert queue.bodies == []


async def test_a_queue_that_fails_is_asked_again_and_the_worker_says_that_it_hears_nothing() -> None:
    queue, converter = RecordingQueue(), ScriptedConverter()
    queue.failing = True
    with capture_logs() as logs:
        async with running(queue, converter) as pod:
            await _that(lambda: len(queue.asked) >= 2)
            assert not pod.polling
            queue.failing = False
            await queue.send(job(1))
            await _that(lambda: not queue.bodies)
            await _that(lambda: pod.polling)
        assert not pod.polling
    failures = [line["failures"] for line in logs if line["event"] == "Queue unavailable"]
    assert failures[:2] == [1, 2]


async def test_draining_lets_the_running_ones_end_and_takes_nothing_new() -> None:
    queue, converter = RecordingQueue(), ScriptedConverter(gate=asyncio.Event())
    await queue.send(job(1))
    async with running(queue, converter) as pod:
        await _that(lambda: pod.in_work == 1)
        pod.stop_receiving()
        await queue.send(job(2))
        assert converter.gate is not None
        converter.gate.set()
    assert converter.started == ["img_1"]
    assert queue.bodies == [job(2)]
    (back,) = await queue.receive(1, wait_seconds=0, visibility_seconds=1)
    assert back.body == job(2)


async def test_what_does_not_end_in_time_is_cancelled_and_sent_anew_at_once() -> None:
    queue, converter = RecordingQueue(), ScriptedConverter(gate=asyncio.Event())
    await queue.send(job(1))
    async with running(queue, converter, drain_seconds=0.1) as pod:
        await _that(lambda: pod.in_work == 1)
    assert converter.cancelled == ["img_1"]
    (back,) = await queue.receive(1, wait_seconds=0, visibility_seconds=1)
    assert (back.body, back.receive_count) == (job(1), 1)


async def test_what_cannot_be_sent_anew_is_given_back_at_once() -> None:
    queue, converter = RecordingQueue(), ScriptedConverter(gate=asyncio.Event())
    await queue.send(job(1))
    async with running(queue, converter, drain_seconds=0.1) as pod:
        await _that(lambda: pod.in_work == 1)
        queue.failing = True
    assert queue.visibilities == [0]
    queue.failing = False
    (back,) = await queue.receive(1, wait_seconds=0, visibility_seconds=1)
    assert (back.body, back.receive_count) == (job(1), 2)


async def test_pods_that_stop_one_after_the_other_make_no_dead_letter_of_what_they_began() -> None:
    queue, dead = RecordingQueue(max_receive_count=3), RecordingQueue()
    await queue.send(job(1))
    for _ in range(3 * 3):
        converter = ScriptedConverter(gate=asyncio.Event())
        async with running(queue, converter, drain_seconds=0.01, dead_letters=dead) as pod:
            await _that(partial(_works, pod))
        assert converter.cancelled == ["img_1"]
        assert converter.last_tries == [False]
    last = ScriptedConverter()
    async with running(queue, last, dead_letters=dead):
        await _that(lambda: not queue.bodies)
    assert last.started == ["img_1"]
    assert not queue.dead_letters
    assert not dead.bodies


def _works(pod: Worker) -> bool:
    return pod.in_work == 1


async def test_a_long_poll_that_brings_a_message_after_the_order_to_stop_counts_no_try() -> None:
    queue, converter = RecordingQueue(), ScriptedConverter()
    async with running(queue, converter, wait_seconds=1) as pod:
        await _that(lambda: len(queue.asked) == 2)  # the first does not wait
        pod.stop_receiving()
        await queue.send(job(1))
    assert converter.started == []
    (back,) = await queue.receive(1, wait_seconds=0, visibility_seconds=1)
    assert (back.body, back.receive_count) == (job(1), 1)


@given(fates=st.lists(st.sampled_from(["fails", "stops"]), max_size=8))
async def test_a_message_is_tried_as_often_as_the_queue_says_however_often_it_is_sent_anew(fates: list[str]) -> None:
    now = Clock()
    queue, dead = RecordingQueue(max_receive_count=3, clock=now), RecordingQueue()
    await queue.send(job(1))
    failures = 0
    for fate in fates:
        converter = ScriptedConverter(lambda _: Throttled(), gate=asyncio.Event() if fate == "stops" else None)
        now.seconds += 100_000
        await _handled_once(queue, dead, converter)
        if failures < 3:
            assert converter.last_tries == [failures == 2]
            failures += fate == "fails"
        else:
            assert converter.last_tries == []
    assert len(queue.bodies) + len(queue.dead_letters) + len(dead.bodies) == 1
    if failures < 3:
        assert queue.bodies == [job(1)]


async def _handled_once(queue: RecordingQueue, dead: RecordingQueue, converter: ScriptedConverter) -> None:
    """A pod takes what there is, and stops before it ends, unless that fails first."""
    pod = Worker(queue, converter, WorkerConfig(slots=1), dead_letters=dead)  # type: ignore[arg-type]
    pod._max_receives, pod._knows_max_receives = 3, True
    tasks = [pod._begin(message) for message in await queue.receive(1, wait_seconds=0, visibility_seconds=60)]
    if converter.gate is not None:
        for _ in range(100):  # turns of the loop: nothing on the way waits for anything else
            await asyncio.sleep(0)
        pod.stop_receiving()
        for task in tasks:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    while not pod._settled.empty():
        await queue.settle([pod._settled.get_nowait()])


@dataclass
class Clock:
    """The queue's."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


async def test_what_could_not_be_settled_comes_back() -> None:
    queue, converter = RecordingQueue(), ScriptedConverter()

    def fail_from_here(_: str) -> Outcome:
        queue.failing = True
        return DONE

    converter.script = fail_from_here
    await queue.send(job(1))
    with capture_logs() as logs:
        async with running(queue, converter):
            await _that(lambda: [line for line in logs if line["event"] == "Messages not settled"])
    assert queue.bodies == [job(1)]


async def test_every_line_about_a_message_carries_its_id() -> None:
    world = World()
    submission, event = await world.uploaded()
    await world.queue.send(event.to_message())
    (message,) = await world.queue.receive(1, wait_seconds=0, visibility_seconds=60)
    pod = Worker(world.queue, world.converter, WorkerConfig(slots=1), probes=Probes((LogLines(),)))
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        await asyncio.create_task(pod._handle(message))
    (line,) = [line for line in logs if line["event"] == "Event handled"]
    assert line["messageId"] == message.message_id
    assert line["processingId"] == submission.job.processing_id
    assert line["uniqueId"] == submission.job.unique_id
    assert line["outcome"] == "completed"
    assert line["totalMs"] >= 0


@pytest.mark.parametrize(("slots", "receivers"), [(1, 1), (10, 1), (11, 2), (25, 3)])
def test_there_are_as_many_receivers_as_it_takes_to_fill_the_slots(slots: int, receivers: int) -> None:
    assert WorkerConfig(slots=slots).receivers == receivers


async def test_what_became_of_messages_and_events_is_counted() -> None:
    queue = RecordingQueue()
    script: dict[str, Outcome | Exception] = {
        job(1): DONE,
        job(2): Outcome(kind=OutcomeKind.DUPLICATE),
        job(3): Outcome(kind=OutcomeKind.BUSY, retry_after_seconds=60),
        job(4): RuntimeError("a defect"),
    }
    converter = ScriptedConverter(script=lambda name: script[job(int(name.removeprefix("img_")))])
    for body in (*script, "no event"):
        await queue.send(body)
    noted = Noted()
    async with running(queue, converter, slots=10, dead_letters=RecordingQueue(), probes=Probes((noted,))):
        await _that(lambda: noted.messages.total() == 5)
        assert noted.messages == {"settled": 3, "busy": 1, "broken": 1}
    outcomes = [span.facts["outcome"].kind.value for span in noted.spans if "outcome" in span.facts]
    assert sorted(outcomes) == ["busy", "completed", "duplicate"]


def test_what_fails_while_the_circuit_is_open_makes_no_pause_longer() -> None:
    breaker = circuit.Circuit(World().converter.ping)
    for _ in range(16):
        breaker.failed()
    assert (breaker.state, breaker.failures) == (circuit.CircuitState.OPEN, 1)


async def test_a_worker_lives_while_its_loops_run_and_is_dead_when_one_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def dies(_: object) -> None:
        raise RuntimeError("a defect")

    async with running(RecordingQueue(), ScriptedConverter()) as pod:
        await _that(lambda: pod.alive and pod.last_poll is not None)
    monkeypatch.setattr(Worker, "_heartbeat_loop", dies)
    async with running(RecordingQueue(), ScriptedConverter()) as pod:
        await _that(lambda: not pod.alive)


async def test_a_worker_that_drains_lives() -> None:
    async with running(RecordingQueue(), ScriptedConverter()) as pod:
        pod.stop_receiving()
        assert pod.alive


async def test_the_first_poll_is_answered_at_once_so_that_a_pod_is_ready_before_anything_is_uploaded() -> None:
    class Watched(RecordingQueue):
        waits: ClassVar[list[float]] = []

        async def receive(self, limit: int, *, wait_seconds: float, visibility_seconds: int) -> list[Message]:
            self.waits.append(wait_seconds)
            return await super().receive(limit, wait_seconds=wait_seconds, visibility_seconds=visibility_seconds)

    queue = Watched()
    async with running(queue, ScriptedConverter(), slots=1, wait_seconds=1):
        await _that(lambda: len(queue.waits) >= 2)
    assert queue.waits[:2] == [0, 1]


async def test_while_no_work_can_be_begun_nothing_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "FIT_SECONDS", 0.01)
    queue, converter = RecordingQueue(), ScriptedConverter()
    able, looks = False, 0

    def fit() -> bool:
        nonlocal looks
        looks += 1
        return able

    await queue.send(job(1))
    pod = Worker(queue, converter, WorkerConfig(slots=2, wait_seconds=1), fit=fit)  # type: ignore[arg-type]
    pod.start()
    await _that(lambda: looks >= 3)
    assert not queue.asked

    able = True
    await _that(lambda: converter.started == ["img_1"])
    await pod.drain(10)


async def test_a_worker_that_cannot_begin_stops_when_it_is_told_to() -> None:
    pod = Worker(RecordingQueue(), ScriptedConverter(), WorkerConfig(slots=2), fit=lambda: False)  # type: ignore[arg-type]
    pod.start()
    await asyncio.sleep(0)

    await asyncio.wait_for(pod.drain(10), PATIENCE_SECONDS)


# -- further formats ---------------------------------------------------------------------------------------------


async def test_a_message_whose_job_owes_further_formats_leaves_its_slot_and_is_settled_when_they_are_there() -> None:
    queue, converter = RecordingQueue(), ScriptedConverter(script=owing, further_gate=asyncio.Event())
    for number in range(3):
        await queue.send(job(number))
    async with running(queue, converter, slots=1) as pod:
        await _that(lambda: len(converter.started) == 3)  # one after the other, and none waits for a further format
        await _that(lambda: pod.in_work == 0 and pod.owing == 3)
        kept = len(queue.bodies)
        assert converter.further_gate is not None
        converter.further_gate.set()
        await _that(lambda: not queue.bodies)
    assert kept == 3
    assert sorted(converter.made) == ["img_0", "img_1", "img_2"]


async def test_while_it_is_kept_a_message_stays_hidden_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkerConfig, "heartbeat_seconds", 0.01)
    queue, converter = RecordingQueue(), ScriptedConverter(script=owing, further_gate=asyncio.Event())
    await queue.send(job(1))
    async with running(queue, converter) as pod:
        await _that(lambda: pod.owing == 1 and converter.made)
        heard = len(queue.visibilities)
        await _that(lambda: len(queue.visibilities) > heard + 3)
        assert converter.further_gate is not None
        converter.further_gate.set()
        await _that(lambda: not queue.bodies)


async def test_what_is_at_further_formats_is_not_waited_for_at_the_end_and_is_for_the_next_worker() -> None:
    ahead = [0.0]
    queue = RecordingQueue(clock=lambda: time.monotonic() + ahead[0])
    converter = ScriptedConverter(script=owing, further_gate=asyncio.Event())
    for number in range(3):
        await queue.send(job(number))
    async with running(queue, converter, drain_seconds=600) as pod:
        await _that(lambda: pod.owing == 3)
    ahead[0] += 1  # what the worker that ends does not receive itself
    assert sorted(queue.bodies) == [job(number) for number in range(3)]
    # No try is counted: pods that end one after the other would else make dead letters.
    messages = await queue.receive(10, wait_seconds=0, visibility_seconds=60)
    assert [message.receive_count for message in messages] == [1, 1, 1]


@pytest.mark.parametrize("outcome", [Outcome(kind=OutcomeKind.BUSY, retry_after_seconds=40), Busy()])
async def test_who_must_give_way_comes_back_as_a_new_message(outcome: Outcome | Exception) -> None:
    queue, converter = RecordingQueue(), ScriptedConverter(script=owing, further=lambda _: outcome)
    await queue.send(job(1))
    noted = Noted()
    async with running(queue, converter, probes=Probes((noted,))):
        await _that(lambda: noted.messages["busy"] == 1)
    assert queue.bodies == [job(1)]
    assert converter.made == ["img_1"]  # it is delayed


@pytest.mark.parametrize(
    ("error", "end"), [(Unavailable(), "unavailable"), (Throttled(), "throttled"), (OSError(), "broken")]
)
async def test_what_fails_at_further_formats_is_given_back_and_counted(error: Exception, end: str) -> None:
    queue, converter = RecordingQueue(), ScriptedConverter(script=owing, further=lambda _: error)
    await queue.send(job(1))
    noted = Noted()
    async with running(queue, converter, probes=Probes((noted,))) as pod:
        await _that(lambda: noted.messages[end] == 1)
        assert pod.owing == 0
    assert queue.bodies == [job(1)]
    assert queue.visibilities[-1] > 0


async def test_more_than_so_many_wait_in_the_queue_and_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "MAX_OWING", 2)
    queue, converter = RecordingQueue(), ScriptedConverter(script=owing, further_gate=asyncio.Event())
    noted = Noted()
    for number in range(5):
        await queue.send(job(number))
    async with running(queue, converter, slots=5, probes=Probes((noted,))) as pod:
        await _that(lambda: noted.messages["owed"] == 3)
        assert pod.owing == 2
    assert len(queue.bodies) == 5


async def test_what_a_message_of_many_owes_becomes_messages_of_its_own() -> None:
    desk = Desk(ByKey(script=owing))
    await desk.handle(many(*(arrival(f"key-{number}") for number in range(3))))

    messages = await desk.queue.receive(10, wait_seconds=0, visibility_seconds=60)
    sent = [message.body for message in messages if "Records" not in message.body]
    assert sent == [JobRequested(unique_id="u", processing_id=f"key-{number}").to_message() for number in range(3)]
    assert desk.noted.messages == {"settled": 1}


async def test_further_formats_wait_until_the_machine_has_something_spare() -> None:
    queue, converter = RecordingQueue(), ScriptedConverter(script=owing)
    spare = asyncio.Event()

    async def idle() -> None:
        await spare.wait()

    await queue.send(job(1))
    async with running(queue, converter) as pod:
        pod.idle = idle
        await _that(lambda: pod.owing == 1)
        await queue.send(job(2))
        await _that(lambda: len(converter.started) == 2)
        assert converter.made == []
        spare.set()
        await _that(lambda: not queue.bodies)
    assert sorted(converter.made) == ["img_1", "img_2"]


async def test_after_an_outage_a_further_format_closes_the_circuit_where_nothing_else_is_to_be_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(circuit, "PAUSE_SECONDS", (0.01, 0.02))
    monkeypatch.setattr(worker, "RETRY_SECONDS", (0,))
    monkeypatch.setattr(worker, "FIT_SECONDS", 0.01)
    queue = RecordingQueue()
    results: list[Outcome | Exception] = [Unavailable()]
    added = Outcome(kind=OutcomeKind.ADDED)
    converter = ScriptedConverter(script=owing, further=lambda _: results.pop() if results else added)
    await queue.send(job(1))
    async with running(queue, converter) as pod:
        await _that(lambda: not queue.bodies)
        assert pod.circuit.state is CircuitState.CLOSED
    assert len(converter.made) == 2


@dataclass
class ScriptedErrands:
    """Takes what begins with `errand`, and answers with what the script says."""

    script: list[int | Exception | None] = field(default_factory=list)
    gate: asyncio.Event | None = None
    began: list[str] = field(default_factory=list)
    stopped: bool = False

    def takes(self, body: str) -> bool:
        return body.startswith("errand")

    async def handle(self, body: str) -> int | None:
        self.began.append(body)
        if self.gate is not None:
            await self.gate.wait()
        answer = self.script.pop(0) if self.script else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stop(self) -> None:
        self.stopped = True


async def test_an_errand_needs_no_slot_and_keeps_none_from_the_events() -> None:
    queue, converter, errands = RecordingQueue(), ScriptedConverter(), ScriptedErrands(gate=asyncio.Event())
    for number in range(6):
        await queue.send(f"errand {number}")
    for number in range(3):
        await queue.send(job(number))
    async with running(queue, converter, slots=1, errands=errands) as pod:
        await _that(lambda: len(converter.started) == 3 and len(errands.began) == 6)
        assert pod.in_work == 0
        assert errands.gate is not None
        errands.gate.set()
        await _that(lambda: not queue.bodies)
    assert errands.stopped


async def test_an_errand_for_another_time_is_sent_on_and_that_is_no_try() -> None:
    noted = Noted()
    queue, errands = RecordingQueue(), ScriptedErrands(script=[600])
    await queue.send("errand", tries=3)
    async with running(queue, ScriptedConverter(), errands=errands, probes=Probes((noted,))):
        await _that(lambda: noted.messages["later"] == 1 and len(queue._letters) == 1)
    (letter,) = queue._letters.values()
    assert (letter.body, letter.receive_count, letter.tries) == ("errand", 0, 3)
    assert letter.hidden_until - time.monotonic() > 590


async def test_an_errand_that_meets_an_outage_or_breaks_comes_back_and_opens_no_circuit() -> None:
    noted = Noted()
    queue, errands = RecordingQueue(), ScriptedErrands(script=[Unavailable(), RuntimeError("a defect"), Busy()])
    for number in range(3):
        await queue.send(f"errand {number}")
    async with running(queue, ScriptedConverter(), errands=errands, probes=Probes((noted,))) as pod:
        await _that(lambda: noted.messages.total() >= 3)
        assert pod.circuit.state is CircuitState.CLOSED
    assert noted.messages == {"unavailable": 1, "broken": 1, "busy": 1}
    assert len(queue.bodies) == 3


async def test_an_errand_in_work_when_the_time_is_over_goes_back_to_the_queue() -> None:
    queue, errands = RecordingQueue(), ScriptedErrands(gate=asyncio.Event())
    await queue.send("errand")
    async with running(queue, ScriptedConverter(), errands=errands, drain_seconds=0.1):
        await _that(lambda: errands.began)
    assert queue.bodies == ["errand"]
    assert [letter.receive_count for letter in queue._letters.values()] == [0]


async def test_an_errand_that_has_had_all_its_tries_is_a_dead_letter() -> None:
    queue, dead, errands = RecordingQueue(max_receive_count=2), RecordingQueue(), ScriptedErrands()
    await queue.send("errand", tries=2)
    async with running(queue, ScriptedConverter(), dead_letters=dead, errands=errands):
        await _that(lambda: not queue.bodies)
    assert dead.bodies == ["errand"]
    assert errands.began == []
