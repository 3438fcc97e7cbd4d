"""Whoever is still at work on an image when it is hidden or deleted leaves nothing behind that viewers read."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MethodType
from typing import Any

import pytest

from processor.errors import ImageDeleted, NotInReview, ReviewDecided
from processor.images import VARIANT_PREFIX
from processor.jobs import Decision, Job, JobStatus
from processor.manifest import is_manifest
from processor.recipes import FURTHER, STANDARD, Recipe, blurring, hiding_faces
from processor.reviews import Reviews
from processor.storing import Shelf
from tests.unit.processor.test_hidden_faces import (
    Looks,
    check_closed,
    converted,
    looks,
    objects,
    request_of,
    worked_off,
    world_of,
)
from tests.unit.processor.test_reviews import REVIEWED, held_image, keys
from tests.unit.processor.test_reviews import world_of as world_of_reviews
from tests.unit.world import TENANT, World

__all__ = ["looks"]

#: Calls that a process makes after it was stopped, before it dies; the last one does not.
LIVES = (0, 1, 2, 4, math.inf)
#: One small variant in two formats: a test makes it dozens of times.
OPEN = replace(
    STANDARD,
    specs=STANDARD.specs[:1],
    further=tuple(replace(spec, effort=0) for spec in FURTHER["avif"][:1]),
    analyses=(),
)
HIDING = replace(hiding_faces(OPEN, blurring("pixels")), name="street")


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Gate:
    """Stops a process before its next call, when it has made so many. It then goes on, for so many calls if it dies."""

    calls: int
    stands: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    lives: float = math.inf

    async def passed(self) -> None:
        if self.calls > 0:
            self.calls -= 1
            return
        self.stands.set()
        await self.opened.wait()
        if self.lives < 1:
            raise Killed
        self.lives -= 1

    def open(self, lives: float = math.inf) -> None:
        self.lives = lives
        self.opened.set()


class Gated:
    """A store whose calls pass a gate."""

    def __init__(self, store: Any, gate: Gate) -> None:
        self._store, self._gate = store, gate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not isinstance(found, MethodType):
            return found
        if asyncio.iscoroutinefunction(found):
            return self._passing(found)
        return self._walking(found) if name == "walk" else found

    def _passing(self, call: Callable[..., Awaitable[Any]]) -> Any:
        async def passing(*args: Any, **more: Any) -> Any:
            await self._gate.passed()
            return await call(*args, **more)

        return passing

    def _walking(self, walk: Callable[..., AsyncIterator[Any]]) -> Any:
        async def walking(*args: Any) -> AsyncIterator[Any]:
            await self._gate.passed()
            async for each in walk(*args):
                yield each

        return walking


async def stopped(gate: Gate, work: Awaitable[Any]) -> asyncio.Future[Any]:
    """Work that has come to its gate, or to its end."""
    task = asyncio.ensure_future(work)
    standing = asyncio.ensure_future(gate.stands.wait())
    await asyncio.wait({task, standing}, return_when=asyncio.FIRST_COMPLETED)
    standing.cancel()
    return task


async def ended(task: asyncio.Future[Any]) -> None:
    with suppress(Killed, ImageDeleted, NotInReview, ReviewDecided):
        await task


# -- a format that comes late


def gated_converter(world: World, gate: Gate) -> Any:
    converter = world.another_converter()
    further = converter.further
    further.jobs = Gated(world.jobs, gate)
    processed = Gated(world.processed, gate)
    further.stores = replace(further.stores, processed=processed)
    further.shelf = Shelf(processed=processed)
    return converter


@pytest.mark.parametrize("lives", LIVES)
async def test_an_older_format_that_comes_late_is_gone_when_the_image_hides_faces(looks: Looks, lives: float) -> None:
    """It is stopped before each of its calls; then the image becomes one with hidden faces, and it goes on, or dies."""
    for calls in range(30):
        world, gate = world_of(OPEN), Gate(calls)
        world.converter.recipe = OPEN
        older = await converted(world)
        task = await stopped(gate, gated_converter(world, gate).make_further(request_of(older)))
        came_to_its_end = task.done()
        await hidden(world, older)
        gate.open(lives)
        await ended(task)
        if lives < math.inf:  # its message comes again
            await world.another_converter().make_further(request_of(older))
        await check_closed(world)
        assert not [key for key in await objects(world) if older.processing_id in key]
        if came_to_its_end:
            assert calls >= 4
            return
    pytest.fail("it never came to its end")


async def test_what_edge_caches_may_have_read_of_it_is_forgotten(looks: Looks) -> None:
    world, gate = world_of(OPEN), Gate(100)
    older = await converted(world)
    await hidden(world, older)
    world.edge.forgotten.clear()
    late = [(older.prefix + name, b"late") for name in ("thumbnail.avif", "manifest.avif.json")]
    for key, file in late:
        await world.processed.store(key, file, content_type="image/avif", cache_control="", metadata={})
    await gated_converter(world, gate).make_further(request_of(older))
    assert not [key for key, _ in late if key in await objects(world)]
    assert world.edge.forgotten == [older.prefix]


async def hidden(world: World, older: Job) -> None:
    """The image becomes one that hides faces."""
    world.choice.standard = replace(HIDING, name="standard", version=STANDARD.version + 1)
    job = await world.catalog.reprocess(TENANT, older.unique_id, preset="standard")
    world.queue._letters.clear()
    await world.another_converter().convert(request_of(job))
    assert (await world.jobs.job_of_any_tenant(job.processing_id)).status is JobStatus.COMPLETED


# -- an approval and a delete at once


async def approving(world: World, job: Job, gate: Gate) -> Any:
    processed = Gated(world.processed, gate)
    stores = replace(world.stores, jobs=Gated(world.jobs, gate), processed=processed)
    reviews = Reviews(stores=stores, shelf=Shelf(processed=processed), retention=timedelta(days=30))
    return await reviews.decide(TENANT, job.unique_id, job.processing_id, Decision.APPROVED, by="key:r")


async def deleting(world: World, job: Job, gate: Gate) -> Any:
    stores = replace(world.stores, jobs=Gated(world.jobs, gate), processed=Gated(world.processed, gate))
    catalog = replace(world.catalog, stores=stores)
    return await catalog.delete(TENANT, job.unique_id)


async def meet(approval: int, delete: int, *, lives: float, recipe: Recipe) -> tuple[bool, bool]:
    """An approval gets so far, then a delete; the approval goes on or dies, then the delete goes on. Whether each came
    to its end in its first part."""
    world = world_of_reviews(recipe)
    job, _ = await held_image(world)
    ever = remember(world)
    first, second = Gate(approval), Gate(delete)
    approver = await stopped(first, approving(world, job, first))
    deleter = await stopped(second, deleting(world, job, second))
    ends = approver.done(), deleter.done()
    first.open(lives)
    await ended(approver)
    second.open()
    await ended(deleter)
    if lives < math.inf:
        assert not [key for key in await keys(world, "") if not is_manifest(key)]
        await worked_off(world)  # the message that the approval left
    assert await keys(world, "") == []
    for key, before in ever.items():
        if key.startswith(VARIANT_PREFIX):
            assert [prefix for prefix in world.edge.forgotten[before:] if key.startswith(prefix)], key
    return ends


@pytest.mark.parametrize("lives", LIVES)
@pytest.mark.parametrize("delete", [0, 2, 4, 6, 100])
async def test_nothing_public_is_left_where_an_approval_and_a_delete_meet(delete: int, lives: float) -> None:
    for approval in range(40):
        if (await meet(approval, delete, lives=lives, recipe=REVIEWED))[0]:
            assert approval > 8
            return
    pytest.fail("it never came to its end")


@pytest.mark.slow
@pytest.mark.parametrize("lives", LIVES)
@pytest.mark.parametrize("recipe", [REVIEWED, replace(REVIEWED, private=True)], ids=["public", "private"])
async def test_nor_where_they_meet_between_any_two_calls(recipe: Recipe, lives: float) -> None:
    for delete in range(40):
        done = False
        for approval in range(40):
            ends = await meet(approval, delete, lives=lives, recipe=recipe)
            done = done or ends[1]
            if ends[0]:
                break
        if done:
            assert delete > 6
            return
    pytest.fail("it never came to its end")


def remember(world: World) -> dict[str, int]:
    """The keys that the bucket ever has from now on, and how much edge caches had been told to forget by then."""
    ever: dict[str, int] = {}
    store = world.processed
    stored, copied = store.store, store.copy

    async def store_(_: Any, key: str, *args: Any, **more: Any) -> None:
        await stored(key, *args, **more)
        ever[key] = len(world.edge.forgotten)

    async def copy_(_: Any, key: str, to: str, **more: Any) -> None:
        await copied(key, to, **more)
        ever[to] = len(world.edge.forgotten)

    store.store, store.copy = MethodType(store_, store), MethodType(copy_, store)  # type: ignore[method-assign]
    return ever
