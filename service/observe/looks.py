"""What models were asked, for Prometheus: how often, with which result, and how long it took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from processor.looks import TALLY, Result, Tally

#: The models that there are, so that a rate has a zero at the beginning.
MODELS = ("content", "faces", "nsfw")


@dataclass(slots=True, eq=False)
class LookCounter(Collector):
    """Reads the tally of the process."""

    tally: Tally = TALLY

    def collect(self) -> Iterable[Metric]:
        """Counted since the process began, children that have ended included."""
        counts = {(model, result): 0 for model in MODELS for result in Result}
        seconds = dict.fromkeys(MODELS, 0.0)
        for looks in self.tally.all():
            counts[looks.model, looks.result] = counts.get((looks.model, looks.result), 0) + looks.count
            seconds[looks.model] = seconds.get(looks.model, 0.0) + looks.seconds
        made = CounterMetricFamily(
            "truss_looks",
            "Looks of models into pictures, by their result: `ok`; `off`: there is no model; `failed`; `late`: not "
            "made, because those before it had taken too long.",
            labels=("model", "result"),
        )
        for (model, result), count in sorted(counts.items()):
            made.add_metric((model, result.value), count)
        took = CounterMetricFamily(
            "truss_look_seconds", "CPU that models took, children that have ended included.", labels=("model",)
        )
        for model, spent in sorted(seconds.items()):
            took.add_metric((model,), spent)
        yield from (made, took)
