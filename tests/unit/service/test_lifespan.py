"""What an application needs lives as long as it, and the work ends before it."""

from __future__ import annotations

from typing import Any

from processor.bulk.runner import BulkRunner
from processor.stores.memory import MemoryBulkStore
from processor.work.worker import Worker, WorkerConfig
from service.app import create_app
from service.config import Settings
from service.lifespan import _at_work
from service.observe.health import DRAINING
from service.wiring import Work
from tests.unit.service.test_config import REQUIRED
from tests.unit.world import World
from tests.waiting import eventually


class Renderers:
    """Close, and nothing else."""

    closed = False
    engine: Any = None
    room: Any = None

    async def close(self) -> None:
        self.closed = True


def _work() -> tuple[Work, Renderers]:
    world, renderers = World(), Renderers()
    worker = Worker(world.queue, world.converter, WorkerConfig(slots=1, wait_seconds=1))
    bulk = BulkRunner(
        store=MemoryBulkStore(),
        jobs=world.jobs,
        queue=world.queue,
        operations={},
        per_second=1,
        lease_seconds=60,
        owner="tests",
    )
    return Work(worker=worker, renderers=renderers, bulk=bulk), renderers  # type: ignore[arg-type]


async def test_work_ends_with_the_order_to_stop_and_not_only_with_the_application() -> None:
    app = create_app(Settings.from_env(REQUIRED))
    work, renderers = _work()
    async with _at_work(app, work):
        await eventually(lambda: _that(work.worker.polling), what="a worker that polls")
        app[DRAINING].set()
        await eventually(lambda: _that(renderers.closed), what="the end of the work")
        assert not work.worker.polling
        assert work.worker.alive  # it was to end


async def test_an_application_that_ends_without_an_order_ends_the_work_too() -> None:
    app = create_app(Settings.from_env(REQUIRED))
    work, renderers = _work()
    async with _at_work(app, work):
        await eventually(lambda: _that(work.worker.polling), what="a worker that polls")
    assert renderers.closed
    assert work.worker.alive


async def _that(condition: bool) -> bool:
    return condition
