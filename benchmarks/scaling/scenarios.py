"""What comes: rates of images over time, and how large the images are."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.scaling.measured import FILES, PHOTO

#: Megapixels of what users upload, with their weights: screenshots and thumbnails, web pictures, phones, cameras.
#: An assumption; a service that knows its own sizes gives them.
SIZES: Mapping[float, float] = {0.3: 10, 2.0: 25, 8.0: 15, 12.0: 40, 24.0: 8, 50.0: 2}
MINUTE, HOUR = 60.0, 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`rate` gives images a second at a time in seconds; `backlog` messages wait from the start."""

    name: str
    says: str
    seconds: float
    rate: Callable[[float], float]
    backlog: int = 0


def mean_megapixels(sizes: Mapping[float, float] = SIZES) -> float:
    """Of one image."""
    return math.fsum(size * weight for size, weight in sizes.items()) / math.fsum(sizes.values())


def mean_source_bytes() -> float:
    """Of one upload: the photographs that were measured have just these sizes."""
    return _weighted([each.file_bytes for each in FILES if each.kind == PHOTO])


def mean_variant_bytes() -> float:
    """Of all variants of one image."""
    return _weighted([each.variant_bytes for each in FILES if each.kind == PHOTO])


def _weighted(by_size: Sequence[float]) -> float:
    total = math.fsum(weight * each for weight, each in zip(SIZES.values(), by_size, strict=True))
    return total / math.fsum(SIZES.values())


def arrivals(scenario: Scenario, chance: random.Random) -> Iterator[float]:
    """Times at which images come: by chance, at the scenario's rate (a Poisson process, rates held for a second)."""
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
    """The sinus of a day, squeezed into two hours: 1 to 13 images a second."""
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
