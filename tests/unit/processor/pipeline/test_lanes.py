"""First pictures and long work: who has a thread, and that the files are the same whoever makes them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import CorruptImage, NotConvertible, TimedOut, TooLargeForMemory
from processor.formats.info import ImageInfo
from processor.images import Variant
from processor.pipeline import engine as engine_module
from processor.pipeline import geometry
from processor.pipeline.engine import Engine, EngineConfig
from processor.pipeline.estimate import working_bytes
from processor.pipeline.lanes import Lanes
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import Rendering, inspect, render
from processor.ports.renderer import Ticket
from processor.recipes import STANDARD, Recipe, VariantSpec, standard
from tests import corpus
from tests.unit.processor.pipeline.test_engine import Behind, Gate, settled, until
from tests.waiting import PATIENCE_SECONDS

FAST = standard(effort=0)
#: A picture of which one variant takes long.
WIDTH, HEIGHT = 2400, 1600


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate(has_rest=True)
    monkeypatch.setattr(engine_module, "Rendering", gate)
    return gate


def engine_of(threads: int, **limits: float) -> Engine:
    return Engine(EngineConfig(threads=threads, memory_budget_bytes=10**9, limits=FileLimits(**limits)))  # type: ignore[arg-type]


def named(name: str) -> Recipe:
    return replace(FAST, name=name)


async def close(engine: Engine) -> None:
    engine.abort()
    await engine.close()


# -- who has a thread ------------------------------------------------------------------------------------------------


async def test_an_image_alone_has_a_thread_for_each_part(gate: Gate) -> None:
    engine = engine_of(threads=2)
    work = asyncio.create_task(engine.render(corpus.jpeg(), named("only")))

    await gate.wait_for(2)

    assert sorted(gate.order) == ["first of only", "rest of only"]
    gate.opened.set()
    gate.rest_opened.set()
    await work
    await close(engine)


async def test_where_there_is_one_thread_the_parts_come_one_after_the_other(gate: Gate) -> None:
    engine = engine_of(threads=1)
    work = asyncio.create_task(engine.render(corpus.jpeg(), named("only")))
    await gate.wait_for(1)
    await settled()
    assert gate.order == ["first of only"]

    gate.opened.set()
    await gate.wait_for(1)

    assert gate.order == ["first of only", "rest of only"]
    gate.rest_opened.set()
    await work
    await close(engine)


@pytest.mark.parametrize("threads", [1, 2])
async def test_a_first_picture_does_not_wait_behind_long_work(gate: Gate, threads: int) -> None:
    engine = engine_of(threads)
    gate.opened.set()  # all first parts go through; all long work stays
    busy = [asyncio.create_task(engine.render(corpus.jpeg(), named(f"busy-{number}"))) for number in range(threads)]
    await gate.wait_for(2 * threads)

    late = asyncio.create_task(engine.render(corpus.jpeg(), named("late")))
    await gate.wait_for(1)

    assert gate.order[-1] == "first of late"
    await until(lambda: engine.load.waiting == 1)  # for its long work
    assert engine.load.running == threads
    gate.rest_opened.set()
    await asyncio.gather(*busy, late)
    assert gate.order[-1] == "rest of late"
    await close(engine)


async def test_the_clock_of_an_image_stands_while_it_waits_for_a_thread(gate: Gate) -> None:
    engine = engine_of(threads=1, timeout_seconds=1.0)
    gate.opened.set()
    clock = time.monotonic()
    with patch("processor.pipeline.limits.time") as told:
        told.monotonic.side_effect = lambda: clock
        busy = asyncio.create_task(engine.render(corpus.jpeg(), named("busy")))
        await gate.wait_for(2)
        patient = asyncio.create_task(engine.render(corpus.jpeg(), named("patient")))
        await gate.wait_for(1)
        await until(lambda: engine.load.waiting == 1)

        clock += 3600

        with pytest.raises(TimedOut):  # the one that works
            await busy
        await gate.wait_for(1)
        assert not engine.stuck
        gate.rest_opened.set()
        await patient
    await close(engine)


async def test_long_work_that_waits_is_given_up_when_the_first_part_fails(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(threads=1)

    def broken(self: Behind, decoded: object) -> None:
        decoded()  # type: ignore[operator]
        raise NotConvertible(actual=1)

    monkeypatch.setattr(Behind, "first", broken)
    with pytest.raises(NotConvertible):
        await asyncio.wait_for(engine.render(corpus.jpeg(), named("broken")), PATIENCE_SECONDS)

    assert gate.order == []
    assert (engine.load.running, engine.load.waiting, engine.load.free_bytes) == (0, 0, 10**9)
    await close(engine)


async def test_long_work_that_runs_is_called_off_when_the_first_part_fails(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(threads=2)

    def broken(self: Behind, decoded: object) -> None:
        decoded()  # type: ignore[operator]
        assert self.gate.entered.acquire(timeout=PATIENCE_SECONDS)  # the rest is at it
        raise CorruptImage

    monkeypatch.setattr(Behind, "first", broken)
    with pytest.raises(CorruptImage):
        await asyncio.wait_for(engine.render(corpus.jpeg(), named("broken")), PATIENCE_SECONDS)

    assert gate.order == ["rest of broken"]
    assert (engine.load.running, engine.load.free_bytes) == (0, 10**9)
    await close(engine)


async def test_what_breaks_in_long_work_breaks_the_image(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(threads=2)
    gate.opened.set()

    def broken(self: Behind) -> None:
        raise NotConvertible(actual=1)

    monkeypatch.setattr(Behind, "rest", broken)
    with pytest.raises(NotConvertible):
        await asyncio.wait_for(engine.render(corpus.jpeg(), named("broken")), PATIENCE_SECONDS)

    assert (engine.load.running, engine.load.waiting, engine.load.free_bytes) == (0, 0, 10**9)
    await close(engine)


@given(threads=st.integers(1, 4), asks=st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=30))
def test_no_more_threads_are_at_work_than_there_are_processors_and_one_for_a_first_picture(
    threads: int, asks: list[tuple[bool, str]]
) -> None:
    async def story() -> None:
        lanes = Lanes(threads)
        leave = asyncio.Event()

        async def work(*, first: bool, tenant: str) -> None:
            async with (lanes.first if first else lanes.long).turn(tenant):
                assert lanes.first.running <= threads
                assert lanes.long.running <= threads
                assert lanes.running <= threads + 1
                await leave.wait()
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(work(first=first, tenant=tenant)) for first, tenant in asks]
        await settled()
        waiting = lanes.first.waiting + lanes.long.waiting
        assert lanes.running + waiting == len(asks)
        assert not waiting or lanes.running >= threads
        leave.set()
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_SECONDS)
        assert (lanes.running, lanes.first.waiting, lanes.long.waiting) == (0, 0, 0)

    asyncio.run(story())


async def test_tenants_take_turns_in_the_lane_for_first_pictures() -> None:
    lanes, order = Lanes(1), list[str]()

    async def first(tenant: str) -> None:
        async with lanes.first.turn(tenant):
            order.append(tenant)
            await asyncio.sleep(0)

    await asyncio.gather(*(first(tenant) for tenant in "aaaab"))

    assert order[:2] == ["a", "b"]


# -- the files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
async def test_the_files_are_the_same_whoever_makes_them(threads: int) -> None:
    data = corpus.jpeg(corpus.large(WIDTH, HEIGHT))
    alone = render(data, inspect(data, FileLimits()), FAST, Deadline(PATIENCE_SECONDS))
    engine = engine_of(threads)

    several = await asyncio.gather(*(engine.render(data, FAST) for _ in range(3)))

    assert [each.variants for each in several] == [alone.variants] * 3
    assert [variant.name for variant in alone.variants] == [spec.name for spec in FAST.specs]
    await close(engine)


async def test_the_smallest_is_told_first_and_the_answer_is_in_the_order_of_the_recipe() -> None:
    backwards = replace(FAST, specs=tuple(reversed(STANDARD.specs)))
    told: list[str] = []
    engine = engine_of(threads=1)

    def ready(variant: Variant) -> None:
        told.append(variant.name)

    made = await engine.render(corpus.jpeg(corpus.large(WIDTH, HEIGHT)), backwards, Ticket(ready=ready))

    assert told == ["thumbnail", "medium", "large", "webp"]
    assert [variant.name for variant in made.variants] == ["webp", "large", "medium", "thumbnail"]
    await close(engine)


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (1400, 1050)], ids=["takes long", "half of the work"])
def test_the_first_part_makes_what_is_soon_made_and_the_rest_the_largest(size: tuple[int, int]) -> None:
    data = corpus.jpeg(corpus.large(*size))
    told: list[str] = []
    rendering = Rendering(
        data, inspect(data, FileLimits()), FAST, Deadline(PATIENCE_SECONDS), lambda variant: told.append(variant.name)
    )

    rendering.first(lambda: told.append("decoded"))
    assert told == ["decoded", "thumbnail", "medium", "large"]
    rendering.rest()
    assert told[4:] == ["webp"]


def test_what_is_the_same_as_another_variant_is_not_made_beside_it() -> None:
    info = ImageInfo(format="jpeg", width=1400, height=1050)
    thumbnail, medium, large, whole = FAST.specs
    same = replace(whole, name="large", box=(1920, 1080))

    assert geometry.in_two_parts(info, [thumbnail, medium, large, whole])[1] == [(whole, (1400, 1050))]
    assert geometry.in_two_parts(info, [thumbnail, medium, same, whole])[1] == []
    assert geometry.in_two_parts(info, [whole])[1] == []


@given(st.integers(1, 6000), st.integers(1, 6000), st.integers(1, 5), st.permutations(STANDARD.specs))
def test_each_variant_is_in_one_part_and_what_takes_long_in_the_second(
    width: int, height: int, frames: int, specs: list[VariantSpec]
) -> None:
    info = ImageInfo(format="gif", width=width, height=height, frames=frames)

    soon, long = geometry.in_two_parts(info, specs)

    assert soon + long == geometry.smallest_first(info, specs)
    assert not any(geometry.takes_long(info, size) for _, size in soon)
    assert (len(long) == 1 and frames == 1) or all(geometry.takes_long(info, size) for _, size in long)


def test_a_small_picture_is_made_in_one_part() -> None:
    data = corpus.jpeg()

    assert not Rendering(data, inspect(data, FileLimits()), FAST, Deadline(PATIENCE_SECONDS)).has_rest


def test_what_is_made_beside_long_work_is_in_the_estimate() -> None:
    """A picture just large enough for two threads is estimated higher than one that is just too small, by a variant."""
    height = 800
    small = ImageInfo(format="jpeg", width=geometry.HALF_PIXELS // height, height=height)
    large = replace(small, width=small.width + 1)
    beside = geometry.target_size(large, FAST.specs[2])

    more = working_bytes(large, 0, FAST) - working_bytes(small, 0, FAST)

    assert more > 5 * beside[0] * beside[1]


async def test_what_fits_in_only_one_after_the_other_is_not_refused(gate: Gate) -> None:
    """Two images whose shares do not fit together take turns at memory, whatever the lanes would allow."""
    info = inspect(corpus.jpeg(), FileLimits())
    share = working_bytes(info, len(corpus.jpeg()), FAST)
    engine = Engine(EngineConfig(threads=2, memory_budget_bytes=round(share * 1.5)))
    gate.opened.set()
    gate.rest_opened.set()

    results = await asyncio.gather(*(engine.render(corpus.jpeg(), FAST) for _ in range(4)), return_exceptions=True)

    assert not any(isinstance(result, TooLargeForMemory) for result in results)
    assert engine.load.free_bytes == round(share * 1.5)
    await close(engine)
