"""What an application needs lives as long as it, and the work ends before it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from processor.bulk.runner import BulkRunner
from processor.errors import Unavailable
from processor.stores.memory import MemoryBulkStore
from processor.work.worker import Worker, WorkerConfig
from service import lifespan
from service.app import create_app
from service.config import SETTINGS, Settings, SettingsError
from service.http.rendering import LINKS
from service.lifespan import _at_work
from service.observe.health import DRAINING
from service.wiring import Work
from tests.unit.service.http.test_signing import secret
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


@pytest.mark.parametrize(
    ("text", "why"), [(None, "is not there, may not be read"), ("secret words", "must be {"), ("", "must be {")]
)
async def test_a_process_without_the_key_that_it_is_to_have_does_not_start_and_says_why(
    monkeypatch: pytest.MonkeyPatch, text: str | None, why: str
) -> None:
    monkeypatch.setattr(lifespan, "open_secret", _secret_of(text))
    app = create_app(Settings.from_env(REQUIRED | {"PRIVATE_KEY_SECRET_ID": "a/b"}))
    with pytest.raises(SettingsError, match=f"^PRIVATE_KEY_SECRET_ID: .*{why}") as refused:
        async with lifespan._private_key(app, app[SETTINGS].aws()):
            pytest.fail("it started")
    assert "secret words" not in str(refused.value)


async def test_the_key_is_read_from_its_secret_where_urls_are_made_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifespan, "open_secret", _secret_of(secret("FIRST")))
    app = create_app(Settings.from_env(REQUIRED | {"PRIVATE_KEY_SECRET_ID": "a/b"}))
    async with lifespan._private_key(app, app[SETTINGS].aws()):
        assert "Key-Pair-Id=FIRST" in app[LINKS].now().url("private/a/b/webp.webp")
    monkeypatch.setattr(lifespan, "open_secret", None)
    for others in ({"PRIVATE_KEY_SECRET_ID": "a/b", "ROLES": "worker"}, {}):
        app = create_app(Settings.from_env(REQUIRED | others))
        async with lifespan._private_key(app, app[SETTINGS].aws()):
            pass


def _secret_of(text: str | None) -> Any:
    @asynccontextmanager
    async def opened(_: object, name: str) -> AsyncIterator[Any]:
        assert name == "a/b"

        async def read() -> str:
            if text is None:
                raise Unavailable
            return text

        yield read

    return opened
