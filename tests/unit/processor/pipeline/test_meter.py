"""What an image is said to have cost is what it did cost."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from processor.pipeline.engine import Engine, EngineConfig
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.meter import Meter, Spent, beside_this_thread
from processor.pipeline.render import inspect, render
from processor.recipes import standard
from tests import corpus

FAST = standard(effort=0)


class Clock:
    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


def test_steps_that_run_at_once_share_the_time() -> None:
    clock, one, other = Clock(), Spent(), Spent()
    meter = Meter(clock)

    with meter.running(one):
        clock.now += 1
        with meter.running(other):
            clock.now += 4
        clock.now += 2
    clock.now += 100
    with meter.running(other):
        clock.now += 3

    assert (one.seconds, other.seconds) == (5, 5)


def test_both_steps_of_one_image_count() -> None:
    clock, spent = Clock(), Spent()
    meter = Meter(clock)

    with meter.running(spent), meter.running(spent):
        clock.now += 4

    assert spent.seconds == 4


def test_a_step_that_fails_is_counted_and_over() -> None:
    clock, failed, next_ = Clock(), Spent(), Spent()
    meter = Meter(clock)

    def fail() -> None:
        with meter.running(failed):
            clock.now += 1
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    with meter.running(next_):
        clock.now += 2

    assert (failed.seconds, next_.seconds) == (1, 2)


def work() -> None:
    """A tenth of a second of CPU, on whatever machine."""
    until = time.thread_time() + 0.1
    while time.thread_time() < until:
        pass


def test_the_loop_is_no_cost_of_an_image_and_other_threads_are() -> None:
    clock = beside_this_thread()
    before = clock()
    work()
    own = clock() - before
    other = threading.Thread(target=work)
    other.start()
    other.join()

    assert own < 0.05
    assert clock() - before - own >= 0.1


def test_an_image_costs_what_the_process_takes_for_it() -> None:
    data = corpus.jpeg(corpus.photo(1600, 1200))
    info = inspect(data, FileLimits())
    before = time.process_time()

    made = render(data, info, FAST, Deadline(60))

    spent = time.process_time() - before
    assert 0.8 * spent <= made.cpu_ms / 1000 <= spent + 0.001


async def test_images_in_work_at_once_cost_no_more_than_the_process_took() -> None:
    engine = Engine(EngineConfig(threads=2, memory_budget_bytes=1_000_000_000))
    data = corpus.jpeg(corpus.photo(1600, 1200))
    before = time.process_time()

    made = await asyncio.gather(*(engine.render(data, FAST) for _ in range(3)))

    spent = time.process_time() - before
    await engine.close()
    assert 0.5 * spent <= sum(each.cpu_ms for each in made) / 1000 <= spent + 0.003
