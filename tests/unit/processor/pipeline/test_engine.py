"""The engine: who may start, who waits, and how it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar

import pytest
import pyvips

from processor.errors import CorruptImage, TooLargeForMemory, Unavailable
from processor.formats.info import ImageInfo
from processor.images import Rendered
from processor.pipeline import decode
from processor.pipeline import engine as engine_module
from processor.pipeline.budget import MemoryBudget
from processor.pipeline.engine import Engine, EngineConfig, EngineLoad
from processor.pipeline.estimate import working_bytes
from processor.pipeline.limits import Deadline, FileLimits
from processor.ports.renderer import NO_TICKET, Ticket
from processor.recipes import Recipe, standard
from tests import corpus
from tests.waiting import PATIENCE_SECONDS, eventually

FAST = standard(effort=0)
BUDGET = 1_000_000_000


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine(EngineConfig(threads=2, memory_budget_bytes=BUDGET))
    yield engine
    engine.abort()
    await engine.close()


class Gate:
    """Stands in for the pipeline: each part of an image holds its thread until it is opened or called off."""

    def __init__(self, *, has_rest: bool = False) -> None:
        self.has_rest = has_rest
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()
        self.rest_opened = threading.Event()
        self.order: list[str] = []

    def __call__(
        self, data: bytes, info: ImageInfo, recipe: Recipe, deadline: Deadline, _: object, **__: object
    ) -> Behind:
        return Behind(self, info, recipe.name, deadline)

    def hold(self, opened: threading.Event, deadline: Deadline) -> None:
        self.entered.release()
        while not opened.wait(0.01):
            deadline.check()
        deadline.check()

    async def wait_for(self, count: int) -> None:
        """Until so many are inside."""
        for _ in range(count):
            assert await asyncio.to_thread(self.entered.acquire, timeout=PATIENCE_SECONDS)


class Behind:
    """One image behind the gate."""

    def __init__(self, gate: Gate, info: ImageInfo, name: str, deadline: Deadline) -> None:
        self.gate, self.info, self.name, self.deadline = gate, info, name, deadline
        self.has_rest = gate.has_rest

    def first(self, decoded: Callable[[], None]) -> None:
        self.deadline.start()
        decoded()
        self.gate.order.append(f"first of {self.name}")
        self.gate.hold(self.gate.opened, self.deadline)

    def rest(self) -> None:
        self.gate.order.append(f"rest of {self.name}")
        self.gate.hold(self.gate.rest_opened, self.deadline)

    def rendered(self) -> Rendered:
        return Rendered(source=self.info, variants=())

    def forget(self) -> None:
        """There are no pixels."""


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(engine_module, "Rendering", gate)
    yield gate
    gate.opened.set()
    gate.rest_opened.set()


async def until(holds: Callable[[], bool]) -> None:
    """Threads hand over to the loop when they like."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 - there is no event to wait for: it happens inside
            await asyncio.sleep(0.005)


async def settled() -> None:
    """Let every task that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_bytes_become_variants(engine: Engine) -> None:
    result = await engine.render(corpus.jpeg(), FAST)

    assert [variant.name for variant in result.variants] == ["thumbnail", "medium", "large", "webp"]
    assert engine.load == EngineLoad(running=0, waiting=0, free_bytes=BUDGET)


async def test_a_refusal_gives_everything_back(engine: Engine) -> None:
    with pytest.raises(CorruptImage):
        await engine.render(corpus.SAMPLES["jpeg-cut"].make(), FAST)

    assert engine.load == EngineLoad(running=0, waiting=0, free_bytes=BUDGET)


async def test_only_loaders_of_accepted_formats_can_be_reached(engine: Engine) -> None:
    for name in ("svg", "jpeg-xl", "jpeg-2000", "csv", "pdf", "ppm"):
        with pytest.raises(pyvips.Error):
            pyvips.Image.new_from_buffer(corpus.damage.FOREIGN[name](), "")


async def test_what_libvips_does_not_decode_itself_is_rendered_outside_from_the_start(gate: Gate) -> None:
    class Outside:
        asked: list[bytes]

        async def render(self, data: bytes, recipe: Recipe, ticket: Ticket = NO_TICKET) -> Rendered:
            self.asked = [data]
            return Rendered(source=decode.probe(data), variants=())

    outside, data = Outside(), corpus.SAMPLES["heic"].make()
    engine = Engine(EngineConfig(threads=1, memory_budget_bytes=BUDGET), outside=outside)

    await engine.render(data, FAST)

    assert outside.asked == [data]
    assert not gate.entered.acquire(blocking=False)
    await engine.close()


@pytest.mark.parametrize(("sides", "times"), [((200, 150), 0), ((2100, 1500), 1)])
async def test_what_a_large_image_leaves_is_given_back_beside_the_loop_and_before_its_share_is_free(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, sides: tuple[int, int], times: int
) -> None:
    told: list[tuple[bool, int]] = []

    def given_back() -> None:
        told.append((threading.current_thread() is threading.main_thread(), engine.load.running))

    monkeypatch.setattr(engine_module, "give_back", given_back)
    await engine.render(corpus.jpeg(corpus.flat(*sides, (90, 120, 160))), FAST)

    assert told == [(False, 1)] * times
    assert engine.load.running == 0


async def test_what_small_images_leave_is_given_back_once_when_nothing_is_in_work(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[bool, int]] = []

    def given_back() -> None:
        told.append((threading.current_thread() is threading.main_thread(), engine.load.running))

    monkeypatch.setattr(engine_module, "REST_SECONDS", 0.05)
    monkeypatch.setattr(engine_module, "give_all_back", given_back)
    await asyncio.gather(*(engine.render(corpus.jpeg(), FAST) for _ in range(3)))

    await until(lambda: told == [(False, 0)])


async def test_an_engine_that_has_closed_gives_nothing_back_later() -> None:
    engine = Engine(EngineConfig(threads=1, memory_budget_bytes=BUDGET))

    await engine.render(corpus.jpeg(), FAST)
    await engine.close()

    assert engine._resting is not None
    assert engine._resting.cancelled()


async def test_libvips_keeps_no_cache_and_one_thread_per_image(engine: Engine) -> None:
    assert pyvips.cache_get_max() == 0
    assert pyvips.concurrency_get() == 1


async def test_no_more_images_are_in_work_than_there_are_threads(engine: Engine, gate: Gate) -> None:
    tasks = [asyncio.create_task(engine.render(corpus.jpeg(), FAST)) for _ in range(3)]
    await gate.wait_for(2)
    await until(lambda: engine.load.waiting == 1)

    assert engine.load.running == 2
    gate.opened.set()
    await asyncio.gather(*tasks)


async def test_the_share_of_a_cancelled_render_is_free_when_its_thread_has_ended(engine: Engine, gate: Gate) -> None:
    held = threading.Event()
    stubborn = Deadline.check
    task = asyncio.create_task(engine.render(corpus.jpeg(), FAST))
    await gate.wait_for(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Deadline, "check", lambda deadline: held.wait(PATIENCE_SECONDS) and stubborn(deadline))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert engine.load.running == 1  # the thread is still at it
        held.set()
        await asyncio.wait_for(engine.close(), PATIENCE_SECONDS)
    assert engine.load == EngineLoad(running=0, waiting=0, free_bytes=BUDGET)


async def test_an_aborted_engine_ends_what_runs_and_what_waits_as_unavailable(engine: Engine, gate: Gate) -> None:
    tasks = [asyncio.create_task(engine.render(corpus.jpeg(), FAST)) for _ in range(4)]
    await gate.wait_for(2)

    engine.abort()

    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE_SECONDS)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 4


async def test_a_closing_engine_lets_run_what_it_took_and_takes_no_more(engine: Engine, gate: Gate) -> None:
    running = asyncio.create_task(engine.render(corpus.jpeg(), FAST))
    await gate.wait_for(1)
    closing = asyncio.create_task(engine.close())
    await settled()

    with pytest.raises(Unavailable):
        await engine.render(corpus.jpeg(), FAST)
    assert not closing.done()
    gate.opened.set()
    assert (await running).source.format == "jpeg"
    await asyncio.wait_for(closing, PATIENCE_SECONDS)


async def test_the_real_pipeline_stops_when_its_caller_is_cancelled() -> None:
    engine = Engine(EngineConfig(threads=1, memory_budget_bytes=BUDGET))
    task = asyncio.create_task(engine.render(corpus.jpeg(corpus.large(3000, 2000)), standard(effort=6)))
    await until(lambda: engine.load.running == 1)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(engine.close(), PATIENCE_SECONDS)
    assert engine.load.running == 0


async def test_first_come_first_served_even_past_one_who_would_fit() -> None:
    budget = MemoryBudget(slots=9, budget_bytes=10)
    order: list[str] = []

    async def visit(name: str, weight: int) -> None:
        await budget.enter(weight)
        order.append(name)

    await visit("first", 6)
    large = asyncio.create_task(visit("large", 9))
    await settled()
    small = asyncio.create_task(visit("small", 1))
    await settled()
    assert (order, budget.waiting, budget.free_bytes) == (["first"], 2, 4)

    budget.leave(6)
    await asyncio.gather(large, small)

    assert order == ["first", "large", "small"]
    assert budget.free_bytes == 0


async def test_what_an_image_does_not_need_lets_the_next_one_in() -> None:
    budget = MemoryBudget(slots=9, budget_bytes=10)
    share = await budget.share(8)
    waiting = asyncio.create_task(budget.enter(5))
    await settled()

    share.keep(9)  # it never grows
    share.keep(6)
    await settled()
    assert (budget.waiting, budget.free_bytes) == (1, 4)

    share.keep(5)
    await asyncio.wait_for(waiting, PATIENCE_SECONDS)
    share.leave()
    share.keep(0)  # said too late
    budget.leave(5)

    assert (budget.running, budget.free_bytes) == (0, 10)


@pytest.mark.parametrize("kind", ["solid", "mask"])
async def test_once_alpha_is_decoded_memory_is_kept_for_what_there_is(kind: str) -> None:
    photo = corpus.large(2000, 1500)
    alpha = pyvips.Image.black(2000, 1500) + 255 if kind == "solid" else pyvips.Image.xyz(2000, 1500)[0] > 800
    data = corpus.png(photo.bandjoin(alpha.cast("uchar")).copy(interpretation="srgb"), compression=1)
    budget = MemoryBudget(slots=2, budget_bytes=BUDGET)
    engine = Engine(EngineConfig(threads=1, memory_budget_bytes=BUDGET), budget=budget)
    taken: list[int] = []

    async def begin(_: ImageInfo) -> None:
        taken.append(BUDGET - budget.free_bytes)

    await engine.render(data, FAST, Ticket(begin=begin, ready=lambda _: taken.append(BUDGET - budget.free_bytes)))
    await engine.close()

    first, *later = taken
    assert max(later) < first * (0.5 if kind == "solid" else 0.7)
    assert budget.free_bytes == BUDGET


async def test_what_exceeds_the_whole_budget_is_refused_at_once_even_alone() -> None:
    budget = MemoryBudget(slots=9, budget_bytes=10)

    with pytest.raises(TooLargeForMemory) as refusal:
        await budget.enter(11)

    assert (refusal.value.limit, refusal.value.actual) == (10, 11)
    await budget.enter(10)
    assert (budget.running, budget.free_bytes) == (1, 0)


async def test_who_gives_up_waiting_lets_the_next_one_in() -> None:
    budget = MemoryBudget(slots=9, budget_bytes=10)
    await budget.enter(6)
    large = asyncio.create_task(budget.enter(9))
    await settled()
    small = asyncio.create_task(budget.enter(1))
    await settled()

    large.cancel()

    await asyncio.wait_for(small, PATIENCE_SECONDS)
    assert (budget.running, budget.waiting, budget.free_bytes) == (2, 0, 3)


async def test_a_turn_that_comes_together_with_a_cancellation_is_not_lost() -> None:
    for leave_first in (True, False):
        budget = MemoryBudget(slots=1, budget_bytes=10)
        await budget.enter(5)
        waiting = asyncio.create_task(budget.enter(5))
        await settled()
        if leave_first:
            budget.leave(5)
        waiting.cancel()
        if not leave_first:
            budget.leave(5)

        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (budget.running, budget.waiting, budget.free_bytes) == (0, 0, 10)


def test_alpha_and_frames_weigh_more() -> None:
    plain = working_bytes(ImageInfo(format="png", width=1000, height=1000), 0)

    assert working_bytes(ImageInfo(format="png", width=1000, height=1000, has_alpha=True), 0) > plain
    assert working_bytes(ImageInfo(format="gif", width=1000, height=1000, frames=10), 0) > plain
    assert working_bytes(ImageInfo(format="png", width=1000, height=1000), 5) == plain + 5


async def test_an_image_that_is_slow_within_its_time_wedges_nothing(engine: Engine, gate: Gate) -> None:
    work = asyncio.create_task(engine.render(corpus.jpeg(), FAST))
    await gate.wait_for(1)
    assert not engine.wedged
    gate.opened.set()
    await work


async def test_a_thread_that_hears_nothing_long_after_its_time_was_up_wedges_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate()

    def deaf(opened: threading.Event, _: Deadline) -> None:
        gate.entered.release()
        opened.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(gate, "hold", deaf)
    monkeypatch.setattr(engine_module, "Rendering", gate)
    engine = Engine(EngineConfig(threads=1, memory_budget_bytes=BUDGET, limits=FileLimits(timeout_seconds=0.01)))

    async def is_wedged() -> bool:
        return engine.wedged

    async def is_stuck() -> bool:  # sooner, so that what runs beside it can end first
        return engine.stuck

    monkeypatch.setattr(engine_module, "STUCK_SECONDS", 0.005)
    assert not await is_wedged()
    assert not await is_stuck()
    work = asyncio.create_task(engine.render(corpus.jpeg(), FAST))
    await gate.wait_for(1)
    await eventually(is_wedged)
    assert await is_stuck()
    gate.opened.set()
    await work
    assert not await is_wedged()
    assert not await is_stuck()
    await engine.close()


async def test_whoever_is_told_of_a_variant_is_so_in_the_context_of_the_caller() -> None:
    engine, whose = Engine(EngineConfig(threads=1, memory_budget_bytes=BUDGET)), ContextVar("whose", default="nobody's")
    told: list[str] = []
    whose.set("mine")

    await engine.render(corpus.jpeg(), FAST, Ticket(ready=lambda variant: told.append(f"{whose.get()} {variant.name}")))

    await engine.close()
    assert told == [f"mine {spec.name}" for spec in FAST.specs]
