"""Ends of jobs are counted by how, each once, for Prometheus."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from prometheus_client import CollectorRegistry

from processor import clock
from processor.errors import CorruptImage, Unavailable
from processor.facts import Facts
from processor.jobs import End, Job, JobStatus, Review, withheld
from processor.recipes import BLUR_FACES
from processor.stores.clients import open_clients
from processor.stores.config import AwsCredentials
from service.config import Settings
from service.observe.ends import EndCounter
from service.observe.metrics import Metrics
from service.wiring import make_stores
from tests.unit.service.test_config import REQUIRED
from tests.unit.world import TENANT, World

CREDENTIALS = AwsCredentials(access_key_id="id", secret_access_key="secret")


@dataclass
class Scene:
    """A service whose ends are counted."""

    remembered: int = 100
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.counter = EndCounter(self.registry, remembered=self.remembered)
        self.world = World(listeners=(self.counter,))

    @property
    def ends(self) -> dict[str, float | None]:
        """How many there were, of those that there were."""
        counts = {
            end.value: self.registry.get_sample_value("truss_jobs_ended_total", {"end": end.value}) for end in End
        }
        return {end: count for end, count in counts.items() if count != 0}

    async def job(self) -> Job:
        return (await self.world.submitted()).job


async def broken() -> None:
    raise CorruptImage


async def away() -> None:
    raise Unavailable


def test_before_anything_has_ended_every_end_is_there_with_a_zero() -> None:
    assert Scene().ends == {}


async def test_every_end_counts_by_how_whoever_brings_it_about() -> None:
    scene = Scene()
    world = scene.world
    completed, event = await world.uploaded()
    await world.converter.convert(event)
    world.renderer.during = broken
    _, event = await world.uploaded()
    await world.converter.convert(event)
    assert scene.ends == {"completed": 1, "failed": 1}

    world.renderer.during = away
    _, event = await world.uploaded()
    with pytest.raises(Unavailable):
        await world.converter.convert(event)
    world.renderer.during = None
    await world.converter.convert(await world.source.put(event.key, b"newer"))
    assert scene.ends == {"completed": 2, "failed": 1, "superseded": 1}

    await world.catalog.delete(TENANT, completed.job.unique_id)
    assert scene.ends == {"completed": 2, "failed": 1, "superseded": 1, "deleted": 1}


async def test_a_message_that_comes_again_counts_nothing() -> None:
    scene = Scene()
    _, event = await scene.world.uploaded()
    for _ in range(3):
        await scene.world.converter.convert(event)
    assert scene.ends == {"completed": 1}


async def test_another_end_of_the_same_job_counts() -> None:
    scene = Scene()
    job = await scene.job()
    for end in (End.FAILED, End.COMPLETED, End.FAILED, End.DELETED):
        await scene.counter.ended(job, end)
    assert scene.ends == {"failed": 1, "completed": 1, "deleted": 1}


@pytest.mark.parametrize(("others", "counted"), [(1, 1), (2, 2)])
async def test_what_is_remembered_is_bounded_and_the_oldest_is_forgotten_first(others: int, counted: int) -> None:
    scene = Scene(remembered=2)
    job = await scene.job()
    await scene.counter.ended(job, End.SUPERSEDED)
    for _ in range(others):
        await scene.counter.ended(await scene.job(), End.COMPLETED)
    await scene.counter.ended(job, End.SUPERSEDED)
    assert scene.ends["superseded"] == counted


async def test_what_is_told_again_is_remembered_anew() -> None:
    scene = Scene(remembered=2)
    job = await scene.job()
    for _ in range(4):
        await scene.counter.ended(job, End.SUPERSEDED)
        await scene.counter.ended(await scene.job(), End.COMPLETED)
    assert scene.ends == {"superseded": 1, "completed": 4}


async def test_the_service_counts_ends_beside_its_other_metrics_and_a_command_counts_none() -> None:
    settings, metrics = Settings.from_env(REQUIRED), Metrics()
    async with open_clients(settings.aws(CREDENTIALS)) as clients:
        served, command = make_stores(settings, clients, metrics), make_stores(settings, clients)
    (counter,) = [each for each in served.listeners if isinstance(each, EndCounter)]
    await counter.ended(await Scene().job(), End.COMPLETED)
    assert 'truss_jobs_ended_total{end="completed"} 1.0' in metrics.exposition()[0].decode()
    assert not any(isinstance(each, EndCounter) for each in command.listeners)


async def test_faces_that_were_hidden_are_counted_once_for_each_image() -> None:
    scene = Scene()
    fact = {"boxes": [[0.1, 0.1, 0.2, 0.2, 0.9]] * 2}
    facts = Facts.of({BLUR_FACES: fact}, [BLUR_FACES])
    shown = replace(await scene.job(), facts=facts)
    held = replace(await scene.job(), review=Review(reason="faces_unsure", asked_at=clock.now(), facts=facts))
    for _ in range(2):
        await scene.counter.ended(shown, End.COMPLETED)
        await scene.counter.ended(held, End.NEEDS_REVIEW)
        await scene.counter.ended(replace(held, facts=facts), End.COMPLETED)  # a reviewer has approved it
    assert scene.registry.get_sample_value("truss_faces_hidden_total") == 4


async def test_what_is_held_is_counted_by_why_once_and_its_end_when_it_is_decided() -> None:
    scene = Scene()
    waiting = withheld(replace(await scene.job(), status=JobStatus.PROCESSING), "preset", clock.now())
    for _ in range(2):
        await scene.counter.ended(waiting, End.NEEDS_REVIEW)
    await scene.counter.ended(waiting, End.REJECTED)
    assert scene.ends == {"needs_review": 1, "rejected": 1}
    assert scene.registry.get_sample_value("truss_held_total", {"reason": "preset"}) == 1
