"""Uploads that no message will come for."""

from __future__ import annotations

import pytest

from processor.jobs import JobStatus
from processor.ports import JobQuery
from processor.reconcile import Reconciler
from processor.worker import Worker, WorkerConfig
from tests.unit.world import TENANT, World
from tests.waiting import eventually


@pytest.fixture
def world() -> World:
    return World()


async def _reconcile(world: World) -> int:
    return await Reconciler(catalog=world.catalog, source_bucket="source", tenant=TENANT).reconcile()


async def _work(world: World) -> None:
    worker = Worker(world.queue, world.converter, WorkerConfig(slots=1, wait_seconds=1))
    worker.start()

    async def idle() -> bool:
        return not world.queue.bodies

    await eventually(idle, within=20)
    await worker.drain(5)


async def _statuses(world: World) -> list[JobStatus]:
    page = await world.catalog.list(JobQuery(tenant=TENANT, limit=100))
    return [job.status for job in page.jobs]


async def test_an_upload_whose_event_was_lost_is_converted(world: World) -> None:
    await world.uploaded()
    assert await _reconcile(world) == 1
    await _work(world)
    assert await _statuses(world) == [JobStatus.COMPLETED]


async def test_a_job_whose_message_was_lost_is_converted(world: World) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    await world.catalog.reprocess(TENANT, submission.job.unique_id)
    (message,) = await world.queue.receive(1, wait_seconds=0, visibility_seconds=60)
    await world.queue.settle([message.receipt])

    assert await _reconcile(world) == 1
    await _work(world)
    assert await _statuses(world) == [JobStatus.COMPLETED]


async def test_an_upload_whose_record_was_lost_is_adopted(world: World) -> None:
    _, event = await world.uploaded()
    world.jobs._images.clear()
    world.jobs._jobs.clear()

    assert await _reconcile(world) == 1
    await _work(world)
    page = await world.catalog.list(JobQuery(tenant=TENANT, limit=100))
    assert [(job.status, job.original_key) for job in page.jobs] == [(JobStatus.COMPLETED, event.key)]


async def test_a_newer_upload_whose_event_was_lost_is_converted_and_the_next_one_is_newer_still(world: World) -> None:
    _, event = await world.uploaded(b"older")
    await world.converter.convert(event)
    await world.source.put(event.key, b"newer")

    assert await _reconcile(world) == 1
    await _work(world)
    await world.converter.convert(await world.source.put(event.key, b"newest"))
    assert world.renderer.rendered == [b"older", b"newer", b"newest"]


async def test_what_a_deleted_image_left_behind_is_removed(world: World) -> None:
    submission, event = await world.uploaded()
    await world.catalog.delete(TENANT, submission.job.unique_id)
    await world.source.put(event.key, b"revenant")

    assert await _reconcile(world) == 1
    await _work(world)
    assert await world.source.list("") == []


async def test_what_is_in_order_is_left_alone_and_a_second_run_changes_nothing(world: World) -> None:
    _, event = await world.uploaded()
    await world.converter.convert(event)
    await world.source.put("uploads/readme.txt", b"not ours")
    assert [await _reconcile(world) for _ in range(2)] == [0, 0]


async def test_running_twice_does_the_work_once(world: World) -> None:
    await world.uploaded()
    assert [await _reconcile(world) for _ in range(2)] == [1, 1]
    await _work(world)
    assert len(world.renderer.rendered) == 1
    assert await _statuses(world) == [JobStatus.COMPLETED]


async def test_an_image_whose_job_has_expired_is_left_alone(world: World) -> None:
    _, event = await world.uploaded()
    await world.converter.convert(event)
    world.jobs._jobs.clear()
    assert await _reconcile(world) == 0
