"""However a job ends, whoever listens is told, at least once; and no listener stands in anybody's way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from processor import endings
from processor.catalog.reconcile import Reconciler
from processor.endings import Endings
from processor.errors import CorruptImage, DailyLimitReached, Unavailable
from processor.events import Event, JobRequested, SourceArrived
from processor.jobs import End, Job, JobStatus
from processor.notices import last_notice
from processor.ports.changes import IMAGE_PREFIX
from processor.ports.listener import Follower, Record
from processor.probe import Probes
from processor.stores.memory import MemoryChanges
from processor.stores.memory.jobs import MemoryJobStore
from processor.usage import Quota
from processor.work import worker as work
from processor.work.circuit import CircuitState
from processor.work.outcomes import OutcomeKind
from processor.work.worker import Worker, WorkerConfig
from tests.unit.world import MAKER, TENANT, Noted, RecordingQueue, World, events_of
from tests.waiting import eventually


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Ear:
    """Remembers what it is told, unless it is broken."""

    broken: bool = False
    heard: list[tuple[str, End]] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)

    async def ended(self, job: Job, end: End) -> None:
        if self.broken:
            raise RuntimeError("a listener's defect")
        self.heard.append((job.processing_id, end))
        self.jobs.append(job)


@dataclass
class Scene:
    """A service with a listener; `happens` says what is done, and `again` what follows if its process dies over it."""

    ear: Ear = field(default_factory=Ear)
    queue: RecordingQueue = field(default_factory=RecordingQueue)
    another: Ear = field(default_factory=Ear)

    def __post_init__(self) -> None:
        self.world = World(queue=self.queue, listeners=(self.ear, self.another))

    async def begun(self) -> tuple[str, SourceArrived]:
        """A job that a worker began and gave back."""
        submission, event = await self.world.uploaded(b"older")
        self.world.renderer.during = away
        with pytest.raises(Unavailable):
            await self.world.converter.convert(event)
        self.world.renderer.during = None
        return submission.job.processing_id, event

    async def completed(self) -> tuple[str, str]:
        submission, event = await self.world.uploaded()
        await self.world.converter.convert(event)
        return submission.job.unique_id, submission.job.processing_id

    async def deliver_all(self) -> None:
        """Every message, and what the reconciler queues."""
        reconciler = Reconciler(stores=self.world.stores, source_bucket="source", grace=timedelta(0))
        _ = [finding async for finding in reconciler.findings()]
        for body in self.queue.bodies:
            for event in events_of(body):
                await self.world.another_converter().convert(event)


async def away() -> None:
    raise Unavailable


async def corrupt() -> None:
    raise CorruptImage


@dataclass
class Way:
    """How a job ends: what leads to it, what ends it, and what comes again when that was cut short."""

    job: str
    end: End
    happens: Callable[[], Awaitable[object]]
    again: Callable[[], Awaitable[object]]


def by_message(scene: Scene, event: Event, job: str, end: End) -> Way:
    """What a message has led to, it leads to again."""
    return Way(
        job, end, lambda: scene.world.converter.convert(event), lambda: scene.world.another_converter().convert(event)
    )


async def completes(scene: Scene, _: pytest.MonkeyPatch) -> Way:
    submission, event = await scene.world.uploaded()
    return by_message(scene, event, submission.job.processing_id, End.COMPLETED)


async def fails(scene: Scene, _: pytest.MonkeyPatch) -> Way:
    submission, event = await scene.world.uploaded()
    scene.world.renderer.during = corrupt
    return by_message(scene, event, submission.job.processing_id, End.FAILED)


async def is_given_up(scene: Scene, _: pytest.MonkeyPatch) -> Way:
    """A redrive, or the reconciler, brings its message once more."""
    submission, event = await scene.world.uploaded()
    scene.world.renderer.during = scene.world.suspects.during = away

    async def last_try() -> None:
        with pytest.raises(Unavailable):
            await scene.world.converter.convert(event, last_try=True)

    return Way(submission.job.processing_id, End.FAILED, last_try, last_try)


async def is_over_a_limit(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Way:
    submission, event = await scene.world.uploaded()
    refuse_arrivals(monkeypatch)
    return by_message(scene, event, submission.job.processing_id, End.FAILED)


async def is_over_a_limit_from_its_birth(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Way:
    submission, event = await scene.world.uploaded()
    await scene.world.converter.convert(event)
    refuse_arrivals(monkeypatch)
    newer = await scene.world.source.put(event.key, b"newer")

    async def current(deed: Callable[[], Awaitable[object]]) -> None:
        try:
            await deed()
        finally:
            way.job = (await scene.world.jobs.image_of_any_tenant(submission.job.unique_id)).current_job

    once = by_message(scene, newer, "", End.FAILED)
    way = Way("", End.FAILED, lambda: current(once.happens), lambda: current(once.again))
    return way


def refuse_arrivals(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> DailyLimitReached:
        return DailyLimitReached(limit=1, actual=2)

    monkeypatch.setattr(Quota, "arrive", refuse)


async def is_superseded_by_an_upload(scene: Scene, _: pytest.MonkeyPatch) -> Way:
    job, event = await scene.begun()
    newer = await scene.world.source.put(event.key, b"newer")
    return by_message(scene, newer, job, End.SUPERSEDED)


async def is_superseded_by_a_request(scene: Scene, _: pytest.MonkeyPatch) -> Way:
    """The request's answer is lost with its process, and so is its message; the reconciler finds the new job."""
    job, event = await scene.begun()
    await scene.world.source.put(event.key, b"newer")
    unique_id = event.unique_id or ""
    return Way(job, End.SUPERSEDED, lambda: scene.world.catalog.reprocess(TENANT, unique_id), scene.deliver_all)


async def is_superseded_by_a_release(scene: Scene, _: pytest.MonkeyPatch) -> Way:
    job, event = await scene.begun()
    scene.world.converter.maker = replace(MAKER, service="2.0")
    return Way(
        job,
        End.SUPERSEDED,
        lambda: scene.world.converter.convert(event),
        lambda: scene.world.converter.convert(event),
    )


async def is_never_queued(scene: Scene, _: pytest.MonkeyPatch) -> Way:
    """Whoever asked, and got no answer, asks again: another job takes the place of that one."""
    unique_id, _first = await scene.completed()

    async def ask_in_vain() -> None:
        scene.queue.failing = True
        try:
            with pytest.raises(Unavailable):
                await scene.world.catalog.reprocess(TENANT, unique_id)
        finally:
            scene.queue.failing = False
            way.job = (await scene.world.jobs.image_of_any_tenant(unique_id)).current_job

    async def ask_again() -> None:
        await scene.world.catalog.reprocess(TENANT, unique_id)
        await scene.deliver_all()

    way = Way("", End.FAILED, ask_in_vain, ask_again)
    return way


async def is_deleted(scene: Scene, _: pytest.MonkeyPatch) -> Way:
    unique_id, job = await scene.completed()
    return Way(
        job,
        End.DELETED,
        lambda: scene.world.catalog.delete(TENANT, unique_id),
        lambda: scene.world.catalog.delete(TENANT, unique_id),
    )


async def is_deleted_and_nobody_asks_again(scene: Scene, _: pytest.MonkeyPatch) -> Way:
    """What the delete left behind is found by the reconciler."""
    unique_id, job = await scene.completed()
    return Way(job, End.DELETED, lambda: scene.world.catalog.delete(TENANT, unique_id), scene.deliver_all)


Ways = Callable[[Scene, pytest.MonkeyPatch], Awaitable[Way]]
WAYS: tuple[Ways, ...] = (
    completes,
    fails,
    is_given_up,
    is_over_a_limit,
    is_over_a_limit_from_its_birth,
    is_superseded_by_an_upload,
    is_superseded_by_a_request,
    is_superseded_by_a_release,
    is_never_queued,
    is_deleted,
    is_deleted_and_nobody_asks_again,
)
#: What ends because somebody asked over HTTP: no message returns, and a listener that fails changes no answer.
ASKED = {is_superseded_by_a_request, is_never_queued, is_deleted, is_deleted_and_nobody_asks_again}


#: An erasure that is complete leaves nothing that anybody would come for.
FORGOTTEN = (is_deleted, is_deleted_and_nobody_asks_again)

every_way = pytest.mark.parametrize("ways", WAYS, ids=lambda way: way.__name__)
every_way_that_returns = pytest.mark.parametrize(
    "ways", [way for way in WAYS if way not in FORGOTTEN], ids=lambda way: way.__name__
)


@every_way
async def test_every_end_is_told_to_every_listener_after_the_record_says_so(
    ways: Ways, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene()
    way = await ways(scene, monkeypatch)
    before = len(scene.ear.heard)

    await way.happens()

    assert scene.ear.heard[before:].count((way.job, way.end)) == 1
    assert scene.another.heard == scene.ear.heard
    told = next(job for job in reversed(scene.ear.jobs) if job.processing_id == way.job)
    assert (told.tenant, told.filename, told.metadata) == (TENANT, "a.jpg", {"k": "v"})
    if way.end is not End.DELETED:
        record = await scene.world.jobs.job_of_any_tenant(way.job)
        assert (record.status, record.error, record.variants) == (told.status, told.error, told.variants)


@every_way
async def test_an_end_has_one_id_whoever_tells_it(ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    way = await ways(scene, monkeypatch)
    await way.happens()
    heard = next(job for job in reversed(scene.ear.jobs) if job.processing_id == way.job)
    name = IMAGE_PREFIX + heard.unique_id if way.end is End.DELETED else way.job
    (record,) = await MemoryChanges(scene.world.jobs).read(TENANT, [name])
    told = last_notice(heard)
    assert told is not None
    assert told == last_notice(record)
    assert told.kind == f"image.{way.end}"


@every_way
async def test_who_dies_between_the_record_and_the_telling_is_followed_by_somebody_who_tells(
    ways: Ways, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene()
    way = await ways(scene, monkeypatch)

    async def die(_: Endings, job: Job) -> None:
        if job.ended:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Endings, "tell", die)
        with pytest.raises(Killed):
            await way.happens()
    lost = way.job
    before = len(scene.ear.heard)
    await way.again()

    assert (lost, way.end) in scene.ear.heard[before:]


@every_way_that_returns
@pytest.mark.parametrize("broken", [False, True])
async def test_who_dies_before_it_settles_or_has_a_listener_fail_is_followed_by_somebody_who_tells_again(
    ways: Ways, broken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene()
    way = await ways(scene, monkeypatch)
    scene.ear.broken = broken
    await way.happens()
    ended = way.job
    scene.ear.broken = False
    before = len(scene.ear.heard)
    await way.again()
    assert (ended, way.end) in scene.ear.heard[before:]


@every_way
async def test_a_broken_listener_holds_no_result_back_and_the_other_is_told(
    ways: Ways, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(ear=Ear(broken=True))
    way = await ways(scene, monkeypatch)

    outcome = await way.happens()

    assert (way.job, way.end) in scene.another.heard
    if way.end is not End.DELETED:
        assert (await scene.world.jobs.job_of_any_tenant(way.job)).ended
    if ways not in ASKED | {is_given_up}:
        assert outcome is None or not outcome.settles  # type: ignore[attr-defined]


async def test_a_message_comes_again_until_every_listener_has_heard(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(ear=Ear(broken=True))
    submission, event = await scene.world.uploaded()

    first, second = [await scene.world.converter.convert(event) for _ in range(2)]
    scene.ear.broken = False
    third, fourth = [await scene.world.converter.convert(event) for _ in range(2)]

    told = [(outcome.kind, outcome.settles) for outcome in (first, second, third, fourth)]
    duplicate = OutcomeKind.DUPLICATE
    assert told == [(OutcomeKind.COMPLETED, False), (duplicate, False), (duplicate, True), (duplicate, True)]
    assert first.timings is not None  # what is measured of the work is told once, and at once
    assert scene.ear.heard == [(submission.job.processing_id, End.COMPLETED)] * 2


async def test_after_the_last_try_a_message_is_settled_though_a_listener_is_broken() -> None:
    scene = Scene(ear=Ear(broken=True))
    _, event = await scene.world.uploaded()
    assert (await scene.world.converter.convert(event, last_try=True)).settles


async def test_a_broken_listener_is_no_outage_and_makes_no_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "RETRY_SECONDS", (0,))
    scene = Scene(ear=Ear(broken=True), queue=RecordingQueue(max_receive_count=3))
    submission, event = await scene.world.uploaded()
    await scene.queue.send(event.to_message())
    noted, settings = Noted(), WorkerConfig(slots=1, wait_seconds=1)
    pod = Worker(scene.queue, scene.world.converter, settings, probes=Probes((noted,)))
    pod.start()

    async def settled() -> bool:
        return not scene.queue.bodies

    await eventually(settled)
    assert pod.circuit.state is CircuitState.CLOSED
    await pod.drain(10)

    assert noted.messages == {"untold": 2, "settled": 1}
    assert scene.another.heard == [(submission.job.processing_id, End.COMPLETED)] * 3
    assert (await scene.world.jobs.job_of_any_tenant(submission.job.processing_id)).status is JobStatus.COMPLETED


class Slow(Ear):
    """Does not return, and may not listen to whoever calls it off."""

    deaf = False

    async def ended(self, job: Job, end: End) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if not self.deaf:
                    raise
                self.deaf = False


@pytest.mark.parametrize("deaf", [False, True])
async def test_a_slow_listener_is_not_waited_for_for_ever(deaf: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "LISTENER_SECONDS", 0.01)
    slow = Slow()
    slow.deaf = deaf
    scene = Scene(ear=slow)
    submission, event = await scene.world.uploaded()

    outcome = await scene.world.converter.convert(event)

    assert (outcome.kind, outcome.settles) == (OutcomeKind.COMPLETED, False)
    assert scene.another.heard == [(submission.job.processing_id, End.COMPLETED)]


@dataclass
class Nosy(Ear):
    """Wants to hear of a job before its end, and breaks or hangs over it."""

    hangs: bool = False
    moves: int = 0
    released: int = 0

    async def moved(self, job: Job, record: Record) -> None:
        self.moves += 1
        if not self.hangs:
            await record()
            raise RuntimeError("a follower's defect")
        try:
            await asyncio.Event().wait()
        finally:
            self.released += 1


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_follower_that_breaks_or_hangs_holds_no_job_and_hears_of_its_end(hangs: bool) -> None:
    nosy = Nosy(hangs=hangs)
    assert isinstance(nosy, Follower)
    assert not isinstance(Ear(), Follower)
    scene = Scene(ear=nosy)

    async def asked() -> None:
        async def moved() -> bool:
            return nosy.moves > 0

        await eventually(moved, what="a call of the follower")

    scene.world.renderer.during = asked
    submission, event = await scene.world.uploaded()
    outcome = await scene.world.converter.convert(event)
    assert (outcome.kind, outcome.settles) == (OutcomeKind.COMPLETED, True)
    assert nosy.heard == [(submission.job.processing_id, End.COMPLETED)]

    async def let_go() -> bool:
        return nosy.released == (nosy.moves if hangs else 0)

    await eventually(let_go, what="the end of the call")


async def test_a_worker_that_is_told_to_stop_while_it_tells_gives_its_message_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endings, "LISTENER_SECONDS", 600)
    scene = Scene(ear=Slow())
    submission, event = await scene.world.uploaded()
    convert = asyncio.create_task(scene.world.converter.convert(event))

    async def told() -> bool:
        return bool(scene.another.heard)

    await eventually(told)
    convert.cancel()
    with pytest.raises(asyncio.CancelledError):
        await convert
    assert (await scene.world.jobs.job_of_any_tenant(submission.job.processing_id)).status is JobStatus.COMPLETED
    scene.world.converter.listeners = (scene.another,)
    assert (await scene.world.converter.convert(event)).settles
    assert len(scene.another.heard) == 2


async def test_a_worker_that_was_overtaken_tells_how_its_job_ended() -> None:
    scene = Scene()
    submission, event = await scene.world.uploaded(b"older")

    async def overtaken() -> None:
        scene.world.renderer.during = None
        await scene.world.another_converter().convert(await scene.world.source.put(event.key, b"newer"))
        scene.ear.heard.clear()

    scene.world.renderer.during = overtaken
    outcome = await scene.world.converter.convert(event)
    assert outcome.kind is OutcomeKind.SUPERSEDED
    assert scene.ear.heard == [(submission.job.processing_id, End.SUPERSEDED)]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of all images and jobs that are read for a tenant."""
    ids: list[str] = []

    def noting(read: Callable[[MemoryJobStore, str, str], Awaitable[Any]]) -> Any:
        async def noted(store: MemoryJobStore, tenant: str, id_: str) -> Any:
            ids.append(id_)
            return await read(store, tenant, id_)

        return noted

    monkeypatch.setattr(MemoryJobStore, "get_image", noting(MemoryJobStore.get_image))
    monkeypatch.setattr(MemoryJobStore, "get_job", noting(MemoryJobStore.get_job))
    return ids


@pytest.mark.parametrize("listens", [False, True])
async def test_the_run_of_a_job_in_place_of_one_that_a_worker_ended_reads_nothing_more(
    read: list[str], *, listens: bool
) -> None:
    world = World(listeners=(Ear(),) if listens else ())
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    again = await world.catalog.reprocess(TENANT, submission.job.unique_id)
    read.clear()

    for _ in range(2):
        await world.converter.convert(JobRequested(unique_id=again.unique_id, processing_id=again.processing_id))

    assert read == []


async def test_the_run_of_a_job_in_place_of_one_that_nobody_had_ended_reads_that_one(read: list[str]) -> None:
    scene = Scene()
    old, _ = await scene.begun()
    image = await scene.world.jobs.image_of_any_tenant((await scene.world.jobs.job_of_any_tenant(old)).unique_id)
    await scene.world.source.put(image.key, b"newer")
    again = await scene.world.catalog.reprocess(TENANT, image.unique_id)
    read.clear()

    await scene.world.converter.convert(JobRequested(unique_id=again.unique_id, processing_id=again.processing_id))

    assert read == [old]
    assert scene.ear.heard[-2:] == [(old, End.SUPERSEDED), (again.processing_id, End.COMPLETED)]
