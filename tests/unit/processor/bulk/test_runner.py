"""Bulk jobs: what they mean, how they end, and what becomes of them when processes die."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from processor import clock
from processor.bulk import changes, runner
from processor.bulk.jobs import BulkJobs
from processor.bulk.operations import DELETE, PROCESS, Operation, operations
from processor.bulk.runner import BulkRunner
from processor.errors import BulkInProgress, BulkNotFound, DailyLimitReached, ImageDeleted, Unavailable
from processor.jobs import Failure, Job, JobStatus, Lease, Source
from processor.ports.bulk import BulkFilter, BulkItem, BulkJob, BulkResult, BulkState
from processor.ports.queue import QueueDepth
from processor.stores.memory import MemoryBulkStore
from tests.unit.world import TENANT, World, events_of
from tests.waiting import PATIENCE_SECONDS, eventually, next_millisecond

ALL = BulkFilter()
FAILED = BulkFilter(status=JobStatus.FAILED)


@dataclass
class Bulk:
    """Bulk jobs over a world of images, and processes that work on them."""

    world: World = field(default_factory=World)
    store: MemoryBulkStore = field(default_factory=MemoryBulkStore)

    def __post_init__(self) -> None:
        self.jobs = BulkJobs(store=self.store)

    def process(self, table: Mapping[str, Operation] | None = None, **how: Any) -> BulkRunner:
        return BulkRunner(
            **{
                "store": self.store,
                "jobs": self.world.jobs,
                "queue": self.world.queue,
                "operations": operations(self.world.catalog) if table is None else table,
                "per_second": 1_000_000,
                "lease_seconds": 60,
                **how,
            }
        )

    async def start(self, operation: str = DELETE, chosen: BulkFilter = ALL) -> BulkJob:
        return await self.jobs.start(TENANT, operation, chosen, by="key:a")

    async def ended(self, job: BulkJob, **how: Any) -> BulkJob:
        """Once processes have done all that there was to do."""
        while await self.process(**how).work_once():
            pass
        return await self.jobs.get(job.tenant, job.bulk_id)

    async def results(self, job: BulkJob) -> list[BulkResult]:
        found: list[BulkResult] = []
        page: int | None = 0
        while page is not None:
            results, page = await self.jobs.results(job.tenant, job.bulk_id, page)
            found += results
        return found

    async def images(self, count: int, tenant: str = TENANT) -> list[Job]:
        return [(await self.world.submitted(tenant)).job for _ in range(count)]

    async def failed(self, code: str = "corrupt_image") -> Job:
        submission, event = await self.world.uploaded()
        image = await self.world.jobs.get_image(TENANT, submission.job.unique_id)
        job = await self.world.jobs.accept(
            image, submission.job, Source(etag=event.etag, size=5), submission.job.expires_at
        )
        lease = Lease(token="t", owner="o", expires_at=time.time() + 60)
        await self.world.jobs.claim(job.processing_id, lease, clock.now(), "tests")
        failed = replace(job, status=JobStatus.FAILED, error=Failure(code=code, message="."), updated_at=clock.now())
        await self.world.jobs.finish(failed, lease)
        return failed

    async def is_there(self, job: Job) -> bool:
        try:
            return await self.world.catalog.current_job(TENANT, job.unique_id) != ""
        except ImageDeleted:
            return False


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LIST_LAG_SECONDS", 0)
    monkeypatch.setattr(runner, "PAGE", 3)
    monkeypatch.setattr(runner, "YIELD_LOOK_SECONDS", 0)


@pytest.fixture
def bulk() -> Bulk:
    return Bulk()


# -- what is meant ------------------------------------------------------------------------------------------------


async def test_a_bulk_job_deletes_what_was_there_when_it_was_started_and_nothing_else(
    bulk: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, mine = await bulk.images(2, "other"), await bulk.images(7)
    await next_millisecond()
    job = await bulk.start()
    await next_millisecond()
    later = await bulk.images(2)
    job = await bulk.ended(job)
    assert (job.state, job.found, job.done, job.failed) == (BulkState.COMPLETED, 7, 7, 0)
    assert [await bulk.is_there(each) for each in (*mine, *later)] == [False] * 7 + [True] * 2
    for each in theirs:
        assert (await bulk.world.jobs.get_image("other", each.unique_id)).deleted_at is None
    assert {result.unique_id for result in await bulk.results(job)} == {each.unique_id for each in mine}
    assert job.ended_at is not None
    assert job.expires_at == int((job.ended_at + timedelta(days=7)).timestamp())


async def test_a_filter_chooses_by_status_by_code_and_by_time(bulk: Bulk) -> None:
    pending, old, damaged = (await bulk.images(1))[0], await bulk.failed(), await bulk.failed("too_many_frames")
    await next_millisecond()
    for chosen, gone in (
        (BulkFilter(code="corrupt_image", created_to=pending.created_at - timedelta(seconds=1)), []),
        (BulkFilter(code="corrupt_image"), [old]),
        (FAILED, [old, damaged]),
        (BulkFilter(created_from=clock.now() - timedelta(hours=1)), [old, damaged, pending]),
    ):
        job = await bulk.ended(await bulk.start(DELETE, chosen))
        assert job.state is BulkState.COMPLETED
        there = [each for each in (pending, old, damaged) if not await bulk.is_there(each)]
        assert {each.unique_id for each in there} == {each.unique_id for each in gone}


async def test_what_failed_after_the_start_is_not_meant(bulk: Bulk) -> None:
    job = await bulk.start(DELETE, FAILED)
    await next_millisecond()
    later = await bulk.failed()
    bulk.store._jobs[job.bulk_id] = replace(job, created_at=later.updated_at - timedelta(milliseconds=1))
    assert (await bulk.ended(job)).found == 0
    assert await bulk.is_there(later)


@pytest.mark.parametrize("operation", [DELETE, PROCESS])
async def test_an_image_that_ceased_to_match_before_its_turn_is_left_alone(bulk: Bulk, operation: str) -> None:
    failed = await bulk.failed("unavailable")
    await next_millisecond()
    job = await bulk.start(operation, FAILED)
    table = operations(bulk.world.catalog)

    class TakenUp:
        steps_back = False

        async def do(self, job: BulkJob, item: BulkItem) -> BulkResult:
            lease = Lease(token="n", owner="o", expires_at=time.time() + 60)
            await bulk.world.jobs.claim(item.processing_id, lease, clock.now(), "tests")
            return await table[operation].do(job, item)

    job = await bulk.ended(job, table={operation: TakenUp()})
    (result,) = await bulk.results(job)
    assert result.error is not None
    assert (job.failed, result.error.code) == (1, "filter_mismatch")
    assert (await bulk.world.jobs.get_job(TENANT, failed.processing_id)).status is JobStatus.PROCESSING


async def test_images_are_converted_again_and_each_result_names_the_new_job(bulk: Bulk) -> None:
    failed = [await bulk.failed() for _ in range(4)]
    pending = await bulk.images(1)
    await next_millisecond()
    job = await bulk.ended(await bulk.start(PROCESS))
    assert (job.found, job.done, job.failed) == (5, 4, 1)
    for result in await bulk.results(job):
        current = await bulk.world.catalog.current_job(TENANT, result.unique_id)
        if result.unique_id == pending[0].unique_id:
            assert result.error is not None
            assert result.error.code == "not_uploaded"
        else:
            assert result.new_processing_id == current
            assert current not in {each.processing_id for each in failed}
    assert len(bulk.world.queue.bodies) == 4


# -- one at a time, and cancelled ---------------------------------------------------------------------------------


async def test_a_tenant_has_one_bulk_job_of_a_kind_until_it_has_ended(bulk: Bulk) -> None:
    first = await bulk.start()
    with pytest.raises(BulkInProgress, match=first.bulk_id):
        await bulk.start()
    await bulk.start(PROCESS)
    await bulk.jobs.start("other", DELETE, ALL, by="key:b")
    await bulk.ended(first)
    second = await bulk.start()
    assert [job.bulk_id for job in await bulk.jobs.list(TENANT) if job.open] == [second.bulk_id]
    with pytest.raises(BulkNotFound):
        await bulk.jobs.get("other", second.bulk_id)


async def test_one_that_nobody_works_on_is_cancelled_at_once_and_one_that_has_ended_stays_as_it_is(
    bulk: Bulk,
) -> None:
    (image,) = await bulk.images(1)
    job = await bulk.start()
    for _ in range(2):
        job = await bulk.jobs.cancel(TENANT, job.bulk_id, by="key:b")
        assert (job.state, job.cancelled_by) == (BulkState.CANCELLED, "key:b")
    assert (await bulk.ended(job)).done == 0
    assert await bulk.is_there(image)
    done = await bulk.ended(await bulk.start())
    assert await bulk.jobs.cancel(TENANT, done.bulk_id, by="key:b") == done


async def test_one_in_work_is_cancelled_between_two_images(bulk: Bulk) -> None:
    images = await bulk.images(8)
    await next_millisecond()
    job = await bulk.start()
    delete = operations(bulk.world.catalog)[DELETE]

    class Cancelled:
        steps_back = False

        async def do(self, job: BulkJob, item: BulkItem) -> BulkResult:
            seen = await bulk.jobs.cancel(TENANT, job.bulk_id, by="key:b")
            assert seen.state is BulkState.CANCELLING
            return await delete.do(job, item)

    ended = await bulk.ended(job, table={DELETE: Cancelled()})
    assert (ended.state, ended.done) == (BulkState.CANCELLED, 3)
    assert sum([await bulk.is_there(each) for each in images]) == 5
    assert len(await bulk.results(ended)) == 3


# -- what goes wrong ----------------------------------------------------------------------------------------------


class Failing:
    """An operation that fails with this, while it is told to."""

    steps_back = False

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error
        self.done: list[str] = []

    async def do(self, job: BulkJob, item: BulkItem) -> BulkResult:
        if self.error is not None:
            raise self.error
        self.done.append(item.unique_id)
        return BulkResult(unique_id=item.unique_id, processing_id=item.processing_id)


@pytest.mark.parametrize(
    ("error", "seconds"), [(Unavailable(), 30), (DailyLimitReached(4000, what="bytes", limit=1, actual=2), 4000)]
)
async def test_an_outage_or_a_limit_of_the_day_fails_no_image_and_the_job_goes_on_later(
    bulk: Bulk, monkeypatch: pytest.MonkeyPatch, error: Any, seconds: int
) -> None:
    images, began = await bulk.images(7), clock.now()
    await next_millisecond()
    operation = Failing(error)
    job = await bulk.ended(await bulk.start(), table={DELETE: operation})
    assert (job.state, job.done, job.failed, job.paused_for) == (BulkState.RUNNING, 0, 0, error.code)
    assert job.paused_until is not None
    assert seconds <= (job.paused_until - began).total_seconds() < seconds + 20
    operation.error = None
    monkeypatch.setattr(clock, "now", lambda: began + timedelta(seconds=seconds + 20))
    job = await bulk.ended(job, table={DELETE: operation})
    assert (job.state, job.done, job.paused_for) == (BulkState.COMPLETED, 7, None)
    assert sorted(operation.done) == sorted(each.unique_id for each in images)


async def test_a_defect_fails_the_image_alone_and_says_nothing_of_itself(bulk: Bulk) -> None:
    await bulk.images(2)
    await next_millisecond()
    job = await bulk.ended(await bulk.start(), table={DELETE: Failing(RuntimeError("secret"))})
    assert (job.state, job.failed) == (BulkState.COMPLETED, 2)
    assert {result.error for result in await bulk.results(job)} == {
        Failure(code="internal_error", message="Something went wrong.")
    }


async def test_a_job_that_breaks_whoever_takes_it_up_ends_after_some_tries(
    bulk: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bulk.images(1)
    monkeypatch.setattr(changes, "MAX_ATTEMPTS", 3)
    job, moment = await bulk.start(), clock.now()

    class Broken:
        async def list(self, query: Any) -> Any:
            raise RuntimeError(query)

    for number in range(changes.MAX_ATTEMPTS + 1):
        monkeypatch.setattr(clock, "now", lambda at=moment + number * timedelta(minutes=1): at)
        job = await bulk.ended(job, jobs=Broken())
        assert job.open == (number < changes.MAX_ATTEMPTS)
    assert job.state is BulkState.FAILED


async def test_while_uploads_wait_a_page_waits_too_but_not_for_ever(
    bulk: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bulk.images(1)
    await next_millisecond()
    job, looks = await bulk.start(), 0

    class Crowded:
        async def depth(self) -> QueueDepth:
            nonlocal looks
            looks += 1
            return QueueDepth(waiting=0 if looks == quiet_at else 100, in_flight=0)

    quiet_at = 5
    assert (await bulk.ended(job, queue=Crowded())).done == 1
    assert looks == 5
    await bulk.images(1)
    await next_millisecond()
    monkeypatch.setattr(runner, "YIELD_SECONDS", 0.05)
    assert (await bulk.ended(await bulk.start(), queue=Crowded())).done == 1


async def test_a_process_that_stops_ends_what_it_has_in_hand_and_leaves_the_rest_to_another(bulk: Bulk) -> None:
    images = await bulk.images(8)
    await next_millisecond()
    job = await bulk.start()
    delete = operations(bulk.world.catalog)[DELETE]
    begun, gate = asyncio.Event(), asyncio.Event()

    class Slow:
        steps_back = False

        async def do(self, job: BulkJob, item: BulkItem) -> BulkResult:
            begun.set()
            await gate.wait()
            return await delete.do(job, item)

    stopping = bulk.process({DELETE: Slow()}, per_second=1)
    stopping.start()
    await begun.wait()
    drained = asyncio.create_task(stopping.drain(10))
    await asyncio.sleep(0)
    gate.set()
    await drained
    job = await bulk.jobs.get(TENANT, job.bulk_id)
    assert (job.state, job.done, job.lease, job.attempts) == (BulkState.RUNNING, 1, None, 0)
    job = await bulk.ended(job)
    assert (job.state, job.done, len(await bulk.results(job))) == (BulkState.COMPLETED, 8, 8)
    assert [await bulk.is_there(each) for each in images] == [False] * 8


async def test_whoever_lost_the_lease_hears_of_it_and_stops(bulk: Bulk) -> None:
    await bulk.images(1)
    await next_millisecond()
    job = await bulk.start()
    cancelled = asyncio.Event()

    class Hanging:
        steps_back = False

        async def do(self, job: BulkJob, item: BulkItem) -> BulkResult:
            present = await bulk.jobs.get(TENANT, job.bulk_id)
            other = Lease(token="other", owner="o", expires_at=time.time() + 60)
            await bulk.store.save(replace(present, lease=other))
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            raise AssertionError

    await bulk.process({DELETE: Hanging()}, lease_seconds=0.03).work_once()
    assert cancelled.is_set()
    present = await bulk.jobs.get(TENANT, job.bulk_id)
    assert present.lease is not None
    assert present.lease.token == "other"


async def test_one_look_for_work_is_enough_for_a_process(bulk: Bulk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does whoever waited to look begin while the process ends."""
    looks, looked, open_jobs = list[str](), asyncio.Event(), bulk.store.open_jobs

    async def look() -> tuple[BulkJob, ...]:
        looks.append("look")
        looked.set()
        return await open_jobs()

    monkeypatch.setattr(bulk.store, "open_jobs", look)
    monkeypatch.setattr(runner, "LOOK_SECONDS", 10 * PATIENCE_SECONDS)
    process = bulk.process()
    process.start()
    await asyncio.wait_for(looked.wait(), PATIENCE_SECONDS)
    await process.drain(PATIENCE_SECONDS)
    assert looks == ["look"]


async def test_whoever_finds_nothing_looks_again(bulk: Bulk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LOOK_SECONDS", 0.01)
    process = bulk.process()
    process.start()
    job = await bulk.start()

    async def ended() -> bool:
        return not (await bulk.jobs.get(TENANT, job.bulk_id)).open

    await eventually(ended)
    await process.drain(PATIENCE_SECONDS)


async def test_a_bulk_job_goes_on_at_once_after_its_turn(bulk: Bulk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though another task of the process waits until it is time to look again."""
    monkeypatch.setattr(runner, "LOOK_SECONDS", 10 * PATIENCE_SECONDS)
    monkeypatch.setattr(runner, "SLICE_SECONDS", 0.001)
    monkeypatch.setattr(runner, "PAGE", 1)
    await bulk.images(4)
    job = await bulk.start()
    process = bulk.process()
    process.start()

    async def ended() -> bool:
        return not (await bulk.jobs.get(TENANT, job.bulk_id)).open

    await eventually(ended)
    await process.drain(PATIENCE_SECONDS)
    assert (await bulk.jobs.get(TENANT, job.bulk_id)).done == 4


async def test_two_bulk_jobs_are_in_work_at_once_in_a_process(bulk: Bulk) -> None:
    await bulk.images(1)
    jobs = [await bulk.start(operation) for operation in (DELETE, PROCESS)]
    both = asyncio.Barrier(len(jobs))

    class Together:
        steps_back = False

        async def do(self, job: BulkJob, item: BulkItem) -> BulkResult:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await both.wait()
            return BulkResult(unique_id=item.unique_id, processing_id=item.processing_id)

    async def done() -> bool:
        return all([(await bulk.jobs.get(TENANT, job.bulk_id)).done for job in jobs])

    process = bulk.process({DELETE: Together(), PROCESS: Together()})
    process.start()
    await eventually(done)
    await process.drain(PATIENCE_SECONDS)


# -- killed -------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is not there any more."""


@dataclass
class Life:
    """So many calls until a process dies, before or after the call that is its last."""

    calls: int
    after: bool = False

    def dying(self, of: Any, *names: str) -> Any:
        """The same thing, of which some methods end the process."""
        life = self

        class Mortal:
            def __getattr__(self, name: str) -> Any:
                found = getattr(of, name)
                return life.call(found) if name in names else found

        return Mortal()

    def call(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(*args: Any, **how: Any) -> Any:
            self.calls -= 1
            if self.calls < 0 or (self.calls == 0 and not self.after):
                raise Killed
            answer = await method(*args, **how)
            if self.calls == 0:
                raise Killed
            return answer

        return counted


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("operation", [DELETE, PROCESS])
async def test_killed_at_any_call_the_job_goes_on_elsewhere_and_no_image_is_done_twice(
    operation: str, after: bool
) -> None:
    last = 0
    while True:
        last += 1
        bulk, life = Bulk(), Life(last, after)
        images = [await bulk.failed() for _ in range(5)]
        await next_millisecond()
        job = await bulk.start(operation, ALL)
        do = operations(bulk.world.catalog)[operation]
        with suppress(Killed):
            await bulk.process(
                {operation: life.dying(do, "do")},
                store=life.dying(bulk.store, "get", "save"),
                jobs=life.dying(bulk.world.jobs, "list"),
                lease_seconds=-1,  # that of the dead has run out
            ).work_once()
        if operation == PROCESS:
            await _convert_all(bulk)  # in the meantime
        job = await bulk.ended(job)
        assert (job.state, job.found, job.done, job.failed) == (BulkState.COMPLETED, 5, 5, 0), last
        assert {each.unique_id for each in await bulk.results(job)} == {each.unique_id for each in images}
        for each in images:
            assert await bulk.is_there(each) == (operation == PROCESS)
            if operation == PROCESS:
                image = await bulk.world.jobs.get_image(TENANT, each.unique_id)
                assert len(image.job_ids) == 2, last
        if life.calls > 0:
            break
    assert last > 10


async def _convert_all(bulk: Bulk) -> None:
    """What the dead process had asked for is done before another takes over."""
    for body in list(bulk.world.queue.bodies):
        for event in events_of(body):
            await bulk.world.converter.convert(event)
