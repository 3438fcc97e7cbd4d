"""What a tenant's storm may not do to the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs

from processor import pace
from processor.errors import Busy, RecordChanged, Unavailable
from processor.events import Event, JobRequested
from processor.jobs import Image, Job, JobStatus
from processor.pauses import pause
from processor.probe import NO_PROBES, Probes, Span
from processor.stores.memory import MemoryJobStore
from processor.work import circuit
from processor.work.circuit import CircuitState
from processor.work.outcomes import Outcome, OutcomeKind
from processor.work.worker import Worker, WorkerConfig
from service.observe.checks import worker_checks
from service.observe.health import Health
from tests.unit.world import Noted, RecordingQueue, World
from tests.waiting import eventually

DONE = Outcome(kind=OutcomeKind.COMPLETED)


def job(tenant: str, number: int) -> str:
    return JobRequested(unique_id=tenant, processing_id=f"{tenant}-{number}").to_message()


@dataclass
class Turnstile:
    """Converts one after the other, as it is told; an image's id is its tenant's name."""

    started: list[str] = field(default_factory=list)
    steps: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    away: bool = False
    renewals: int = 0

    async def convert(self, event: Event, *, last_try: bool = False) -> Outcome:
        assert isinstance(event, JobRequested)
        self.started.append(event.processing_id)
        await self.steps.acquire()
        if self.away:
            raise Unavailable
        return DONE

    async def tenant_of(self, event: Event) -> str:
        assert isinstance(event, JobRequested)
        return event.unique_id

    async def ping(self) -> None:
        if self.away:
            raise Unavailable

    async def renew_leases(self) -> None:
        self.renewals += 1


@asynccontextmanager
async def running(
    queue: RecordingQueue, converter: Turnstile, ahead: int = 20, probes: Probes = NO_PROBES, **config: Any
) -> AsyncIterator[Worker]:
    settings = {"slots": 1, "wait_seconds": 1, "ahead": ahead, **config}
    pod = Worker(queue, converter, WorkerConfig(**settings), probes=probes)  # type: ignore[arg-type]
    pod.start()
    try:
        yield pod
    finally:
        for _ in range(100):
            converter.steps.release()
        await pod.drain(10)


async def _that(check: Callable[[], object]) -> None:
    async def look() -> object:
        return check()

    await eventually(look)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks ahead without a pause to speak of."""
    monkeypatch.setattr("processor.work.worker.LOOK_SECONDS", (0.01, 0.01))


async def test_the_next_turn_is_another_tenants_however_many_messages_lie_before_its_own() -> None:
    queue, converter = RecordingQueue(), Turnstile()
    for number in range(15):
        await queue.send(job("attacker", number))
    await queue.send(job("victim", 0))
    async with running(queue, converter) as pod:
        await _that(lambda: pod.waiting == 15)
        converter.steps.release()
        await _that(lambda: len(converter.started) == 2)
        assert converter.started == ["attacker-0", "victim-0"]
        assert pod.in_work == 1
        for _ in range(15):
            converter.steps.release()
        await _that(lambda: not queue.bodies)
    assert sorted(converter.started) == sorted(["victim-0", *(f"attacker-{number}" for number in range(15))])


async def test_no_more_messages_wait_here_than_may() -> None:
    queue, converter = RecordingQueue(), Turnstile()
    for number in range(30):
        await queue.send(job("attacker", number))
    async with running(queue, converter, ahead=7) as pod:
        await _that(lambda: pod.waiting == 7)
        assert len(queue.bodies) == 30
        assert (await queue.depth()).in_flight == 8
        assert max(queue.asked) <= 7


async def test_looks_ahead_become_rare_while_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def no_pause(stopping: asyncio.Event, seconds: float) -> None:
        pauses.append(seconds)
        await pause(stopping, 0.001)

    monkeypatch.setattr("processor.work.worker.LOOK_SECONDS", (1.0, 8.0))
    monkeypatch.setattr("processor.work.worker.pause", no_pause)
    queue, converter = RecordingQueue(), Turnstile()
    await queue.send(job("only", 0))
    async with running(queue, converter) as pod:
        await _that(lambda: len(queue.asked) >= 8)
        assert 4 <= pauses[-1] <= 8
        before = len(pauses)
        await queue.send(job("next", 0))
        await _that(lambda: min(pauses[before:], default=8) <= 1)
        assert pod.waiting == 1


async def test_a_drain_leaves_the_loop_to_what_has_just_ended() -> None:
    queue, converter = RecordingQueue(), Turnstile()
    for number in range(30):
        await queue.send(job("attacker", number))
    with capture_logs() as lines:
        async with running(queue, converter, ahead=7) as pod:
            await _that(lambda: pod.waiting == 7)
    assert [line["unfinished"] for line in lines if line["event"] == "Worker drained"] == [0]


async def test_while_a_slot_is_free_messages_are_left_to_other_processes() -> None:
    queue, converter = RecordingQueue(), Turnstile()
    await queue.send(job("a", 0))
    async with running(queue, converter, slots=3) as pod:
        await _that(lambda: pod.in_work == 1)
        assert pod.waiting == 0
        assert set(queue.asked) <= {2, 3}


async def test_what_waits_stays_hidden_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkerConfig, "heartbeat_seconds", 0.01)
    converter, at_the_end = Turnstile(), [0.0]
    # A heartbeat moves the clock on, and nothing else does until the end.
    queue = RecordingQueue(clock=lambda: converter.renewals / 3 + at_the_end[0])
    for number in range(3):
        await queue.send(job("a", number))
    async with running(queue, converter, visibility_seconds=1) as pod:
        await _that(lambda: pod.waiting == 2)
        await _that(lambda: converter.renewals >= 4)
        await queue.send(job("a", 3))  # with which everything comes that is not hidden
        await _that(lambda: pod.waiting >= 3)
        assert pod.waiting == 3  # nothing came twice
        for _ in range(4):
            converter.steps.release()
        await _that(lambda: not queue.bodies)
        at_the_end[0] = 60.0  # the long polls are over
    assert sorted(converter.started) == ["a-0", "a-1", "a-2", "a-3"]


async def test_a_process_that_stops_gives_back_what_waits_at_once_and_no_try_is_counted() -> None:
    queue, converter = RecordingQueue(), Turnstile()
    for number in range(4):
        await queue.send(job("a", number))
    async with running(queue, converter) as pod:
        await _that(lambda: pod.waiting == 3)
        pod.stop_receiving()
        await _that(lambda: len(queue.bodies) == 4 and pod.waiting == 0)
        back = await queue.receive(10, wait_seconds=1, visibility_seconds=60)
        assert sorted(message.body for message in back) == [job("a", number) for number in (1, 2, 3)]
        assert {message.receive_count for message in back} == {1}
    assert converter.started == ["a-0"]


async def test_when_a_dependency_goes_away_what_waits_is_put_back_untried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit, "PAUSE_SECONDS", (30.0, 30.0))
    queue, converter = RecordingQueue(), Turnstile()
    for number in range(4):
        await queue.send(job("a", number))
    noted = Noted()
    async with running(queue, converter, probes=Probes((noted,))) as pod:
        await _that(lambda: pod.waiting == 3)
        converter.away = True
        converter.steps.release()
        await _that(lambda: noted.messages == {"unavailable": 1, "put_back": 3})
        await _that(lambda: len(queue.bodies) == 4)
        assert pod.circuit.state is CircuitState.OPEN
        assert converter.started == ["a-0"]


class Contended(MemoryJobStore):
    """Every other change meets somebody else's."""

    changes = 0

    async def replace(self, image: Image, old: Job | None, new: Job, *, counted_through: str = "") -> None:
        self.changes += 1
        if self.changes % 2:
            raise RecordChanged if self.changes % 4 == 1 else Busy
        await super().replace(image, old, new, counted_through=counted_through)


@dataclass
class Storm:
    """One tenant uploads one image anew and has it processed, again and again."""

    world: World = field(default_factory=lambda: World(jobs=Contended()))
    states: set[CircuitState] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.world.source.queue = self.world.queue
        config, probes = WorkerConfig(slots=2, wait_seconds=1, ahead=20), Probes((self,))
        self.worker = Worker(*(self.world.queue, self.world.converter, config), probes=probes)

    def begun(self, span: Span) -> None:
        """The circuit is looked at when an event has ended."""

    def ended(self, span: Span) -> None:
        if "outcome" in span.facts:
            self.states.add(self.worker.circuit.state)

    async def rage(self, key: str, unique_id: str, waves: int) -> None:
        for number in range(waves):
            await self.world.source.put(key, b"again %d" % number)
            requests = (self.world.catalog.reprocess("attacker", unique_id) for _ in range(3))
            await asyncio.gather(*requests, return_exceptions=True)

    async def until(self, status: JobStatus, processing_id: str) -> None:
        async def ended() -> bool:
            return (await self.world.jobs.job_of_any_tenant(processing_id)).status is status

        await eventually(ended)


async def test_a_storm_on_one_image_is_no_outage_and_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.catalog.images.STORM_SECONDS", 0.001)
    storm = Storm()
    world, worker = storm.world, storm.worker
    health = Health(worker_checks(worker), fresh_seconds=0)
    target = (await world.submitted("attacker")).job
    worker.start()
    try:
        await world.source.put(target.original_key, b"first")
        await storm.until(JobStatus.COMPLETED, target.processing_id)
        raging = asyncio.create_task(storm.rage(target.original_key, target.unique_id, waves=40))
        for _ in range(5):
            theirs = (await world.submitted("victim")).job
            await world.source.put(theirs.original_key, b"a photo of the victim")
            await storm.until(JobStatus.COMPLETED, theirs.processing_id)
            assert await health.states() == {"worker": "ok"}
        await raging
    finally:
        await worker.drain(10)
    assert storm.states == {CircuitState.CLOSED}
    renders = [data for data in world.renderer.rendered if data.startswith((b"first", b"again"))]
    assert len(renders) <= pace.FREE_JOBS + 1
    assert world.queue.dead_letters == []


async def test_what_is_uploaded_last_in_a_storm_is_converted_when_its_time_has_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    submission, event = await world.uploaded(b"first")
    await world.converter.convert(event)
    key = submission.job.original_key
    events = [await world.source.put(key, b"again %d" % number) for number in range(30)]
    early = [await world.converter.convert(each) for each in events]
    assert {outcome.kind for outcome in early} <= {OutcomeKind.COMPLETED, OutcomeKind.STALE, OutcomeKind.DUPLICATE}
    for number in range(30, 40):
        events.append(await world.source.put(key, b"again %d" % number))
        await world.converter.convert(events[-1])
    last = await world.converter.convert(events[-1])
    assert last.kind is OutcomeKind.BUSY
    assert 1 <= last.retry_after_seconds <= pace.MAX_PAUSE_SECONDS
    assert (await world.converter.convert(events[-2])).kind is OutcomeKind.STALE  # a newer one is on its way

    monkeypatch.setattr("processor.work.intake.pause_before_job", lambda *_: 0)
    assert (await world.converter.convert(events[-1])).kind is OutcomeKind.COMPLETED
    assert world.renderer.rendered[-1] == b"again 39"


async def test_an_upload_on_its_last_try_waits_no_longer() -> None:
    world = World()
    submission, event = await world.uploaded(b"first")
    await world.converter.convert(event)
    for number in range(10):
        event = await world.source.put(submission.job.original_key, b"again %d" % number)
        await world.converter.convert(event)
    assert (await world.converter.convert(event)).kind is OutcomeKind.BUSY
    assert (await world.converter.convert(event, last_try=True)).kind is OutcomeKind.COMPLETED


async def test_a_storm_of_requests_is_answered_by_few_jobs_that_wait_for_their_time() -> None:
    world = World()
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    unique_id = submission.job.unique_id

    async def ask_and_convert() -> None:
        made = await asyncio.gather(*(world.catalog.reprocess("default", unique_id) for _ in range(10)))
        assert len({each.processing_id for each in made}) == 1
        await world.converter.convert(JobRequested(unique_id=unique_id, processing_id=made[0].processing_id))

    for _ in range(pace.FREE_JOBS + 1):
        await ask_and_convert()
    waiting = [letter.hidden_until for letter in world.queue._letters.values()]
    assert sum(until > 0 for until in waiting) == 2  # those after the free ones are delayed
