"""Failed jobs are run again and dead letters given back: at a pace, once, and only when that was asked for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from processor import clock
from processor.catalog import redrive as redriving
from processor.catalog.images import Catalog
from processor.catalog.redrive import Redrive, RedrivePlan, list_failed, redrive
from processor.errors import CorruptImage, Unavailable
from processor.events import SourceArrived
from processor.jobs import UNAVAILABLE, Job, JobStatus, Lease
from processor.ports.jobs import JobPage, JobQuery
from processor.ports.queue import QueueDepth
from processor.ports.stores import AllStores
from processor.stores.memory import MemoryJobStore, MemoryQueue
from tests.unit.world import TENANT, RecordingQueue, World, events_of

DONE = JobStatus.COMPLETED


@pytest.fixture(autouse=True)
def _time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No poll waits, and no two jobs are made in the same millisecond."""
    began, ticks = clock.now(), itertools.count()
    monkeypatch.setattr(clock, "now", lambda: began + timedelta(milliseconds=next(ticks)))
    monkeypatch.setattr(redriving, "POLL_SECONDS", 0)


class DelayedQueue(RecordingQueue):
    """Remembers how long each message was held back."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(clock=lambda: self.now)
        self.delays: list[int] = []

    async def send(self, body: str, *, delay_seconds: int = 0, reason: str = "", tries: int = 0) -> None:
        await super().send(body, delay_seconds=delay_seconds, reason=reason, tries=tries)
        self.delays.append(delay_seconds)


class DeadLetters(MemoryQueue):
    """Loses its connection when it is to settle, so many times."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(clock=lambda: self.now)
        self.cuts = 0

    async def settle(self, receipts: Sequence[str]) -> None:
        if self.cuts:
            self.cuts -= 1
            raise Unavailable
        await super().settle(receipts)


class LaggingJobs(MemoryJobStore):
    """Lists what there was when it was told to lag, as an index may."""

    shown: JobPage | None = None

    async def list(self, query: JobQuery) -> JobPage:
        return self.shown or await super().list(query)


@dataclass
class Scene:
    """The use cases with a dead-letter queue, and what can go wrong before a redrive."""

    queue: DelayedQueue = field(default_factory=DelayedQueue)
    dead: DeadLetters = field(default_factory=DeadLetters)
    jobs: LaggingJobs = field(default_factory=LaggingJobs)

    def __post_init__(self) -> None:
        self.world = World(queue=self.queue, jobs=self.jobs)

    @property
    def stores(self) -> AllStores:
        return replace(self.world.stores, dead_letters=self.dead)

    @property
    def catalog(self) -> Catalog:
        return replace(self.world.catalog, stores=self.stores)

    async def redrive(
        self, *, tenant: str = TENANT, limit: int = 100, per_second: int = 100, **order: object
    ) -> Redrive:
        given: dict[str, object] = {"dry_run": False} | order
        return await redrive(
            *(self.stores, self.catalog),
            RedrivePlan(tenant=tenant, limit=limit, per_second=per_second, **given),  # type: ignore[arg-type]
        )

    async def uploaded(self, tenant: str = TENANT) -> tuple[Job, SourceArrived]:
        job = (await self.world.submitted(tenant)).job
        return job, await self.world.source.put(job.original_key, b"photo")

    async def given_up(self, tenant: str = TENANT) -> Job:
        """A job that failed on the last try of its message, which is then a dead letter."""
        job, event = await self.uploaded(tenant)
        await self._convert(event, Unavailable())
        await self.dead.send(event.to_message())
        return await self.jobs.job_of_any_tenant(job.processing_id)

    async def rejected(self) -> Job:
        job, event = await self.uploaded()
        await self._convert(event, CorruptImage())
        return await self.jobs.job_of_any_tenant(job.processing_id)

    async def _convert(self, event: SourceArrived, error: Exception) -> None:
        async def fail() -> None:
            raise error

        self.world.renderer.during = fail
        try:
            await self.world.converter.convert(event, last_try=True)
        except Unavailable:
            pass
        finally:
            self.world.renderer.during = None
            self.world.renderer.rendered.clear()

    async def deliver_all(self, *, newest_first: bool = False) -> None:
        """Every message that is in the queue, however long it is delayed."""
        self.queue.now += 1000
        messages = await self.queue.receive(1000, wait_seconds=0, visibility_seconds=60)
        for message in reversed(messages) if newest_first else messages:
            for event in events_of(message.body):
                assert (await self.world.converter.convert(event)).settles
            await self.queue.settle([message.receipt])

    async def current(self, job: Job) -> Job:
        image = await self.jobs.image_of_any_tenant(job.unique_id)
        return await self.jobs.job_of_any_tenant(image.current_job)

    @property
    def rendered(self) -> int:
        """Conversions since the last failure."""
        return len(self.world.renderer.rendered)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize("newest_first", [False, True])
async def test_a_job_that_was_given_up_and_its_dead_letter_end_in_one_conversion(
    scene: Scene, *, newest_first: bool
) -> None:
    jobs = [await scene.given_up() for _ in range(3)]
    done = await scene.redrive()
    assert (done.redriven, done.messages, done.next_after) == (3, 3, None)
    assert {each.job.processing_id for each in done.jobs} == {job.processing_id for job in jobs}
    await scene.deliver_all(newest_first=newest_first)
    for each in done.jobs:
        current = await scene.current(each.job)
        assert (current.processing_id, current.status) == (each.new_processing_id, DONE)
    assert scene.rendered == 3
    assert scene.queue.count == scene.dead.count == 0


async def test_a_dead_letter_whose_job_was_cut_short_is_given_back_too(scene: Scene) -> None:
    job, event = await scene.uploaded()
    await scene._convert(event, Unavailable())
    await scene.jobs.claim(job.processing_id, Lease(token="t", owner="dead", expires_at=0), job.created_at, "tests")
    await scene.dead.send(event.to_message())
    done = await scene.redrive()
    assert (done.jobs, done.messages) == ((), 1)
    await scene.deliver_all()
    assert (await scene.current(job)).status is DONE


async def test_what_cannot_be_read_stays_a_dead_letter_and_holds_up_no_other(scene: Scene) -> None:
    for number in range(12):
        await scene.dead.send(f"unreadable {number}", reason="not_an_event")
    await scene.dead.send('{"Records": []}')
    done = await scene.redrive()
    assert done.messages == 1
    assert [each.body for each in scene.queue._letters.values()] == ['{"Records": []}']
    assert len(scene.dead._letters) == 12


async def test_a_redrive_by_code_leaves_other_failures_and_the_dead_letters_alone(scene: Scene) -> None:
    given_up, rejected = await scene.given_up(), await scene.rejected()
    done = await scene.redrive(code=UNAVAILABLE)
    assert [each.job.unique_id for each in done.jobs] == [given_up.unique_id]
    assert done.messages == 0
    assert scene.dead.count == 1
    assert await scene.current(rejected) == rejected
    await scene.deliver_all()
    assert (await scene.current(given_up)).status is DONE


async def test_a_dry_run_changes_nothing(scene: Scene) -> None:
    jobs = [await scene.given_up() for _ in range(3)]
    would = await scene.redrive(dry_run=True, limit=2)
    assert (len(would.jobs), would.redriven, would.messages) == (2, 0, 2)
    assert {(each.new_processing_id, each.refused) for each in would.jobs} == {(None, None)}
    assert (await scene.redrive(dry_run=True, code=UNAVAILABLE)).messages == 0
    assert [await scene.current(job) for job in jobs] == jobs
    assert scene.queue.count == 0
    assert await scene.dead.depth() == QueueDepth(waiting=3, in_flight=0)


async def test_an_order_is_a_dry_run_unless_it_says_otherwise() -> None:
    assert RedrivePlan(tenant=TENANT, limit=1, per_second=1).dry_run


async def test_no_more_than_the_limit_is_redriven_and_the_next_call_goes_on(scene: Scene) -> None:
    jobs = [await scene.given_up() for _ in range(5)]
    first = await scene.redrive(limit=3)
    second = await scene.redrive(limit=3, after=first.next_after)
    assert [(done.redriven, done.messages) for done in (first, second)] == [(3, 3), (2, 2)]
    assert second.next_after is None
    redriven = [each.job.processing_id for each in first.jobs + second.jobs]
    assert sorted(redriven) == sorted(job.processing_id for job in jobs)


async def test_what_fails_again_is_not_met_again_on_the_way_to_the_end(scene: Scene) -> None:
    for _ in range(3):
        await scene.rejected()
    after, calls = None, 0
    while calls == 0 or after is not None:
        done = await scene.redrive(limit=1, after=after)
        for each in done.jobs:
            await scene.world.source.purge(each.job.original_key)  # the new job fails at once
        await scene.deliver_all()
        after, calls = done.next_after, calls + 1
    assert calls == 3
    failed = await list_failed(scene.jobs, JobQuery(tenant=TENANT, limit=10), "source_missing")
    assert len(failed.jobs) == 3


async def test_what_cannot_be_processed_is_refused_and_does_not_stop_the_rest(scene: Scene) -> None:
    good, gone, deleted, replaced, taken_up = [await scene.given_up() for _ in range(5)]
    scene.jobs.shown = await scene.jobs.list(JobQuery(tenant=TENANT, limit=10, status=JobStatus.FAILED))
    await scene.world.source.purge(gone.original_key)
    await scene.catalog.delete(TENANT, deleted.unique_id)
    await scene.catalog.reprocess(TENANT, replaced.unique_id)
    (letter,) = [each.body for each in scene.dead._letters.values() if taken_up.unique_id in each.body]
    await scene.world.converter.convert(events_of(letter)[0])
    done = await scene.redrive(code=UNAVAILABLE)
    assert {each.job.unique_id: each.refused for each in done.jobs} == {
        good.unique_id: None,
        gone.unique_id: "not_uploaded",
        deleted.unique_id: "image_deleted",
        replaced.unique_id: "record_changed",
        taken_up.unique_id: "record_changed",
    }
    assert done.redriven == 1
    assert await scene.current(gone) == gone
    assert (await scene.current(taken_up)).status is DONE


async def test_a_second_redrive_finds_nothing_while_the_first_is_under_way(scene: Scene) -> None:
    job = await scene.given_up()
    first = await scene.redrive()
    second = await scene.redrive()
    assert (second.jobs, second.messages) == ((), 0)
    assert (await scene.current(job)).processing_id == first.jobs[0].new_processing_id


async def test_a_second_redrive_over_a_list_that_lags_doubles_nothing(scene: Scene) -> None:
    await scene.given_up()
    scene.jobs.shown = await scene.jobs.list(JobQuery(tenant=TENANT, limit=10, status=JobStatus.FAILED))
    assert (await scene.redrive()).redriven == 1
    again = await scene.redrive()
    assert [each.refused for each in again.jobs] == ["record_changed"]
    await scene.deliver_all()
    assert scene.rendered == 1


async def test_messages_become_visible_at_the_pace_that_was_asked_for(scene: Scene) -> None:
    for _ in range(3):
        await scene.given_up()
    await scene.redrive(per_second=2)
    assert scene.queue.delays == [0, 0, 1, 1, 2, 2]


async def test_a_refusal_takes_no_turn(scene: Scene) -> None:
    jobs = [await scene.given_up() for _ in range(3)]
    await scene.world.source.purge(jobs[1].original_key)
    await scene.redrive(per_second=1, code=UNAVAILABLE)
    assert scene.queue.delays == [0, 1]


async def test_no_message_is_held_back_for_longer_than_a_queue_can(scene: Scene) -> None:
    for _ in range(905):
        await scene.dead.send("{}")
    assert (await scene.redrive(limit=1000, per_second=1)).messages == 905
    assert scene.queue.delays[898:] == [898, 899, 900, 900, 900, 900, 900]


async def test_another_tenants_failures_are_neither_seen_nor_touched(scene: Scene) -> None:
    other = await scene.given_up("other")
    assert (await scene.redrive()).jobs == ()
    assert await scene.current(other) == other
    assert (await scene.redrive(tenant="other")).redriven == 1


async def test_a_move_that_dies_before_it_settles_duplicates_nothing_in_the_end(scene: Scene) -> None:
    job = await scene.given_up()
    scene.dead.cuts = 1
    with pytest.raises(Unavailable):
        await scene.redrive()
    assert (scene.queue.count, scene.dead.count) == (2, 1)
    scene.dead.now += redriving.MOVE_SECONDS
    again = await scene.redrive()
    assert (again.jobs, again.messages) == ((), 1)
    await scene.deliver_all()
    assert (await scene.current(job)).status is DONE
    assert scene.rendered == 1
    assert scene.queue.count == scene.dead.count == 0


async def test_a_queue_that_is_away_leaves_the_dead_letters_and_the_next_call_goes_on(scene: Scene) -> None:
    job = await scene.given_up()
    scene.queue.failing = True
    with pytest.raises(Unavailable):
        await scene.redrive()
    assert scene.dead.count == 1
    scene.queue.failing = False
    assert (await scene.redrive()).redriven == 1
    await scene.deliver_all()
    assert (await scene.current(job)).status is DONE


@pytest.mark.parametrize("dry_run", [True, False])
async def test_without_a_dead_letter_queue_no_message_is_counted_or_moved(scene: Scene, *, dry_run: bool) -> None:
    await scene.given_up()
    plan = RedrivePlan(tenant=TENANT, limit=10, per_second=10, dry_run=dry_run)
    assert (await redrive(scene.world.stores, scene.world.catalog, plan)).messages == 0
    assert scene.dead.count == 1


async def test_failures_are_listed_by_code_and_a_page_may_be_short(scene: Scene) -> None:
    given_up, rejected = await scene.given_up(), await scene.rejected()
    query = JobQuery(tenant=TENANT, limit=1)
    first = await list_failed(scene.jobs, query, UNAVAILABLE)
    assert first.jobs == ()
    assert first.next_after is not None
    second = await list_failed(scene.jobs, replace(query, after=first.next_after), UNAVAILABLE)
    assert (second.jobs, second.next_after) == ((given_up,), None)
    everything = await list_failed(scene.jobs, replace(query, limit=10), None)
    assert everything.jobs == (rejected, given_up)
