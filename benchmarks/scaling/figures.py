"""The figures of a simulated run, and a chart of it in text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.scaling.simulation import Record, Sample

#: Columns and rows of a chart.
CHART_WIDTH, CHART_HEIGHT = 72, 6
#: Times from so many seconds on are written without a fraction.
WHOLE_SECONDS = 100
#: Heights within a row, from nothing to full.
_SHADES = " .:-=#"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Times are in seconds. `wasted` is the unused part of the ready pods' CPU."""

    scenario: str
    came: int
    done: int
    waiting: int
    in_work: int
    max_waiting: int
    age_p50: float
    age_p95: float
    age_max: float
    servable_p50: float
    servable_p95: float
    servable_p99: float
    max_pods: int
    pod_hours: float
    wasted: float


def quantile(ordered: Sequence[float], part: float) -> float:
    """A quantile of sorted values: the least value that is not below this part of them."""
    if not ordered:
        return 0.0
    return ordered[max(0, min(len(ordered) - 1, -int(-part * len(ordered) // 1) - 1))]


def figures(record: Record) -> Figures:
    """The figures of one run."""
    servable = sorted(record.servable)
    ages = sorted(sample.age for sample in record.samples)
    return Figures(
        scenario=record.scenario,
        came=record.came,
        done=record.done,
        waiting=record.waiting,
        in_work=record.in_work,
        max_waiting=max(sample.waiting for sample in record.samples),
        age_p50=quantile(ages, 0.5),
        age_p95=quantile(ages, 0.95),
        age_max=ages[-1],
        servable_p50=quantile(servable, 0.5),
        servable_p95=quantile(servable, 0.95),
        servable_p99=quantile(servable, 0.99),
        max_pods=max(sample.pods for sample in record.samples),
        pod_hours=record.pod_seconds / 3600,
        wasted=1 - record.cpu_seconds_used / record.cpu_seconds_had,
    )


def headings(first: str) -> str:
    """The head of a table of figures, in Markdown. `first` is the head of the first column."""
    names = [
        "images",
        "longest queue",
        "oldest p50 / p95 / max",
        "servable p50 / p95 / p99",
        "most pods",
        "pod hours",
        "wasted CPU",
    ]
    return f"| {first} | {' | '.join(names)} |\n| --- |{' ---: |' * len(names)}"


def row(name: str, found: Figures) -> str:
    """The row of one run. Seconds below a hundred have one digit after the point."""
    ages = _seconds(found.age_p50, found.age_p95, found.age_max)
    servable = _seconds(found.servable_p50, found.servable_p95, found.servable_p99)
    left = f" ({found.waiting:,} wait)" if found.waiting else ""
    return (
        f"| {name} | {found.came:,}{left} | {found.max_waiting:,} | {ages} | {servable} "
        f"| {found.max_pods} | {found.pod_hours:.1f} | {found.wasted:.0%} |"
    )


def chart(samples: Sequence[Sample], seconds: float) -> str:
    """The queue above, and the pods below. Each column shows the maximum of its time."""
    waiting = _columns([(sample.at, sample.waiting + sample.in_work) for sample in samples], seconds)
    pods = _columns([(sample.at, sample.pods) for sample in samples], seconds)
    ready = _columns([(sample.at, sample.ready) for sample in samples], seconds)
    return "\n".join(
        [
            f"messages, waiting and in work (top: {max(waiting):,})",
            *_bars(waiting, max(waiting)),
            f"pods (top: {max(pods)})",
            *_bars(pods, max(pods)),
            f"pods that are ready (top: {max(pods)})",
            *_bars(ready, max(pods)),
            f"0 {'min':<{CHART_WIDTH // 2 - 2}}{f'{seconds / 60:g} min':>{CHART_WIDTH - CHART_WIDTH // 2}}",
        ]
    )


def _seconds(*values: float) -> str:
    return " / ".join(f"{value:.1f}" if value < WHOLE_SECONDS else f"{value:,.0f}" for value in values)


def _columns(points: Sequence[tuple[float, int]], seconds: float) -> list[int]:
    found = [0] * CHART_WIDTH
    for at, value in points:
        column = min(CHART_WIDTH - 1, int(at / seconds * CHART_WIDTH))
        found[column] = max(found[column], value)
    return found


def _bars(values: Sequence[int], top: int) -> list[str]:
    steps = len(_SHADES) - 1
    lines = []
    for level in range(CHART_HEIGHT - 1, -1, -1):
        cells = (round(value / max(1, top) * CHART_HEIGHT * steps) - level * steps for value in values)
        lines.append("|" + "".join(_SHADES[max(0, min(steps, cell))] for cell in cells).rstrip())
    return lines
