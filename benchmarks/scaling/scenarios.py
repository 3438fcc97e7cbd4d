"""Scenarios: the rate of images over time, and their sizes."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.scaling.measured import FILES, PHOTO

#: Megapixels of uploads with their weights: screenshots and thumbnails, web pictures, phones, cameras. It is an
#: assumption. Use your own sizes if you know them.
SIZES: Mapping[float, float] = {0.3: 10, 2.0: 25, 8.0: 15, 12.0: 40, 24.0: 8, 50.0: 2}
MINUTE, HOUR = 60.0, 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`rate` gives the images a second at a time in seconds. `backlog` is the number of messages at the start."""

    name: str
    says: str
    seconds: float
    rate: Callable[[float], float]
    backlog: int = 0


def mean_megapixels(sizes: Mapping[float, float] = SIZES) -> float:
    """Of one image."""
    return math.fsum(size * weight for size, weight in sizes.items()) / math.fsum(sizes.values())


def mean_source_bytes() -> float:
    """The mean size of an upload. Photographs of just these sizes were measured."""
    return _weighted([each.file_bytes for each in FILES if each.kind == PHOTO])


def mean_variant_bytes() -> float:
    """The mean size of all variants of an image."""
    return _weighted([each.variant_bytes for each in FILES if each.kind == PHOTO])


def _weighted(by_size: Sequence[float]) -> float:
    total = math.fsum(weight * each for weight, each in zip(SIZES.values(), by_size, strict=True))
    return total / math.fsum(SIZES.values())


def arrivals(scenario: Scenario, chance: random.Random) -> Iterator[float]:
    """The times at which images come: a Poisson process with the scenario's rate, which is constant for each second."""
    for second in range(math.ceil(scenario.seconds)):
        rate = scenario.rate(float(second))
        when = float(second)
        while rate > 0:
            when += chance.expovariate(rate)
            if when >= second + 1:
                break
            yield when


def _burst(now: float) -> float:
    return 200.0 if MINUTE <= now < 2 * MINUTE else 0.0


def _day(now: float) -> float:
    """The curve of a day in two hours: a sine between 1 and 13 images a second."""
    return 7.0 - 6.0 * math.cos(2 * math.pi * now / (2 * HOUR))


def _step(now: float) -> float:
    return 10.0 if now >= 10 * MINUTE else 0.1


def _redrive(_: float) -> float:
    return 1.0


def _pulses(now: float) -> float:
    return 20.0 if now % (6 * MINUTE) < MINUTE else 1.0


BURST = Scenario(name="burst", says="nothing, then 200/s for 60 s, then nothing", seconds=40 * MINUTE, rate=_burst)
DAY = Scenario(name="day", says="a day in 2 hours: a sinus from 1/s to 13/s and back", seconds=2 * HOUR, rate=_day)
STEP = Scenario(name="step", says="0.1/s for 10 min, then 10/s: a hundredfold", seconds=60 * MINUTE, rate=_step)
REDRIVE = Scenario(
    name="redrive",
    says="40,000 dead letters come back at once, beside 1/s",
    seconds=80 * MINUTE,
    rate=_redrive,
    backlog=40_000,
)
PULSES = Scenario(name="pulses", says="1/s, and 20/s for a minute every 6 min", seconds=90 * MINUTE, rate=_pulses)
SCENARIOS = (BURST, DAY, STEP, REDRIVE, PULSES)
